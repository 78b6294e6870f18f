"""The interval that a report shows: BCa bootstrap over server restarts. It describes, it never decides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
_DRAWS = 2000
_FEW = 4  # restarts below which pairs are resampled: three means have no distribution to draw from


def bca(restarts: Sequence[Sequence[float]], level: float = LEVEL) -> tuple[float, float]:
    """Interval of the mean log ratio; the same numbers give the same interval.

    Args:
        restarts: log ratios by server start.
        level: of the interval.
    """
    from scipy.stats import bootstrap

    means = [math.fsum(group) / len(group) for group in restarts if group]
    values = means if len(means) >= _FEW else [value for group in restarts for value in group]
    if not values:
        return 0.0, 0.0
    if len(values) < 2 or max(values) - min(values) < 1e-12:
        return values[0], values[0]
    with np.errstate(all="ignore"):
        found = bootstrap(
            (np.asarray(values),),
            np.mean,
            confidence_level=level,
            n_resamples=_DRAWS,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (min(values), max(values))
