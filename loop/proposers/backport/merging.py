"""Bringing a pull request onto a tree: three ways, without what no candidate changes, with what it stands on.

Conflicts in tests and documents are settled by leaving those files as they are, since neither is measured. A conflict in code
is met by bringing the changes first that the conflicting lines stand on, at most three of them, each without a conflict of its
own. A conflict in one file that is left is handed on; in more than one the pull request is too far away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loop.gates.paths import rule_on
from loop.proposers.backport.history import Pull, first_parent, prerequisites
from loop.trees.merges import Conflict, three_way
from loop.trees.patches import changes
from loop.trees.store import Entry, TreeStore

MOST_PREREQUISITES = 3


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of it.

    Attributes:
        tree: target plus pull request; with conflicts, plus what it stands on, and the rest of the pull request.
        conflicts: in code, empty when it is clean.
        stands_on: commits that were brought before it.
        left_out: files of the pull request that stay as the target has them.
    """

    tree: str
    conflicts: tuple[Conflict, ...]
    stands_on: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether everything merged."""
        return not self.conflicts


def bring(trees: TreeStore, target: str, ours: str, pull: Pull) -> Brought:
    """Bring a pull request onto a tree.

    Args:
        trees: of the engine's repository.
        target: commit that the tree's history ends with.
        ours: the tree.
        pull: what is brought.
    """
    plain = _merge(trees, ours, pull.parent, pull.sha)
    if plain.is_clean:
        return plain
    below = prerequisites(trees, target, pull, [c.path for c in plain.conflicts])
    if not 0 < len(below) <= MOST_PREREQUISITES:
        return plain
    tree = ours
    for sha in below:
        parent = first_parent(trees, sha)
        step = _merge(trees, tree, parent, sha) if parent else None
        if step is None or not step.is_clean:
            return plain
        tree = step.tree
    again = _merge(trees, tree, pull.parent, pull.sha)
    if again.is_clean or len(again.conflicts) < len(plain.conflicts):
        return Brought(again.tree, again.conflicts, tuple(below), again.left_out)
    return plain


def _merge(trees: TreeStore, ours: str, base: str, theirs: str) -> Brought:
    """Three ways, without what is outside of a measurement, and with ours where only a companion conflicts."""
    outside = [c.path for c in changes(trees, base, theirs) if rule_on(c.path).place == "outside"]
    kept = without(trees, base, theirs, outside)
    merged = three_way(trees, base, ours, kept)
    companions = [c.path for c in merged.conflicts if rule_on(c.path).place == "companion"]
    if companions:
        kept = without(trees, base, kept, companions)
        merged = three_way(trees, base, ours, kept)
    return Brought(merged.tree, merged.conflicts, (), (*outside, *companions))


def without(trees: TreeStore, base: str, theirs: str, paths: Sequence[str]) -> str:
    """The tree `theirs` with some paths as `base` has them."""
    if not paths:
        return trees.tree_of(theirs)
    held = trees.entries(base, paths)
    back: dict[str, Entry | None] = {path: held.get(path) for path in paths}
    return trees.with_entries(theirs, back)
