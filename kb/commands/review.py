"""`prlore review`: what the knowledge base says of a patch."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kb.commands.options import UsageProblem, kb_option, open_store, parse_date, parse_repo

if TYPE_CHECKING:
    from kb.critique.patch import Patch
    from kb.critique.run import Critique
    from kb.families import Families
    from kb.store import Store

_LEVELS = ("blocking", "major", "minor", "nit")


@click.command("review")
@click.argument("patch", required=False, type=click.Path(path_type=Path))
@click.option("--rev", metavar="A..B", default="", help="A range of commits of --checkout, or one commit.")
@click.option("--card", metavar="OWNER/NAME#N", default="", help="A merged pull request of the knowledge base, judged as of its merge.")  # fmt: skip
@click.option(
    "--repo", metavar="REPO", help="sglang, vllm, trtllm, or owner/name. [default: whose files these are]"
)
@click.option("--checkout", metavar="DIR", type=click.Path(path_type=Path), help="A clone in which the change is applied or applies; what is said beyond the diff is looked up there.")  # fmt: skip
@click.option("--as-of", metavar="DATE", help="Only what was merged or said before counts.")
@click.option("--format", "form", type=click.Choice(["text", "md", "json"]), default="text", show_default=True, help="How to print it.")  # fmt: skip
@click.option(
    "--max-findings", type=click.IntRange(0, 50), default=5, show_default=True, help="Findings at most."
)
@click.option(
    "--fail-on", type=click.Choice(_LEVELS), help="Exit with status 1 when a finding is at least this severe."
)
@kb_option
def review(
    patch: Path | None, rev: str, card: str, repo: str | None, checkout: Path | None, as_of: str | None, form: str,
    max_findings: int, fail_on: str | None, kb: str | None,
) -> int:  # fmt: skip
    """Review a change: what it does, what happened in these places before, and findings that each cite a precedent.

    PATCH is what `git diff` or `git format-patch` prints, - for standard input. Needs no model and no network.
    """
    from kb.critique.run import review_patch
    from kb.families import load_families

    if sum(map(bool, (patch, rev, card))) != 1:
        raise UsageProblem(
            "name one change: a patch file, - for standard input, --rev A..B, or --card OWNER/NAME#N"
        )
    families = load_families()
    store = open_store(kb)
    moment = parse_date(as_of, "--as-of")
    with contextlib.ExitStack() as stack:
        opened = _open(stack, store, families, patch, rev, card, parse_repo(repo), checkout, moment)
        found = review_patch(store, opened, families, max_findings)
    click.echo(_printed(found, form), nl=False)
    return _status(found, fail_on)


def _open(
    stack: contextlib.ExitStack, store: Store, families: Families, patch: Path | None, rev: str, card: str, repo: str,
    checkout: Path | None, as_of: str,
) -> Patch:  # fmt: skip
    """The patch that was named, with the texts of its files where a clone has them."""
    from ingest.git import open_repository
    from kb.critique import opening

    if rev:
        repository = stack.enter_context(open_repository(checkout or Path()))
        return opening.from_range(repository, rev, store, families, repo, as_of)
    if card:
        made = opening.from_card(store, card)
    else:
        assert patch is not None
        made = opening.from_file(patch, store, families, repo, as_of)
    if checkout is None:
        return made
    tree = stack.enter_context(opening.checkout_tree(checkout))
    return opening.in_checkout(made, opening.patched_files(made), tree, families)[0]


def _printed(found: Critique, form: str) -> str:
    from kb.reports import critique as report

    if form == "json":
        return report.critique_json(found) + "\n"
    return report.critique_markdown(found) if form == "md" else report.critique_text(found)


def _status(found: Critique, fail_on: str | None) -> int:
    from kb.critique.findings import at_or_over

    return int(any(at_or_over(f.severity, fail_on) for f in found.findings)) if fail_on else 0  # type: ignore[arg-type]
