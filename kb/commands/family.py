"""`prlore family`: the manual of a model family in one engine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kb.commands.options import UsageProblem, checkout_options, kb_option, open_store


@click.command("family")
@click.argument("name")
@click.option(
    "--engine", type=click.Choice(["sglang", "vllm", "trtllm"]), default="sglang", show_default=True,
    help="In which engine.",
)  # fmt: skip
@checkout_options
@click.option(
    "--format", "form", type=click.Choice(["md", "json", "skill"]), default="md", show_default=True,
    help="Markdown, JSON, or a folder that coding agents install as a skill.",
)  # fmt: skip
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Where the skill folder or the manual is written."
)  # fmt: skip
@kb_option
def family(
    name: str, engine: str, checkout: Path | None, rev: str, form: str, out: Path | None, kb: str | None
) -> None:
    """Write the manual of a model family: what its pull requests changed, where, how to check it, what may break.

    Paths and symbols are looked up in the clone named with --checkout, else in the one last read, else in the cards.
    `prlore families` lists the families.
    """
    from kb.manuals.manual import held_evidence, write_manual
    from kb.references import ENGINES
    from kb.reports.manuals import manual_json, manual_markdown
    from kb.reports.skills import skill_name, write_skill
    from kb.trees.choose import choose_tree

    if form == "skill" and out is None:
        raise UsageProblem("--format skill needs --out: the folder that the skill folder is made in")
    store = open_store(kb)
    evidence = held_evidence(store, name, engine)
    with choose_tree(ENGINES[engine], checkout, rev, lambda: store, evidence.indexed) as tree:
        manual = write_manual(store, evidence, tree)
    if form == "skill" and out is not None:
        click.echo(f"skill {skill_name(manual)} written: {write_skill(manual, out)}")
        return
    text = json.dumps(manual_json(manual)) + "\n" if form == "json" else manual_markdown(manual)
    if out is None:
        click.echo(text, nl=False)
        return
    target = out / f"{skill_name(manual)}.{form}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageProblem(f"can't write {target}: {exc.strerror}") from exc
    click.echo(f"manual written: {target}")
