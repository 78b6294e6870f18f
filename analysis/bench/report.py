"""A comparison as text, Markdown, CSV and JSON. The same grid stands behind all four."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from analysis.bench.compare import Comparison, Outcome, Row, Table
from analysis.bench.intervals import Estimate
from analysis.bench.result import METRICS
from analysis.reports.grid import Cell, Column, Grid, definitions, to_csv, to_markdown, to_text
from analysis.reports.safe import markdown, plain

_SHOWN = (
    "request_throughput",
    "output_token_throughput",
    "p50_ttft_ms",
    "p99_ttft_ms",
    "p50_tpot_ms",
    "p99_tpot_ms",
)
_TITLES = {"request_throughput": "req/s", "output_token_throughput": "out tok/s"}
_TITLES |= {
    f"{s}_{q}_ms": f"{q.upper()} {s} ms"
    for q in ("ttft", "tpot", "itl", "e2e")
    for s in ("p50", "mean", "p99")
}

DEFINITIONS = (
    Column("rank", "rank", definition="1 for the best and for whoever can't be told apart from it; - may not win"),
    Column("to_best", "vs best", definition="the first metric relative to the leader's; [] its 95% interval, ~ from assumed noise"),
    Column("interval", "+/-", definition="half of the 95% t interval of the mean over repeats"),
)  # fmt: skip


def as_text(comparison: Comparison) -> str:
    """For a terminal."""
    parts = []
    for table in comparison.tables:
        lines = [f"== {plain(table.label)}", to_text(people(table))]
        lines.append(plain(verdict(table)))
        lines += [f"  {engine}: {plain(o.text)}" for engine, o in table.by_framework.items()]
        lines += [f"  - {plain(r)}" for r in remarks(table)]
        parts.append("\n".join(lines))
    tail = [plain(line) for line in not_compared(comparison)] + [plain(w) for w in comparison.warnings]
    if tail:
        parts.append("\n".join(tail))
    if any(len(t.rows) > 1 for t in comparison.tables):
        parts.append(definitions(DEFINITIONS))
    return "\n\n".join(parts)


def as_markdown(comparison: Comparison) -> str:
    """For a pull request or a report."""
    parts = []
    for table in comparison.tables:
        lines = [
            f"### {markdown(table.label)}",
            "",
            to_markdown(people(table)),
            "",
            f"**{markdown(verdict(table))}**",
        ]
        said = [f"{engine}: {o.text}" for engine, o in table.by_framework.items()] + remarks(table)
        if said:
            lines += ["", *(f"- {markdown(r)}" for r in said)]
        parts.append("\n".join(lines))
    tail = not_compared(comparison) + list(comparison.warnings)
    if tail:
        parts.append("\n".join(f"- {markdown(line)}" for line in tail))
    return "\n\n".join(parts)


def as_csv(comparison: Comparison) -> str:
    """One line a candidate and load: the public columns first, then intervals and verdict."""
    columns = [
        Column(key, key)
        for key in (*_CSV, "runs", "rank", "eligible", "reasons", "to_best", "outcome", "load")
    ]
    columns += [Column(f"{m}_{end}", f"{m}_{end}") for m in METRICS for end in ("low", "high")]
    rows = tuple(_csv_row(table, row) for table in comparison.tables for row in table.rows)
    return to_csv(Grid(tuple(columns), rows))


def as_json(comparison: Comparison) -> str:
    """Everything, stable keys; numbers that are not there are null."""
    data: dict[str, Any] = {
        "tables": [_table(table) for table in comparison.tables],
        "not_compared": [
            {"left": list(r.left), "right": list(r.right), "reasons": list(r.reasons)}
            for r in comparison.refusals
        ],
        "warnings": list(comparison.warnings),
        "settings": {
            "by": comparison.settings.by,
            "limits": [str(limit) for limit in comparison.settings.limits],
            "tie": comparison.settings.tie,
            "noise": comparison.settings.noise,
        },
    }
    return json.dumps(data, indent=2)


def verdict(table: Table) -> str:
    """Who is best, as a sentence."""
    if len(table.rows) == 1 and not table.rows[0].against:
        return "one candidate: nothing to compare it with"
    return table.outcome.text


def people(table: Table) -> Grid:
    """The table that people read."""
    columns = [
        Column("rank", "rank", text=True),
        Column("name", "candidate", text=True),
        Column("runs", "runs"),
    ]
    for metric in _shown_metrics(table):
        columns += [Column(metric, _TITLES[metric], "4s"), Column(f"{metric}_half", "+/-", "2s")]
    columns += [
        Column("success", "success", ".1%"), Column("to_best", "vs best", text=True),
        Column("against", "may not win because", text=True),
    ]  # fmt: skip
    ranks = [row.rank for row in table.rows]
    rows = tuple(_people_row(table, row, ranks) for row in table.rows)
    return Grid(tuple(columns), rows).without_empty()


def _shown_metrics(table: Table) -> list[str]:
    """Medians; the mean in place of a median that nobody has."""
    names = []
    for name in _SHOWN:
        mean = name.replace("p50", "mean")
        has = [any(n in row.estimates for row in table.rows) for n in (name, mean)]
        if has[0]:
            names.append(name)
        # some rows have the mean alone: both are shown, never one in the other's column
        if mean != name and any(mean in r.estimates and name not in r.estimates for r in table.rows):
            names.append(mean)
    return names


def _people_row(table: Table, row: Row, ranks: list[int | None]) -> tuple[Cell, ...]:
    cells: list[Cell] = [
        "-" if row.rank is None else f"{row.rank}{'=' if ranks.count(row.rank) > 1 else ''}",
        row.candidate.name,
        len(row.candidate.runs),
    ]
    for metric in _shown_metrics(table):
        made = row.estimates.get(metric)
        cells += [made.value if made else None, _half(made)]
    against = row.candidate.success
    cells += [against, _to_best(row), "; ".join(row.against)]
    return tuple(cells)


def _half(made: Estimate | None) -> float | None:
    if made is None or made.low is None or made.high is None or made.method != "t":
        return None
    return (made.high - made.low) / 2


def _to_best(row: Row) -> str | None:
    d = row.to_best
    if d is None:
        return None
    low = max(d.low, -1.0)  # less than nothing can't be
    return f"{d.value:+.1%} {'~' if d.basis == 'assumed' else ''}[{low:+.1%}, {d.high:+.1%}]"


def remarks(table: Table) -> list[str]:
    """What a reader has to know about a table's numbers."""
    limits = [str(limit) for limit in table.limits]
    notes = [f"{row.candidate.name}: {note}" for row in table.rows for note in row.notes]
    stated = any(limit.stated for limit in table.limits)
    return ([f"limits: {', '.join(limits)}"] if stated else []) + list(table.caveats) + notes


def not_compared(comparison: Comparison, most: int = 12) -> list[str]:
    """Which loads were not compared, and why."""
    lines = [
        f"not compared: {', '.join(r.left)} with {', '.join(r.right)}: {'; '.join(r.reasons)}"
        for r in comparison.refusals
    ]
    more = len(lines) - most
    return lines[:most] + ([f"… and {more} more pairs of loads that were not compared"] if more > 0 else [])


_CSV = (
    "framework", "scenario", "candidate_id", "status", "sla_passed", "request_throughput", "output_token_throughput",
    "p50_ttft_ms", "p50_tpot_ms", "mean_ttft_ms", "mean_tpot_ms", "p99_ttft_ms", "p99_tpot_ms", "mean_accept_length",
    "pre_scheduler_ms", "prefix_cache_hit_rate", "gpu_count", "server_command", "failure_reason",
)  # fmt: skip


def _csv_row(table: Table, row: Row) -> tuple[Cell, ...]:
    first = row.candidate.first.result
    words: dict[str, Cell] = {
        "framework": first.framework,
        "scenario": first.workload.scenario or table.label,
        "candidate_id": row.candidate.name,
        "status": "ok" if not row.candidate.failures else row.candidate.failures[0].partition(":")[0],
        "sla_passed": str(row.sla.passed and bool(row.candidate.good)).lower(),
        "mean_accept_length": first.spec_decode.mean_accept_length,
        "prefix_cache_hit_rate": first.cache.prefix_cache_hit_rate,
        "gpu_count": first.hardware.gpu_count,
        "server_command": first.server_command,
        "failure_reason": "; ".join(row.candidate.failures) or None,
    }
    cells: list[Cell] = [row.estimates[key].value if key in row.estimates else words.get(key) for key in _CSV]
    cells += [
        len(row.candidate.runs), row.rank, str(not row.against).lower(), "; ".join(row.against) or None,
        row.to_best.value if row.to_best else None, _mine(table.outcome, row), table.label,
    ]  # fmt: skip
    for metric in METRICS:
        made = row.estimates.get(metric)
        cells += [made.low if made else None, made.high if made else None]
    return tuple(cells)


def _mine(outcome: Outcome, row: Row) -> str | None:
    return outcome.kind if row.candidate.name in outcome.names else None


def _table(table: Table) -> dict[str, Any]:
    return {
        "load": table.label,
        "outcome": _outcome(table.outcome),
        "by_framework": {engine: _outcome(o) for engine, o in table.by_framework.items()},
        "limits": [str(limit) for limit in table.limits],
        "caveats": list(table.caveats),
        "rows": [_row(row) for row in table.rows],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "names": list(outcome.names),
        "metric": outcome.metric,
        "text": outcome.text,
    }


def _row(row: Row) -> dict[str, Any]:
    estimates = {
        name: {
            "value": e.value, "low": e.low, "high": e.high, "runs": e.runs, "method": e.method, "values": list(e.values),
        }
        for name, e in row.estimates.items()
    }  # fmt: skip
    d = row.to_best
    return {
        "name": row.candidate.name,
        "rank": row.rank,
        "eligible": not row.against,
        "against": list(row.against),
        "sla_passed": row.sla.passed and bool(row.candidate.good),
        "success_rate": row.candidate.success,
        "to_best": None
        if d is None
        else {"value": d.value, "low": d.low, "high": d.high, "real": d.real, "basis": d.basis},
        "metrics": estimates,
        "notes": list(row.notes),
        "runs": [
            {"client": run.client, "path": run.path, "place": run.place, **msgspec.to_builtins(run.result)}
            for run in row.candidate.runs
        ],
    }
