"""The rules by which other loops accept, for comparison on the same blocks: each trusts a stored number.

Modelled from the public code and texts of the named projects (not run): a candidate's throughput is held against the
best number so far, measured at another time, instead of against the live incumbent beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Series:
    """Throughputs of one candidate in the order measured, and the incumbent's beside it."""

    incumbent: Sequence[float]
    candidate: Sequence[float]


@dataclass(frozen=True)
class Claim:
    """What a rule makes of a whole campaign: accepted candidates (numbers from 0) and the gain it claims in all."""

    accepted: tuple[int, ...]
    gain: float


def one_run_better(campaign: Sequence[Series], baseline: float) -> Claim:
    """One run above the best number so far (autoresearch)."""
    return _climb(campaign, baseline, lambda series, best: (series.candidate[0] > best, series.candidate[0]))


def one_run_one_percent(campaign: Sequence[Series], baseline: float) -> Claim:
    """One run at least 1 % above the best so far (AutoKernel)."""
    return _climb(
        campaign, baseline, lambda series, best: (series.candidate[0] >= 1.01 * best, series.candidate[0])
    )


def confirmed_once(campaign: Sequence[Series], baseline: float) -> Claim:
    """1 % on one run, then one more run at least 0.5 % above the stored base (Hyperloom)."""

    def rule(series: Series, best: float) -> tuple[bool, float]:
        first, second = series.candidate[0], series.candidate[min(1, len(series.candidate) - 1)]
        return first >= 1.01 * best and second >= 1.005 * best, second

    return _climb(campaign, baseline, rule)


def mean_of_runs(campaign: Sequence[Series], baseline: float) -> Claim:
    """The mean of all runs at least 0.5 % above the stored number (AMMO)."""

    def rule(series: Series, best: float) -> tuple[bool, float]:
        mean = math.fsum(series.candidate) / len(series.candidate)
        return mean >= 1.005 * best, mean

    return _climb(campaign, baseline, rule)


def bootstrap_until_sure(campaign: Sequence[Series], baseline: float) -> Claim:
    """Pairs until a percentile bootstrap interval leaves out 0 (optional stopping)."""
    accepted, gain = [], 0.0
    for number, series in enumerate(campaign):
        ratios = [math.log(b / a) for a, b in zip(series.incumbent, series.candidate, strict=True)]
        for n in range(4, len(ratios) + 1):
            values = np.asarray(ratios[:n])
            draws = np.random.default_rng(n).integers(0, n, (400, n))
            low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
            if low > 0 or high < 0:
                if low > 0:
                    accepted.append(number)
                    gain += float(values.mean())
                break
    return Claim(tuple(accepted), math.expm1(gain))


RULES: dict[str, Callable[[Sequence[Series], float], Claim]] = {
    "one run above the best (autoresearch)": one_run_better,
    "one run 1 % above the best (AutoKernel)": one_run_one_percent,
    "1 %, then one run 0.5 % above the stored base (Hyperloom)": confirmed_once,
    "mean of all runs against a stored number (AMMO)": mean_of_runs,
    "pairs until a bootstrap interval leaves out 0": bootstrap_until_sure,
}


def _climb(
    campaign: Sequence[Series], baseline: float, rule: Callable[[Series, float], tuple[bool, float]]
) -> Claim:
    """Walk the candidates with the best stored number."""
    best, accepted = baseline, []
    for number, series in enumerate(campaign):
        keep, value = rule(series, best)
        if keep:
            accepted.append(number)
            best = value
    return Claim(tuple(accepted), best / baseline - 1.0)
