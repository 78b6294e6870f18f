"""`prlore watch`: what is open on a surface."""

from __future__ import annotations

import click

from kb.commands.ingest_github import api_option, open_client, progress_bar, requests_option
from kb.commands.options import complete_family, complete_repo, json_option, parse_repo


@click.command("watch")
@click.option("--repo", "repos", multiple=True, shell_complete=complete_repo, metavar="REPO", help="sglang, vllm, trtllm, or owner/name; may be repeated. [default: sglang and vllm]")  # fmt: skip
@click.option("--family", "family_names", multiple=True, shell_complete=complete_family, metavar="NAME", help="A model family or a group of them; may be repeated.")  # fmt: skip
@click.option(
    "--path", "paths", multiple=True, metavar="PART", help="Part of a path, or a glob; may be repeated."
)
@requests_option
@api_option
@json_option
def watch(
    repos: tuple[str, ...], family_names: tuple[str, ...], paths: tuple[str, ...], max_requests: int | None,
    api_url: str, as_json: bool,
) -> None:  # fmt: skip
    """List the open pull requests that touch a family's files or a path: all pages, not the first few.

    For each: what it would change, the state of its reviews, and which others change the same lines. Markdown, or
    JSON. Needs a token, as `prlore ingest github` does; ends with an error rather than with an empty report when
    nothing could be fetched.
    """
    from kb.families import load_families
    from kb.reports import watch as report
    from kb.reports.safe import json_line
    from kb.threads.build import our_bots
    from kb.watch import Surface
    from kb.watch import watch as look

    families = load_families()
    slugs = tuple(dict.fromkeys(s for name in family_names for s in families.resolve(name)))
    wanted = tuple(dict.fromkeys(parse_repo(r) for r in repos or ("sglang", "vllm")))
    with open_client(api_url, max_requests) as client, progress_bar("open") as show:
        found = look(client, wanted, Surface(slugs, paths), families, our_bots(), show)
    if as_json:
        click.echo(json_line(report.watch_json(found)))
    else:
        click.echo(report.watch_markdown(found))
    for problem in found.problems:
        click.echo(f"prlore: not fetched: {problem}", err=True)
