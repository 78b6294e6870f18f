"""What the rules work on, and the draft of a finding before it is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
from kb.critique.history import History
from kb.critique.patch import Patch, PatchHunk
from kb.critique.sweep import Swept
from kb.families import Families
from kb.store import Store


@dataclass(frozen=True)
class Case:
    """One review: the patch and all that was found to bear on it. `now` is the moment ages count back from."""

    store: Store
    patch: Patch
    history: History
    swept: Swept
    now: str
    families: Families

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
