"""The embedded cards into the store, as one batch that can be repeated."""

from __future__ import annotations

from kb.build import ensure_encoder, retag, vector_rows
from kb.distill import card_rows, field_words, link_rows
from kb.families import load_families
from kb.starter import load_starter_cards
from kb.store import Store


def add_starter(store: Store, encoder_name: str | None = None) -> tuple[int, int]:
    """Add the embedded cards that the store does not hold; returns (added, held before).

    Cards of batch 0 belong to no history: a later ingest of one replaces them.
    """
    encoder = ensure_encoder(store, encoder_name)
    store.discard_after(store.last_batch())
    retag(store, load_families())
    cards = load_starter_cards()
    held = set(store.cards_by_id([c.id for c in cards], ["id"])["id"].to_pylist())
    new = [(c, field_words(c, ())) for c in cards if c.id not in held]
    if new:
        # a killed run may have left rows of cards that are not there yet
        store.remove_cards([c.id for c, _ in new])
        store.append("links", link_rows((c for c, _ in new), 0))
        if encoder is not None:
            store.append("vectors", vector_rows(encoder, new, 0))
        store.append("cards", card_rows(new, 0))
    if new or not store.is_finished():
        store.finish()
    return len(new), len(held)
