"""`prlore where`: the source map of an engine at a revision."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import click

from kb.commands.options import UsageProblem, checkout_options, kb_option, open_store


@click.command("where")
@click.argument("question", required=False)
@click.option(
    "--engine", type=click.Choice(["sglang", "vllm", "trtllm"]), default="sglang", show_default=True,
    help="Whose tree.",
)  # fmt: skip
@checkout_options
@click.option("--list", "as_list", is_flag=True, help="List the topics and tasks of the map.")
@click.option(
    "--format", "form", type=click.Choice(["text", "md", "json"]), default="text", show_default=True,
    help="For a terminal, Markdown, or JSON.",
)  # fmt: skip
@kb_option
def where(
    question: str | None, engine: str, checkout: Path | None, rev: str, as_list: bool, form: str, kb: str | None
) -> None:  # fmt: skip
    """Say where something is in an engine: a topic, a task, a name, or a path of any revision.

    Reads the clone named with --checkout, else the one last read, else what the cards say of the files.
    """
    from kb.references import ENGINES
    from kb.reports import where as report
    from kb.sourcemap.resolve import ask
    from kb.sourcemap.topics import SourceMap
    from kb.trees.choose import choose_tree

    source_map = SourceMap(engine)
    if as_list:
        click.echo(report.topics_text(source_map))
        return
    if not (question or "").strip():
        raise UsageProblem("nothing to look for: name a topic, a task, a name or a path; --list lists topics")
    with choose_tree(ENGINES[engine], checkout, rev, lambda: open_store(kb)) as tree:
        answer = ask(source_map, tree, question or "")
        if form == "json":
            click.echo(json.dumps(report.where_json(answer)))
        elif not answer.answered:
            near = difflib.get_close_matches((question or "").lower(), source_map.phrases, n=3, cutoff=0.4)
            hint = f"; nearest: {', '.join(near)}" if near else "; `prlore where --list` lists the topics"
            raise UsageProblem(f"nothing for {question!r} in {tree.says}{hint}")
        else:
            click.echo(report.where_text(answer) if form == "text" else report.where_markdown(answer))
