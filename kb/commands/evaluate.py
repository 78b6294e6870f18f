"""`prlore eval`: scores against judged questions."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kb.commands.options import json_option, kb_option, open_store


@click.group("eval")
def evaluate() -> None:
    """Score retrieval against judged questions."""


@evaluate.command("retrieval")
@click.argument("queries", metavar="QUERIES.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--with-family",
    is_flag=True,
    help="Apply the questions' model filter as well as their repository filter.",
)
@click.option("--per-query", is_flag=True, help="Also print every question's ranking.")
@kb_option
@json_option
def retrieval(queries: Path, with_family: bool, per_query: bool, kb: str | None, as_json: bool) -> None:
    """Ask every question of a file and print recall, MRR, nDCG, abstention and latency."""
    from kb.evaluate import evaluate as score_all
    from kb.evaluate import read_queries
    from kb.families import load_families
    from kb.reports import evaluation as report
    from kb.search import Searcher

    judged = read_queries(queries)
    families = load_families()
    found = score_all(Searcher(open_store(kb), families), judged, families, use_family=with_family)
    if as_json:
        click.echo(json.dumps(report.evaluation_json(found, per_query=per_query)))
    else:
        click.echo(report.evaluation_text(found, per_query=per_query))
