"""`prlore families`: what the family table covers, and what it does not."""

from __future__ import annotations

import json

import click

from kb.commands.options import complete_repo, json_option, kb_option, open_store, parse_repo


@click.command("families")
@click.argument("name", required=False)
@click.option("--unmatched", is_flag=True, help="List model files that no family covers.")
@click.option("--repo", shell_complete=complete_repo, metavar="REPO", help="Only this repository.")
@kb_option
@json_option
def families(name: str | None, unmatched: bool, repo: str | None, kb: str | None, as_json: bool) -> None:
    """List model families with their cards, or say what family NAME covers.

    `prlore family NAME` writes what its pull requests taught.
    """
    from kb.family_views import family_counts, family_view, unmatched_files
    from kb.reports import families as report

    store = open_store(kb)
    wanted = parse_repo(repo)
    if unmatched:
        files = unmatched_files(store, wanted)
        click.echo(
            json.dumps([{"repo": f.repo, "path": f.path, "cards": f.cards} for f in files])
            if as_json
            else report.unmatched_text(files)
        )
    elif name:
        view = family_view(store, name, wanted)
        click.echo(json.dumps(report.family_json(view)) if as_json else report.family_text(view))
    else:
        counts = family_counts(store, wanted)
        click.echo(
            json.dumps([{"slug": c.slug, "name": c.name, "cards": c.cards} for c in counts])
            if as_json
            else report.families_text(counts)
        )
