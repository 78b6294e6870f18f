"""A source tree read from a clone at a revision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import PrloreError
from ingest.git import open_repository
from ingest.trees import Fate, Place, Tree, definitions, fate, mentions, read_tree
from kb.trees.base import SourceTree


class GitTree(SourceTree):
    """The tree of a commit; `tip` is the newest commit of the clone, where later names are looked for."""

    authority = "git"

    def __init__(self, repo: str, tree: Tree, tip: str) -> None:
        self.repo = repo
        self.tree = tree
        self.tip = tip
        self.revision = tree.sha
        self.day = tree.committed_at[:10]
        self.paths = tree.paths

    def definitions(self, names: Sequence[str], under: Sequence[str] = ()) -> list[Place]:
        """Where plain names are defined at the revision."""
        return definitions(self.tree, names, under)

    def mentions(self, names: Sequence[str], under: Sequence[str] = ()) -> dict[str, int]:
        """How often names stand in files at the revision."""
        return mentions(self.tree, names, under)

    def fate(self, path: str) -> Fate:
        """What the history says of a path that is not there."""
        return fate(self.tree, path, self.tip)

    def read(self, path: str) -> bytes:
        """A file's content, empty when it can't be read."""
        return self.tree.read(path)


@contextmanager
def open_git_tree(repo: str, checkout: Path, rev: str) -> Iterator[GitTree]:
    """Open a clone at a revision.

    Raises:
        RepositoryError: there is no clone, or no such revision in it.
    """
    with open_repository(checkout) as repository:
        tree = read_tree(repository, rev)
        try:
            tip = repository.resolve("HEAD")
        except PrloreError:  # a bare mirror whose HEAD names no branch
            tip = tree.sha
        yield GitTree(repo, tree, tip)
