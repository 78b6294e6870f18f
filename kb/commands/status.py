"""`prlore status`: what a knowledge base holds and how complete it is."""

from __future__ import annotations

import json

import click

from kb.commands.options import json_option, kb_option, open_store


@click.command("status")
@click.option(
    "--list", "listing", type=click.Choice(["duplicates", "problems", "no-number"]), help="List such commits."
)
@kb_option
@json_option
def status(listing: str | None, kb: str | None, as_json: bool) -> None:
    """Say what the knowledge base holds: repositories, cards, chunks, freshness, what could not be read."""
    from kb.reports import status as report
    from kb.status import listed_commits, store_status

    store = open_store(kb)
    if listing:
        rows = listed_commits(store, listing)
        click.echo(json.dumps([r.as_dict() for r in rows]) if as_json else report.commits_text(rows))
        return
    found = store_status(store)
    click.echo(json.dumps(report.status_json(found)) if as_json else report.status_text(found))
