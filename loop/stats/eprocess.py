"""Evidence for a gain that may be looked at after every pair: a t-mixture e-process.

For x_1 … x_n normal with mean mu and unknown sigma, the likelihood ratio of effect size delta = mu/sigma against 0,
of the scale-free data, is mixed over delta > 0 with a half-normal prior of variance 1/c2. In closed form, with
S = sum x, V = sum x^2 (Lai 1976; Wang and Ramdas 2023, "Anytime-valid t-tests", for the two-sided mixture):

    M = sqrt(c2/(n+c2)) * (V / (V - S^2/(n+c2)))^(n/2),     E = 2 * M * T_n(t),
    t = S/(n+c2) / sqrt((V - S^2/(n+c2)) / (n * (n+c2)))

where T_n is Student's distribution function: the share of the mixture's posterior that lies above 0. E is a martingale
with mean 1 when mu = 0. It grows with S/sqrt(V), which grows when every x is raised by the same amount, so it is no
larger when mu < 0: P(E ever reaches 1/alpha) <= alpha under every mu <= 0, whatever the rule for stopping.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import log_ndtr, stdtr

# c2: effects of about two standard deviations, so that a handful of restarts can be enough; see tests/bench/loop_power.py
PRIOR = 0.25


def log_e_value(values: Sequence[float], c2: float = PRIOR) -> float:
    """Natural logarithm of E for a mean above 0; 0.0 (no evidence) for fewer than two values."""
    n = len(values)
    total = math.fsum(values)
    square = math.fsum(x * x for x in values)
    if n < 2 or square <= 0.0:
        return 0.0
    rest = square - total * total / (n + c2)
    mixture = 0.5 * math.log(c2 / (n + c2)) + 0.5 * n * math.log(square / rest)
    t = total / (n + c2) / math.sqrt(rest / (n * (n + c2)))
    above = float(stdtr(n, t))
    log_above = math.log(above) if above > 0.0 else float(log_ndtr(t))
    return math.log(2.0) + mixture + log_above


def largest_e_value(n: int, c2: float = PRIOR) -> float:
    """What n equal values above 0 come to: no n values give more."""
    return e_value([1.0] * n, c2)


def e_value(values: Sequence[float], c2: float = PRIOR) -> float:
    """E for a mean above 0, at most 1e300."""
    return math.exp(min(log_e_value(values, c2), 690.0))
