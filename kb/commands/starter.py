"""`prlore starter`: keeping the embedded cards true."""

from __future__ import annotations

from pathlib import Path

import click

from kb.commands.options import UsageProblem, parse_repo


@click.group()
def starter() -> None:
    """Keep the embedded cards in data/cards true."""


@starter.command("facts")
@click.option(
    "--git",
    "histories",
    multiple=True,
    required=True,
    metavar="REPO=PATH",
    help="A clone for each repository: sglang=PATH.",
)
def facts(histories: tuple[str, ...]) -> None:
    """Read the pull requests of all embedded cards from clones and rewrite data/cards/facts.jsonl."""
    from kb.starter_facts import write_facts

    clones = {}
    for pair in histories:
        name, _, path = pair.partition("=")
        if not path:
            raise UsageProblem(f"--git {pair!r} lacks a path: write it as sglang=PATH")
        clones[parse_repo(name)] = Path(path).expanduser()
    report = write_facts(clones)
    click.echo(f"facts of {report.written} cards written")
    for line in (
        *(f"not in its history: {i}" for i in report.not_found),
        *(f"anchor does not hold: {i}" for i in report.broken_anchors),
    ):
        click.echo(line)
    if report.not_found or report.broken_anchors:
        raise UsageProblem(
            "some embedded cards do not agree with the history: mend the lines above in data/cards"
        )


@starter.command("check")
def check() -> None:
    """Check all embedded cards against the gate."""
    from kb.gate import check_starter

    defects = check_starter()
    for defect in defects:
        click.echo(f"{defect.card}: {defect.what}")
    if defects:
        raise UsageProblem(f"{len(defects)} defects in data/cards: mend the lines above")
    click.echo("all embedded cards pass")
