"""A trace's report for a terminal, as Markdown, CSV or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from analysis.fuse import FuseRow
from analysis.kernel_table import KernelRow
from analysis.overlap import OverlapRow
from analysis.ranks import rank_rows
from analysis.report import TraceReport
from analysis.reports.grid import Column, Grid, definitions, to_csv, to_markdown, to_text
from analysis.reports.safe import markdown, plain
from analysis.reports.trace_tables import TABLES, fuse_grid, kernel_grid, overlap_grid, rank_grid, stage_grid
from analysis.steps import Stage

_Row = TypeVar("_Row", KernelRow, OverlapRow, FuseRow)
HEADINGS = {
    "kernel": "Kernels",
    "overlap": "Overlap",
    "fuse": "Neighbours that a fused path would replace",
}
_LONG = frozenset({"name"})


@dataclass(frozen=True)
class Choice:
    """What of a report is shown.

    Attributes:
        stages: these stages only; empty for all.
        tables: of `TABLES`.
        limit: rows a table and stage at most; 0 for all.
        least: rows below this share of the stage are left out, for text and Markdown.
    """

    stages: tuple[Stage, ...] = ()
    tables: tuple[str, ...] = TABLES
    limit: int = 20
    least: float = 0.01


def chosen(report: TraceReport, choice: Choice) -> TraceReport:
    """The report with the rows of a choice."""
    wanted = set(choice.stages) or set(Stage)

    return msgspec.structs.replace(
        report,
        stages=tuple(row for row in report.stages if row.stage in wanted),
        kernels=_pick(report.kernels, wanted, choice) if "kernel" in choice.tables else (),
        overlaps=_pick(report.overlaps, wanted, choice) if "overlap" in choice.tables else (),
        fusions=_pick(report.fusions, wanted, choice) if "fuse" in choice.tables else (),
    )


def _pick(rows: Sequence[_Row], stages: set[Stage], choice: Choice) -> tuple[_Row, ...]:
    seen: dict[Stage, int] = {}
    kept = []
    for row in rows:
        if row.stage not in stages or row.share < choice.least:
            continue
        seen[row.stage] = seen.get(row.stage, 0) + 1
        if not choice.limit or seen[row.stage] <= choice.limit:
            kept.append(row)
    return tuple(kept)


def grids(report: TraceReport) -> dict[str, Grid]:
    """The three tables by name."""
    return {
        "kernel": kernel_grid(list(report.kernels)),
        "overlap": overlap_grid(list(report.overlaps)),
        "fuse": fuse_grid(list(report.fusions)),
    }


def headline(report: TraceReport) -> str:
    """What the trace is, on one line."""
    return " · ".join(plain(part) for part in (report.ref, report.file, *facts(report)[1:]))


def facts(report: TraceReport) -> list[str]:
    """What is known of a trace as a whole, its reference first."""
    parts = [report.ref, f"{report.events:,} events", f"{report.span_ns / 1e6:,.1f} ms"]
    if report.engine:
        parts.append(report.engine)
    if report.gpus:
        parts.append(", ".join(report.gpus))
    if report.rank is not None and (report.world_size or 1) > 1:
        parts.append(f"rank {report.rank} of {report.world_size}")
    parts.append(f"{report.unit} time {report.kernel_ns / 1000:,.3f} us")
    parts.append(f"stage unknown for {report.unknown_share:.1%} of it")
    return parts


def as_text(reports: Sequence[TraceReport], choice: Choice) -> str:
    """For a terminal."""
    return _lay_out(reports, choice, to_text, str, "{}")


def as_markdown(reports: Sequence[TraceReport], choice: Choice) -> str:
    """Markdown, with what the columns mean at the end."""
    body = _lay_out(reports, choice, to_markdown, markdown, "## {}")
    found = [
        column for grid in (stage_grid(reports[0]), *grids(reports[0]).values()) for column in grid.columns
    ]
    unique: dict[str, Column] = {column.title: column for column in found if column.definition}
    lines = definitions(list(unique.values())).splitlines()
    return body + "\n\n## Columns\n\n" + "\n".join(f"- {markdown(line)}" for line in lines)


def _lay_out(
    reports: Sequence[TraceReport],
    choice: Choice,
    table: Callable[[Grid], str],
    escape: Callable[[str], str],
    heading: str,
) -> str:
    blocks: list[str] = []
    ranks = rank_grid(rank_rows(reports))
    if ranks.rows:
        blocks.append(f"Ranks\n\n{table(ranks)}")
    for report in reports:
        blocks.append(heading.format(escape(headline(report))))
        blocks += [f"warning: {escape(plain(text))}" for text in report.problems]
        blocks += [f"note: {escape(plain(text))}" for text in report.notes]
        blocks.append(table(stage_grid(report).without_empty()))
        some = chosen(report, choice)
        for name, grid in grids(some).items():
            if name not in choice.tables:
                continue
            if not grid.rows:
                if name == "fuse" and report.unit == "kernel":
                    blocks.append(f"{HEADINGS[name]}: none of the known patterns.")
                continue
            rest = tuple(c for c in grid.columns if c.key not in _LONG)
            keep = [i for i, c in enumerate(grid.columns) if c.key not in _LONG]
            slim = Grid(rest, tuple(tuple(row[i] for i in keep) for row in grid.rows)).without_empty()
            blocks.append(f"{HEADINGS[name]}\n\n{table(slim)}")
    return "\n\n".join(blocks)


def as_csv(reports: Sequence[TraceReport], choice: Choice) -> str:
    """One of the tables, all its rows, for all traces; `ref` says the trace."""
    name = choice.tables[0]
    everything = [grids(chosen(report, replace(choice, limit=0, least=0.0)))[name] for report in reports]
    return to_csv(Grid(everything[0].columns, tuple(row for grid in everything for row in grid.rows)))


def as_json(reports: Sequence[TraceReport], choice: Choice) -> str:
    """Everything, times in ns as integers."""
    some = [chosen(report, replace(choice, limit=0, least=0.0)) for report in reports]
    return msgspec.json.format(
        msgspec.json.encode({"traces": some, "ranks": rank_rows(reports)}), indent=1
    ).decode()
