"""`prlore gate`: cards against the review gate."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from kb.commands.options import UsageProblem, is_terminal, json_option, kb_option, open_store

if TYPE_CHECKING:
    from kb.gate import Defect

_SHOWN = 200


@click.command("gate")
@click.argument("cards", metavar="[REPO#N]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every card of the knowledge base.")
@click.option("--status", metavar="STATUS", help="With --all: only cards of a status.")
@kb_option
@json_option
def gate(cards: tuple[str, ...], every: bool, status: str | None, kb: str | None, as_json: bool) -> None:
    """Check cards: excerpts against the diff, files, counts, anchors and hashes, concrete prose.

    Without a card and without --all the embedded cards of data/cards are checked. The exit status is 1 when a card
    does not pass.
    """
    from kb.gate import check_starter

    if cards and every:
        raise UsageProblem("--all checks every card: leave the names out, or leave --all out")
    if status and not every:
        raise UsageProblem("--status chooses among --all: add --all")
    checked, defects = (0, check_starter()) if not cards and not every else _in_store(kb, cards, status)
    if as_json:
        rows = [{"card": d.card, "reason": d.reason, "what": d.what} for d in defects]
        click.echo(json.dumps({"checked": checked, "defects": rows}))
    else:
        from kb.reports.safe import one_line

        for defect in defects[:_SHOWN]:
            click.echo(f"{defect.card}: {defect.reason}: {one_line(defect.what)}")
        if len(defects) > _SHOWN:
            click.echo(f"and {len(defects) - _SHOWN} more")
        for reason, count in Counter(d.reason for d in defects).most_common():
            click.echo(f"{count} x {reason}")
        what = f"{checked} cards" if checked else "the embedded cards"
        click.echo(f"{len({d.card for d in defects})} of {what} do not pass" if defects else f"{what} pass")
    raise SystemExit(1 if defects else 0)


def _in_store(kb: str | None, names: tuple[str, ...], status: str | None) -> tuple[int, list[Defect]]:
    from tqdm import tqdm

    from kb.commands.choosing import card_ids
    from kb.discussion import StoredDiscussion
    from kb.gate.check import check_store

    store = open_store(kb)
    if names:
        ids = card_ids(store, names)
    else:
        rows = store.scan("cards", ["id", "status"])
        pairs = zip(rows["id"].to_pylist(), rows["status"].to_pylist(), strict=True)
        ids = [i for i, s in pairs if status in (None, s)]
    with tqdm(total=len(ids), unit=" card", disable=not is_terminal(), dynamic_ncols=True) as bar:
        return len(ids), list(check_store(store, ids, bar.update, StoredDiscussion(store)))
