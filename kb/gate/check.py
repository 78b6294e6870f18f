"""All checks of one card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kb.anchors import Discussion, NoDiscussion
from kb.cards import Card, decode_card
from kb.gate.claims import check_claims
from kb.gate.defects import Defect
from kb.gate.excerpts import check_excerpts
from kb.gate.facts import check_facts
from kb.gate.prose import check_prose
from kb.store import Store
from kb.stored_diff import Diff, stored_diffs

_SLICE = 200


def check_card(card: Card, diff: Diff | None = None, discussion: Discussion | None = None) -> list[Defect]:
    """Defects of one card.

    Args:
        card: the card.
        diff: its diff; without it, what only the diff can prove is not checked.
        discussion: its description and threads.
    """
    if card.coverage.state != "complete":
        diff = None
    found = [
        *check_facts(card, diff),
        *check_excerpts(card, diff),
        *check_prose(card, diff),
        *check_claims(card, diff, discussion or NoDiscussion()),
    ]
    return [Defect(card.id, what, reason) for reason, what in found]


def check_store(
    store: Store,
    ids: Sequence[str],
    progress: Callable[[int], object] = lambda done: None,
    discussion: Discussion | None = None,
) -> Iterator[Defect]:
    """Defects of cards in a store, each against the diff that the store holds.

    Args:
        store: an open store.
        ids: the cards.
        progress: called with how many are done.
        discussion: their descriptions and threads.
    """
    for start in range(0, len(ids), _SLICE):
        part = ids[start : start + _SLICE]
        cards = [decode_card(text) for text in store.cards_by_id(part, ["card"])["card"].to_pylist()]
        diffs = stored_diffs(store, [c for c in cards if c.origin == "git"])
        for card in cards:
            yield from check_card(card, diffs.get(card.id), discussion)
        progress(len(part))
