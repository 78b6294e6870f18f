"""`prlore reference`: the reference pages, made from the code."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("reference")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder of the pages.")  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 when a page there is not current.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def reference(out: Path, check: bool, as_json: bool) -> int:
    """Write the reference of commands, settings, JSON schemas and tables as Markdown."""
    from loop.reference import pages

    if check:
        wrong = pages.outdated(out)
        click.echo(json.dumps({"outdated": wrong}) if as_json else "\n".join(f"not current: {out / n}" for n in wrong) or "all pages are current")  # fmt: skip
        return 1 if wrong else 0
    written = pages.write(out)
    click.echo(json.dumps({"written": [str(p) for p in written]}) if as_json else f"{len(written)} pages written to {out}")  # fmt: skip
    return 0
