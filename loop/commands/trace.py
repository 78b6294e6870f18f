"""`prlore trace`: what took the time of a torch-profiler trace, what could overlap, what could be fused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.commands.options import (
    PATH,
    files_argument,
    format_option,
    output_option,
    say_what_is_missing,
    stage_option,
)

if TYPE_CHECKING:
    from analysis.report import TraceReport
    from analysis.reports.trace_text import Choice
    from analysis.steps import Stage
    from loop.evidence import Evidence

_FORMATS = ("text", "md", "json", "csv", "html")
_TABLES = ("kernel", "overlap", "fuse")


class FilesOrCommand(click.Group):
    """A group whose first command needs no name: `prlore trace FILE` is `prlore trace show FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `show` before anything that isn't a command or a question for help."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The same for who resolves without parsing."""
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=FilesOrCommand)
def trace() -> None:
    """Read torch-profiler traces: kernels, overlap, fusions, each per stage.

    `prlore trace FILE…` shows them (options: `prlore trace show --help`), `prlore trace diff A B` compares two.
    """


@trace.command()
@files_argument()
@click.option("--capture", "captures", multiple=True, type=PATH, metavar="FILE", help="A trace of the graph capture, or without graphs, for the sources of replayed kernels.")  # fmt: skip
@stage_option(multiple=True)
@click.option("--table", "tables", multiple=True, type=click.Choice(_TABLES), help="Only this table.")
@format_option(_FORMATS)
@output_option
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Rows of a table and stage at most; 0 for all.")  # fmt: skip
@click.option("--min-share", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Leave out rows below this share of their stage.")  # fmt: skip
@click.option("--evidence", is_flag=True, help="Ask the knowledge base for each row's cards.")
@click.option("--kb", metavar="URI", envvar="PRLORE_KB", help="Knowledge base for --evidence.")
def show(
    files: tuple[Path, ...], captures: tuple[Path, ...], stage: tuple[Stage, ...], tables: tuple[str, ...], form: str,
    output: Path | None, limit: int, min_share: float, evidence: bool, kb: str | None,
) -> None:  # fmt: skip
    """Show the tables of one or more traces (ranks of one run, or different runs).

    JSON and CSV hold all rows, with times in nanoseconds and microseconds; text, Markdown and HTML those above
    --min-share. CSV is one table, the kernels' unless --table says another.
    """
    from analysis.remembered import report_of
    from analysis.reports.trace_text import Choice
    from analysis.trace import Trace

    choice = Choice(stage, tables or _TABLES, limit, min_share)
    others = [Trace.open(path) for path in captures]
    reports = [report_of(Trace.open(path), others) for path in files]
    for report in reports:
        say_what_is_missing(report.file, stage, (row.stage for row in report.stages))
    found = (
        [gathered for report in reports for gathered in _evidence(report, choice, kb)] if evidence else None
    )
    _write(_rendered(form, reports, choice, found), output)


@trace.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@click.option("--repeat-a", multiple=True, type=PATH, metavar="FILE", help="Another run of A, for the noise.")
@click.option("--repeat-b", multiple=True, type=PATH, metavar="FILE", help="Another run of B.")
@format_option(_FORMATS)
@output_option
@click.option("--min-share", type=click.FloatRange(0, 1), default=0.005, show_default=True, help="Leave out families below this share of a step.")  # fmt: skip
def diff(
    a: Path, b: Path, repeat_a: tuple[Path, ...], repeat_b: tuple[Path, ...], form: str, output: Path | None,
    min_share: float,
) -> None:  # fmt: skip
    """Compare two traces, stage by stage and family by family: before A and after B, or two engines."""
    from analysis.reports.diff_reports import WRITERS
    from analysis.trace import Trace
    from analysis.trace_diff import compare

    sides = [[Trace.open(path) for path in paths] for paths in ((a, *repeat_a), (b, *repeat_b))]
    _write(WRITERS[form](compare(*sides), min_share), output)


def _evidence(report: TraceReport, choice: Choice, kb: str | None) -> list[Evidence]:
    """Cards for the rows that are shown."""
    from analysis.reports.trace_text import chosen
    from kb.commands.options import open_store
    from kb.search import Searcher
    from loop.evidence import gather

    some = chosen(report, choice)
    return gather(Searcher(open_store(kb)), some.kernels, some.fusions, report.engine)


def _rendered(form: str, reports: list[TraceReport], choice: Choice, evidence: list[Evidence] | None) -> str:
    from analysis.reports import trace_text as texts

    if form == "csv":
        return texts.as_csv(reports, choice)
    if form == "html":
        from analysis.reports.trace_html import as_html

        notes = {}
        if evidence is not None:
            from loop.trace_evidence import notes as of_rows

            notes = of_rows(evidence)
        return as_html(reports, choice, notes)
    writers = {"json": texts.as_json, "md": texts.as_markdown, "text": texts.as_text}
    body = writers[form](reports, choice)
    if evidence is None:  # the knowledge base takes longer to load than a trace
        return body
    from loop.trace_evidence import as_text, into_json

    return into_json(body, evidence) if form == "json" else body + as_text(evidence, markdown=form == "md")


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text.rstrip("\n"))
        return
    try:
        output.write_text(text.rstrip("\n") + "\n", "utf-8")
    except OSError as exc:
        raise click.UsageError(f"--output {output}: {exc.strerror or exc}") from exc
