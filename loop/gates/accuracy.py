"""`accuracy`: the candidate serves what the incumbent serves, shown on prompts that nobody could know.

First one question at a time (greedy is reproducible only then), then many at once, held against how well the incumbent
agrees with itself, then items with known answers where the spec has any. The prompts follow from the proposal's own id, which no
patch can hold: it is a hash over the patch.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from loop.gates import greedy
from loop.gates.asking import Answer, Asked, ask_all
from loop.gates.paired import loss_bound, sign_test
from loop.gates.results import failed, not_evaluated, passed
from loop.load.generator import served_name
from loop.load.prompts import TokenCounter, draw_prompts
from loop.protocols import GateContext
from loop.records import GateResult, Launch

_UNLIKELY = 0.01
_WORSE = 0.1
_ITEM_MARGIN = 0.02
_ITEM_TOKENS = 256


class Item(msgspec.Struct, frozen=True):
    """A question with a known answer: a line of a workload's dataset. `answer` has to stand in what is served."""

    prompt: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is asked: `prompts` answers of `tokens` tokens, `at_once` of them together the second time."""

    prompts: int = 32
    tokens: int = 64
    length: int = 48
    at_once: int = 8


@dataclass(frozen=True, slots=True)
class _Served:
    """Answers of one server start."""

    alone: list[Answer]
    together: list[Answer]
    again: list[Answer]
    items: list[Answer]


class AccuracyGate:
    """Asks both launches the same questions.

    Args:
        amount: how much is asked.
    """

    name = "accuracy"

    def __init__(self, amount: Amount | None = None) -> None:
        self._amount = amount or Amount()

    def check(self, context: GateContext) -> GateResult:
        """Start the incumbent, then the challenger, and hold their answers against each other."""
        if context.engine is None or context.incumbent is None or context.challenger is None:
            return not_evaluated(self.name, "NO_LAUNCH", "there is nothing to start")
        try:
            prompts = self._prompts(context)
            items = _items(context)
            ours = self._serve(context, context.incumbent, prompts, items, twice=True)
        except PrloreError as exc:
            return not_evaluated(self.name, "INCUMBENT", str(exc))
        if not all(answer.tokens for answer in ours.alone):
            return not_evaluated(self.name, "INCUMBENT", "the incumbent itself gives empty answers")
        try:
            theirs = self._serve(context, context.challenger, prompts, items, twice=False)
        except PrloreError as exc:
            return failed(self.name, "NOT_SERVED", str(exc))
        shown = [
            context.blobs.put(msgspec.json.encode([prompts, s.alone, s.together])) for s in (ours, theirs)
        ]
        found = (
            self._alone(context, ours, theirs)
            or _together(ours, theirs)
            or _right(items, ours.items, theirs.items)
        )
        if found:
            return failed(self.name, *found, shown)
        return passed(self.name, f"{len(prompts)} greedy answers hold, {len(items)} items", shown)

    def _prompts(self, context: GateContext) -> list[str]:
        assert context.incumbent is not None
        seed = hashlib.sha256(
            f"accuracy/{context.spec.seed_commitment}/{context.proposal.id}".encode()
        ).hexdigest()
        counter = TokenCounter(Path(context.incumbent.model))
        return draw_prompts(counter, seed, self._amount.prompts, self._amount.length)

    def _serve(
        self,
        context: GateContext,
        launch: Launch,
        prompts: Sequence[str],
        items: Sequence[Item],
        *,
        twice: bool,
    ) -> _Served:
        with _server(context, launch, "incumbent" if twice else "challenger") as asked:
            amount = self._amount
            alone = ask_all(_with(asked, amount.tokens, ignore_eos=False), prompts)
            many = _with(asked, amount.tokens, ignore_eos=True)
            together = ask_all(many, prompts, amount.at_once)
            again = ask_all(many, prompts, amount.at_once) if twice else []
            answers = ask_all(
                _with(asked, _ITEM_TOKENS, ignore_eos=False), [i.prompt for i in items], amount.at_once
            )
        return _Served(alone, together, again, answers)

    def _alone(self, context: GateContext, ours: _Served, theirs: _Served) -> tuple[str, str] | None:
        precision = context.spec.model.precision
        first = greedy.compare(ours.alone, theirs.alone, greedy.near_tie(precision, None))
        if not first.partings and not first.drift:
            return None
        # how far the incumbent is from itself, alone against many at once: the same change of batch that a kernel may bring
        itself = greedy.compare(
            ours.alone, [_cut(a, b) for a, b in zip(ours.together, ours.alone, strict=True)], 0.0
        )
        tie = greedy.near_tie(precision, itself)
        return greedy.problem(greedy.compare(ours.alone, theirs.alone, tie), itself, precision)


def _cut(answer: Answer, like: Answer) -> Answer:
    """An answer that ran on behind its end, cut to the length of one that did not."""
    n = len(like.tokens)
    return Answer(answer.tokens[:n], answer.logprobs[:n], answer.tops[:n], like.finish)


@contextmanager
def _server(context: GateContext, launch: Launch, word: str) -> Iterator[Asked]:
    assert context.engine is not None
    server = context.engine.start(launch, context.scratch / word)
    try:
        yield Asked(server.url, served_name(server.url, launch.model), 1)
    finally:
        server.stop()


def _with(asked: Asked, tokens: int, *, ignore_eos: bool) -> Asked:
    return Asked(asked.url, asked.model, tokens, asked.tops, ignore_eos, asked.endpoint)


def _together(ours: _Served, theirs: _Served) -> tuple[str, str] | None:
    """Under load the incumbent is not equal to itself either; the candidate may be no further from it."""
    usual, found = (
        greedy.agreement(ours.together, ours.again),
        greedy.agreement(ours.together, theirs.together),
    )
    loss = statistics.fmean(usual) - statistics.fmean(found)
    worse = sum(f < u for u, f in zip(usual, found, strict=True))
    better = sum(f > u for u, f in zip(usual, found, strict=True))
    # where the incumbent repeats itself to the token, nothing excuses a few that do not
    steady = min(usual) == 1.0 and worse > max(1, len(usual) // 4)
    if loss > _WORSE and (steady or sign_test(worse, better) < _UNLIKELY):
        return (
            "ANSWERS_UNDER_LOAD",
            f"{worse} of {len(usual)} answers part earlier than the incumbent's own do",
        )
    lengths = [(len(a.tokens), len(b.tokens)) for a, b in zip(ours.together, theirs.together, strict=True)]
    short = sum(b < a for a, b in lengths)
    if short > max(1, len(lengths) // 20):
        return "SHORT", f"{short} of {len(lengths)} answers under load are shorter than the incumbent's"
    return None


def _items(context: GateContext) -> list[Item]:
    """Items with known answers, of the workloads that have a dataset."""
    found = []
    for workload in context.spec.workloads:
        if workload.dataset:
            lines = context.blobs.get(workload.dataset).splitlines()
            try:
                found += [msgspec.json.decode(line, type=Item) for line in lines if line.strip()]
            except msgspec.DecodeError:
                continue  # prompts alone, in another form: the load generator's to read
    return [item for item in found if item.answer]


def _right(items: Sequence[Item], ours: Sequence[Answer], theirs: Sequence[Answer]) -> tuple[str, str] | None:
    """Accuracy is not lower by more than the margin, as far as the pairs can tell."""
    if not items:
        return None
    before, after = (
        [item.answer in answer.text for item, answer in zip(items, side, strict=True)]
        for side in (ours, theirs)
    )
    bound = loss_bound(before, after)
    if bound > _ITEM_MARGIN:
        return (
            "ACCURACY",
            f"{sum(after)} of {len(items)} items right, {sum(before)} before; a loss of up to {bound:.1%} can't be ruled out",
        )
    return None
