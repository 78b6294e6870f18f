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
@click.option("--ranking", metavar="NAME", default="ours", show_default=True,
              help="ours, no-rerank, light (no tuned vectors), bm25, fts, static, tuned (vectors alone), or rrf.")  # fmt: skip
@click.option("--without", metavar="SIGNAL", multiple=True,
              help="Take a signal's weight out of --ranking: a name of data/fusion.json, or a group: tuned, cosine, reranker, "
                   "aliases, coverage, fields, family, exact, size, age, kind. Repeatable.")  # fmt: skip
@click.option("--against", metavar="NAME", help="Compare with a second ranking, question by question.")
@click.option(
    "--with-family",
    is_flag=True,
    help="Apply the questions' model filter as well as their repository filter.",
)
@click.option("--per-query", is_flag=True, help="Also print every question's ranking.")
@kb_option
@json_option
def retrieval(
    queries: Path, ranking: str, without: tuple[str, ...], against: str | None, with_family: bool, per_query: bool,
    kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Ask every question of a file and print recall, MRR, nDCG, abstention and latency, with bootstrap intervals of 95%."""
    from kb.bootstrap import compare, intervals
    from kb.evaluate import evaluate as score_all
    from kb.evaluate import read_queries
    from kb.families import load_families
    from kb.rankings import Rankings
    from kb.reports import evaluation as report

    judged = read_queries(queries)
    families = load_families()
    rankings = Rankings(open_store(kb), families)
    rankers = [rankings.make(ranking, without), *([rankings.make(against)] if against else [])]
    first, *rest = [score_all(r, judged, families, use_family=with_family) for r in rankers]
    versus = report.Against(rest[0], intervals(rest[0]), compare(first, rest[0])) if rest else None
    if as_json:
        found = report.evaluation_json(first, intervals(first), versus, per_query=per_query)
        click.echo(json.dumps(found))
    else:
        click.echo(report.evaluation_text(first, intervals(first), versus, per_query=per_query))
