"""`prlore layers`: forward passes and layers of a trace."""

from __future__ import annotations

import re
from pathlib import Path

import click

from analysis.errors import AnalysisError
from analysis.layers.find import find_layers
from analysis.layers.model import read_model
from analysis.layers.report import View, as_csv, as_json, as_markdown, as_text
from analysis.layers.track import write_track
from analysis.steps import Stage, stage
from analysis.trace import Trace

_WRITERS = {"text": as_text, "md": as_markdown, "csv": as_csv, "json": as_json}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option(
    "--config", type=click.Path(path_type=Path), help="The model's config.json, to check layers against."
)
@click.option("--stage", "wanted", type=click.Choice([str(s) for s in Stage]), help="One stage alone.")
@click.option("--layer", metavar="PASS.LAYER", help="Show one layer kernel by kernel.")
@click.option("--timeline", is_flag=True, help="Show a representative layer of each type kernel by kernel.")
@click.option(
    "--top", type=click.IntRange(1, 1000), default=5, show_default=True, help="Hot kernels a layer type."
)
@click.option(
    "--anchor", metavar="REGEX", help="Kernels that mark a layer, once each; otherwise those of attention."
)
@click.option(
    "--served-at", metavar="URL", help="Where Perfetto can fetch the trace, for links that open it."
)
@click.option(
    "--track",
    type=click.Path(path_type=Path),
    help="Write a copy of the trace with passes and layers as tracks (.json or .json.gz).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_WRITERS)),
    default="text",
    show_default=True,
    help="How to write it; csv has a line for each layer.",
)
def layers(
    files: tuple[Path, ...], config: Path | None, wanted: str | None, layer: str | None, timeline: bool, top: int,
    anchor: str | None, served_at: str | None, track: Path | None, form: str,
) -> int:  # fmt: skip
    """Find forward passes and layers; say what types there are, what they take, and which stand out.

    Several files are ranks of one run. Exit status 1: no layer was found.
    """
    if track and len(files) > 1:
        raise AnalysisError("--track writes a copy of one trace; name one file")
    model = read_model(config) if config else None
    view = View(Stage(wanted) if wanted else None, _place(layer), timeline, top, served_at)
    found = [find_layers(stage(Trace.open(path)), model, anchor) for path in files]
    if view.layer and not any(
        len(p.layers) > view.layer[1] for f in found for p in f.passes if p.index == view.layer[0]
    ):
        raise AnalysisError(f"--layer {layer}: no such layer in {files[0]}")
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
