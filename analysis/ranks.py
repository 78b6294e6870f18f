"""Ranks of one run beside each other: who computes longest, and how long the others wait for it.

In a collective every rank waits for the last one to come, so the rank that spends least time in communication is the one
the others wait for. *Waiting* of a rank is its communication time less that of the rank with the least: time that no
faster link would save.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.report import TraceReport
from analysis.steps import ORDER, Stage


@dataclass(frozen=True)
class RankRow:
    """One rank in one stage, times in ns.

    Attributes:
        compute_ns: busy time less exposed communication: time in which something other than communication runs.
        communication_ns: time in which communication runs, `exposed_ns` of it alone.
        waiting_ns: see the module.
        behind: median step time over that of the fastest rank, less 1.
    """

    stage: Stage
    rank: int
    file: str
    ref: str
    step_ns: int
    compute_ns: int
    communication_ns: int
    exposed_ns: int
    waiting_ns: int
    idle_ns: int
    behind: float


def rank_rows(reports: Sequence[TraceReport]) -> list[RankRow]:
    """A row a stage and rank, when the traces are different ranks of one world; else none."""
    ranks = [report.rank for report in reports]
    if (
        len(reports) < 2
        or None in ranks
        or len(set(ranks)) < len(ranks)
        or len({r.world_size for r in reports}) > 1
    ):
        return []
    rows: list[RankRow] = []
    for stage in ORDER:
        found = [
            (report, row) for report in reports for row in report.stages if row.stage is stage and row.time
        ]
        if len(found) < 2 or stage is Stage.UNKNOWN:
            continue
        least = min(row.time.communication_ns for _, row in found if row.time)
        fastest = min((row.step_ns for _, row in found if row.step_ns), default=0)
        for report, row in sorted(found, key=lambda pair: pair[0].rank or 0):
            time = row.time
            if time is None:
                continue
            rows.append(
                RankRow(
                    stage=stage,
                    rank=report.rank or 0,
                    file=report.file,
                    ref=report.ref,
                    step_ns=row.step_ns or 0,
                    compute_ns=time.busy_ns - time.exposed_ns,
                    communication_ns=time.communication_ns,
                    exposed_ns=time.exposed_ns,
                    waiting_ns=time.communication_ns - least,
                    idle_ns=time.idle_total_ns,
                    behind=(row.step_ns or 0) / fastest - 1 if fastest else 0.0,
                )
            )
    return rows
