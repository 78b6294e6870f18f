"""Runs of the same thing under the same load are repeats of one candidate. Nothing is ever picked from repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.bench.intervals import Estimate, bootstrap, estimate
from analysis.bench.result import Metric, Run

# bench_small_0, bench_small_run2, x-seed-3, y.rep1: the number of a repeat
_REPEAT = re.compile(r"[-_.]?(?:(?:run|seed|rep|repeat|trial|try)[-_]?|[-_])\d+$", re.IGNORECASE)

LENGTHS_WITHIN = 0.02  # counted lengths vary with the seed and with the tokens a template adds


@dataclass(frozen=True)
class Candidate:
    """One candidate under one load.

    Attributes:
        name: as shown; unique within a comparison.
        runs: its repeats, failed ones too.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run that stands for what doesn't vary among repeats."""
        return self.runs[0]

    @property
    def good(self) -> list[Run]:
        """Runs that ended well."""
        return [run for run in self.runs if run.result.status == "ok"]

    @property
    def failures(self) -> list[str]:
        """Status and reason of each failed run."""
        failed = [run.result for run in self.runs if run.result.status != "ok"]
        return [r.status + (f": {r.failure_reason}" if r.failure_reason else "") for r in failed]

    def values(self, metric: str) -> list[float]:
        """The metric of each good run that has it."""
        found = (getattr(run.result.metrics, metric) for run in self.good)
        return [value for value in found if value is not None]

    def estimate(self, metric: Metric) -> Estimate | None:
        """Mean and interval; with one run, the interval within that run where its requests are there."""
        values = self.values(metric.name)
        if not values:
            return None
        made = estimate(values)
        statistic, _, quantity = metric.name.removesuffix("_ms").partition("_")
        samples = self.good[0].samples.of(quantity)
        if made.runs > 1 or samples is None or len(samples) < 10 or statistic not in ("mean", "p50", "p99"):
            return made
        low, high = bootstrap(samples, statistic)
        return Estimate(made.value, low, high, 1, "bootstrap", made.values)

    @property
    def success(self) -> float | None:
        """The lowest success rate of its runs: a run that loses requests is not made good by another."""
        found = [rate for run in self.good if (rate := run.result.metrics.success_rate) is not None]
        return min(found) if found else None


def candidates_of(runs: Iterable[Run]) -> list[Candidate]:
    """Group runs: the same name, engine, model, hardware and load."""
    groups: dict[tuple[object, ...], list[list[Run]]] = {}
    for run in runs:
        same = groups.setdefault((_name(run), *_identity(run)), [])
        for group in same:
            if _same_lengths(group[0], run):
                group.append(run)
                break
        else:
            same.append([run])
    members = [group for same in groups.values() for group in same]
    names = _unique([(_name(group[0]), group[0]) for group in members])
    return [Candidate(name, tuple(group)) for name, group in zip(names, members, strict=True)]


def _same_lengths(a: Run, b: Run) -> bool:
    """Counted lengths vary by some tokens from seed to seed; a failed run counted none."""
    pairs = [
        (getattr(a.result.workload, key), getattr(b.result.workload, key))
        for key in ("input_len", "output_len")
    ]
    return all(x is None or y is None or near(x, y) for x, y in pairs)


def near(a: float, b: float) -> bool:
    """Whether two mean lengths are the same load."""
    return abs(a - b) <= LENGTHS_WITHIN * max(a, b)


def _name(run: Run) -> str:
    if run.name:
        return run.name
    if run.result.candidate_id:
        return run.result.candidate_id
    stem = Path(run.path).name.removesuffix(".jsonl").removesuffix(".json")
    return _REPEAT.sub("", stem) or stem


def _identity(run: Run) -> tuple[object, ...]:
    r = run.result
    w = r.workload
    load = (w.scenario, w.dataset_path, w.request_rate, w.max_concurrency, w.num_prompts, w.endpoint)
    what = (r.framework, r.framework_version, r.framework_commit, r.model, r.tokenizer, r.server_command)
    return (run.client, *what, r.hardware, *load)


def _unique(named: Sequence[tuple[str, Run]]) -> list[str]:
    """Names that tell candidates of one table apart: the engine is added where a name is used twice under a load."""
    count = Counter(name for name, _ in named)
    return [
        f"{name} ({run.result.framework})" if count[name] > 1 and run.result.framework else name
        for name, run in named
    ]
