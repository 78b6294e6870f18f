"""Trees of a campaign as the driver knows them: one store a source repository, states as commits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from loop.records import TreeRef
from loop.redaction import Redactor
from loop.trees import patches, untrusted
from loop.trees.store import TreeStore

BEST = "refs/heads/best"


class CampaignTrees:
    """`loop.protocols.Trees` over git folders of the campaign's own.

    Args:
        folder: where they are kept; a folder of the campaign.
        redact: what new contents pass; the exact values of our environment's secrets where it is not given.
    """

    def __init__(self, folder: Path, redact: Callable[[bytes], bytes] | None = None) -> None:
        self._folder = folder
        self._redact = redact or Redactor(shapes=False)
        self._stores: dict[str, TreeStore] = {}

    def store(self, repository: str) -> TreeStore:
        """The trees over one source repository.

        Raises:
            RepositoryError: there is no git repository.
        """
        if repository not in self._stores:
            name = hashlib.sha256(repository.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            self._stores[repository] = TreeStore.at(self._folder / name, Path(repository), self._redact)
        return self._stores[repository]

    def resolve(self, repository: str, revision: str) -> TreeRef:
        """A commit of the user's repository.

        Raises:
            RepositoryError: no such repository or commit.
        """
        store = self.store(repository)
        commit = store.repository.resolve(revision)
        return TreeRef(repository, commit, store.tree_of(commit))

    def place(self, parent: TreeRef, tree: str, message: str = "Candidate") -> TreeRef:
        """A tree as the commit after `parent`."""
        store = self.store(parent.repository)
        return TreeRef(parent.repository, store.commit(tree, (parent.commit,), message), tree)

    def apply(self, parent: TreeRef, diff: bytes) -> TreeRef:
        """Parent plus diff as a commit with fixed author and date, so that a replay makes the same hash.

        Raises:
            DoesNotApply: a hunk's context is not there, or git refuses a path.
        """
        return self.place(
            parent, patches.apply(self.store(parent.repository), parent.tree, self._redact(diff))
        )

    def checkout(self, tree: TreeRef, directory: Path) -> Path:
        """Files of the tree in an empty folder, without history; the folder."""
        untrusted.checkout(self.store(tree.repository), tree.tree, directory)
        return directory

    def read(self, tree: TreeRef, path: str) -> bytes | None:
        """A file of the tree, None if it has none."""
        return self.store(tree.repository).read(tree.tree, path)

    def diff(self, old: TreeRef, new: TreeRef) -> bytes:
        """Full-index binary diff of two trees."""
        return patches.diff(self.store(old.repository), old.tree, new.tree)

    def changes(self, old: TreeRef, new: TreeRef) -> tuple[patches.Change, ...]:
        """What differs between two trees, by path."""
        return patches.changes(self.store(old.repository), old.tree, new.tree)

    def patch_id(self, tree: TreeRef, diff: bytes) -> str:
        """The stable id of a change; empty for none."""
        return patches.patch_id(self.store(tree.repository), diff)

    def paths(self, tree: TreeRef) -> tuple[str, ...]:
        """All paths of the tree."""
        return tuple(self.store(tree.repository).entries(tree.tree))

    def advance(self, best: TreeRef) -> None:
        """Point the campaign's reference `best` at a tree; doing it twice is once."""
        store = self.store(best.repository)
        store.set_ref(BEST, best.commit, store.ref(BEST))
