"""Cards that change in place: a review, an edit or an import, with everything in the store that follows from them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kb.build import ensure_encoder, vector_rows
from kb.cards import Card, decode_card, encode_card
from kb.distill import field_words, link_rows
from kb.store import Store
from kb.tables import CARD_FIELDS
from kb.threads.words import Said, said_of, with_said


def put_cards(store: Store, cards: Sequence[Card]) -> None:
    """Write new versions of cards that the store holds; call `store.finish` when all are written.

    What is searched follows from the prose, so words and vectors are made anew. Links are only ever added.
    """
    if not cards:
        return
    ids = [c.id for c in cards]
    held = {row["id"]: row for row in store.cards_by_id(ids, ["id", "card", *CARD_FIELDS]).to_pylist()}
    before = {i: decode_card(row.pop("card")) for i, row in held.items()}
    cards = [c for c in cards if c.id in held]
    said = said_of(store, [c.id for c in cards])
    for card in cards:
        own = field_words(card, "")["description_words"]
        words = with_said({"description_words": own}, said.get(card.id, Said()))
        held[card.id]["description_words"] = words["description_words"]
    added = [
        msgspec.structs.replace(c, links=tuple(link for link in c.links if link not in before[c.id].links))
        for c in cards
    ]
    store.append("links", link_rows(added, 0))
    encoder = ensure_encoder(store, None)
    if encoder is not None and store.has_vectors():
        store.replace_vectors(vector_rows(encoder, [(c, held[c.id]) for c in cards], 0))
    store.rewrite_cards(
        [c.id for c in cards],
        {
            "title": [c.title for c in cards],
            "status": [c.status for c in cards],
            "families": [list(c.families) for c in cards],
            "description_words": [held[c.id]["description_words"] for c in cards],
            "card": [encode_card(c) for c in cards],
        },
    )
