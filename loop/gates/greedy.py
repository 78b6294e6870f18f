"""Two servers' greedy answers held against each other.

The same model in another order of additions may choose another token where two were as good as equal, and everything behind
that place differs rightly. So answers are compared up to the first place where they part, and a parting is excused
only there: the incumbent's own two best tokens were near each other, and the candidate chose the second. Only the
incumbent's numbers excuse anything; a candidate can write what it likes.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loop.gates.asking import Answer

# two units in the last place of logits between 16 and 32, which is where they lie for ordinary models
NEAR_TIE = {"float32": 0.01, "float16": 0.05, "bfloat16": 0.25}
_LARGEST_TIE = 0.5
_SPREAD = 3.0  # times the incumbent's own spread
_FLOOR = {"float32": 0.002, "float16": 0.01, "bfloat16": 0.05}  # nats: what rounding alone does to a mean


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two answers to a prompt part.

    Attributes:
        prompt: its place; `at` the place of the first different token.
        excused: whether it is a near tie by the incumbent's numbers.
        gap: logprob of the incumbent's best less that of the candidate's choice; None where the incumbent names none.
    """

    prompt: int
    at: int
    excused: bool
    gap: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing gave: prompts, partings, mean absolute difference of logprobs over the common parts (None without any)."""

    prompts: int
    partings: tuple[Parting, ...]
    drift: float | None

    @property
    def unexcused(self) -> int:
        """Partings that no near tie explains."""
        return sum(not p.excused for p in self.partings)


def compare(incumbent: Sequence[Answer], other: Sequence[Answer], tie: float) -> Compared:
    """Hold answers to the same prompts against each other; `tie` in nats is a near tie."""
    partings = []
    drifts: list[float] = []
    for place, (ours, theirs) in enumerate(zip(incumbent, other, strict=True)):
        at = _first_difference(ours.tokens, theirs.tokens)
        drifts += [abs(a - b) for a, b in zip(ours.logprobs[:at], theirs.logprobs[:at], strict=False)]
        if at < max(len(ours.tokens), len(theirs.tokens)) or ours.finish != theirs.finish:
            gap = _gap(ours, theirs, at)
            partings.append(Parting(place, at, gap is not None and gap <= tie, gap))
    return Compared(len(incumbent), tuple(partings), statistics.fmean(drifts) if drifts else None)


def _first_difference(ours: Sequence[str], theirs: Sequence[str]) -> int:
    both = min(len(ours), len(theirs))
    return next((i for i in range(both) if ours[i] != theirs[i]), both)


def _gap(ours: Answer, theirs: Answer, at: int) -> float | None:
    """How much less likely the other's token was, as the incumbent sees it; None where it does not say, or one just ends."""
    if at >= min(len(ours.tokens), len(theirs.tokens)) or at >= len(ours.tops):
        return None
    top = ours.tops[at]
    chosen = top.get(theirs.tokens[at])
    return max(top.values()) - chosen if chosen is not None else None


def near_tie(precision: str, again: Compared | None) -> float:
    """The gap that excuses a parting: that of the precision, or what the incumbent shows against itself, within reason."""
    own = [p.gap for p in again.partings if p.gap is not None] if again else []
    return min(max([NEAR_TIE.get(precision, NEAR_TIE["bfloat16"]), *(1.5 * g for g in own)]), _LARGEST_TIE)


def problem(candidate: Compared, again: Compared | None, precision: str) -> tuple[str, str] | None:
    """Why the candidate's answers are not the incumbent's, None where they are.

    Args:
        candidate: incumbent against candidate, with the tie of `near_tie`.
        again: incumbent against itself; None where the candidate's answers are all equal.
        precision: of the model.
    """
    if candidate.unexcused:
        worst = next(p for p in candidate.partings if not p.excused)
        near = (
            "its choice is not among the incumbent's best"
            if worst.gap is None
            else f"{worst.gap:.3f} nats less likely"
        )
        return (
            "ANSWERS",
            f"{candidate.unexcused} of {candidate.prompts} answers differ; prompt {worst.prompt}, token {worst.at}: {near}",
        )
    usual = len(again.partings) if again else 0
    allowed = max(2, 2 * usual, candidate.prompts // 4)
    if len(candidate.partings) > allowed:
        return (
            "NEAR_TIES",
            f"{len(candidate.partings)} of {candidate.prompts} answers part at near ties, {usual} of the incumbent's own do",
        )
    floor = _FLOOR.get(precision, _FLOOR["bfloat16"])
    own = again.drift if again and again.drift is not None else 0.0
    if candidate.drift is not None and candidate.drift > max(floor, _SPREAD * own):
        return (
            "DRIFT",
            f"logprobs differ by {candidate.drift:.4f} nats in the mean, {max(floor, _SPREAD * own):.4f} is the limit",
        )
    return None


def agreement(one: Sequence[Answer], other: Sequence[Answer]) -> list[float]:
    """Share of each answer that is common from its start, 0..1."""
    return [
        _first_difference(a.tokens, b.tokens) / max(len(a.tokens), len(b.tokens), 1)
        for a, b in zip(one, other, strict=True)
    ]
