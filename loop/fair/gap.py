"""Where a target is behind the best engine seen: one row a workload and figure, each naming the stage to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loop.fair.trials import FlagSearch
from loop.records import ArmMetrics, Stage

# what a figure is about: the first token waits for prefill, the others for decode
_FIGURES: tuple[tuple[str, Stage, bool], ...] = (
    ("output_throughput", "all", True),
    ("cpu_seconds_per_token", "all", False),
    ("p50_ttft_ms", "prefill", False),
    ("p50_tpot_ms", "decode", False),
)


@dataclass(frozen=True)
class GapRow:
    """One figure of one workload.

    Attributes:
        target, best: the values; `engine` whose the best is.
        gap: how much the target would gain by being as good, as a fraction; negative where it leads.
        stage: where to look.
    """

    workload: str
    figure: str
    stage: Stage
    target: float
    best: float
    engine: str
    gap: float


def gap_rows(target: FlagSearch, rivals: Mapping[str, FlagSearch]) -> tuple[GapRow, ...]:
    """Rows by falling gap, from each engine's best trial.

    One run each shows where to look; a paired comparison says whether there is a gap at all.
    """
    if target.winner is None:
        return ()
    mine = dict(target.winner.metrics)
    rows = []
    for workload, metrics in mine.items():
        for figure, stage, higher in _FIGURES:
            value = getattr(metrics, figure)
            others = [
                (other, name)
                for name, search in rivals.items()
                if search.winner is not None
                and (found := dict(search.winner.metrics).get(workload)) is not None
                and (other := _positive(found, figure)) is not None
            ]
            if not others or value is None or value <= 0:
                continue
            best, engine = max(others) if higher else min(others)
            gap = best / value - 1 if higher else value / best - 1
            rows.append(GapRow(workload, figure, stage, value, best, engine, gap))
    return tuple(sorted(rows, key=lambda row: -row.gap))


def _positive(metrics: ArmMetrics, figure: str) -> float | None:
    value = getattr(metrics, figure)
    return float(value) if value is not None and value > 0 else None
