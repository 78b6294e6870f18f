"""`prlore kb`: upkeep of a knowledge base, and moving it."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import click

from kb.commands.options import json_option, kb_option


@click.group("kb")
def kb_group() -> None:
    """Maintain and copy a knowledge base."""


@kb_group.command("maintain")
@click.option(
    "--keep-days", type=click.FloatRange(min=0.05), default=1.0, show_default=True, metavar="DAYS",
    help="Versions of tables that are younger stay, for readers that are still at them.",
)  # fmt: skip
@kb_option
@json_option
def maintain_command(keep_days: float, kb: str | None, as_json: bool) -> None:
    """Remove leftovers of killed runs, merge small files, bring indexes up to date, clean up old versions.

    Readers go on meanwhile. Run it after the nightly sync of a store on object storage.
    """
    from kb.location import default_uri
    from kb.maintenance import maintain
    from kb.store import Store

    Store.open(kb or default_uri())  # upkeep makes no store
    with Store.create(kb or default_uri(), {}) as store:
        done = maintain(store, timedelta(days=keep_days))
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(done), "kb": store.uri}))
        return
    click.echo(f"{store.uri}: {done.leftovers} rows of killed runs removed")
    for old, new in zip(done.before, done.after, strict=True):
        click.echo(
            f"  {new.name}: {new.rows} rows, files {old.files} -> {new.files}, versions {old.versions} -> {new.versions}"
        )


@kb_group.command("copy")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@json_option
def copy_command(source: str, target: str, as_json: bool) -> None:
    """Copy the knowledge base SRC to DST, a folder or an address that holds none.

    Every table is read back: rows, schema and a digest of the content must be those of SRC.
    """
    from kb.copying import copy_store

    copied = copy_store(source, target)
    if as_json:
        click.echo(json.dumps({"kb": target, "tables": [dataclasses.asdict(c) for c in copied]}))
        return
    for table in copied:
        click.echo(f"{table.name}: {table.rows} rows, digest {table.digest}")
    click.echo(f"copied to {target}")
