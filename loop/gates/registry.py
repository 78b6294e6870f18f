"""Gates by name, made anew in each step's process from the campaign's frozen spec."""

from __future__ import annotations

from collections.abc import Callable

from ingest.errors import PrloreError
from loop.gates.accuracy import AccuracyGate, Amount
from loop.gates.build import BuildGate
from loop.gates.engagement import EngagementGate
from loop.gates.evidence import Cards, EvidenceGate
from loop.gates.novelty import NoveltyGate
from loop.gates.policy import PolicyGate
from loop.gates.regression import RegressionGate, TooGoodGate
from loop.gates.tests import TestsGate
from loop.protocols import Gate
from loop.records import CampaignSpec

# in this order; `apply` stands between policy and build, measuring between engagement and regression
ORDER = (
    "evidence",
    "novelty",
    "policy",
    "build",
    "tests",
    "accuracy",
    "engagement",
    "regression",
    "too_good",
)
# a model of known arithmetic repeats itself exactly: a few answers say as much as many
_SMALL = Amount(prompts=8, tokens=24, length=24, at_once=4)


class NoSuchGate(PrloreError):
    """A gate that nobody has written."""


def gate_named(name: str, spec: CampaignSpec, cards: Callable[[], Cards]) -> Gate:
    """A gate.

    Args:
        name: one of `ORDER`.
        spec: of the campaign.
        cards: opens the knowledge base; called by the gate that needs it alone.

    Raises:
        NoSuchGate: there is none of that name.
    """
    makers: dict[str, Callable[[], Gate]] = {
        "evidence": lambda: EvidenceGate(cards()),
        "novelty": NoveltyGate,
        "policy": PolicyGate,
        "build": BuildGate,
        "tests": TestsGate,
        "accuracy": lambda: AccuracyGate(_SMALL if spec.target.name == "fake" else None),
        "engagement": EngagementGate,
        "regression": RegressionGate,
        "too_good": TooGoodGate,
    }
    if name not in makers:
        raise NoSuchGate(f"no gate named {name!r}; there are {', '.join(ORDER)}")
    return makers[name]()
