"""Scores of retrieval against judged questions.

A question is `{id, class, query, filters: {repo?, model?}, relevant: {"repo#N": grade}, ignore: [...]}`. Ids in
`ignore` are dropped from a ranking before it is scored. recall@k is capped, hits / min(k, relevant); nDCG has
gain 2^grade - 1. Questions of class `none` have no answer: their confidence is ranked against all others'.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from kb.families import Families
from kb.filters import Filter
from kb.rankings import Ranker
from kb.references import repository_of

MACRO_CLASSES = ("known", "family", "bottleneck")
NONE = "none"
KEPT = 0.95
_DEPTH = 10


class JudgedQuery(msgspec.Struct, frozen=True):
    """One line of a question file; unknown keys are allowed."""

    id: str
    query: str
    cls: str = msgspec.field(name="class")
    filters: dict[str, str] = {}
    relevant: dict[str, int] = {}
    ignore: list[str] = []


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one question went. `ranking` is without ignored ids; latency is in milliseconds."""

    query: JudgedQuery
    ranking: tuple[str, ...]
    confidence: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Means over the questions of a class."""

    n: int
    recall5: float
    recall10: float
    mrr10: float
    ndcg10: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores of a ranking. `auroc` and `answered_at_95` are None without questions of class none."""

    ranking: str
    classes: dict[str, ClassScore]
    macro: ClassScore
    auroc: float | None
    answered_at_95: float | None
    p50_ms: float
    p95_ms: float
    outcomes: tuple[Outcome, ...]


class QueryFileError(PrloreError):
    """A question file that can't be read."""


def read_queries(path: Path) -> list[JudgedQuery]:
    """Read a JSONL file of judged questions.

    Raises:
        QueryFileError: missing, empty, or a line is not a question; the message names the line.
    """
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise QueryFileError(f"can't read {path}: {exc}") from exc
    queries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                queries.append(msgspec.json.decode(line, type=JudgedQuery))
            except msgspec.DecodeError as exc:
                raise QueryFileError(f"{path}:{number} is no judged question: {exc}") from exc
    if not queries:
        raise QueryFileError(f"{path} holds no questions: one JSON object a line is wanted")
    return queries


def full_id(name: str) -> str:
    """`sglang#5` as `sgl-project/sglang#5`."""
    repo, _, number = name.rpartition("#")
    return f"{repository_of(repo) or repo}#{number}"


def evaluate(
    ranker: Ranker, queries: Sequence[JudgedQuery], families: Families, *, use_family: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> Evaluation:  # fmt: skip
    """Ask every question and score the rankings.

    Args:
        ranker: over the store to score.
        queries: the questions, asked of a warm ranker.
        families: resolves `filters.model`.
        use_family: apply `filters.model` as a family filter too.
        progress: told after each question.
    """
    ranker.warm()
    ranker.rank(queries[0].query, Filter(), _DEPTH)
    asked = []
    for query in queries:
        asked.append(_ask(ranker, query, families, use_family))
        progress()
    outcomes = tuple(asked)
    classes = {}
    for name in sorted({q.cls for q in queries} - {NONE}):
        classes[name] = _mean([score(o) for o in outcomes if o.query.cls == name])
    macro = _average([classes[c] for c in MACRO_CLASSES if c in classes])
    none = [o.confidence for o in outcomes if o.query.cls == NONE]
    others = [o.confidence for o in outcomes if o.query.cls != NONE]
    times = sorted(o.latency_ms for o in outcomes)
    return Evaluation(
        ranking=ranker.name,
        classes=classes,
        macro=macro,
        auroc=auroc(others, none) if none and others else None,
        answered_at_95=false_answers(others, none) if none and others else None,
        p50_ms=_percentile(times, 0.50),
        p95_ms=_percentile(times, 0.95),
        outcomes=outcomes,
    )


def _ask(ranker: Ranker, query: JudgedQuery, families: Families, use_family: bool) -> Outcome:
    repo = query.filters.get("repo")
    model = query.filters.get("model")
    where = Filter(
        repos=(repository_of(repo) or repo,) if repo else (),
        families=families.resolve(model) if model and use_family else (),
    )
    ignored = {full_id(i) for i in query.ignore}
    started = time.perf_counter()
    found = ranker.rank(query.query, where, _DEPTH)
    elapsed = (time.perf_counter() - started) * 1000
    if ignored:  # a deeper ranking, so that ten are left; not what a user waits for
        found = ranker.rank(query.query, where, _DEPTH + len(ignored))
    ranking = tuple(i for i in found.ids if i not in ignored)
    return Outcome(query, ranking, found.confidence, elapsed)


def score(outcome: Outcome) -> ClassScore:
    """The scores of one question."""
    relevant = {full_id(i): g for i, g in outcome.query.relevant.items()}
    ranking = outcome.ranking
    return ClassScore(
        n=1,
        recall5=recall(ranking, relevant, 5),
        recall10=recall(ranking, relevant, 10),
        mrr10=next((1 / rank for rank, i in enumerate(ranking[:10], start=1) if i in relevant), 0.0),
        ndcg10=ndcg(ranking, relevant, 10),
    )


def recall(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """Capped recall: relevant ids in the first k over min(k, relevant)."""
    return sum(i in relevant for i in ranking[:k]) / min(k, len(relevant)) if relevant else 0.0


def ndcg(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain with gain 2^grade - 1 (Järvelin and Kekäläinen 2002; Burges et al. 2005)."""
    gained = sum((2 ** relevant.get(i, 0) - 1) / math.log2(r + 1) for r, i in enumerate(ranking[:k], start=1))
    best = sorted(relevant.values(), reverse=True)[:k]
    ideal = sum((2**g - 1) / math.log2(r + 1) for r, g in enumerate(best, start=1))
    return gained / ideal if ideal else 0.0


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that an answerable question has the higher confidence (Mann-Whitney; ties count half)."""
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


def false_answers(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Share of unanswerable questions answered at the threshold that keeps 95% of the others."""
    kept = sorted(positive, reverse=True)[: math.ceil(KEPT * len(positive))]
    return sum(n >= kept[-1] for n in negative) / len(negative)


def _mean(scores: Sequence[ClassScore]) -> ClassScore:
    mean = _average(scores)
    return ClassScore(len(scores), mean.recall5, mean.recall10, mean.mrr10, mean.ndcg10)


def _average(scores: Sequence[ClassScore]) -> ClassScore:
    n = len(scores) or 1
    return ClassScore(
        sum(s.n for s in scores),
        sum(s.recall5 for s in scores) / n, sum(s.recall10 for s in scores) / n,
        sum(s.mrr10 for s in scores) / n, sum(s.ndcg10 for s in scores) / n,
    )  # fmt: skip


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values don't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
