"""A roofline as text, Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from analysis.reports.grid import Column, Grid, to_csv, to_markdown, to_records, to_text
from analysis.reports.safe import markdown, plain
from analysis.roofline.table import Roofline
from analysis.steps import Stage
from analysis.trace import Trace

_COLUMNS = (
    Column("stage", "stage", text=True),
    Column("family", "family", text=True),
    Column("op", "operator", text=True),
    Column("shape", "shape", text=True),
    Column("dtype", "type", text=True),
    Column("calls", "calls"),
    Column("time_us", "time us", ",.1f", definition="kernel time of all calls"),
    Column("intensity", "FLOP/B", "3s", definition="operations per byte of least traffic: each operand once"),
    Column("tflops", "TFLOP/s", "3s"),
    Column("tbs", "TB/s", "3s"),
    Column("bound", "bound by", text=True, definition="the lower roof at this intensity"),
    Column(
        "share",
        "of roof",
        ".1%",
        definition="time at the roof over time taken; above 100%: served by a cache",
    ),
    Column("headroom_us", "headroom us", ",.1f", definition="time taken beyond the roof"),
    Column("kernel", "kernel", text=True),
    Column("ref", "ref", text=True),
)

Found = Sequence[tuple[Trace, Roofline]]


def as_text(found: Found, stage: Stage | None, top: int) -> str:
    """For a terminal."""
    return "\n\n".join(
        "\n".join(
            [
                plain(_title(trace, roof)),
                to_text(_grid(roof, stage, top), 48),
                *map(plain, _untold(roof, stage)),
            ]
        )
        for trace, roof in found
    )


def as_markdown(found: Found, stage: Stage | None, top: int) -> str:
    """For a report."""
    return "\n\n".join(
        "\n\n".join(
            [
                f"## {markdown(_title(trace, roof))}",
                to_markdown(_grid(roof, stage, top)),
                *map(markdown, _untold(roof, stage)),
            ]
        )
        for trace, roof in found
    )


def as_csv(found: Found, stage: Stage | None, top: int) -> str:
    """All rows of all traces; the trace is part of the reference."""
    rows = tuple(row for _, roof in found for row in _grid(roof, stage, top).rows)
    return to_csv(Grid(_COLUMNS, rows))


def as_json(found: Found, stage: Stage | None, top: int) -> str:
    """Rows and what they leave out, trace by trace."""
    return json.dumps(
        [
            {
                "trace": str(trace.path),
                "ref": trace.ref,
                "gpu": roof.gpu.name,
                "source": roof.gpu.source,
                "rows": to_records(_grid(roof, stage, top)),
                "untold_ns": {str(s): n for s, n in roof.untold_ns.items()},
                "total_ns": {str(s): n for s, n in roof.total_ns.items()},
            }
            for trace, roof in found
        ],
        indent=2,
    )


def _title(trace: Trace, roof: Roofline) -> str:
    return f"{trace.path.name} ({trace.ref}): {roof.gpu.name}, {roof.gpu.bandwidth / 1e12:g} TB/s, {roof.gpu.flops.get('bf16', 0) / 1e12:g} TFLOP/s bf16 ({roof.gpu.source})"


def _grid(roof: Roofline, stage: Stage | None, top: int) -> Grid:
    rows = [r for r in roof.rows if stage in (None, r.stage)][:top]
    return Grid(
        _COLUMNS,
        tuple(
            (
                str(r.stage), r.family, r.op, r.work.shape, r.work.dtype, r.calls, r.time_ns / 1e3, r.intensity or None,
                r.flops_per_s / 1e12 or None, r.bytes_per_s / 1e12, r.bound, r.share, r.headroom_ns / 1e3, r.kernel, r.ref,
            )
            for r in rows
        ),
    )  # fmt: skip


def _untold(roof: Roofline, stage: Stage | None) -> list[str]:
    lines = []
    for name, total in roof.total_ns.items():
        untold = roof.untold_ns.get(name, 0)
        if stage in (None, name) and total:
            lines.append(
                f"{name}: {untold / total:.1%} of {total / 1e6:,.3f} ms kernel time has no shapes that tell its work "
                "(graph replays, custom kernels, record_shapes off)"
            )
    return lines
