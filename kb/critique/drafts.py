"""What the rules work on, and the draft of a finding before it is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.trees import Tree
from kb.critique.findings import (
    Concern,
    Finding,
    Place,
    PullPrecedent,
    Rule,
    Severity,
    ThreadPrecedent,
    fingerprint_of,
)
from kb.critique.history import History, PastPull
from kb.critique.patch import Patch, PatchHunk
from kb.critique.ranking import Ranked
from kb.critique.sweep import Swept
from kb.families import Families
from kb.store import Store


@dataclass(frozen=True)
class Checkout:
    """A clone at one commit.

    Attributes:
        tree: its files.
        is_after: whether the change is applied in it.
        strangers: paths of the patch whose text in it fits neither side.
    """

    tree: Tree
    is_after: bool
    strangers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One review: the patch and all that was found to bear on it.

    Attributes:
        now: the moment ages count back from.
        ranked: where to look first.
        checkout: a clone in which what is said beyond the diff is looked up, None where none was named.
    """

    store: Store
    patch: Patch
    history: History
    swept: Swept
    now: str
    families: Families
    ranked: Ranked
    checkout: Checkout | None = None

    def lane(self, pull: PastPull) -> str:
        """The test that a past change brought, as something to run; one that the checkout has lost is not named."""
        tests = self.there(pull.tests)
        return f", with `{clean(tests[0])}`" if tests else ""

    def weight(self, hunk: PatchHunk) -> float:
        """A hunk's share of the risk, 1 for what each would have if all were alike."""
        return self.ranked.share(hunk.path, hunk.header) * len(self.ranked.spots)

    def there(self, paths: Sequence[str]) -> list[str]:
        """Those of some paths that the checkout has; all where none was named."""
        return [p for p in paths if self.checkout is None or self.checkout.tree.has(p)]

    @property
    def title_families(self) -> tuple[str, ...]:
        """Families that the patch's title names."""
        return self.families.mentioned(self.patch.title)


def draft(
    hunk: PatchHunk, rule: Rule, severity: Severity, concern: Concern, failure: str, check: str, score: float,
    pulls: Sequence[PullPrecedent] = (), threads: Sequence[ThreadPrecedent] = (), place: Place | None = None,
) -> Finding:  # fmt: skip
    """A finding about a hunk, not yet checked."""
    place = place or hunk.place()
    return Finding(
        rule=rule, severity=severity, concern=concern, place=place, failure=failure, check=check, pulls=tuple(pulls),
        threads=tuple(threads), score=round(score, 4), fingerprint=fingerprint_of(place, concern, hunk.hunk.text, rule),
    )  # fmt: skip


def short(pull_id: str) -> str:
    """`#N` of `owner/name#N`."""
    return "#" + pull_id.rpartition("#")[2]


def named(symbol: str, path: str) -> str:
    """How a finding names its place: the definition, else the file."""
    return f"`{clean(symbol or path.rsplit('/', 1)[-1])}`"


def clean(name: str) -> str:
    """A name from a stranger's diff as it may stand in backticks: one word, no mark-up, of bounded length."""
    return re.sub(r"[^\w.:/<>~*&=+-]", "_", name)[:120] or "_"
