"""The words of a store's cards, out of the cache of arrays where they are kept."""

from __future__ import annotations

from collections.abc import Sequence

from kb.kept_arrays import kept_arrays
from kb.postings import Postings, open_postings, posting_arrays, word_counts
from kb.store import Store


def stored_postings(store: Store) -> Postings:
    """The words of all cards, field by field, as they were when the last ingest ended."""
    version = store.version_of("postings")
    return open_postings(
        kept_arrays(store.uri, "postings", version, lambda: posting_arrays(store.posting_rows()))
    )


def cards_holding(store: Store, words: Sequence[str]) -> dict[str, int]:
    """In how many cards each of some words stands; words that stand in none are left out."""
    return word_counts(stored_postings(store), words)
