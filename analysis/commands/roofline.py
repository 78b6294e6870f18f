"""`prlore roofline`: how near kernels come to what the device can do."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.errors import AnalysisError
from analysis.roofline.derived import derived_products
from analysis.roofline.gpus import gpus, need_gpu
from analysis.roofline.report import as_csv, as_json, as_markdown, as_text
from analysis.roofline.table import roofline_of
from analysis.steps import Stage, stage
from analysis.trace import Trace

_WRITERS = {"text": as_text, "md": as_markdown, "csv": as_csv, "json": as_json}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option("--gpu", "named", metavar="NAME", help="Whose peaks to take; otherwise the trace's own device.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The model's config.json: shapes of a dense layer's projections where none were recorded.",
)
@click.option(
    "--tp", type=click.IntRange(1, 1024), help="Tensor-parallel ranks, for --config; otherwise the trace's."
)
@click.option("--stage", "wanted", type=click.Choice([str(s) for s in Stage]), help="One stage alone.")
@click.option(
    "--top", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Rows, by headroom."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_WRITERS)),
    default="text",
    show_default=True,
    help="How to write it.",
)
def roofline(
    files: tuple[Path, ...], named: str | None, config: Path | None, tp: int | None, wanted: str | None, top: int,
    form: str,
) -> int:  # fmt: skip
    """Hold operators with recorded shapes against the peaks of the device, and say what is left.

    Exit status 1: no operator's shapes tell its work.
    """
    gpu = need_gpu(named) if named else None
    found = []
    for path in files:
        trace = Trace.open(path)
        staged = stage(trace)
        made = roofline_of(staged, gpu, derived_products(staged, config, tp) if config else ())
        if made is None:
            there = ", ".join(sorted(set(trace.gpus.values()))) or "none"
            raise AnalysisError(
                f"{path}: no figures for its device ({there}); name one with --gpu: {', '.join(g.name for g in gpus())}"
            )
        found.append((trace, made))
    click.echo(_WRITERS[form](found, Stage(wanted) if wanted else None, top).rstrip("\n"))
    return 0 if any(roof.rows for _, roof in found) else 1
