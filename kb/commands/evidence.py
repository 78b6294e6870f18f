"""`prlore evidence`: what the knowledge base holds on a bottleneck."""

from __future__ import annotations

import click

from kb.commands.options import (
    UsageProblem,
    complete_family,
    complete_repo,
    json_option,
    kb_option,
    open_store,
    parse_repo,
)


@click.command("evidence")
@click.option("--kernel", default="", metavar="NAME", help="Kernel, as a profiler prints it.")
@click.option("--path", default="", metavar="FILE[:FUNC]", help="Source file, and the function in it.")
@click.option("--stage", type=click.Choice(["prefill", "decode"]), help="Where it takes the time.")
@click.option(
    "--family", shell_complete=complete_family, metavar="NAME", help="A model family or a group of them."
)
@click.option(
    "--engine", shell_complete=complete_repo, metavar="ENGINE", help="sglang, vllm, trtllm, or owner/name."
)
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="Cards at most.")
@kb_option
@json_option
def evidence(
    kernel: str, path: str, stage: str | None, family: str | None, engine: str | None, limit: int, kb: str | None, as_json: bool
) -> None:  # fmt: skip
    """Find the changes that bear on a kernel or a place in the code, what became of them, and their like in other engines."""
    if not kernel.strip() and not path.strip():
        raise UsageProblem("name what takes the time: --kernel NAME, --path FILE[:FUNC], or both")
    import msgspec

    from kb.evidence import Bottleneck, evidence_for
    from kb.families import load_families
    from kb.reports.evidence import evidence_text
    from kb.reports.paint import painted
    from kb.reports.safe import escaped
    from kb.search import Searcher

    families = load_families()
    store = open_store(kb)
    bottleneck = Bottleneck(
        kernel=kernel.strip(), path=path.strip(), stage=stage or "", family=family or "", engine=parse_repo(engine) if engine else "",
    )  # fmt: skip
    slugs = families.resolve(family) if family else ()
    found = evidence_for(Searcher(store, families), store, bottleneck, slugs, limit)
    click.echo(escaped(msgspec.json.encode(found).decode()) if as_json else painted(evidence_text(found)))
