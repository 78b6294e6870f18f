"""`prlore query`: from a question to cards."""

from __future__ import annotations

import difflib
import time

import click

from kb.commands.options import (
    UsageProblem,
    complete_family,
    complete_repo,
    json_option,
    kb_option,
    open_store,
    parse_date,
    parse_repo,
)

_KINDS = ("feature", "perf", "fix", "refactor", "model", "test", "docs", "ci", "build", "revert", "other")


# a server flag is a question too: what looks like an option and is none of ours becomes part of TEXT
@click.command("query", context_settings={"ignore_unknown_options": True})
@click.argument("text", nargs=-1, required=True)
@click.option(
    "--repo", shell_complete=complete_repo, metavar="REPO", help="sglang, vllm, trtllm, or owner/name."
)
@click.option(
    "--family", shell_complete=complete_family, metavar="NAME", help="A model family or a group of them."
)
@click.option("--path", metavar="PART", help="Part of a changed path; * stands for anything.")
@click.option("--symbol", metavar="PART", help="Part of a symbol, flag or variable name.")
@click.option("--kind", type=click.Choice(_KINDS), help="Kind of change.")
@click.option("--after", metavar="DATE", help="Merged on this day or later.")
@click.option("--before", metavar="DATE", help="Merged before this day.")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="Hits at most.")
@click.option("--threads", is_flag=True, help="Search review threads in place of pull requests.")
@click.option("--explain", is_flag=True, help="Print what each signal gave.")
@kb_option
@json_option
def query(
    text: tuple[str, ...], repo: str | None, family: str | None, path: str | None, symbol: str | None,
    kind: str | None, after: str | None, before: str | None, limit: int, threads: bool, explain: bool, kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Find the pull requests that bear on TEXT.

    TEXT may name pull requests (#18856, sglang#23454, URLs), paths, symbols, flags, kernels and model families.
    """
    started = time.perf_counter()
    question = " ".join(text).strip()
    _refuse_mistyped(text)
    if not question:
        raise UsageProblem("the question is empty: say what to look for")
    if threads:
        if kind:
            raise UsageProblem("--kind is of pull requests: leave it out with --threads")
        _query_threads(question, started, repo, family, path, symbol, after, before, limit, kb, as_json)
        return
    from kb.families import load_families
    from kb.filters import Filter
    from kb.reports import answers as report
    from kb.reports.paint import painted
    from kb.reports.safe import json_line
    from kb.search import Searcher

    families = load_families()
    where = Filter(
        repos=(parse_repo(repo),) if repo else (),
        families=families.resolve(family) if family else (),
        kinds=(kind,) if kind else (),
        paths=(path,) if path else (),
        symbols=(symbol,) if symbol else (),
        after=parse_date(after, "--after"),
        before=parse_date(before, "--before"),
    )
    answer = Searcher(open_store(kb), families).search(question, where, limit)
    elapsed = (time.perf_counter() - started) * 1000
    if as_json:
        click.echo(json_line(report.answer_json(answer, elapsed)))
    else:
        click.echo(painted(report.answer_text(answer, explain=explain)))


def _query_threads(
    question: str, started: float, repo: str | None, family: str | None, path: str | None, symbol: str | None,
    after: str | None, before: str | None, limit: int, kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    from kb.families import load_families
    from kb.filters import ThreadFilter
    from kb.reports import threads as report
    from kb.reports.paint import painted
    from kb.reports.safe import json_line
    from kb.threads.search import search_threads

    families = load_families()
    where = ThreadFilter(
        repos=(parse_repo(repo),) if repo else (),
        families=families.resolve(family) if family else (),
        paths=(path,) if path else (),
        symbols=(symbol,) if symbol else (),
        after=parse_date(after, "--after"),
        before=parse_date(before, "--before"),
        by_people=True,
    )
    answer = search_threads(open_store(kb), question, families, where, limit)
    elapsed = (time.perf_counter() - started) * 1000
    if as_json:
        click.echo(json_line(report.answer_json(answer, elapsed)))
    else:
        click.echo(painted(report.answer_text(answer)))


def _refuse_mistyped(text: tuple[str, ...]) -> None:
    """A word that is nearly one of our options was meant as one."""
    known = [o for p in query.params if isinstance(p, click.Option) for o in p.opts]
    for word in text:
        near = (
            difflib.get_close_matches(word.split("=")[0], known, n=1, cutoff=0.8)
            if word.startswith("--")
            else []
        )
        if near and word not in known:
            raise UsageProblem(
                f"no option {word!r}: did you mean {near[0]}? A flag as a question goes behind --"
            )
