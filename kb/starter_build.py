"""The embedded cards into the store, as one batch that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from kb.build import ensure_encoder, retag, vector_rows
from kb.cards import Card, decode_card, encode_card
from kb.distill import card_rows, field_words, link_rows
from kb.families import load_families
from kb.model_vectors import complete
from kb.starter import load_starter_cards, merge_prose
from kb.store import Store
from kb.tables import CARD_FIELDS
from kb.threads.words import rewrite_card_words


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the embedded cards: new in the store, joined to a card read from a history, there before."""

    added: int
    joined: int
    held: int


def add_starter(store: Store, encoder_name: str | None = None) -> Added:
    """Bring the embedded cards into the store.

    Cards of batch 0 belong to no history: a later ingest of one replaces them. Where a history has been read
    already, the prose joins the card that was read.
    """
    encoder = ensure_encoder(store, encoder_name)
    store.discard_after(store.last_batch())
    retag(store, load_families())
    starter = {c.id: c for c in load_starter_cards()}
    rows = store.cards_by_id(list(starter), ["id", "card"])
    held = {i: decode_card(c) for i, c in zip(rows["id"].to_pylist(), rows["card"].to_pylist(), strict=True)}
    new = [(c, field_words(c, "")) for i, c in starter.items() if i not in held]
    read = [
        merge_prose(c, starter[i]) for i, c in held.items() if c.origin == "git" and c.status == "extracted"
    ]
    if new:
        # a killed run may have left rows of cards that are not there yet
        store.remove_cards([c.id for c, _ in new])
        store.append("links", link_rows((c for c, _ in new), 0))
        if encoder is not None:
            store.append("vectors", vector_rows(encoder, new, 0))
        store.append("cards", card_rows(new, 0))
    if read:
        stored = store.cards_by_id([c.id for c in read], ["id", *CARD_FIELDS]).to_pylist()
        words = {row["id"]: row for row in stored}
        for card in read:
            words[card.id]["description_words"] = field_words(card, "")["description_words"]
        store.append("links", link_rows((new_links(held[c.id], c) for c in read), 0))
        if encoder is not None:
            store.replace_vectors(vector_rows(encoder, [(c, words[c.id]) for c in read], 0))
    store.rewrite_cards(
        [c.id for c in read],
        {
            "status": [c.status for c in read],
            "families": [list(c.families) for c in read],
            "description_words": [field_words(c, "")["description_words"] for c in read],
            "card": [encode_card(c) for c in read],
        },
    )
    rewrite_card_words(store, list(starter))
    store.set_meta({"starter": "yes"})
    if new or read or not store.is_finished():
        complete(store)
        store.finish()
    return Added(len(new), len(read), len(held) - len(read))


def new_links(before: Card, after: Card) -> Card:
    """The card with only those links that it did not have before."""
    added = tuple(link for link in after.links if link not in before.links)
    return msgspec.structs.replace(after, links=added)
