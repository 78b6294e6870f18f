"""`prlore bench`: read serving benchmarks of any client, compare what may be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from analysis.bench.compare import Comparison, Settings, compare
from analysis.bench.intervals import NOISE, TIE
from analysis.bench.plots import draw
from analysis.bench.read import read_files
from analysis.bench.report import as_csv, as_json, as_markdown, as_text
from analysis.bench.result import METRICS
from analysis.bench.sla import parse_limit
from analysis.commands.options import PATH, format_option
from analysis.reports.bench_html import as_html

_WRITERS: dict[str, Callable[[Comparison], str]] = {
    "text": as_text, "md": as_markdown, "csv": as_csv, "json": as_json, "html": as_html,
}  # fmt: skip
_FILES = click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE…")


@click.group()
def bench() -> None:
    """Serving benchmarks: read any client's results, compare what may be compared."""


@bench.command(name="compare")
@_FILES
@click.option(
    "--by",
    type=click.Choice(list(METRICS)),
    default="request_throughput",
    show_default=True,
    help="Metric that is asked first.",
)
@click.option(
    "--sla",
    "limits",
    multiple=True,
    metavar="METRIC<=NUMBER",
    help="A limit, such as p50_ttft_ms<=1500; may be repeated.",
)
@click.option(
    "--tie",
    type=click.FloatRange(0, 1),
    default=TIE,
    show_default=True,
    help="Relative difference below which two candidates are equal.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    default=NOISE,
    show_default=True,
    help="Relative noise that is assumed where nothing was repeated.",
)
@format_option(_WRITERS)
@click.option("--plot", type=PATH, metavar="FILE", help="Write plots to this .svg, .png or .pdf file.")
@click.pass_context
def compare_files(
    ctx: click.Context, files: tuple[str, ...], by: str, limits: tuple[str, ...], tie: float, noise: float,
    form: str, plot: Path | None,
) -> int:  # fmt: skip
    """Compare results of vllm bench serve, sglang.bench_serving, guidellm, aiperf, genai-bench, candidates.jsonl.

    Files whose names differ in a last number only (x_0.json, x_1.json) are repeats of one candidate; NAME=FILE names
    it. Exit status 1: no two candidates could be compared.
    """
    settings = Settings(by, tuple(parse_limit(text) for text in limits), tie, noise)
    found = read_files(files)
    made = compare(found.runs, settings, found.warnings)
    if plot:
        draw(made, plot)
    click.echo(_WRITERS[form](made).rstrip("\n"))
    return 0 if made.compared else 1


@bench.command()
@_FILES
def rows(files: tuple[str, ...]) -> None:
    """Write results as candidates.jsonl rows, one a line, whichever client made them."""
    found = read_files(files)
    for run in found.runs:
        row = msgspec.to_builtins(run.result)
        row["artifacts"] = {"raw_result": run.path, "client": run.client}
        row["notes"] = list(run.notes)
        click.echo(json.dumps(row))
    for warning in found.warnings:
        click.echo(f"prlore: {' '.join(warning.split())}", err=True)
