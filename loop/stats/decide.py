"""What a comparison says after any number of pairs: go on, or one of four words.

A gain is accepted on restarts, not pairs: both servers are started anew after some pairs, pairs of one start share its
luck (address layout, autotuning, allocator), so the e-process is fed one mean per finished restart. Giving up may look
at every pair, since stopping early can't make a false gain.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from loop.records import Word
from loop.stats.eprocess import e_value


@dataclass(frozen=True)
class Pair:
    """One valid or invalid pair.

    Attributes:
        value: log ratio, positive is better for B; not looked at when invalid.
        restart: number of the server start.
    """

    value: float
    restart: int
    valid: bool = True


@dataclass(frozen=True)
class Rule:
    """How a comparison is decided.

    Attributes:
        level: chance of a false FASTER, this comparison's share of the campaign's.
        threshold: log ratio that the mean must reach; also the half width of TIED.
        max_pairs: valid pairs after which it ends.
        per_restart: pairs of one server start.
        by_pair: pairs stand for themselves: for questions whose wrong answer accepts nothing.
        fixed: all pairs are measured before anything is said (calibration, confirmation).
        max_invalid: share of blocks that may be invalid.
    """

    level: float
    threshold: float
    max_pairs: int
    per_restart: int = 2
    futility_z: float = 1.3
    futility_from: int = 4
    fixed: bool = False
    by_pair: bool = False
    max_invalid: float = 0.2


@dataclass(frozen=True)
class Look:
    """A comparison as it stands.

    Attributes:
        n: valid pairs; mean and sigma (standard deviation) are theirs.
        e_value: for a gain; `word` is None while it goes on.
    """

    n: int
    mean: float
    sigma: float
    e_value: float
    word: Word | None
    reason: str


def restarts_of(pairs: Sequence[Pair]) -> list[list[float]]:
    """Values of the valid pairs by server start, in order."""
    groups: dict[int, list[float]] = {}
    for pair in pairs:
        if pair.valid:
            groups.setdefault(pair.restart, []).append(pair.value)
    return list(groups.values())


def look(pairs: Sequence[Pair], rule: Rule) -> Look:
    """Decide, or say that it goes on (`word` None)."""
    values = [pair.value for pair in pairs if pair.valid]
    n = len(values)
    mean = math.fsum(values) / n if n else 0.0
    sigma = statistics.stdev(values) if n > 1 else 0.0
    finished = _finished(pairs, rule)
    means = values if rule.by_pair else [math.fsum(group) / len(group) for group in restarts_of(finished)]
    evidence = e_value(means)

    def end(word: Word | None, reason: str) -> Look:
        return Look(n, mean, sigma, evidence, word, reason)

    invalid = len(pairs) - n
    if invalid > max(2.0, rule.max_invalid * max(len(pairs), rule.max_pairs)):
        return end("UNDECIDED", "TOO_MANY_INVALID")
    done = n >= rule.max_pairs
    if n < 2 or (rule.fixed and not done):
        return end(None, "")
    boundary = rule.by_pair or len(finished) == len(pairs) or done
    if boundary and evidence >= 1.0 / rule.level and mean >= rule.threshold:
        return end("FASTER", "GAIN")
    if boundary and e_value([-m for m in means]) >= 1.0 / rule.level and -mean >= rule.threshold:
        return end("SLOWER", "LOSS")
    futile = n >= rule.futility_from and mean + rule.futility_z * sigma / math.sqrt(n) < rule.threshold
    if not done and not (futile and not rule.fixed):
        return end(None, "")
    reason = "FUTILE" if futile else "CAP"
    return end("TIED" if _within(values, rule.threshold) else "UNDECIDED", reason)


def _finished(pairs: Sequence[Pair], rule: Rule) -> Sequence[Pair]:
    """Pairs of server starts that have all their pairs."""
    if not pairs:
        return pairs
    last = pairs[-1].restart
    count = sum(pair.restart == last for pair in pairs)
    return pairs if count >= rule.per_restart else [pair for pair in pairs if pair.restart != last]


def _within(values: Sequence[float], bound: float) -> bool:
    """Equivalence by two one-sided t tests at 5 %: the 90 % interval lies inside +- bound."""
    low, high = t_interval(values, 0.90)
    return -bound < low and high < bound


def t_interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """Student's interval of a mean; infinite for fewer than two values."""
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    mean = math.fsum(values) / n
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * statistics.stdev(values) / math.sqrt(n)
    return mean - half, mean + half
