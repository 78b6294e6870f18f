"""The knowledge base as one step of a campaign opens it: cards at once, the search only when something is asked."""

from __future__ import annotations

from functools import cached_property

from kb.location import default_uri
from kb.search import Searcher
from kb.store import Store
from loop.protocols import Trees
from loop.retrieval.bundles import Retriever
from loop.retrieval.cards import StoredCards


class KnowledgeBase:
    """One store.

    Args:
        uri: its address; the default one where None.

    Raises:
        PrloreError: there is no store, or it is another version's.
    """

    def __init__(self, uri: str | None) -> None:
        self.store = Store.open(uri or default_uri())

    @cached_property
    def searcher(self) -> Searcher:
        """Loads the models."""
        return Searcher(self.store)

    @cached_property
    def cards(self) -> StoredCards:
        """Single cards."""
        return StoredCards(self.store)

    def retriever(self, trees: Trees) -> Retriever:
        """Evidence for rows of a profile."""
        return Retriever(self.store, self.searcher, trees)
