"""How sure a number is, from repeats; and whether two numbers differ at all.

Repeats of a run are few and independent, so their mean gets Student's t interval; two means are told apart by
Welch's t interval of their difference (unequal variances). One run alone says nothing about run-to-run noise: it
borrows the spread of its rivals' repeats, or, where nobody repeated, an assumed one, and the answer says so.
A bootstrap over the requests of one run bounds a latency of that run only; it is shown, never used to rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Basis = Literal["repeats", "borrowed", "assumed"]

LEVEL = 0.95
TIE = 0.01  # relative: smaller differences are ties even if repeats agree to the digit
NOISE = 0.05  # relative difference of two single runs that is taken for noise; 3-5% is usual from run to run


@dataclass(frozen=True)
class Estimate:
    """A metric of a candidate over its runs.

    Attributes:
        value: mean over runs.
        low, high: interval at `LEVEL`; None with one run and no samples.
        runs: how many runs have the metric.
        method: `t`, `bootstrap` (within one run) or None.
        values: the runs' own values.
    """

    value: float
    low: float | None
    high: float | None
    runs: int
    method: Literal["t", "bootstrap"] | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Difference:
    """`a` against `b`, relative to `b`: 0.1 is a tenth more.

    Attributes:
        low, high: interval of the relative difference; for `assumed` it is value -/+ the assumed noise.
        real: the interval leaves out zero and the difference is above `TIE`.
        basis: where the spread comes from.
    """

    value: float
    low: float
    high: float
    real: bool
    basis: Basis


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean and t interval of a candidate's runs."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Estimate(mean, None, None, n, None, tuple(values))
    half = _t(level, n - 1) * _sd(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n, "t", tuple(values))


def bootstrap(
    samples: NDArray[np.float64], statistic: str, level: float = LEVEL, draws: int = 1000
) -> tuple[float, float]:
    """Percentile interval of `mean`, `p50` or `p99` over one run's requests; the same numbers give the same interval."""
    rng = np.random.default_rng(0)
    picked = samples[rng.integers(0, len(samples), (draws, len(samples)))]
    values = (
        picked.mean(axis=1) if statistic == "mean" else np.percentile(picked, float(statistic[1:]), axis=1)
    )
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def pooled_cv(groups: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """Relative standard deviation over all groups with repeats, and its degrees of freedom."""
    weighted = [(len(g) - 1, (_sd(g) / np.mean(g)) ** 2) for g in groups if len(g) > 1]
    freedom = sum(n for n, _ in weighted)
    return (math.sqrt(sum(n * v for n, v in weighted) / freedom), freedom) if freedom else None


def difference(
    a: Sequence[float],
    b: Sequence[float],
    *,
    borrowed: tuple[float, int] | None = None,
    level: float = LEVEL,
    tie: float = TIE,
    noise: float = NOISE,
) -> Difference:
    """Whether `a` and `b` differ. All values are above zero.

    Args:
        a: one candidate's runs.
        b: the other's.
        borrowed: relative standard deviation and degrees of freedom for a candidate with one run.
        level: of the interval; raise it when several pairs are compared.
        tie: relative difference below which two candidates count as equal.
        noise: assumed relative noise of a difference where nothing was repeated.
    """
    mean_a, mean_b = float(np.mean(a)), float(np.mean(b))
    value = mean_a / mean_b - 1
    if len(a) < 2 and len(b) < 2 and borrowed is None:
        return Difference(value, value - noise, value + noise, abs(value) > max(noise, tie), "assumed")
    spreads = [_spread(v, borrowed) for v in (a, b)]
    variance = sum(v for v, _ in spreads)
    # Welch-Satterthwaite
    bottom = sum(v * v / f for v, f in spreads if v > 0)
    freedom = variance * variance / bottom if bottom > 0 else float(len(a) + len(b) - 2 or 1)
    half = _t(level, max(1.0, freedom)) * math.sqrt(variance) / mean_b
    real = (value - half > 0 or value + half < 0) and abs(value) > tie
    basis: Basis = "repeats" if len(a) > 1 and len(b) > 1 else "borrowed"
    return Difference(value, value - half, value + half, real, basis)


def _spread(values: Sequence[float], borrowed: tuple[float, int] | None) -> tuple[float, float]:
    """Variance of the mean and its degrees of freedom."""
    if len(values) > 1:
        return _sd(values) ** 2 / len(values), len(values) - 1
    assert borrowed is not None
    return (borrowed[0] * values[0]) ** 2, borrowed[1]


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def _t(level: float, freedom: float) -> float:
    from scipy.special import stdtrit  # loaded by comparisons alone

    return float(stdtrit(freedom, 0.5 + level / 2))
