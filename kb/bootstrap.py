"""How far scores would vary with other questions of the same kind: percentile bootstrap over the questions.

Questions are drawn anew within their class (Efron and Tibshirani 1993, ch. 13), the macro mean from the classes' draws. Two
rankings are compared on the same draws, so that hard questions weigh on both. The seed is fixed: the same scores give
the same intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest.errors import PrloreError
from kb.evaluate import KEPT, MACRO_CLASSES, NONE, ClassScore, Evaluation, Outcome, score

RESAMPLES = 5000
SEED = 20
METRICS: Mapping[str, str] = {
    "recall@5": "recall5",
    "recall@10": "recall10",
    "mrr@10": "mrr10",
    "ndcg@10": "ndcg10",
}  # as reports call them -> field of ClassScore
MACRO = "macro"
AUROC, ANSWERED = "auroc", "answered_at_95"
LESS_IS_BETTER = frozenset((ANSWERED,))

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Draws = Mapping[str, Mapping[str, Numbers]]  # group -> metric -> (resamples,)


class ComparisonError(PrloreError):
    """Two evaluations that can't be compared."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95% of the resamples."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The first ranking's score minus the second's.

    Attributes:
        value: over all questions.
        interval: of the paired resamples.
        favours: share of resamples in which the first is better, those without a difference counting half.
    """

    value: float
    interval: Interval
    favours: float


Intervals = dict[str, dict[str, Interval]]  # class, macro or none -> metric -> interval
Differences = dict[str, dict[str, Difference]]


def intervals(found: Evaluation, resamples: int = RESAMPLES, seed: int = SEED) -> Intervals:
    """Intervals of all scores of an evaluation, of the decision as well where there are questions of class none."""
    drawn = _draws(found.outcomes, resamples, seed)
    return {group: {m: _interval(v) for m, v in metrics.items()} for group, metrics in drawn.items()}


def compare(
    first: Evaluation, second: Evaluation, resamples: int = RESAMPLES, seed: int = SEED
) -> Differences:
    """Paired differences of all scores of two evaluations of the same questions.

    Raises:
        ComparisonError: they are not of the same questions.
    """
    if [o.query for o in first.outcomes] != [o.query for o in second.outcomes]:
        raise ComparisonError(
            f"{first.ranking} and {second.ranking} answered different questions: evaluate both on one file"
        )
    mine, theirs = _draws(first.outcomes, resamples, seed), _draws(second.outcomes, resamples, seed)
    found: Differences = {}
    for group, metrics in mine.items():
        found[group] = {
            m: _difference(m, _value(first, group, m) - _value(second, group, m), v - theirs[group][m])
            for m, v in metrics.items()
        }
    return found


def _difference(metric: str, value: float, drawn: Numbers) -> Difference:
    drawn = np.where(np.abs(drawn) < 1e-12, 0.0, drawn)  # sums in another order are no difference
    better = -drawn if metric in LESS_IS_BETTER else drawn
    return Difference(value, _interval(drawn), float((better > 0).mean() + 0.5 * (better == 0).mean()))


def _value(found: Evaluation, group: str, metric: str) -> float:
    if group == NONE:
        value = found.auroc if metric == AUROC else found.answered_at_95
        return float(value or 0.0)
    of: ClassScore = found.macro if group == MACRO else found.classes[group]
    return float(getattr(of, METRICS[metric]))


def _interval(drawn: Numbers) -> Interval:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(float(low), float(high))


def _draws(outcomes: Sequence[Outcome], resamples: int, seed: int) -> Draws:
    """Scores of every resample. What is drawn depends on the seed and the number of questions of each class alone."""
    random = np.random.default_rng(seed)
    found: dict[str, dict[str, Numbers]] = {}
    for name in sorted({o.query.cls for o in outcomes} - {NONE}):
        scores = [score(o) for o in outcomes if o.query.cls == name]
        table = np.array([[getattr(s, field) for field in METRICS.values()] for s in scores])
        means = table[random.integers(0, len(table), (resamples, len(table)))].mean(axis=1)
        found[name] = {m: means[:, i] for i, m in enumerate(METRICS)}
    macro = [found[c] for c in MACRO_CLASSES if c in found]
    if macro:
        found[MACRO] = {m: np.mean([c[m] for c in macro], axis=0) for m in METRICS}
    none = np.array([o.confidence for o in outcomes if o.query.cls == NONE])
    others = np.array([o.confidence for o in outcomes if o.query.cls != NONE])
    if len(none) and len(others):
        found[NONE] = _decisions(others, none, resamples, random)
    return found


def _decisions(
    others: Numbers, none: Numbers, resamples: int, random: np.random.Generator
) -> dict[str, Numbers]:
    """AUROC and the share of unanswerable questions that are answered, of every resample of both kinds of questions."""
    wins = (others[:, None] > none[None, :]) + 0.5 * (others[:, None] == none[None, :])
    positive = random.integers(0, len(others), (resamples, len(others)))
    negative = random.integers(0, len(none), (resamples, len(none)))
    rows = np.arange(resamples)[:, None]
    counts = np.zeros((resamples, len(others)))
    np.add.at(counts, (rows, positive), 1.0)
    beaten = counts @ wins  # (resamples, none): wins against each unanswerable question
    auroc = beaten[rows, negative].mean(axis=1) / len(others)
    threshold = -np.sort(-others[positive], axis=1)[:, math.ceil(KEPT * len(others)) - 1]
    answered = (none[negative] >= threshold[:, None]).mean(axis=1)
    return {AUROC: auroc, ANSWERED: answered}
