"""`prlore ingest corpus`: review threads that somebody else collected."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from kb.commands.options import created_by, is_terminal, json_option, kb_option


@click.command("corpus")
@click.argument("file", metavar="FILE.jsonl[.gz]", type=click.Path(path_type=Path))
@kb_option
@json_option
def corpus(file: Path, kb: str | None, as_json: bool) -> None:
    """Read a public corpus of review threads (schema version 2), a JSON line a thread.

    Lines that can't be used are named and left out. Imported threads never stand above what was synced.
    """
    from tqdm import tqdm

    from kb.location import default_uri
    from kb.reports.safe import one_line
    from kb.store import Store
    from kb.threads.corpus import import_corpus

    with (
        Store.create(kb or default_uri(), created_by()) as store,
        tqdm(total=None, unit=" lines", disable=not is_terminal(), dynamic_ncols=True) as bar,
    ):

        def show(lines: int) -> None:
            bar.update(lines - bar.n)

        found = import_corpus(store, file, show)
        uri = store.uri
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "kb": uri}))
        return
    click.echo(
        f"{found.lines} lines: {found.threads} threads with {found.comments} comments on {found.pulls} pull requests, "
        f"{found.held} held from own sync, {found.left_out} lines left out; {found.cards} cards have new words: {uri}"
    )
    for problem in found.problems[:20]:
        click.echo(f"  line {problem.line}: {one_line(problem.what)}")
    if found.left_out > 20:
        click.echo(f"  and {found.left_out - 20} more (--json lists up to 1000)")
