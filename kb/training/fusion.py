"""The weights of the fusion and of the decision whether anything fits, learned from judged questions.

Ranking: for every question the softmax over its candidates should put its mass on the answers (ListNet, Cao et al. 2007), with a
quadratic penalty. Decision: logistic regression of answerable against unanswerable questions. Both are a few dozen numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kb.evaluate import JudgedQuery, full_id
from kb.filters import Filter
from kb.fusion import Rerank, Weights
from kb.references import repository_of
from kb.reranker import Reranker
from kb.search import Gathered, Ranked, Searcher

# What was asked for by name comes first whatever else is learned; flags and variables are too rare in the questions to be.
FIXED = ("reference", "origin", "introduces name", "changes name", "introduces symbol", "adds path")
_EITHER_WAY = ("side kind", "size", "age")  # all other signals may only help
_PENALTY = 1e-3
_DECISION_PENALTY = 3e-3
_LIGHT_ABSENT = ("tuned", "tuned share")
_LOSSES = 60  # candidates a question that the loss looks at
_DECISION = (
    "coverage", "coverage of the first", "unknown words", "cosine", "tuned", "reranker", "exact",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A question with the ids that answer it; `weight` says how much it counts. No ids: nothing answers it."""

    text: str
    repo: str
    answers: frozenset[str]
    ignored: frozenset[str] = frozenset()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An example with what the searcher gathered for it, its candidates in order of the weights so far."""

    example: Example
    found: Gathered
    ranked: list[Ranked]


_JUDGED_WEIGHT = 3.0


def judged_example(query: JudgedQuery) -> Example:
    """A judged question as an example that counts three times as much as a written one."""
    repo = query.filters.get("repo", "")
    return Example(
        query.query,
        (repository_of(repo) or repo) if repo else "",
        frozenset(full_id(i) for i in query.relevant),
        frozenset(full_id(i) for i in query.ignore),
        _JUDGED_WEIGHT,
    )


Say = Callable[[str], None]


def gather(
    searcher: Searcher, examples: Sequence[Example], cards: int, reader: Reranker | None, say: Say
) -> list[Seen]:
    """Candidates of all examples, the first `cards` of each read by the reranker."""
    seen = []
    for number, example in enumerate(examples, start=1):
        found = searcher.gather(example.text, Filter(repos=(example.repo,)) if example.repo else None)
        ranked = searcher.rank(found, len(found.candidates))
        if reader is not None and cards and len(ranked) > 1:
            searcher.read(reader, found.question, ranked[:cards])
            least = min(r.candidate.signals["reranker"] for r in ranked[:cards])
            for r in ranked[cards:]:
                r.candidate.signals["reranker"] = least
        seen.append(Seen(example, found, ranked))
        if number % 200 == 0:
            say(f"{number}/{len(examples)} questions")
    return seen


def learn_ranking(
    seen: Sequence[Seen], old: dict[str, float], without: Sequence[str] = ()
) -> dict[str, float]:
    """Weights of the signals; those of FIXED stay.

    Args:
        seen: questions with at least one answer among their candidates count, others don't.
        old: the weights so far, for the fixed ones.
        without: signals that must not be used.
    """
    without = [*without]
    while True:
        learned = _fit(seen, old, without)
        against = [n for n, w in learned.items() if w < 0 and n not in _EITHER_WAY]
        if not against:
            return {n: old[n] for n in FIXED if n in old} | learned
        without += against


def _fit(seen: Sequence[Seen], old: dict[str, float], without: Sequence[str]) -> dict[str, float]:
    import torch

    useful = [s for s in seen if any(r.card_id in s.example.answers for r in s.ranked[:_LOSSES])]
    names = sorted(
        {n for s in useful for r in s.ranked[:_LOSSES] for n in r.candidate.signals} - {*FIXED, *without}
    )
    column = {n: i for i, n in enumerate(names)}
    values = torch.zeros(len(useful), _LOSSES, len(names))
    offset = torch.full((len(useful), _LOSSES), -1e9)
    target = torch.zeros(len(useful), _LOSSES)
    for i, s in enumerate(useful):
        rows = [r for r in s.ranked if r.card_id not in s.example.ignored][:_LOSSES]
        right = [k for k, r in enumerate(rows) if r.card_id in s.example.answers]
        if not right:
            continue
        target[i, right] = 1 / len(right)
        for k, r in enumerate(rows):
            offset[i, k] = sum(old.get(n, 0.0) * r.candidate.signals.get(n, 0.0) for n in FIXED)
            for name, value in r.candidate.signals.items():
                if name in column:
                    values[i, k, column[name]] = value
    counts = torch.tensor([s.example.weight for s in useful])
    found = _minimise(
        len(names),
        lambda w: (
            -((target * torch.log_softmax(values @ w + offset, 1)).sum(1) * counts).sum() / counts.sum()
            + _PENALTY * (w**2).sum()
        ),
    )
    return {n: round(float(found[i]), 3) for n, i in column.items() if abs(float(found[i])) >= 0.02}


def learn_decision(searcher: Searcher, seen: Sequence[Seen], without: Sequence[str] = ()) -> dict[str, float]:
    """The logistic rule, and the threshold that keeps 95% of the answerable questions."""
    import torch

    names = [n for n in _DECISION if n not in without]
    rows, labels = [], []
    for s in seen:
        if not s.ranked:
            continue
        signals = searcher.answer_signals(s.found, s.ranked)
        rows.append([signals[n] for n in names] + [1.0])
        labels.append(1.0 if s.example.answers else 0.0)
    x, y = torch.tensor(rows), torch.tensor(labels)
    balance = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y).mean())
    found = _minimise(
        len(names) + 1,
        lambda w: (
            (
                torch.nn.functional.binary_cross_entropy_with_logits(x @ w, y, reduction="none") * balance
            ).mean()
            + _DECISION_PENALTY * (w[:-1] ** 2).sum()
        ),
    )
    return {n: round(float(found[i]), 3) for i, n in enumerate(names)} | {"bias": round(float(found[-1]), 3)}


def _minimise(size: int, loss: Callable[[Any], Any]) -> Any:
    import torch

    torch.manual_seed(0)
    weights = torch.zeros(size, requires_grad=True)
    optimiser: Any = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def step() -> Any:
        optimiser.zero_grad()
        found = loss(weights)
        found.backward()
        return found

    optimiser.step(step)
    return weights.detach()


def learn(
    searcher: Searcher, examples: Sequence[Example], unanswerable: Sequence[Example], old: Weights, reader: Reranker | None, say: Say
) -> Weights:  # fmt: skip
    """All weights anew, from one pass over the questions."""
    cards = old.rerank.cards
    seen = gather(searcher, examples, cards, reader, say)
    tuned = learn_ranking(seen, old.tuned)
    light = learn_ranking(seen, old.light, without=_LIGHT_ABSENT)
    nothing = gather(searcher, unanswerable, cards, reader, say)
    both = [*seen, *nothing]
    rule = learn_decision(searcher, both)
    light_rule = learn_decision(searcher, both, without=("tuned",))
    return Weights(
        tuned=tuned,
        light=light,
        rerank=Rerank(cards),
        answer={"tuned": rule, "light": light_rule},
        threshold=old.threshold,
    )
