"""Patches between trees: making them, applying them exactly, and the id that tells the same change again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ingest.errors import GitFailed
from loop.trees.store import DoesNotApply, TreeStore

ChangeKind = Literal["added", "deleted", "modified", "type-changed"]
_KINDS: dict[str, ChangeKind] = {"A": "added", "D": "deleted", "M": "modified", "T": "type-changed"}
# the most a patch may hold before anything reads it; the policy's own limit on lines comes later
LARGEST_PATCH = 8 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """A path that two trees hold differently; a rename is a removal and an addition. Modes are `000000` where absent."""

    path: str
    kind: ChangeKind
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str


def diff(trees: TreeStore, old: str, new: str) -> bytes:
    """The patch from one tree to another, with whole blob names and binary content, so that it applies anywhere."""
    return trees.repository.run(
        "diff-tree", "-r", "-p", "--full-index", "--binary", "--no-renames", "--no-textconv", "--no-ext-diff",
        trees.tree_of(old), trees.tree_of(new),
    )  # fmt: skip


def changes(trees: TreeStore, old: str, new: str) -> tuple[Change, ...]:
    """What differs between two trees, by path."""
    raw = trees.repository.run(
        "diff-tree",
        "-r",
        "--raw",
        "-z",
        "--no-renames",
        "--no-abbrev",
        trees.tree_of(old),
        trees.tree_of(new),
    )
    fields = iter(raw.split(b"\0"))
    found = []
    for head in fields:
        if head:
            old_mode, new_mode, old_blob, new_blob, letter = head[1:].decode().split(" ")
            path = next(fields).decode("utf-8", "surrogateescape")
            found.append(Change(path, _KINDS[letter[0]], old_mode, new_mode, old_blob, new_blob))
    return tuple(found)


def apply(trees: TreeStore, tree: str, patch: bytes) -> str:
    """The tree with a patch applied: every hunk where its context says, no fuzz. An empty patch changes nothing.

    git itself refuses paths that leave the tree, lead into `.git` or go through a symbolic link.

    Raises:
        DoesNotApply: a hunk's context is not there, a path is refused, or this is no patch.
    """
    if not patch.strip():
        return trees.tree_of(tree)
    if len(patch) > LARGEST_PATCH:
        raise DoesNotApply(f"the patch has {len(patch)} bytes, more than {LARGEST_PATCH}")
    with trees.index(tree) as variables:
        try:
            trees.repository.run(
                "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, variables=variables
            )
            return trees.repository.run("write-tree", variables=variables).decode().strip()
        except GitFailed as exc:
            said = exc.stderr.strip().splitlines()
            raise DoesNotApply(
                f"the patch does not apply: {said[0] if said else 'git refused it'}"[:300]
            ) from exc


def apply_by_versions(trees: TreeStore, tree: str, patch: bytes) -> str | None:
    """The tree with a patch merged by the file versions its `index` lines name; None where one is unknown or conflicts."""
    if len(patch) > LARGEST_PATCH:
        return None
    with trees.index(tree) as variables:
        try:
            trees.repository.run(
                "apply", "--cached", "--3way", "--whitespace=nowarn", "-", stdin=patch, variables=variables
            )
            return trees.repository.run("write-tree", variables=variables).decode().strip()
        except GitFailed:
            return None


def patch_id(trees: TreeStore, patch: bytes) -> str:
    """The stable id of a change: line numbers, white space and order of files do not count. Empty for no change."""
    out = trees.repository.run("patch-id", "--stable", stdin=patch).decode().split()
    return out[0] if out else ""
