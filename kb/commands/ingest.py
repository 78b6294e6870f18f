"""`prlore ingest`: pull requests into the knowledge base."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import click

from kb.commands.ingest_corpus import corpus
from kb.commands.ingest_github import github, replay
from kb.commands.options import UsageProblem, created_by, is_terminal, json_option, kb_option, parse_date


@click.group()
def ingest() -> None:
    """Read pull requests into the knowledge base."""


for _command in (github, replay, corpus):
    ingest.add_command(_command)


@ingest.command("git")
@click.argument("source", metavar="PATH_OR_URL")
@click.option(
    "--repo", required=True, metavar="OWNER/NAME", help="Whose pull request numbers the history carries."
)
@click.option("--rev", default="HEAD", show_default=True, help="Revision to walk.")
@click.option("--since", metavar="DATE", help="Only commits from this day on.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the newest N pull requests of the history.",
)
@click.option("--encoder", metavar="NAME", help="static (default), none, or a sentence-transformers model.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes. [default: one a core]"
)
@kb_option
@json_option
def git(
    source: str, repo: str, rev: str, since: str | None, limit: int | None, encoder: str | None,
    workers: int | None, kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Read the merged pull requests of a git history: a clone, a bare repository, or a URL.

    Reads only what the knowledge base does not hold yet. A run that was killed goes on where it stopped.
    """
    from tqdm import tqdm

    from ingest.git import open_repository
    from kb.build import Options, build
    from kb.encoders.load import load_encoder
    from kb.location import default_uri
    from kb.reports import build as report
    from kb.store import Store

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UsageProblem(
            f"--repo {repo!r} is no repository name: write it as owner/name, sgl-project/sglang"
        )
    options = Options(repo, rev, parse_date(since, "--since"), limit or 0, encoder, workers)
    path = _local(source)
    with open_repository(path) as repository:
        if encoder:
            load_encoder(encoder)  # as must an encoder that can't be had
        repository.resolve(rev)  # a mistyped revision must not leave an empty store behind
        with (
            Store.create(kb or default_uri(), created_by()) as store,
            tqdm(total=None, unit=" PR", disable=not is_terminal(), dynamic_ncols=True, desc=repo) as bar,
        ):

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            result = build(store, repository, options, progress)
    click.echo(json.dumps(report.build_json(result)) if as_json else report.build_text(result, store.uri))


@ingest.command("starter")
@kb_option
@json_option
def starter(kb: str | None, as_json: bool) -> None:
    """Put the embedded cards of data/cards into the knowledge base."""
    from kb.location import default_uri
    from kb.starter_build import add_starter
    from kb.store import Store

    with Store.create(kb or default_uri(), created_by()) as store:
        result = add_starter(store)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(result), "kb": store.uri}))
    else:
        click.echo(
            f"{result.added} embedded cards added, {result.joined} joined to cards of a history, "
            f"{result.held} held before: {store.uri}"
        )


@ingest.command("dossier")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@kb_option
@json_option
def dossier(folder: Path, kb: str | None, as_json: bool) -> None:
    """Read other people's Markdown dossiers below a folder as `imported` cards.

    They never replace a card of a history, and a history that is read later replaces them. Templates, licence lines
    and dangling headers are left behind; a block that has nothing else is refused.
    """
    from kb.build import ensure_encoder
    from kb.commands.card import print_accepted
    from kb.dossier.accept import accept
    from kb.dossier.peer import read_dossiers
    from kb.families import load_families
    from kb.location import default_uri
    from kb.store import Store

    found = read_dossiers(folder, load_families())
    with Store.create(kb or default_uri(), created_by()) as store:
        ensure_encoder(store, None)
        result = accept(store, list(found.cards.values()))
    result.refused.update({card_id: [why] for card_id, why in found.refused.items()})
    print_accepted(result, as_json=as_json)
    if not as_json and found.left:
        left = ", ".join(f"{count} x {what}" for what, count in found.left.most_common())
        click.echo(f"left behind in {found.documents} documents: {left}")


def _local(source: str) -> Path:
    """The folder of a source; a URL is mirrored in the user cache folder."""
    from ingest.git import is_url, mirror

    if not is_url(source):
        return Path(source).expanduser()
    import platformdirs

    name = re.sub(r"[^\w.-]+", "-", source.split("://")[-1]).strip("-")[-80:]
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    folder = Path(platformdirs.user_cache_dir("prlore", appauthor=False)) / "mirrors" / f"{name}-{digest}.git"
    click.echo(f"fetching {source}", err=True)
    mirror(source, folder)
    return folder
