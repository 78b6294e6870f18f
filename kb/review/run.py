"""A run over many cards: one after the other, each written when it is done, so that a run can be stopped at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kb.cards import Card, decode_card
from kb.discussion import StoredDiscussion
from kb.llm.budget import BudgetSpent
from kb.llm.client import LlmError, LlmRefused
from kb.review.reviewer import Reviewed, Reviewer
from kb.rewrite import put_cards
from kb.store import Store
from kb.stored_diff import Diff, clone_diffs, stored_diffs

_FAILURES = 3  # cards in a row without an answer: the endpoint is gone


@dataclass(slots=True)
class RunReport:
    """What a run did: cards with new prose, cards that stayed and why, cards left for the next run."""

    reviewed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    claims: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    asked: int = 0
    known: int = 0
    stopped: str = ""


def review_cards(
    store: Store,
    ids: Sequence[str],
    reviewer: Reviewer,
    progress: Callable[[int, str], object],
    *,
    again: bool = False,
    clone: Path | None = None,
) -> RunReport:
    """Review cards of a store. Cards with prose are skipped unless `again`; the prose of people always stays.

    Raises:
        LlmRefused: the endpoint refuses; what was reviewed before is written.
    """
    report = RunReport()
    try:
        for place, card_id in enumerate(ids):
            card = decode_card(store.cards_by_id([card_id], ["card"])["card"][0].as_py())
            if card.status not in ("extracted", "imported") and not (
                again and card.written_by.startswith("model ")
            ):
                report.skipped.append(card_id)
                progress(1, card_id)
                continue
            try:
                _take(
                    store,
                    card,
                    reviewer.review(card, diff_for(store, card, clone), StoredDiscussion(store)),
                    report,
                )
            except LlmRefused:
                report.left = list(ids[place:])
                raise
            except BudgetSpent as exc:
                report.left, report.stopped = list(ids[place:]), str(exc)
                break
            except LlmError as exc:
                report.kept[card_id] = str(exc)
                report.left.append(card_id)
                if (
                    report.left[-_FAILURES:] == list(ids[max(0, place - _FAILURES + 1) : place + 1])
                    and len(report.left) >= _FAILURES
                ):
                    report.left += ids[place + 1 :]
                    report.stopped = str(exc)
                    break
            progress(1, card_id)
    finally:
        if report.reviewed:
            store.finish()
    return report


def diff_for(store: Store, card: Card, clone: Path | None) -> Diff:
    """A card's diff: from a clone when one is named and has it, else from the store."""
    if clone is not None and (found := clone_diffs(clone, [card])):
        return found[card.id]
    return stored_diffs(store, [card])[card.id]


def _take(store: Store, card: Card, found: Reviewed, report: RunReport) -> None:
    report.asked += found.asked
    report.known += found.known
    if found.dropped:
        report.dropped[card.id] = found.dropped
    if found.card is None:
        report.kept[card.id] = found.why_kept
        return
    put_cards(store, [found.card])
    report.reviewed.append(card.id)
    report.claims += found.claims
