"""Service levels, checked against the measured numbers. What a row claims to have passed is not asked.

A limit on a median is checked against a median: where only a mean was recorded, the limit counts as not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.bench.candidates import Candidate
from analysis.bench.result import METRICS
from analysis.errors import AnalysisError

MIN_SUCCESS = 0.99  # the floor that public serving benchmarks use; below it latencies are of the survivors
_LIMIT = re.compile(r"^\s*(\w+)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*$")


@dataclass(frozen=True)
class Limit:
    """`p50_ttft_ms <= 1500`. `stated` limits have to be shown; the built-in success floor only where recorded."""

    metric: str
    at_most: bool
    bound: float
    stated: bool = True

    def __str__(self) -> str:
        return f"{self.metric}{'<=' if self.at_most else '>='}{self.bound:g}"

    def holds(self, value: float) -> bool:
        """Whether a value meets it."""
        return value <= self.bound if self.at_most else value >= self.bound


def parse_limit(text: str) -> Limit:
    """`p50_ttft_ms<=1500`, `success_rate>=0.99`.

    Raises:
        AnalysisError: no such metric, or not of this form.
    """
    match = _LIMIT.match(text)
    known = [*METRICS, "success_rate"]
    if not match or match[1] not in known:
        raise AnalysisError(
            f"{text!r} is no limit; write METRIC<=NUMBER or METRIC>=NUMBER with one of {', '.join(known)}"
        )
    try:
        bound = float(match[3])
    except ValueError:
        raise AnalysisError(f"{text!r}: {match[3]} is not a number") from None
    return Limit(match[1], match[2].startswith("<"), bound)


def limits_of(group: Sequence[Candidate], stated: Iterable[Limit] = ()) -> list[Limit]:
    """Limits that hold for a whole group: those stated, else the strictest that its rows carry; and the floor."""
    limits = {limit.metric: limit for limit in stated}
    for candidate in group:
        for run in candidate.runs:
            sla = run.result.sla
            for metric, bound in (("p50_ttft_ms", sla.max_p50_ttft_ms), ("p50_tpot_ms", sla.max_p50_tpot_ms)):
                if bound is not None:
                    _tighten(limits, Limit(metric, True, bound), stated)
            if sla.min_success_rate is not None:
                _tighten(limits, Limit("success_rate", False, sla.min_success_rate), stated)
    limits.setdefault("success_rate", Limit("success_rate", False, MIN_SUCCESS, stated=False))
    return list(limits.values())


def _tighten(limits: dict[str, Limit], new: Limit, stated: Iterable[Limit]) -> None:
    if any(limit.metric == new.metric for limit in stated):
        return
    old = limits.get(new.metric)
    if old is None or (new.bound < old.bound) == new.at_most:
        limits[new.metric] = new


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate meets the limits, with the first number against it."""

    passed: bool
    reasons: tuple[str, ...]


def check(candidate: Candidate, limits: Sequence[Limit]) -> Verdict:
    """Each good run has to meet each limit."""
    reasons = []
    for limit in limits:
        values = candidate.values(limit.metric)
        broken = [v for v in values if not limit.holds(v)]
        if broken:
            worst = max(broken) if limit.at_most else min(broken)
            share = f" in {len(broken)} of {len(values)} runs" if len(values) > 1 else ""
            reasons.append(f"{limit.metric} {worst:.4g} against {limit}{share}")
        elif not values and limit.stated and candidate.good:
            reasons.append(f"{limit.metric} is not recorded, {limit} is not shown")
    return Verdict(not reasons, tuple(reasons))
