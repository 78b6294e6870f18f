"""`prlore site`: the knowledge base as static pages."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from kb.commands.options import is_terminal, json_option, kb_option, open_store
from kb.reports.safe import one_line

_PATH = click.Path(path_type=Path)


@click.group("site")
def site() -> None:
    """The knowledge base as static pages that load nothing from anywhere else."""


@site.command("build")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--title", default="prlore", show_default=True, help="Name of the site.")
@click.option("--manuals", type=click.IntRange(0), default=20, show_default=True, metavar="N", help="Manuals for families with at least N cards in an engine; 0 for none.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=min(os.cpu_count() or 1, 8), show_default="cores", help="Processes that write pages.")  # fmt: skip
@click.option("--trace", "traces", multiple=True, type=_PATH, metavar="FILE", help="A profiler trace to report on; may be repeated.")  # fmt: skip
@click.option("--bench", "benches", multiple=True, metavar="[NAME=]FILE", help="A serving benchmark; all of them are compared on one page.")  # fmt: skip
@click.option("--campaign", "campaigns", multiple=True, type=_PATH, metavar="DIR", help="A campaign, or any folder of Markdown reports.")  # fmt: skip
@json_option
@kb_option
def build_site(
    out: Path, title: str, manuals: int, workers: int, traces: tuple[Path, ...], benches: tuple[str, ...],
    campaigns: tuple[Path, ...], as_json: bool, kb: str | None,
) -> None:  # fmt: skip
    """Make the site in the folder OUT.

    A site that is there is replaced when the new one is whole; a folder with anything else in it is refused.
    """
    from tqdm import tqdm

    from loop.site.build import Plan, build, check_place
    from loop.site.report_pages import Wanted

    wanted = Wanted(traces, benches, campaigns)
    check_place(out)
    with tqdm(total=None, unit=" pages", disable=not is_terminal(), dynamic_ncols=True) as bar:

        def progress(part: str, done: int, of: int) -> None:
            if bar.total != of or done < bar.n:
                bar.reset(total=of)
                bar.set_description(part)
            bar.update(done - bar.n)

        report = build(open_store(kb), Plan(out, title, manuals, workers, wanted), progress)
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return
    pages = report.cards + report.families + report.manuals + report.months + report.reports
    took = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in report.seconds.items())
    click.echo(
        f"site written: {out}\n{pages:,} pages: {report.cards:,} of cards, {report.families:,} of families, {report.manuals:,} manuals, "
        f"{report.reports:,} reports; {report.size / 1e6:,.1f} MB in {report.files:,} files, {report.index_size / 1e6:,.1f} MB of them for the search\n{took}"
    )
    for refused in report.refused[:10]:
        click.echo(f"without a page, its name makes no address: {one_line(refused)}")


@site.command("serve")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others than this machine's show the site to the network.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any free one.")  # fmt: skip
def serve_site(folder: Path, host: str, port: int) -> None:
    """Show a site that `prlore site build` made, until Ctrl-C."""
    from loop.site.serve import SiteServer

    with SiteServer(folder, host, port) as server:
        click.echo(f"serving {folder} at {server.url}  (Ctrl-C ends it)")
        server.serve_forever()
