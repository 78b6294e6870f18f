"""The HTML report of traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.kernel_table import KernelRow
from analysis.ranks import rank_rows
from analysis.report import TraceReport
from analysis.reports.grid import Column, Grid
from analysis.reports.page import page, table
from analysis.reports.svg import Span, bars, esc, key, timeline
from analysis.reports.trace_tables import rank_grid, stage_grid
from analysis.reports.trace_text import HEADINGS, Choice, chosen, facts, grids

_MOST_STEPS = 3000  # more marks than that are slower to draw than they tell


def as_html(
    reports: Sequence[TraceReport],
    choice: Choice,
    cards: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    back: tuple[str, str] | None = None,
) -> str:
    """One page for one or more traces.

    Args:
        reports: the traces.
        choice: which rows are shown.
        cards: (words, address) of cards for rows by their reference.
        back: address and words of a link above the page's heading.
    """
    body = ["<h1>Trace report</h1>", PICKER]
    ranks = rank_grid(rank_rows(reports))
    if ranks.rows:
        body += ["<h2>Ranks</h2>", table(ranks)]
    for report in reports:
        body += section(report, choice, dict(cards or {}))
    body.append(meanings([stage_grid(reports[0]), *grids(reports[0]).values()]))
    return page(" ".join(report.file for report in reports), body, back)


PICKER = (
    '<p class=note>References and steps open in <a href="https://ui.perfetto.dev" rel="noopener">Perfetto</a>; choose the '
    'trace once and it is handed over from this page: <input type="file" id="trace-file" aria-label="trace file"></p>'
)


def section(report: TraceReport, choice: Choice, cards: dict[str, Sequence[tuple[str, str]]]) -> list[str]:
    """One trace: stages, time line, families, tables."""
    some = chosen(report, choice)
    parts = [f"<h2>{esc(report.file)}</h2>", _facts(report)]
    parts += [f"<p class=warn>{esc(text)}</p>" for text in report.problems]
    parts += [f"<p class=note>{esc(text)}</p>" for text in report.notes]
    parts.append(table(stage_grid(some).without_empty()))
    lanes = [row.stage.value for row in some.stages if any(s.stage is row.stage for s in report.timeline)]
    shown = [s for s in report.timeline if s.stage.value in lanes][:_MOST_STEPS]
    if shown:
        steps = [
            (s.stage.value, s.name, Span(report.origin_ns + s.start_ns, report.origin_ns + s.end_ns))
            for s in shown
        ]
        where = "device" if report.unit == "kernel" else "CPU"
        more = f", the first {_MOST_STEPS:,} of {len(report.timeline):,}" if len(shown) == _MOST_STEPS else ""
        parts += [f"<h3>Steps on the {where}{more}</h3>", timeline(steps, lanes, report.origin_ns)]
    families = sorted({f for row in some.stages for f in row.families}, key=lambda f: -_time(some, f))
    if families:
        rows = [(row.stage.value, [row.families.get(f, 0) / 1000 for f in families]) for row in some.stages]
        parts += ["<h3>Time by family</h3>", bars(rows, families, "us"), key(families)]
    timed = [row for row in some.stages if row.time]
    if timed:
        causes = list(timed[0].time.idle_ns) if timed[0].time else []
        rows = [(r.stage.value, [r.time.idle_ns[c] / 1000 for c in causes] if r.time else []) for r in timed]
        parts += ["<h3>Idle time by cause</h3>", bars(rows, causes, "us"), key(causes)]
    spans = {row.ref: _longest(report, row) for row in some.kernels}
    for name, grid in grids(some).items():
        if name in choice.tables and grid.rows:
            parts += [f"<h3>{esc(HEADINGS[name])}</h3>", table(grid.without_empty(), spans, cards)]
    return parts


def meanings(tables: Sequence[Grid]) -> str:
    """What the columns mean."""
    columns: dict[str, Column] = {c.title: c for grid in tables for c in grid.columns if c.definition}
    items = "".join(f"<dt>{esc(c.title)}</dt><dd>{esc(c.definition)}</dd>" for c in columns.values())
    return f"<h2>Columns</h2><dl>{items}</dl>"


def _facts(report: TraceReport) -> str:
    return f"<p class=facts>{''.join(f'<span>{esc(fact)}</span> ' for fact in facts(report))}</p>"


def _longest(report: TraceReport, row: KernelRow) -> Span:
    """A row's longest launch on the clock of the file, with room around it."""
    start = report.origin_ns + row.longest_ts
    return Span(start, start + row.longest_ns).with_room()


def _time(report: TraceReport, family: str) -> int:
    return sum(row.families.get(family, 0) for row in report.stages)
