"""Anchors of a card's claims: every one resolves, its hash matches, and what is taken word for word stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kb.anchors import AnchorError, AnchorUnseen, Discussion, Found, resolve_any
from kb.cards import Anchor, Card, Number
from kb.gate.defects import Finding
from kb.stored_diff import Diff

_LETTERS = re.compile(r"[a-z0-9]+")


def check_claims(card: Card, diff: Diff | None, discussion: Discussion) -> Iterator[Finding]:
    """Defects of the anchors, and of the claims and numbers that rest on them."""
    if card.coverage.state == "not read":
        if not card.sources:
            yield "source", "the diff was not read and no source is named"
        return
    if card.status in ("reviewed", "verified") and not card.anchors:
        yield "no anchor", "no anchor"
    found: dict[int, Found] = {}
    for place, anchor in enumerate(card.anchors):
        yield from _anchor(card, place, anchor, diff, discussion, found)
    for what, anchors, needed in _resting(card):
        if any(not 0 <= a < len(card.anchors) for a in anchors):
            yield "anchor", f"{what} names an anchor that the card does not have"
        elif needed and not anchors:
            yield "no anchor", f"{what} has no anchor"
    if card.status == "extracted":
        yield from _word_for_word(card, found)
    for number in card.numbers:
        yield from _number(card, number, found)


def _resting(card: Card) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """What rests on anchors: its name, the anchors, and whether it must have one."""
    for claim in card.claims:
        yield f"{claim.field} {claim.text[:40]!r}", claim.anchors, card.status == "verified"
    for number in card.numbers:
        yield f"number {number.value}", number.anchors, False
    for point in card.review.points if card.review else ():
        yield f"review point {point.text[:40]!r}", point.anchors, True


def _anchor(
    card: Card, place: int, anchor: Anchor, diff: Diff | None, discussion: Discussion, found: dict[int, Found]
) -> Iterator[Finding]:
    if anchor.source == "diff":
        if not anchor.sha256 or not anchor.hunk:
            yield "anchor", f"anchor {anchor.path}:{anchor.lines[0]} has no hash"
        if anchor.path not in card.paths():
            yield "anchor", f"anchor {anchor.path} is no file of the change"
            return
        if diff is None:
            return
    elif not anchor.sha256:
        yield "anchor", f"anchor into the {anchor.source} has no hash"
    try:
        found[place] = resolve_any(anchor, card, diff or Diff(()), discussion)
    except AnchorUnseen:
        return
    except AnchorError as exc:
        yield "anchor", f"anchor {exc}"


def _word_for_word(card: Card, found: dict[int, Found]) -> Iterator[Finding]:
    """Claims of an extracted card are quotations."""
    for claim in card.claims:
        if not claim.anchors:
            yield (
                "no anchor",
                f"{claim.field} {claim.text[:40]!r} is said by nobody: an extracted card quotes",
            )
        texts = [found[a].text for a in claim.anchors if a in found]
        if texts and not any(_letters(claim.text) in _letters(text) for text in texts):
            yield (
                "not word for word",
                f"{claim.field} {claim.text[:40]!r} does not stand where its anchor points",
            )


def _letters(text: str) -> str:
    return "".join(_LETTERS.findall(text.lower()))


def _number(card: Card, number: Number, found: dict[int, Found]) -> Iterator[Finding]:
    name = f"{number.value} {number.unit}".strip()
    if not any(c.isdigit() for c in number.value):
        yield "number", f"{name!r} is no figure"
    if not (number.unit and number.workload and number.where):
        missing = [f for f in ("unit", "workload", "where") if not getattr(number, f)]
        yield "number", f"{name}: {' and '.join(missing)} not said"
    texts = [found[a].text for a in number.anchors if a in found]
    text = {"title": card.title, "message": card.message}.get(number.where)
    if text is not None:
        texts.append(text)
    if texts and not any(number.value in t for t in texts):
        yield "number", f"{name} is not stated in the {number.where}"
