"""`prlore ncu`: a digest of hardware counters that ends with one next edit."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.commands.options import PATH, files_argument, format_option, top_option
from analysis.counters.digest import digest
from analysis.counters.read import read_counters
from analysis.counters.report import as_json, as_markdown, as_text
from analysis.counters.rules import read_rules

_WRITERS = {"text": as_text, "md": as_markdown, "json": as_json}


@click.command()
@files_argument("REPORT|CSV…")
@click.option(
    "--baseline", multiple=True, type=PATH, metavar="FILE", help="What to compare with; may be repeated."
)
@click.option("--kernel", metavar="REGEX", help="Kernels whose name matches, and no others.")
@top_option(3, "Kernels shown, by time.")
@format_option(_WRITERS)
def ncu(files: tuple[Path, ...], baseline: tuple[Path, ...], kernel: str | None, top: int, form: str) -> None:
    """Digest Nsight Compute reports (.ncu-rep) or tables (ncu --csv --page raw, or details).

    The next edit is chosen for the kernel that takes the most time, by the rules in analysis/rules/counters.toml.
    """
    rules = read_rules()
    made = digest(read_counters(files, rules), read_counters(baseline, rules), rules, kernel)
    click.echo(_WRITERS[form](made, rules, top))
