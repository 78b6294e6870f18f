"""`prlore show`: one card, whole."""

from __future__ import annotations

import click

from kb.commands.options import kb_option, open_store


@click.command("show")
@click.argument("card", metavar="REPO#N")
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Markdown or JSON.",
)
@kb_option
def show(card: str, form: str, kb: str | None) -> None:
    """Show the dossier card of a pull request: sglang#18856, owner/name#N, or its URL."""
    from kb.cards import decode_card, encode_card
    from kb.commands.choosing import card_id
    from kb.discussion import discussed
    from kb.reports import cards as report
    from kb.reports.safe import escaped

    store = open_store(kb)
    ids = [card_id(store, card)]
    found = discussed(store, decode_card(store.cards_by_id(ids, ["card"])["card"][0].as_py()))
    click.echo(
        escaped(encode_card(found))
        if form == "json"
        else report.card_markdown(found, store.links_to(found.id))
    )
