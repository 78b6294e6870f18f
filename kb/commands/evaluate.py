"""`prlore eval`: scores against judged questions, and of reviews against what became of merged pull requests."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kb.commands.options import is_terminal, json_option, kb_option, open_store, parse_date, parse_repo


@click.group("eval")
def evaluate() -> None:
    """Score retrieval and reviews."""


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
    from tqdm import tqdm

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
    asked = len(judged) * len(rankers)
    with tqdm(total=asked, unit=" question", disable=not is_terminal(), dynamic_ncols=True) as bar:
        first, *rest = [
            score_all(r, judged, families, use_family=with_family, progress=bar.update) for r in rankers
        ]
    versus = report.Against(rest[0], intervals(rest[0]), compare(first, rest[0])) if rest else None
    if as_json:
        found = report.evaluation_json(first, intervals(first), versus, per_query=per_query)
        click.echo(json.dumps(found))
    else:
        click.echo(report.evaluation_text(first, intervals(first), versus, per_query=per_query))


@evaluate.command("review-cases")
@click.argument("out", metavar="CASES.jsonl", type=click.Path(path_type=Path))
@click.option("--repo", metavar="REPO", required=True, help="sglang, vllm, trtllm, or owner/name.")
@click.option("--after", metavar="DATE", help="Only what was merged on this day or later.")
@click.option("--before", metavar="DATE", help="Only what was merged before this day.")
@click.option("--files", type=click.IntRange(min=1), default=4, show_default=True, help="Files that a mended one has at least: in fewer there is nothing to rank.")  # fmt: skip
@click.option("--mended", "most_mended", type=click.IntRange(min=0), default=200, show_default=True, help="Mended ones, spread evenly over the time.")  # fmt: skip
@click.option("--clean", "most_clean", type=click.IntRange(min=0), default=100, show_default=True, help="Clean ones, spread evenly over the time.")  # fmt: skip
@kb_option
def review_cases(
    out: Path, repo: str, after: str | None, before: str | None, files: int, most_mended: int, most_clean: int, kb: str | None
) -> None:  # fmt: skip
    """Replay a history and write which merged pull requests a later one had to mend within 60 days, and where."""
    from kb.critique.evaluate import write_cases
    from kb.critique.truth import chosen, find_cases

    start, end = parse_date(after, "--after"), parse_date(before, "--before")
    found = [
        c
        for c in find_cases(open_store(kb), parse_repo(repo))
        if start <= c.merged_at and (not end or c.merged_at < end)
    ]
    cases = chosen(found, files, most_mended, most_clean)
    write_cases(out, cases)
    mended = sum(bool(c.mended) for c in cases)
    click.echo(
        f"{len(found)} merged pull requests with a known fate; wrote {mended} mended and {len(cases) - mended} clean ones to {out}"
    )


@evaluate.command("review")
@click.argument("cases", metavar="CASES.jsonl", type=click.Path(path_type=Path))
@click.option("--per-case", is_flag=True, help="With --json: also every case's scores.")
@kb_option
@json_option
def review(cases: Path, per_case: bool, kb: str | None, as_json: bool) -> None:
    """Review merged pull requests as of their merge and score that against what had to be mended, beside baselines."""
    from kb.commands.ingest_github import progress_bar
    from kb.critique.evaluate import evaluate as score_all
    from kb.critique.evaluate import read_cases
    from kb.families import load_families
    from kb.reports import critique_evaluation as report

    listed = read_cases(cases)
    with progress_bar("review") as show:
        done = 0

        def tell(n: int) -> None:
            nonlocal done
            done += n
            show("pull requests", done, len(listed))

        found = score_all(open_store(kb), listed, load_families(), tell)
    if as_json:
        click.echo(json.dumps(report.evaluation_json(found, per_case=per_case)))
    else:
        click.echo(report.evaluation_text(found))
