"""`prlore ingest github` and `prlore ingest replay`: descriptions and review threads from GitHub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from kb.commands.options import (
    UsageProblem,
    created_by,
    is_terminal,
    json_option,
    kb_option,
    parse_date,
    parse_repo,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.github.client import Client

_API = "https://api.github.com"
pages_option = click.option(
    "--pages", metavar="DIR", help="Where received pages are kept. [default: beside the knowledge base]"
)
api_option = click.option(
    "--api-url", metavar="URL", default=_API, show_default=True, help="The API: GitHub's, or an enterprise server's /api/v3."
)  # fmt: skip
requests_option = click.option(
    "--max-requests", type=click.IntRange(min=1), metavar="N", help="Send at most N requests; another run goes on from there."
)  # fmt: skip


@click.command("github")
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--since", metavar="DATE", help="On a first sync, only what changed from this day on.")
@requests_option
@click.option("--dry-run", is_flag=True, help="Print what a first sync would cost, and fetch nothing.")
@click.option("--reconcile", is_flag=True, help="Look for deleted comments now, not only once a week.")
@api_option
@pages_option
@kb_option
@json_option
def github(
    repo: str, since: str | None, max_requests: int | None, dry_run: bool, reconcile: bool, api_url: str,
    pages: str | None, kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Fetch descriptions, reviews and review threads of a repository.

    The token comes from GITHUB_TOKEN, GH_TOKEN or `gh auth token`. A second run asks only for what changed; a run
    that was stopped goes on where it was. Merged diffs come from `prlore ingest git`, which needs no token.
    """
    from ingest.github.ledger import open_ledger
    from ingest.github.sync import sync
    from kb.location import default_uri
    from kb.pages_place import pages_folder
    from kb.reports import sync as report
    from kb.store import Store
    from kb.threads.build import write_ledger

    name = parse_repo(repo)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", name):
        raise UsageProblem(f"{repo!r} is no repository name: write it as owner/name, sgl-project/sglang")
    start = parse_date(since, "--since")
    uri = kb or default_uri()
    with open_client(api_url, max_requests) as client:
        if dry_run:
            from ingest.github.plan import plan_first

            plan = plan_first(client, name, start)
            click.echo(json.dumps(report.plan_json(plan)) if as_json else report.plan_text(plan))
            return
        with (
            Store.create(uri, created_by()) as store,
            open_ledger(pages_folder(uri, pages), name) as ledger,
        ):
            with progress_bar(name) as show:
                found = sync(ledger, client, since=start, reconcile=reconcile, progress=show)
            with progress_bar("writing") as show:
                written = write_ledger(store, ledger, partial(show, "pull requests"))
            told = report.Synced(found, written, client.pace.counts, dict(client.pace.remaining), store.uri)
    click.echo(json.dumps(report.sync_json(told)) if as_json else report.sync_text(told))


@click.command("replay")
@click.argument("repo", metavar="OWNER/NAME", required=False)
@pages_option
@kb_option
@json_option
def replay(repo: str | None, pages: str | None, kb: str | None, as_json: bool) -> None:
    """Make the tables of descriptions and threads anew from the pages that were kept, without the network."""
    from ingest.github.ledger import archived, open_ledger
    from ingest.github.pages import ArchiveError
    from ingest.github.replay import all_rows
    from kb.location import default_uri
    from kb.pages_place import pages_folder
    from kb.reports import sync as report
    from kb.store import Store
    from kb.threads.build import write_ledger

    uri = kb or default_uri()
    root = pages_folder(uri, pages)
    names = [parse_repo(repo)] if repo else archived(root)
    if not names:
        raise ArchiveError(f"no pages are kept in {root}: run `prlore ingest github OWNER/NAME` first")
    told = []
    with Store.create(uri, created_by()) as store:
        for name in names:
            with open_ledger(root, name, create=False) as ledger:
                seen = ledger.rebuild(all_rows(ledger))
                with progress_bar(name) as show:
                    written = write_ledger(store, ledger, partial(show, "pull requests"))
                told.append(report.Replayed(name, seen, written))
    click.echo(json.dumps([report.replay_json(r) for r in told]) if as_json else "\n".join(report.replay_text(r) for r in told))  # fmt: skip


@contextmanager
def open_client(api_url: str, max_requests: int | None) -> Iterator[Client]:
    """A client for one command; PyGithub is imported here and not before."""
    from ingest.github.client import Client
    from ingest.github.pace import Pace
    from ingest.github.tokens import find_token

    def say(text: str) -> None:
        click.echo(f"prlore: {text}", err=True)

    with Client(find_token(api_url), api_url, Pace(most_requests=max_requests, say=say)) as client:
        yield client


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal: told (what, done, of how many; 0 when unknown)."""
    from tqdm import tqdm

    with tqdm(total=None, disable=not is_terminal(), dynamic_ncols=True, desc=title) as bar:
        current = ""

        def show(stream: str, done: int, total: int) -> None:
            nonlocal current
            if stream != current:
                current = stream
                bar.set_description(f"{title}: {stream}")
                bar.reset()
            bar.total = total or None
            bar.update(done - bar.n)

        yield show
