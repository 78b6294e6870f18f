"""`prlore layers`: forward passes and layers of a trace."""

from __future__ import annotations

import re
from pathlib import Path

import click

from analysis.commands.options import (
    PATH,
    config_option,
    files_argument,
    format_option,
    say_what_is_missing,
    stage_option,
    top_option,
)
from analysis.errors import AnalysisError
from analysis.layers.find import find_layers
from analysis.layers.model import read_model
from analysis.layers.report import View, as_csv, as_json, as_markdown, as_text
from analysis.layers.track import write_track
from analysis.steps import Stage
from analysis.steps import stage as staged
from analysis.trace import Trace

_WRITERS = {"text": as_text, "md": as_markdown, "csv": as_csv, "json": as_json}


@click.command()
@files_argument()
@config_option("how many layers of which kind there are, to check against")
@stage_option()
@click.option("--layer", metavar="PASS.LAYER", help="Show one layer kernel by kernel.")
@click.option("--timeline", is_flag=True, help="Show a representative layer of each type kernel by kernel.")
@top_option(5, "Hot kernels a layer type.")
@click.option(
    "--anchor", metavar="REGEX", help="Kernels that mark a layer, once each; otherwise those of attention."
)
@click.option(
    "--served-at", metavar="URL", help="Where Perfetto can fetch the trace, for links that open it."
)
@click.option(
    "--track",
    type=PATH,
    metavar="FILE",
    help="Write a copy of the trace with passes and layers as tracks (.json or .json.gz).",
)
@format_option(_WRITERS, "; csv has a line for each layer")
def layers(
    files: tuple[Path, ...], config: Path | None, stage: Stage | None, layer: str | None, timeline: bool, top: int,
    anchor: str | None, served_at: str | None, track: Path | None, form: str,
) -> int:  # fmt: skip
    """Find forward passes and layers; say what types there are, what they take, and which stand out.

    Several files are ranks of one run. Exit status 1: no layer was found.
    """
    if track and len(files) > 1:
        raise AnalysisError("--track writes a copy of one trace; name one file")
    model = read_model(config) if config else None
    view = View(stage, _place(layer), timeline, top, served_at)
    found = [find_layers(staged(Trace.open(path)), model, anchor) for path in files]
    if view.layer and not any(
        len(p.layers) > view.layer[1] for f in found for p in f.passes if p.index == view.layer[0]
    ):
        raise AnalysisError(f"--layer {layer}: no such layer in {files[0]}")
    for layered in found:
        say_what_is_missing(
            layered.trace.path.name, [stage] if stage else (), (p.stage for p in layered.passes)
        )
    click.echo(_WRITERS[form](found, view).rstrip("\n"))
    if track:
        added = write_track(found[0], track)
        click.echo(f"{track}: {added} events added to those of {files[0]}", err=True)
    return 0 if any(f.passes for f in found) else 1


def _place(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", text)
    if not match:
        raise AnalysisError(f"--layer {text!r} is not PASS.LAYER, such as 0.17")
    return int(match[1]), int(match[2])
