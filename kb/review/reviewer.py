"""The review of one card: ask part by part, prove, repair once, merge, and pass the gate or leave the card as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from kb.anchors import Discussion
from kb.cards import Card, Claim, ClaimField
from kb.gate.check import check_card
from kb.llm.answers import AnswerError, parse_answer, schema_of
from kb.llm.client import ChatClient, Message
from kb.llm.journal import Journal, conversation_key
from kb.llm.untrusted import nonce
from kb.review.parts import Part, all_pieces, parts_of
from kb.review.prompts import merge_prompt, repair_turn, review_prompt
from kb.review.proof import Proven, Prover
from kb.review.shapes import MergedCard, SaidCard
from kb.stored_diff import Diff

PART_CHARS = (
    48_000  # about 16k tokens of diff: fits the context of every model in use, with room for the answer
)
_MOST_CLAIMS: dict[ClaimField, int] = {"motivation": 3, "implementation": 6, "validation": 4, "risk": 4}

T = TypeVar("T")


@dataclass(slots=True)
class Reviewed:
    """What came of a review.

    Attributes:
        card: the card with its new prose, None where the extracted one stays.
        why_kept: why it stays.
        claims: how many claims hold.
        dropped: claims that do not, with the reason.
        asked: requests sent; `known`: answers taken from the journal.
    """

    card: Card | None = None
    why_kept: str = ""
    claims: int = 0
    dropped: list[str] = field(default_factory=list)
    asked: int = 0
    known: int = 0


class Reviewer:
    """Reviews cards with one model."""

    def __init__(self, client: ChatClient, journal: Journal, part_chars: int = PART_CHARS) -> None:
        self._client = client
        self._journal = journal
        self._part_chars = part_chars
        self._result = Reviewed()

    def review(self, card: Card, diff: Diff, discussion: Discussion | None = None) -> Reviewed:
        """Review one card against its whole diff.

        Raises:
            BudgetSpent: the next request could exceed the budget; what was answered is in the journal.
            LlmError: the endpoint gave no answer.
        """
        self._result = Reviewed()
        parts = parts_of(card, diff, self._part_chars)
        if not parts:
            self._result.why_kept = "there is no diff to read"
            return self._result
        prover = Prover(card, diff)
        proven = Proven()
        for place, part in enumerate(parts, start=1):
            proven.add(self._part(card, part, (place, len(parts)), prover))
        self._result.dropped = proven.dropped
        if not proven.claims:
            self._result.why_kept = "no claim of the answer holds"
            return self._result
        claims = self._merged(card, proven, prover) if len(parts) > 1 else proven.claims
        self._finish(card, diff, discussion, proven, _most(claims))
        return self._result

    def _finish(
        self, card: Card, diff: Diff, discussion: Discussion | None, proven: Proven, claims: Sequence[Claim]
    ) -> None:
        self._result.claims = len(claims)
        reviewed = with_claims(card, claims, proven, f"model {self._client.settings.model}")
        defects = check_card(reviewed, diff, discussion)
        if defects:
            self._result.why_kept = "; ".join(dict.fromkeys(d.what for d in defects))[:300]
        else:
            self._result.card = reviewed

    def _part(self, card: Card, part: Part, place: tuple[int, int], prover: Prover) -> Proven:
        """Claims about one part that hold, after at most one turn of repair."""

        def opening(word: str) -> list[Message]:
            return review_prompt(card, part, place, word)

        text = self._ask(opening, SaidCard)
        pieces = all_pieces([part])
        proven = Proven()
        problems = []
        try:
            proven = prover.check(parse_answer(text, SaidCard), pieces)
            problems = list(proven.dropped)
        except AnswerError as exc:
            problems = [f"the whole answer: {exc}"]
            proven.dropped += problems
        missing = proven.missing() if place[1] == 1 else []
        if not problems and not missing:
            return proven

        def again(word: str) -> list[Message]:
            return [*opening(word), *repair_turn(text, problems, missing, word)]

        try:
            proven.add(prover.check(parse_answer(self._ask(again, SaidCard), SaidCard), pieces))
        except AnswerError as exc:
            proven.dropped.append(f"the repaired answer: {exc}")
        return proven

    def _merged(self, card: Card, proven: Proven, prover: Prover) -> list[Claim]:
        """Claims of all parts made into one card's; the claims as they are where the answer is no use."""
        named = {f"C{i}": claim for i, claim in enumerate(proven.claims, start=1)}
        rows = [(name, claim.field, claim.text) for name, claim in named.items()]
        try:
            answer = parse_answer(
                self._ask(lambda word: merge_prompt(card, rows, word), MergedCard), MergedCard
            )
        except AnswerError as exc:
            proven.dropped.append(f"the merged answer: {exc}")
            return proven.claims
        merged = []
        for said in answer.claims:
            text = " ".join(said.text.split())
            origins = [named[name] for name in said.of if name in named]
            problem = prover.text_problem(said.field, text) if origins else "rests on no claim"
            if problem:
                proven.dropped.append(f"merged {said.field} {text[:120]!r}: {problem}")
                continue
            anchors = tuple(dict.fromkeys(a for claim in origins for a in claim.anchors))
            radius = tuple(dict.fromkeys(r for claim in origins for r in claim.radius))
            merged.append(Claim(field=said.field, text=text, anchors=anchors, radius=radius))
        # what the merge forgot is better than nothing
        filled = {c.field for c in merged}
        return merged + [c for c in proven.claims if c.field not in filled]

    def _ask(self, conversation: Callable[[str], list[Message]], kind: type[T]) -> str:
        """The answer to a conversation, from the journal where it was asked before."""
        key = conversation_key(self._client.settings.model, conversation("nonce"))
        known = self._journal.get(key)
        if known is not None:
            self._result.known += 1
            return known
        completion = self._client.complete(conversation(nonce()), schema_of(kind))
        self._result.asked += 1
        self._journal.put(key, completion.text)
        return completion.text


def _most(claims: Sequence[Claim]) -> list[Claim]:
    """The first claims of each part of a card, in the order of a card."""
    return [c for f, most in _MOST_CLAIMS.items() for c in [c for c in claims if c.field == f][:most]]


def with_claims(card: Card, claims: Sequence[Claim], proven: Proven, writer: str) -> Card:
    """The card with proven claims and only the anchors that they and its numbers use."""
    numbers = [*proven.numbers]
    resting = [*(c.anchors for c in claims), *(n.anchors for n in numbers)]
    used = sorted({a for anchors in resting for a in anchors})
    places = {old: new for new, old in enumerate(used)}
    return msgspec.structs.replace(
        card,
        status="verified",
        written_by=writer,
        claims=tuple(msgspec.structs.replace(c, anchors=tuple(places[a] for a in c.anchors)) for c in claims),
        numbers=tuple(
            [msgspec.structs.replace(n, anchors=()) for n in card.numbers]
            + [msgspec.structs.replace(n, anchors=tuple(places[a] for a in n.anchors)) for n in numbers]
        ),
        anchors=tuple(proven.anchors[a] for a in used),
    )
