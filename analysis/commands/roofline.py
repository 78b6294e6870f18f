"""`prlore roofline`: how near kernels come to what the device can do."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.commands.options import config_option, files_argument, format_option, stage_option, top_option
from analysis.errors import AnalysisError
from analysis.roofline.derived import derived_products
from analysis.roofline.gpus import gpus, need_gpu
from analysis.roofline.report import as_csv, as_json, as_markdown, as_text
from analysis.roofline.table import roofline_of
from analysis.steps import Stage
from analysis.steps import stage as staged
from analysis.trace import Trace

_WRITERS = {"text": as_text, "md": as_markdown, "csv": as_csv, "json": as_json}


@click.command()
@files_argument()
@click.option("--gpu", "named", metavar="NAME", help="Whose peaks to take; otherwise the trace's own device.")
@config_option("shapes of a dense layer's projections where none were recorded")
@click.option(
    "--tp", type=click.IntRange(1, 1024), help="Tensor-parallel ranks, for --config; otherwise the trace's."
)
@stage_option()
@top_option(20, "Rows, by headroom.")
@format_option(_WRITERS)
def roofline(
    files: tuple[Path, ...], named: str | None, config: Path | None, tp: int | None, stage: Stage | None, top: int,
    form: str,
) -> int:  # fmt: skip
    """Hold operators with recorded shapes against the peaks of the device, and say what is left.

    Exit status 1: no operator's shapes tell its work.
    """
    gpu = need_gpu(named) if named else None
    found = []
    for path in files:
        trace = Trace.open(path)
        steps = staged(trace)
        made = roofline_of(steps, gpu, derived_products(steps, config, tp) if config else ())
        if not len(trace.kernels):
            raise AnalysisError(f"{path}: no kernel in it; a roofline needs a trace of a GPU")
        if made is None:
            there = ", ".join(sorted(set(trace.gpus.values()))) or "none"
            raise AnalysisError(
                f"{path}: no figures for its device ({there}); name one with --gpu: {', '.join(g.name for g in gpus())}"
            )
        found.append((trace, made))
    click.echo(_WRITERS[form](found, stage, top).rstrip("\n"))
    return 0 if any(roof.rows for _, roof in found) else 1
