"""Which tree a command reads: the clone it is given, the one last read, or what the cards know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import PrloreError, RepositoryError
from kb.trees.base import SourceTree
from kb.trees.git import open_git_tree
from kb.trees.remembered import remember_checkout, remembered_checkout

if TYPE_CHECKING:
    from kb.store import Store
    from kb.trees.cards import CardTree


class NoTree(PrloreError):
    """Neither a clone nor a knowledge base tells what files there are."""


@contextmanager
def choose_tree(
    repo: str, checkout: Path | None, rev: str, open_store: Callable[[], Store], indexed: str = ""
) -> Iterator[SourceTree]:
    """The source tree of a repository.

    Args:
        repo: `owner/name`.
        checkout: a clone or bare repository, None for the one last read.
        rev: a revision of it; empty for `indexed`, else HEAD.
        open_store: opens the knowledge base, which tells when there is no clone.
        indexed: the commit the knowledge base ends at; used when the clone has it.

    Raises:
        NoTree: there is neither a clone nor a card of the repository.
        RepositoryError: the clone or the revision is not there.
    """
    path = checkout or remembered_checkout(repo)
    if path is None:
        if rev:
            raise NoTree(f"--rev {rev} needs a clone of {repo}: name one with --checkout")
        yield _card_tree(repo, open_store)
        return
    with open_git_tree(repo, path, _revision(path, rev, indexed)) as found:
        remember_checkout(repo, path)
        yield found


def _card_tree(repo: str, open_store: Callable[[], Store]) -> CardTree:
    from kb.trees.cards import CardTree  # LanceDB takes longer to load than the whole answer from git

    try:
        tree = CardTree(open_store(), repo)
    except PrloreError as exc:
        raise NoTree(f"no clone of {repo} was named and {exc}; or name a clone with --checkout") from exc
    if not tree.paths:
        raise NoTree(f"no clone of {repo} was named and no card of it is held: name one with --checkout")
    return tree


def _revision(path: Path, rev: str, indexed: str) -> str:
    if rev or not indexed:
        return rev or "HEAD"
    from ingest.git import open_repository

    with open_repository(path) as repository:
        try:
            return repository.resolve(indexed)
        except RepositoryError:
            return "HEAD"
