"""Exact tests on pairs: the same items answered by both sides, so that items that are hard for both cost nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence


def binomial_upper(successes: int, trials: int, level: float = 0.05) -> float:
    """Clopper-Pearson: the largest probability that would show so few successes with a chance of `level`."""
    if successes >= trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(successes, trials, middle) > level:
            low = middle
        else:
            high = middle
    return high


def _at_most(successes: int, trials: int, p: float) -> float:
    return float(
        math.fsum(
            math.comb(trials, k) * math.pow(p, k) * math.pow(1 - p, trials - k) for k in range(successes + 1)
        )
    )


def sign_test(worse: int, better: int) -> float:
    """Chance of at least so many `worse` among the pairs that differ, if neither side were better (exact McNemar, one-sided)."""
    pairs = worse + better
    if pairs == 0:
        return 1.0
    return math.ldexp(math.fsum(math.comb(pairs, k) for k in range(worse, pairs + 1)), -pairs)


def loss_bound(incumbent: Sequence[bool], candidate: Sequence[bool], level: float = 0.05) -> float:
    """Upper bound of how much accuracy the candidate loses, as a fraction of the items.

    The bound is exact given how many pairs differ: of those, the share that only the incumbent had right is bounded by
    Clopper and Pearson. No pair that differs is no loss.
    """
    lost = sum(a and not b for a, b in zip(incumbent, candidate, strict=True))
    won = sum(b and not a for a, b in zip(incumbent, candidate, strict=True))
    differ = lost + won
    if differ == 0:
        return 0.0
    return max(0.0, (2 * binomial_upper(lost, differ, level) - 1) * differ / len(incumbent))
