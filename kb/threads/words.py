"""The words of descriptions and reviews in the cards they belong to, so that ranking finds cards by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kb.cards import Card, decode_card
from kb.distill import prose_of
from kb.filters import one_of
from kb.store import Store
from kb.words import capped, prose_words

_WORDS = 4000  # of a card's description field: ours and the author's
_COLUMNS = ["id", "description_words", "review_words", "card"]


@dataclass(frozen=True, slots=True)
class Said:
    """Words of a pull request's description and of its reviews."""

    description: str = ""
    review: str = ""


def said_of(store: Store, ids: Sequence[str]) -> dict[str, Said]:
    """What was said of pull requests, those of which anything is known."""
    if not ids or not store.has("pulls"):
        return {}
    rows = store.rows_where("pulls", one_of("id", ids), ["id", "description_words", "review_words"])
    return {r["id"]: Said(r["description_words"], r["review_words"]) for r in rows.to_pylist()}


def with_said(words: Mapping[str, str], said: Said) -> dict[str, str]:
    """The searched columns of a card with what was said; our own prose comes first."""
    both = [w for text in (words["description_words"], said.description) for w in text.split(" ") if w]
    return {**words, "description_words": capped(both, 3, _WORDS), "review_words": said.review}


def own_words(card: Card) -> str:
    """The description words that a card has of itself."""
    return capped((w for part in prose_of(card) for w in prose_words(part)), 3, _WORDS // 2)


def rewrite_card_words(store: Store, ids: Sequence[str]) -> int:
    """Give cards the words of what was said of them; returns how many changed."""
    changed: list[tuple[str, str, str]] = []
    for start in range(0, len(ids), 1000):
        part = ids[start : start + 1000]
        said = said_of(store, part)
        for row in store.cards_by_id(part, _COLUMNS).to_pylist():
            own = own_words(decode_card(row["card"]))  # an extracted card quotes its message and comments
            words = with_said({"description_words": own}, said.get(row["id"], Said()))
            new = (words["description_words"], words["review_words"])
            if new != (row["description_words"], row["review_words"]):
                changed.append((row["id"], *new))
    if changed:
        store.set_meta({"finished": ""})  # search indexes and word counts are to be made up to date
        store.rewrite_cards(
            [i for i, _, _ in changed],
            {"description_words": [d for _, d, _ in changed], "review_words": [r for _, _, r in changed]},
        )
    return len(changed)
