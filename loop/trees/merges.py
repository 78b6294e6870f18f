"""Exact three-way merges without a work tree: the base is named, not guessed from history.

Two commits that nobody sees stand on a common one, so that `git merge-tree --write-tree` takes that for the base; git
before 2.40 has no option to name it.
"""

from __future__ import annotations

from dataclasses import dataclass

from loop.trees.store import Entry, TreeStore


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that both sides changed differently; a side is None where it has no regular file."""

    path: str
    base: bytes | None
    ours: bytes | None
    theirs: bytes | None


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge gave.

    Attributes:
        tree: the merged tree; with conflicts, one that holds markers and is no candidate.
        conflicts: files that need a decision, by path.
    """

    tree: str
    conflicts: tuple[Conflict, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the tree is a merge without any conflict."""
        return not self.conflicts


def three_way(trees: TreeStore, base: str, ours: str, theirs: str) -> Merged:
    """Bring the change from `base` to `theirs` onto `ours`; each is a tree or commit name.

    Raises:
        TreeError: a name is no tree.
    """
    root = trees.commit(trees.tree_of(base), (), "base")
    sides = [
        trees.commit(trees.tree_of(side), (root,), name)
        for side, name in ((ours, "ours"), (theirs, "theirs"))
    ]
    raw = trees.repository.run("merge-tree", "--write-tree", "-z", "--no-messages", *sides, accept=(0, 1))
    fields = raw.split(b"\0")
    stages: dict[str, dict[int, Entry]] = {}
    for row in fields[1:]:
        if row:
            head, _, path = row.partition(b"\t")
            mode, blob, stage = head.decode().split(" ")
            stages.setdefault(path.decode("utf-8", "surrogateescape"), {})[int(stage)] = Entry(mode, blob)
    conflicts = tuple(
        Conflict(path, *(_content(trees, by_stage.get(stage)) for stage in (1, 2, 3)))
        for path, by_stage in sorted(stages.items())
    )
    return Merged(fields[0].decode().strip(), conflicts)


def _content(trees: TreeStore, entry: Entry | None) -> bytes | None:
    return trees.blob(entry.blob) if entry and entry.mode.startswith("100") else None
