"""Which of a model's claims hold: every anchor is looked up, every name must be in the diff.

Nothing a model says is believed. A claim survives with those of its anchors that resolve, whose quotation stands in
the anchored lines, and which share words with the claim; without any such anchor it is dropped, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kb.anchors import AnchorError, resolve_anchor
from kb.cards import Anchor, Card, Claim, ClaimField, Number
from kb.gate.prose import foreign_names, held_names, is_template, orders, unsafe
from kb.review.parts import Piece
from kb.review.shapes import SaidAnchor, SaidCard, SaidClaim
from kb.stored_diff import Diff
from kb.words import code_words, prose_words

_MOST_LINES = 40
_LONGEST_TEXT = 700
_SHORTEST_QUOTE = 3
_FEWEST_WORDS: dict[ClaimField, int] = {"motivation": 6, "implementation": 8, "validation": 4, "risk": 6}
_MOST_RADIUS = 8
_PLAIN = frozenset(
    "the this that with from when where which have will must only also than then into each they their there other".split()
)


@dataclass(slots=True)
class Proven:
    """Claims that hold, their anchors, and what was dropped and why.

    `claims` name places in `anchors`, as a card's do.
    """

    claims: list[Claim] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def add(self, other: Proven) -> None:
        """Take over another's claims, each text once, and what it dropped."""
        self.dropped += other.dropped
        held = {c.text.lower() for c in self.claims}
        offset = len(self.anchors)
        self.anchors += other.anchors
        shift = tuple(range(offset, offset + len(other.anchors)))
        self.claims += [_shifted(c, shift) for c in other.claims if c.text.lower() not in held]
        known = {(n.value, n.unit) for n in self.numbers}
        self.numbers += [
            Number(
                value=n.value,
                unit=n.unit,
                workload=n.workload,
                where=n.where,
                anchors=tuple(shift[a] for a in n.anchors),
            )
            for n in other.numbers
            if (n.value, n.unit) not in known
        ]

    def missing(self) -> list[str]:
        """Parts of a card that no claim fills."""
        held = {c.field for c in self.claims}
        return [f for f in _FEWEST_WORDS if f not in held]


def _shifted(claim: Claim, places: Sequence[int]) -> Claim:
    return Claim(
        field=claim.field,
        text=claim.text,
        anchors=tuple(places[a] for a in claim.anchors),
        radius=claim.radius,
    )


class Prover:
    """Checks answers about one pull request."""

    def __init__(self, card: Card, diff: Diff) -> None:
        self._card = card
        self._diff = diff
        self._held = held_names(card, diff)

    def check(self, said: SaidCard, pieces: Mapping[str, Piece]) -> Proven:
        """What of an answer holds."""
        proven = Proven()
        for claim in said.claims:
            text = " ".join(claim.text.split())
            problem = self._problem(claim.field, text)
            anchors, why = self._anchors(claim, text, pieces) if not problem else ([], problem)
            if not anchors:
                proven.dropped.append(f"{claim.field} {text[:120]!r}: {why}")
                continue
            radius = tuple(r for r in (" ".join(r.split()) for r in claim.radius) if self._is_area(r))[
                :_MOST_RADIUS
            ]
            proven.claims.append(
                Claim(field=claim.field, text=text, anchors=_places(anchors, proven.anchors), radius=radius)
            )
        for number in said.numbers:
            anchors, texts = self._resolved(number.anchors, pieces)
            name = " ".join(f"{number.value} {number.unit}".split())
            workload = " ".join(number.workload.split())
            stated = bool(re.search(r"\d", number.value)) and any(number.value in t for t in texts)
            if (
                not (stated and number.unit.strip() and workload)
                or unsafe(f"{name} {workload}")
                or not f"{name}{workload}".isprintable()
            ):
                proven.dropped.append(
                    f"number {name[:60]!r}: no anchored line states it with unit and workload"
                )
                continue
            places = _places(anchors, proven.anchors)
            proven.numbers.append(
                Number(
                    value=number.value.strip(),
                    unit=number.unit.strip(),
                    workload=workload[:200],
                    where="diff",
                    anchors=places,
                )
            )
        return proven

    def text_problem(self, field_: ClaimField, text: str) -> str:
        """Why a text can't stand on this card whatever its anchors; empty for none."""
        return self._problem(field_, text)

    def _problem(self, field_: ClaimField, text: str) -> str:
        if len(prose_words(text)) < _FEWEST_WORDS[field_]:
            return "too short to say anything"
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            return f"longer than {_LONGEST_TEXT} characters, or not printable"
        if found := unsafe(text):
            return f"holds {found[:40]!r}"
        if is_template(text, self._card.title):
            return "only repeats the title, or is a template"
        foreign = sorted(foreign_names(text, self._held))
        return f"names {foreign[0]!r}, which is not in the diff" if foreign else ""

    def _is_area(self, text: str) -> bool:
        return (
            0 < len(text) <= 60
            and text.isprintable()
            and not unsafe(text)
            and not foreign_names(text, self._held)
        )

    def _anchors(self, claim: SaidClaim, text: str, pieces: Mapping[str, Piece]) -> tuple[list[Anchor], str]:
        """The anchors of a claim that hold, and why the others don't."""
        words = {w for w in (*prose_words(text), *code_words(text)) if len(w) > 3 and w not in _PLAIN}
        why = "no anchor"
        found = []
        for said in claim.anchors:
            try:
                anchor, lines = self._resolve(said, pieces)
            except AnchorError as exc:
                why = str(exc)
                continue
            if not words & set(code_words(f"{lines} {anchor.path} {pieces[said.hunk].hunk.section}")):
                why = f"shares no word with {anchor.path}:{anchor.lines[0]}-{anchor.lines[1]}"
                continue
            found.append(anchor)
        return found, why

    def _resolved(
        self, anchors: Iterable[SaidAnchor], pieces: Mapping[str, Piece]
    ) -> tuple[list[Anchor], list[str]]:
        found, texts = [], []
        for said in anchors:
            try:
                anchor, text = self._resolve(said, pieces)
            except AnchorError:
                continue
            found.append(anchor)
            texts.append(text)
        return found, texts

    def _resolve(self, said: SaidAnchor, pieces: Mapping[str, Piece]) -> tuple[Anchor, str]:
        """The anchor with its hash, and the anchored text.

        Raises:
            AnchorError: it does not hold.
        """
        piece = pieces.get(said.hunk)
        if piece is None:
            raise AnchorError(f"there is no hunk {said.hunk[:20]!r}")
        if said.last - said.first >= _MOST_LINES:
            raise AnchorError(f"{said.hunk}: an anchor of more than {_MOST_LINES} lines proves nothing")
        anchor = Anchor(
            path=piece.path, side=said.side, lines=(said.first, said.last), hunk=piece.hunk.header
        )
        found = resolve_anchor(anchor, self._diff)
        quote = "".join(said.quote.split())
        quote = quote[1:] if quote[:1] in "+-" and quote not in "".join(found.text.split()) else quote
        if len(quote) < _SHORTEST_QUOTE or quote not in "".join(found.text.split()):
            raise AnchorError(
                f"{said.hunk}:{said.first}-{said.last}: {said.quote[:60]!r} does not stand there"
            )
        if order := orders(found.text):
            raise AnchorError(
                f"{said.hunk}:{said.first}-{said.last}: these lines speak to the reader ({order[:30]!r}), they prove nothing"
            )
        return found.anchor, found.text


def _places(anchors: Sequence[Anchor], held: list[Anchor]) -> tuple[int, ...]:
    """Places of anchors in a list that grows by those it lacks."""
    places = []
    for anchor in anchors:
        if anchor not in held:
            held.append(anchor)
        places.append(held.index(anchor))
    return tuple(dict.fromkeys(places))
