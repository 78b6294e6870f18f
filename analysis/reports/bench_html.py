"""A comparison of benchmarks as one HTML page: the tables that sort, who is best, intervals as plots."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.bench.compare import Comparison, Row, Table
from analysis.bench.report import DEFINITIONS, not_compared, people, remarks, verdict
from analysis.bench.result import METRICS
from analysis.reports.page import page, table
from analysis.reports.svg import Point, esc, intervals

_PLOTTED = ("request_throughput", "output_token_throughput", "p50_ttft_ms", "p50_tpot_ms")


def as_html(comparison: Comparison, back: tuple[str, str] | None = None) -> str:
    """The page; `back` is address and words of a link above its heading."""
    body = ["<h1>Benchmark comparison</h1>"]
    for found in comparison.tables:
        body += [f"<h2>{esc(found.label)}</h2>", f"<p><b>{esc(verdict(found))}</b></p>", table(people(found))]
        said = [f"{engine}: {o.text}" for engine, o in found.by_framework.items()] + remarks(found)
        body.append(_items(said))
        body += _plots(found)
    body.append(_items([*not_compared(comparison), *comparison.warnings]))
    meanings = "".join(f"<dt>{esc(c.title)}</dt><dd>{esc(c.definition)}</dd>" for c in DEFINITIONS)
    return page("Benchmark comparison", [*body, f"<h2>Columns</h2><dl>{meanings}</dl>"], back)


def _items(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{esc(line)}</li>' for line in lines)}</ul>" if lines else ""


def _plots(found: Table) -> list[str]:
    parts = []
    for name in _PLOTTED:
        metric = METRICS[name]
        points = [_point(row, name) for row in found.rows if name in row.estimates]
        if len(points) > 1:
            parts += [f"<h3>{esc(metric.label)}, {esc(metric.unit)}</h3>", intervals(points, metric.unit)]
    return parts


def _point(row: Row, metric: str) -> Point:
    made = row.estimates[metric]
    return Point(row.candidate.name, made.value, made.low, made.high, made.values, bool(row.against))
