"""`prlore forget`: a person's words out of the knowledge base."""

from __future__ import annotations

import dataclasses
import json

import click

from kb.commands.ingest_github import pages_option
from kb.commands.options import UsageProblem, created_by, json_option, kb_option


@click.command("forget")
@click.option("--author", required=True, metavar="LOGIN", help="Whose words.")
@pages_option
@kb_option
@json_option
def forget(author: str, pages: str | None, kb: str | None, as_json: bool) -> None:
    """Remove an author's comments, descriptions and name everywhere, now and in every later sync and import."""
    from kb.location import default_uri
    from kb.pages_place import pages_folder
    from kb.store import Store
    from kb.threads.forget import forget as forget_author

    login = author.strip().removeprefix("@")
    if not login:
        raise UsageProblem("--author is empty: give a GitHub login")
    uri = kb or default_uri()
    with Store.create(uri, created_by()) as store:
        found = forget_author(store, pages_folder(uri, pages), login)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        click.echo(
            f"removed from {found.threads} threads, {found.pulls} pull requests and {found.pages} kept pages; "
            "later syncs and imports leave it out"
        )
