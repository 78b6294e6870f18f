"""Cards from files into the store: proven against the diff that the store holds, through the gate, never below what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from kb.anchors import AnchorError, AnchorUnseen, Discussion, NoDiscussion, resolve_any
from kb.build import ensure_encoder, vector_rows
from kb.cards import Card, Status, decode_card
from kb.discussion import StoredDiscussion
from kb.distill import card_rows, field_words, link_rows
from kb.gate.check import check_card
from kb.rewrite import put_cards
from kb.store import Store
from kb.stored_diff import Diff, stored_diffs

_TRUST: tuple[Status, ...] = ("imported", "extracted", "reviewed", "verified")


@dataclass(slots=True)
class Accepted:
    """What became of cards: new in the store, changed there, the same as there, below what is there, refused and why."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)


def accept(store: Store, cards: Sequence[Card]) -> Accepted:
    """Bring cards into a store.

    Of a pull request that a history brought, only prose is taken over; its facts stay as they were read. A card of
    higher trust is never replaced by one of lower.
    """
    result = Accepted()
    ids = [c.id for c in cards]
    held = {c.id: c for c in map(decode_card, store.cards_by_id(ids, ["card"])["card"].to_pylist())}
    diffs = stored_diffs(store, [c for c in held.values() if c.origin == "git"])
    discussion = StoredDiscussion(store)
    changed, added = [], []
    for card in {c.id: c for c in cards}.values():
        own = held.get(card.id)
        if own is not None and _TRUST.index(card.status) < _TRUST.index(own.status):
            result.below.append(card.id)
            continue
        if own == card:
            result.same.append(card.id)
            continue
        diff = diffs.get(card.id)
        proven, problems = proven_card(_with_facts(card, own), diff, discussion)
        if problems := problems or [f"{d.reason}: {d.what}" for d in check_card(proven, diff, discussion)]:
            result.refused[card.id] = problems
        elif own is None:
            added.append(proven)
            result.added.append(card.id)
        else:
            changed.append(proven)
            result.changed.append(card.id)
    put_cards(store, changed)
    _add(store, added)
    if changed or added:
        store.finish()
    return result


def _with_facts(card: Card, own: Card | None) -> Card:
    """The prose of a card on the facts that a history brought."""
    if own is None or own.origin != "git":
        return card
    return msgspec.structs.replace(
        own, status=card.status, claims=card.claims, numbers=card.numbers, anchors=card.anchors, review=card.review,
        written_by=card.written_by, families=tuple(sorted({*own.families, *card.families})), sources=card.sources,
        links=tuple(dict.fromkeys((*own.links, *card.links))),
    )  # fmt: skip


def proven_card(
    card: Card, diff: Diff | None, discussion: Discussion | None = None
) -> tuple[Card, list[str]]:
    """The card with hunks and hashes in its anchors and the status they earn, and anchors that do not hold.

    `verified` needs every claim anchored and every anchor looked up; where the diff is not at hand it is `reviewed`.
    """
    if card.status not in ("reviewed", "verified") or card.coverage.state != "complete":
        return card, []
    anchors, problems, unseen = [], [], diff is None
    for anchor in card.anchors:
        try:
            if diff is None and anchor.source == "diff":
                anchors.append(anchor)
            else:
                anchors.append(
                    resolve_any(anchor, card, diff or Diff(()), discussion or NoDiscussion()).anchor
                )
        except AnchorUnseen:
            anchors.append(anchor)
            unseen = True
        except AnchorError as exc:
            problems.append(f"anchor: {exc}")
    if problems:
        return card, problems
    whole = not unseen and bool(card.claims) and all(c.anchors for c in card.claims)
    # people's sentences may speak of what no line shows; then they are reviewed, not verified
    status: Status = "verified" if whole else "reviewed"
    proven = msgspec.structs.replace(card, anchors=tuple(anchors), status=status)
    if (
        status == "verified"
        and any(d.reason == "foreign name" for d in check_card(proven, diff))
        and card.written_by == "person"
    ):
        proven = msgspec.structs.replace(proven, status="reviewed")
    return proven, []


def _add(store: Store, cards: Sequence[Card]) -> None:
    """Cards of pull requests that no history has brought: batch 0, as embedded cards are."""
    if not cards:
        return
    encoder = ensure_encoder(store, None)
    rows = [(c, field_words(c, "")) for c in cards]
    store.remove_cards([c.id for c in cards])  # a killed run may have left rows
    store.append("links", link_rows(cards, 0))
    if encoder is not None:
        store.append("vectors", vector_rows(encoder, rows, 0))
    store.append("cards", card_rows(rows, 0))
