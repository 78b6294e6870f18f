"""The tables of a trace: which columns, in which unit, meaning what. Text, Markdown, CSV and HTML are made of these."""

from __future__ import annotations

from analysis.fuse import FuseRow
from analysis.kernel_table import KernelRow
from analysis.overlap import OverlapRow
from analysis.ranks import RankRow
from analysis.report import StageRow, TraceReport
from analysis.reports.grid import Cell, Column, Grid

TABLES = ("kernel", "overlap", "fuse")

_STAGE = (
    Column("stage", "stage", text=True, definition="what the step does; `unknown` where no step launched it"),
    Column("steps", "steps", ",d", definition="steps that the engine named"),
    Column("requests", "requests", text=True, definition="smallest to largest batch of a step"),
    Column("tokens", "tokens", text=True, definition="smallest to largest number of new tokens of a step"),
    Column(
        "step_us",
        "step us",
        ",.1f",
        definition="median microseconds of a step on the device, first kernel's start to last one's end",
    ),
    Column(
        "kernel_us",
        "kernel us",
        ",.1f",
        definition="summed durations of kernels, copies and fills, microseconds",
    ),
    Column("share", "share", ".1%", definition="of all summed durations of the trace"),
    Column("busy_us", "busy us", ",.1f", definition="time in which a kernel runs"),
    Column(
        "idle_us",
        "idle us",
        ",.1f",
        definition="time between first and last kernel in which none runs, by the kernel that ended the pause",
    ),
    Column(
        "causes",
        "idle by cause",
        text=True,
        definition="launch-bound, synchronisation, dependency, data (only copies run), unknown",
    ),
    Column(
        "exposed_us",
        "exposed comm us",
        ",.1f",
        definition="time in which communication runs and no other kernel does",
    ),
)
_KERNEL = (
    Column("ref", "ref", text=True),
    Column("stage", "stage", text=True),
    Column("short", "kernel", text=True, definition="name without template arguments"),
    Column("family", "family", text=True, definition="from the one classifier, analysis/rules/kernels.toml"),
    Column("time_us", "time us", ",.1f", definition="summed durations, microseconds"),
    Column("share", "share", ".1%", definition="of the stage's summed durations"),
    Column("launches", "launches", ",d"),
    Column("mean_us", "mean us", ",.2f"),
    Column(
        "mode", "mode", text=True, definition="graph: replayed by a CUDA graph; eager: launched one by one"
    ),
    Column("source", "source", text=True, definition="path:line function that launched most of its time"),
    Column("source_share", "of time", ".0%", definition="share of the row's time with that source"),
    Column("how", "found by", text=True, definition="External id, launch frame, capture trace"),
    Column("op", "operator", text=True, definition="PyTorch operator that launched most of its time"),
    Column("name", "full name", text=True),
)
_OVERLAP = (
    Column("ref", "ref", text=True),
    Column("stage", "stage", text=True),
    Column("short", "kernel", text=True),
    Column("family", "family", text=True),
    Column(
        "verdict",
        "verdict",
        text=True,
        definition="exposed or hidden for communication, alone or overlapped for the rest",
    ),
    Column("time_us", "time us", ",.1f"),
    Column("exclusive_us", "exclusive us", ",.1f", definition="no other stream of the device runs anything"),
    Column("hidden_us", "hidden us", ",.1f", definition="another stream runs something"),
    Column("by_compute_us", "by compute us", ",.1f", definition="communication beside kernels that are none"),
    Column("share", "of busy", ".1%", definition="exclusive time over the stage's busy time"),
    Column("streams", "streams", "d"),
    Column(
        "dependency",
        "dependency risk",
        text=True,
        definition="high: half of its launches start within 5 us after another kernel of their stream ends",
    ),
    Column("source", "source", text=True),
)
_FUSE = (
    Column("ref", "ref", text=True),
    Column("stage", "stage", text=True),
    Column("fusion", "pattern", text=True),
    Column(
        "status",
        "status",
        text=True,
        definition="in another engine: missing here; off here: this engine has the path and doesn't take it",
    ),
    Column(
        "times",
        "times",
        ",d",
        definition="how often the kernels stand side by side on one stream within a step",
    ),
    Column("of", "of", ",d", definition="launches of the rarest of them in the stage"),
    Column("time_us", "time us", ",.1f"),
    Column("share", "share", ".1%", definition="of the stage's summed durations"),
    Column(
        "headroom_us",
        "headroom us",
        ",.1f",
        definition="all but the longest of the neighbours, and the pauses: the most a fused kernel could save",
    ),
    Column("kernels", "kernels", text=True),
    Column("where", "fused path", text=True, definition="engine: source path (pull requests)"),
    Column("source", "source here", text=True),
)

_RANK = (
    Column("stage", "stage", text=True),
    Column("rank", "rank", "d"),
    Column("ref", "ref", text=True),
    Column("step_us", "step us", ",.1f"),
    Column("behind", "behind", "+.1%", definition="median step time over that of the fastest rank, less 1"),
    Column(
        "compute_us", "compute us", ",.1f", definition="time in which something other than communication runs"
    ),
    Column("comm_us", "comm us", ",.1f", definition="time in which communication runs"),
    Column("exposed_us", "exposed comm us", ",.1f"),
    Column(
        "waiting_us",
        "waiting us",
        ",.1f",
        definition="communication time less that of the rank with the least: waiting for others",
    ),
    Column("idle_us", "idle us", ",.1f"),
)


def rank_grid(rows: list[RankRow]) -> Grid:
    """A row a stage and rank."""
    return Grid(_RANK, tuple(_rank(row) for row in rows))


def _rank(row: RankRow) -> tuple[Cell, ...]:
    times = (row.compute_ns, row.communication_ns, row.exposed_ns, row.waiting_ns, row.idle_ns)
    return (row.stage.value, row.rank, row.ref, _us(row.step_ns), row.behind, *map(_us, times))


def stage_grid(report: TraceReport) -> Grid:
    """A row a stage."""
    return Grid(_STAGE, tuple(_stage(row) for row in report.stages))


def kernel_grid(rows: list[KernelRow]) -> Grid:
    """The kernel table."""
    return Grid(_KERNEL, tuple(_kernel(row) for row in rows))


def overlap_grid(rows: list[OverlapRow]) -> Grid:
    """The overlap table."""
    return Grid(_OVERLAP, tuple(_overlap(row) for row in rows))


def fuse_grid(rows: list[FuseRow]) -> Grid:
    """The fuse table."""
    return Grid(_FUSE, tuple(_fuse(row) for row in rows))


def _us(ns: int) -> float:
    return ns / 1000


def _between(values: tuple[int, int] | None) -> str:
    if values is None:
        return ""
    return str(values[0]) if values[0] == values[1] else f"{values[0]}–{values[1]}"


def _stage(row: StageRow) -> tuple[Cell, ...]:
    time = row.time
    idle = time.idle_total_ns if time else 0
    causes = [f"{cause} {ns / idle:.0%}" for cause, ns in time.idle_ns.items() if ns] if time and idle else []
    return (
        row.stage.value,
        row.steps,
        _between(row.requests),
        _between(row.tokens),
        _us(row.step_ns) if row.step_ns is not None else None,
        _us(row.kernel_ns),
        row.share,
        _us(time.busy_ns) if time else None,
        _us(idle) if time else None,
        ", ".join(causes),
        _us(time.exposed_ns) if time and time.communication_ns else None,
    )


def _kernel(row: KernelRow) -> tuple[Cell, ...]:
    return (
        row.ref,
        row.stage.value,
        row.short,
        row.family,
        _us(row.time_ns),
        row.share,
        row.launches,
        row.mean_ns / 1000,
        "graph" if row.replayed else "eager",
        row.source or "",
        row.source_share if row.source else None,
        row.how if row.source else "",
        row.op or "",
        row.name,
    )


def _overlap(row: OverlapRow) -> tuple[Cell, ...]:
    return (
        row.ref,
        row.stage.value,
        row.short,
        row.family,
        row.verdict,
        _us(row.time_ns),
        _us(row.exclusive_ns),
        _us(row.hidden_ns),
        _us(row.hidden_by_compute_ns) if row.family == "communication" else None,
        row.share,
        row.streams,
        row.dependency,
        row.source or "",
    )


def _fuse(row: FuseRow) -> tuple[Cell, ...]:
    paths = [
        f"{p.engine}: {p.path}"
        + (f" ({', '.join(p.prs)})" if p.prs else "")
        + (f" [{p.only}]" if p.only else "")
        for p in row.where
    ]
    return (
        row.ref,
        row.stage.value,
        row.fusion,
        row.status,
        row.times,
        row.of,
        _us(row.time_ns),
        row.share,
        _us(row.headroom_ns),
        " → ".join(row.kernels),
        "; ".join(paths),
        "; ".join(row.sources),
    )
