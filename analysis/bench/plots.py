"""Plots of a comparison: throughput against latency with each candidate's intervals, and one metric a panel.

matplotlib is the `plots` extra; it draws SVG and PNG alike and is loaded when a plot is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.bench.compare import Comparison, Row
from analysis.bench.intervals import Estimate
from analysis.bench.result import METRICS
from analysis.errors import AnalysisError, MissingExtra
from analysis.reports.safe import plain

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe-Ito
_PANELS = ("request_throughput", "output_token_throughput", "p50_ttft_ms", "p50_tpot_ms")


def draw(comparison: Comparison, path: Path) -> None:
    """Write all plots of a comparison into one figure; the suffix says the format.

    Raises:
        MissingExtra: matplotlib is not installed.
        AnalysisError: the suffix is not .svg, .png or .pdf, or the file can't be written.
    """
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise AnalysisError(f"{path}: a plot is .svg, .png or .pdf")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plots need matplotlib; pip install 'prlore[plots]'") from None
    rows = [row for table in comparison.tables for row in table.rows if row.candidate.good]
    # text stays text, and the same numbers give the same bytes
    style = {"svg.fonttype": "none", "svg.hashsalt": "prlore", "font.size": 9, "text.parse_math": False}
    with matplotlib.rc_context(style):
        panels = [m for m in _PANELS if any(m in row.estimates for row in rows)]
        figure = Figure(figsize=(10, 4 + 0.35 * len(rows) + 1.2), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[4, 1.2 + 0.35 * len(rows)])
        upper, lower = parts
        _curves(upper, comparison)
        _intervals(lower, rows, panels)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
        except OSError as exc:
            raise AnalysisError(f"{path}: {exc.strerror or exc}; choose another file") from None


def _curves(figure: Any, comparison: Comparison) -> None:
    """Throughput against TTFT and TPOT; points of one candidate under several loads are joined."""
    named: dict[str, list[Row]] = {}
    for table in comparison.tables:
        for row in table.rows:
            if row.candidate.good:
                named.setdefault(row.candidate.name, []).append(row)
    axes = figure.subplots(1, 2)
    for axis, quantity in zip(axes, ("ttft", "tpot"), strict=True):
        latency = METRICS[f"p50_{quantity}_ms"]
        for i, (name, rows) in enumerate(named.items()):
            points = [
                (row.estimates[latency.name], row.estimates["output_token_throughput"])
                for row in rows
                if latency.name in row.estimates and "output_token_throughput" in row.estimates
            ]
            if points:
                points.sort(key=lambda p: p[1].value)
                _points(axis, points, _COLOURS[i % len(_COLOURS)], plain(name))
        axis.set_xlabel(f"{latency.label} ({latency.unit})")
        axis.set_ylabel("output throughput (tok/s)")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    if named and axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize=7)
    axes[0].set_title("better: up and left", fontsize=8)


def _points(axis: Any, points: Sequence[tuple[Estimate, Estimate]], colour: str, label: str) -> None:
    x, y = [p[0].value for p in points], [p[1].value for p in points]
    spread = [[_arm(p[side], end) for p in points] for side in (0, 1) for end in ("low", "high")]
    axis.errorbar(
        x, y, xerr=spread[:2], yerr=spread[2:], fmt="o-", color=colour, label=label, capsize=2, linewidth=1
    )


def _arm(made: Estimate, end: str) -> float:
    """Length of an error bar; none without an interval, and never below zero on the axis."""
    if made.low is None or made.high is None:
        return 0.0
    return max(0.0, made.value - max(0.0, made.low) if end == "low" else made.high - made.value)


def _intervals(figure: Any, rows: Sequence[Row], panels: Sequence[str]) -> None:
    """One panel a metric: mean, interval, and each run as a dot."""
    if not panels:
        return
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    names = [plain(row.candidate.name)[:32] for row in rows]
    for axis, metric in zip(axes, panels, strict=True):
        for place, row in enumerate(rows):
            made = row.estimates.get(metric)
            if made is None:
                continue
            colour = "#999999" if row.against else _COLOURS[0]
            axis.plot(made.values, [place] * len(made.values), ".", color=colour, alpha=0.6)
            axis.errorbar(
                [made.value], [place], xerr=[[_arm(made, "low")], [_arm(made, "high")]], fmt="D", color=colour,
                markersize=4, capsize=3,
            )  # fmt: skip
        axis.set_xlabel(f"{METRICS[metric].label} ({METRICS[metric].unit})", fontsize=8)
        axis.set_xlim(left=0)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
