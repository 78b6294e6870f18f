"""`prlore card`: reviewing, editing, exporting and importing cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kb.commands.options import UsageProblem, complete_family, is_terminal, json_option, kb_option, open_store

if TYPE_CHECKING:
    from kb.dossier.accept import Accepted
    from kb.review.run import RunReport
    from kb.store import Store


@click.group()
def card() -> None:
    """Review, edit, export and import dossier cards."""


@card.command("review")
@click.argument("cards", metavar="[REPO#N]...", nargs=-1)
@click.option("--family", shell_complete=complete_family, metavar="NAME", help="Cards of a model family.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the N that reach furthest: most shared areas, then newest.",
)
@click.option(
    "--again", is_flag=True, help="Cards that a model has reviewed before as well; those of people stay."
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stop before more tokens than this are used.",
)
@click.option(
    "--max-usd",
    type=click.FloatRange(min=0),
    metavar="USD",
    help="Stop before more is spent; needs PRLORE_LLM_PRICE.",
)
@click.option(
    "--git",
    "clone",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Read diffs from a clone: whole even where the index left lines out.",
)
@click.option(
    "--part-chars",
    type=click.IntRange(min=2000),
    metavar="N",
    help="Characters of a diff that are sent at once.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where answers are kept. [default: the user state folder]",
)
@kb_option
@json_option
def review(
    cards: tuple[str, ...], family: str | None, top: int | None, again: bool, max_tokens: int | None, max_usd: float | None,
    clone: Path | None, part_chars: int | None, journal: Path | None, kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Have a model review cards: the whole diff goes to PRLORE_LLM_BASE_URL, only claims that their anchors prove come back.

    A run that was stopped goes on where it was: answers are kept in a journal.
    """
    from tqdm import tqdm

    from kb.llm.budget import Budget
    from kb.llm.client import ChatClient
    from kb.llm.journal import Journal
    from kb.llm.settings import settings_from
    from kb.review.reviewer import PART_CHARS, Reviewer
    from kb.review.run import review_cards
    from kb.store import Store

    if not cards and not family and not top:
        raise UsageProblem("nothing to review: name cards, --family or --top")
    settings = settings_from()
    budget = Budget(max_tokens, max_usd, settings.price)
    uri = open_store(kb).uri
    with Store.create(uri, {}) as store, ChatClient(settings, budget) as client:
        ids = _chosen(store, cards, family, top)
        reviewer = Reviewer(client, Journal(journal or journal_of(uri)), part_chars or PART_CHARS)
        with tqdm(total=len(ids), unit=" card", disable=not is_terminal(), dynamic_ncols=True) as bar:

            def progress(done: int, name: str) -> None:
                bar.set_postfix_str(f"{name}, {budget.used.total} tokens", refresh=False)
                bar.update(done)

            report = review_cards(store, ids, reviewer, progress, again=again, clone=clone)
    _print_review(report, budget.used.total, budget.usd, as_json=as_json)
    if report.left:
        raise SystemExit(1)


def _print_review(report: RunReport, tokens: int, usd: float | None, *, as_json: bool) -> None:
    from kb.reports.safe import one_line

    if as_json:
        fields = ("reviewed", "kept", "skipped", "left", "claims", "dropped", "asked", "known", "stopped")
        click.echo(json.dumps({**{f: getattr(report, f) for f in fields}, "tokens": tokens, "usd": usd}))
        return
    for card_id in report.reviewed:
        click.echo(f"{card_id}: reviewed, every claim verified")
    for card_id, why in report.kept.items():
        click.echo(f"{card_id}: kept as it was: {one_line(why)}")
    for card_id, reasons in report.dropped.items():
        for reason in reasons[:5]:
            click.echo(f"  {card_id}: dropped {one_line(reason)}")
    spent = f"{tokens} tokens" + (f", ${usd:.4f}" if usd is not None else "")
    click.echo(
        f"{len(report.reviewed)} reviewed with {report.claims} claims, {len(report.kept)} kept, {len(report.skipped)} had prose; "
        f"{report.asked} requests, {report.known} from the journal, {spent}"
    )
    if report.left:
        click.echo(
            f"{len(report.left)} left ({one_line(report.stopped) or 'no answer'}): run the same command again"
        )


def _chosen(store: Store, names: tuple[str, ...], family: str | None, top: int | None) -> list[str]:
    """The cards to review."""
    from kb.cards import decode_card
    from kb.commands.choosing import card_ids
    from kb.families import load_families
    from kb.filters import Filter

    ids = card_ids(store, names)
    if family or (top and not names):
        families = load_families().resolve(family) if family else ()
        if family and not families:
            raise UsageProblem(f"no family {family!r}: `prlore families` lists them")
        rows = store.scan("cards", ["id", "card"], Filter(families=tuple(families)) if family else None)
        found = [decode_card(text) for text in rows["card"].to_pylist()]
        found = [c for c in found if c.origin == "git" and c.without_code is None]
        found.sort(key=lambda c: (len(c.blast_radius), c.merged_at), reverse=True)
        ids += [c.id for c in found if c.id not in set(ids)]
    return ids[:top] if top else ids


def journal_of(uri: str) -> Path:
    """The journal of a knowledge base."""
    import hashlib

    import platformdirs

    name = hashlib.sha256(uri.encode()).hexdigest()[:12]
    return Path(platformdirs.user_state_dir("prlore", appauthor=False)) / f"review-{name}.jsonl"


@card.command("edit")
@click.argument("name", metavar="REPO#N")
@kb_option
def edit(name: str, kb: str | None) -> None:
    """Write a card's prose in $EDITOR; on save its anchors are looked up and the gate is asked."""
    from kb.cards import decode_card
    from kb.commands.choosing import card_id
    from kb.dossier.editing import edit_card
    from kb.store import Store

    with Store.create(open_store(kb).uri, {}) as store:
        found = decode_card(store.cards_by_id([card_id(store, name)], ["card"])["card"][0].as_py())
        result = edit_card(store, found, click.edit, _asks_again)
    click.echo(f"{found.id}: {result}")


def _asks_again(problems: list[str]) -> bool:
    """Show what is wrong; whether the person wants to go on, which nobody can say without a terminal."""
    import sys

    from kb.reports.safe import one_line

    for problem in problems:
        click.echo(f"  {one_line(problem)}", err=True)
    return sys.stdin.isatty() and click.confirm("open the editor again?", default=True, err=True)


@card.command("export")
@click.argument("cards", metavar="[REPO#N]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every card of the knowledge base.")
@click.option("--status", metavar="STATUS", help="With --all: only cards of a status.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Markdown or JSON.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder to write to: owner__name/N.md.",
)
@kb_option
def export(
    cards: tuple[str, ...], every: bool, status: str | None, form: str, folder: Path, kb: str | None
) -> None:
    """Write cards as files, one each, that `prlore card import` reads back without loss."""
    from kb.commands.choosing import card_ids
    from kb.dossier.files import export_cards

    if bool(cards) == every:
        raise UsageProblem("name cards, or give --all")
    store = open_store(kb)
    if every:
        rows = store.scan("cards", ["id", "status"])
        pairs = zip(rows["id"].to_pylist(), rows["status"].to_pylist(), strict=True)
        ids = [i for i, s in pairs if status in (None, s)]
    else:
        ids = card_ids(store, cards)
    click.echo(f"{export_cards(store, ids, folder, form)} cards written to {folder}")


@card.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@kb_option
@json_option
def import_(paths: tuple[Path, ...], kb: str | None, as_json: bool) -> None:
    """Read cards from files and folders that `prlore card export` wrote; each passes the gate or is refused."""
    from kb.dossier.accept import accept
    from kb.dossier.files import read_cards
    from kb.location import default_uri
    from kb.store import Store

    cards = read_cards(paths)
    with Store.create(kb or default_uri(), {}) as store:
        result = accept(store, cards)
    print_accepted(result, as_json=as_json)
    if result.refused:
        raise SystemExit(1)


def print_accepted(result: Accepted, *, as_json: bool) -> None:
    """What became of imported cards."""
    import dataclasses

    from kb.reports.safe import one_line

    if as_json:
        click.echo(json.dumps(dataclasses.asdict(result)))
        return
    for card_id, problems in list(result.refused.items())[:50]:
        click.echo(f"{one_line(card_id)}: refused: {one_line('; '.join(problems))[:300]}")
    click.echo(
        f"{len(result.added)} cards added, {len(result.changed)} changed, {len(result.same)} the same, "
        f"{len(result.below)} below what is held, {len(result.refused)} refused"
    )
