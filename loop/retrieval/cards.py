"""What the loop asks of the knowledge base about single cards: whether a quote holds, what became of a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kb.cards import Card, decode_card
from kb.store import Store
from kb.stored_diff import Diff, stored_diffs
from loop.records import CardQuote

_UNDONE = "reverts"


@dataclass(frozen=True, slots=True)
class StoredCards:
    """Cards of one store.

    Attributes:
        store: an open store.
    """

    store: Store

    def card(self, card_id: str) -> Card | None:
        """A card by id, None where there is none."""
        rows = self.store.cards_by_id([card_id], ["card"])["card"].to_pylist()
        return decode_card(rows[0]) if rows else None

    def diff(self, card: Card) -> Diff:
        """A card's diff as the store holds it."""
        return stored_diffs(self.store, [card])[card.id]

    def quoted(self, quote: CardQuote) -> str | None:
        """Why a quote does not stand in its card's diff, None when it does: its lines, marks included, in one hunk of its file."""
        card = self.card(quote.card_id)
        if card is None:
            return "there is no such card"
        wanted = quote.quote.split("\n")
        for file in self.diff(card).named(quote.path):
            for hunk in file.hunks:
                if _stands_in(wanted, hunk.text.split("\n")):
                    return None
        return f"its diff has no such lines in {quote.path[:120]}"

    def reverted_by(self, card_id: str) -> str | None:
        """The pull request that took a change back, None where none did or a later one brought it again."""
        links = self.store.links_to(card_id)
        undone = [source for kind, source in links if kind == _UNDONE]
        again = [source for kind, source in links if kind == "relands"]
        return undone[-1] if undone and not again else None


def _stands_in(wanted: Sequence[str], lines: Sequence[str]) -> bool:
    count = len(wanted)
    return any(list(lines[i : i + count]) == list(wanted) for i in range(len(lines) - count + 1))
