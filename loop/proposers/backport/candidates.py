"""Which pull requests may be brought onto a target, and in which order.

A candidate is lacking in the target, was not taken back by a later pull request, and changes code. First come changes made for speed, of
them those of the row's own file and folder, then those whose files the target has as the pull request found them, then the nearest in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from loop.gates.paths import rule_on
from loop.proposers.backport.history import Pull, committed_at, days_between, is_held, lacks
from loop.records import EvidenceBundle, TreeRef
from loop.trees.patches import changes
from loop.trees.store import TreeStore


class Pulls(Protocol):
    """Where pull requests for a piece of evidence come from."""

    def pulls(self, bundle: EvidenceBundle, after: str) -> Iterable[Pull]:
        """Pull requests that bear on it, best first; `after` is the target's time, ISO 8601 in UTC."""

    def reverted_by(self, pull: Pull) -> str | None:
        """The pull request that took it back, None where none did."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pull request with what ranks it.

    Attributes:
        far: 0 where it changes the evidence's own file, 1 for another of its folder, 2 elsewhere.
        moved: files of code that it changes and that the target has otherwise than it found them.
        days: from the target to it.
    """

    pull: Pull
    far: int
    moved: int
    days: float


@dataclass(frozen=True, slots=True)
class Passed:
    """A pull request that is none, and why."""

    pull: Pull
    reason: str


def candidates(
    trees: TreeStore, source: Pulls, bundle: EvidenceBundle, target: TreeRef
) -> tuple[list[Candidate], list[Passed]]:
    """Candidates in the order in which they are tried, and those that were passed over."""
    found: list[Candidate] = []
    passed: list[Passed] = []
    for pull in _once(source.pulls(bundle, committed_at(trees, target.commit))):
        reason = _unfit(trees, source, pull, target)
        if reason:
            passed.append(Passed(pull, reason))
            continue
        changed = [c.path for c in changes(trees, pull.parent, pull.sha) if rule_on(c.path).place == "code"]
        if not changed:
            passed.append(Passed(pull, "it changes no code"))
            continue
        base, ours = trees.entries(pull.parent, changed), trees.entries(target.tree, changed)
        moved = sum(base.get(path) != ours.get(path) for path in changed)
        far = _far(bundle.location.rpartition(":")[0], changed)
        if far == 2 and not pull.is_perf:
            passed.append(Passed(pull, "it is neither near the place nor made for speed"))
            continue
        found.append(Candidate(pull, far, moved, days_between(trees, target.commit, pull.sha)))
    return sorted(found, key=lambda c: (not c.pull.is_perf, c.far, c.moved, c.days)), passed


def _far(place: str, changed: Sequence[str]) -> int:
    if place in changed:
        return 0
    folder = place.rpartition("/")[0]
    return 1 if any(path.rpartition("/")[0] == folder for path in changed) else 2


def _once(pulls: Iterable[Pull]) -> Iterator[Pull]:
    seen: set[str] = set()
    for pull in pulls:
        if pull.id not in seen:
            seen.add(pull.id)
            yield pull


def _unfit(trees: TreeStore, source: Pulls, pull: Pull, target: TreeRef) -> str:
    if not is_held(trees, pull.sha) or not is_held(trees, pull.parent):
        return "the repository has no such commit"
    if not lacks(trees, target.commit, pull.sha):
        return "the target has it"
    taken_back = source.reverted_by(pull)
    return f"taken back by {taken_back}" if taken_back else ""
