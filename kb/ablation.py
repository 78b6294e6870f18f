"""Weights with some signals taken out: what a part of the ranking is worth shows in how much is lost without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ingest.errors import PrloreError
from kb.features import FIELDS
from kb.fusion import Rerank, Weights

ALIASES = "aliases"  # no signal: without it the table of other names is empty
RERANKER = "reranker"

GROUPS: Mapping[str, tuple[str, ...]] = {
    "tuned": ("tuned", "tuned share"),
    "cosine": ("cosine", "cosine share"),
    RERANKER: (RERANKER,),
    ALIASES: (),
    "coverage": ("coverage", "coverage with other names", "coverage of the first"),
    "fields": tuple(n for field in FIELDS for n in (field, f"{field} share")),
    "family": ("family", "family focus", "topic"),
    "exact": (
        "exact", "exact path", "adds path", "introduces symbol", "changes symbol", "introduces name", "changes name", "origin",
    ),
    "size": ("size",),
    "age": ("age",),
    "kind": ("kind", "side kind"),
}  # fmt: skip


class UnknownSignal(PrloreError):
    """A signal that no weight is for."""


def signals_of(names: Iterable[str], weights: Weights) -> frozenset[str]:
    """The signals of groups and of single names.

    Raises:
        UnknownSignal: neither a group nor a signal with a weight.
    """
    known = {*weights.tuned, *weights.light, *(n for group in GROUPS.values() for n in group)}
    found: set[str] = set()
    for name in names:
        if name not in GROUPS and name not in known:
            raise UnknownSignal(
                f"no signal {name!r}: name one of the groups {', '.join(GROUPS)}, or a signal of data/fusion.json"
            )
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)


def without(weights: Weights, names: Iterable[str]) -> Weights:
    """The weights with those of some groups or signals at 0, in the decision as well; the others stay as they are.

    Without the reranker's signal nothing is read by it.

    Raises:
        UnknownSignal: neither a group nor a signal with a weight.
    """
    gone = signals_of(names, weights)

    def kept(rule: Mapping[str, float]) -> dict[str, float]:
        return {name: 0.0 if name in gone else weight for name, weight in rule.items()}

    return Weights(
        tuned=kept(weights.tuned),
        light=kept(weights.light),
        rerank=Rerank(0) if RERANKER in gone else weights.rerank,
        answer={kind: kept(rule) for kind, rule in weights.answer.items()},
        threshold=weights.threshold,
    )
