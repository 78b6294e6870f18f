"""`prlore review`: what the knowledge base says of a patch."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kb.commands.ingest_github import api_option, open_client
from kb.commands.options import UsageProblem, kb_option, open_store, parse_date, parse_repo

if TYPE_CHECKING:
    from ingest.github.client import Client
    from kb.critique.drafts import Case, Checkout
    from kb.critique.findings import Finding, Refusal
    from kb.critique.github import FetchedPull
    from kb.critique.patch import Patch
    from kb.critique.run import Critique, Wordings
    from kb.critique.verify import Verifier
    from kb.families import Families
    from kb.store import Store

_LEVELS = ("blocking", "major", "minor", "nit")


@click.command("review")
@click.argument("patch", required=False, type=click.Path(path_type=Path))
@click.option("--rev", metavar="A..B", default="", help="A range of commits of --checkout, or one commit.")
@click.option("--card", metavar="OWNER/NAME#N", default="", help="A merged pull request of the knowledge base, judged as of its merge.")  # fmt: skip
@click.option("--pr", metavar="OWNER/NAME#N", default="", help="A pull request on GitHub; needs a token.")
@click.option(
    "--post", is_flag=True, help="With --pr: show the review that would be posted there; see --yes."
)
@click.option("--yes", is_flag=True, help="With --post: post it, as one comment review.")
@click.option("--from", "artifact", metavar="FILE", type=click.Path(path_type=Path), help="With --pr: a review made elsewhere with --format json; what does not hold here is dropped.")  # fmt: skip
@click.option("--head", metavar="SHA", default="", help="With --pr: refuse unless this is its newest commit.")
@click.option(
    "--repo", metavar="REPO", help="sglang, vllm, trtllm, or owner/name. [default: whose files these are]"
)
@click.option("--checkout", metavar="DIR", type=click.Path(path_type=Path), help="A clone in which the change is applied or applies; what is said beyond the diff is looked up there.")  # fmt: skip
@click.option("--as-of", metavar="DATE", help="Only what was merged or said before counts.")
@click.option("--format", "form", type=click.Choice(["text", "md", "json", "sarif", "rdjson", "html"]), default="text", show_default=True, help="How to print it.")  # fmt: skip
@click.option(
    "--max-findings", type=click.IntRange(0, 50), default=5, show_default=True, help="Findings at most."
)
@click.option(
    "--fail-on", type=click.Choice(_LEVELS), help="Exit with status 1 when a finding is at least this severe."
)
@click.option(
    "--llm",
    is_flag=True,
    help="Let the model of PRLORE_LLM_BASE_URL word and order the findings, within the same checks.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --llm: never use more tokens than this.",
)
@click.option(
    "--max-usd",
    type=click.FloatRange(min=0),
    metavar="USD",
    help="With --llm: never spend more; needs PRLORE_LLM_PRICE.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --llm: where answers are kept, so that nothing is asked twice. [default: the user state folder]",
)
@api_option
@kb_option
def review(
    patch: Path | None, rev: str, card: str, pr: str, post: bool, yes: bool, artifact: Path | None, head: str, repo: str | None, checkout: Path | None,
    as_of: str | None, form: str, max_findings: int, fail_on: str | None, llm: bool, max_tokens: int | None,
    max_usd: float | None, journal: Path | None, api_url: str, kb: str | None,
) -> int:  # fmt: skip
    """Review a change: what it does, what happened in these places before, and findings that each cite a precedent.

    PATCH is what `git diff` or `git format-patch` prints, - for standard input. Needs no model and no network, but for
    --pr. --post shows what would be posted, and sends it only with --yes: comments, never an approval.
    """
    from kb.critique.artifact import checked_artifact, read_artifact
    from kb.critique.run import build_case, review_patch
    from kb.families import load_families

    if sum(map(bool, (patch, rev, card, pr))) != 1:
        raise UsageProblem(
            "name one change: a patch file, - for standard input, --rev A..B, --card or --pr OWNER/NAME#N"
        )
    if ((post or artifact or head) and not pr) or (yes and not post):
        raise UsageProblem("--post, --from and --head go with --pr, and --yes with --post")
    families = load_families()
    store = open_store(kb)
    named = _Named(patch, rev, card, pr, parse_repo(repo), checkout, parse_date(as_of, "--as-of"), api_url)
    with contextlib.ExitStack() as stack:
        opened = _open(stack, store, families, named)
        wording = _wording(stack, store, journal, max_tokens, max_usd) if llm else None
        if head and opened.patch.head != head:
            raise UsageProblem(f"{pr} is at {opened.patch.head[:12]}, not at {head[:12]}: review it anew")
        if artifact:
            found = checked_artifact(
                build_case(store, opened.patch, families, opened.checkout),
                read_artifact(artifact),
                max_findings,
            )
        else:
            found = review_patch(store, opened.patch, families, max_findings, wording, opened.checkout)
        if post and opened.client is not None and opened.pull is not None:
            click.echo(_post(opened.client, opened.pull, found, yes))
            return _status(found, fail_on)
    click.echo(_printed(found, form), nl=False)
    return _status(found, fail_on)


def _wording(
    stack: contextlib.ExitStack,
    store: Store,
    journal: Path | None,
    max_tokens: int | None,
    max_usd: float | None,
) -> Wordings:
    """A model that words findings. Where it gives no answer the rules' own words stay, and a line says so."""
    from kb.commands.card import journal_of
    from kb.critique.model import Wording
    from kb.llm.budget import Budget, BudgetSpent
    from kb.llm.client import ChatClient, LlmError, LlmRefused
    from kb.llm.journal import Journal
    from kb.llm.settings import settings_from

    settings = settings_from()
    client = stack.enter_context(ChatClient(settings, Budget(max_tokens, max_usd, settings.price)))
    kept = Journal(journal or journal_of(store.uri))

    def word(case: Case, verifier: Verifier, found: list[Finding]) -> tuple[list[Finding], list[Refusal]]:
        try:
            said = Wording(client, kept, case, verifier).word(found)
        except LlmRefused:
            raise
        except (LlmError, BudgetSpent) as exc:
            click.echo(f"prlore: findings stay in the rules' words: {exc}", err=True)
            return found, []
        return said.findings, said.refused

    return word


@dataclass(frozen=True, slots=True)
class _Named:
    """What the command line names."""

    patch: Path | None
    rev: str
    card: str
    pr: str
    repo: str
    checkout: Path | None
    as_of: str
    api_url: str


@dataclass(frozen=True, slots=True)
class _Opened:
    """The patch that was named, the clone to look things up in, and with --pr the way to GitHub."""

    patch: Patch
    checkout: Checkout | None = None
    client: Client | None = None
    pull: FetchedPull | None = None


def _open(stack: contextlib.ExitStack, store: Store, families: Families, named: _Named) -> _Opened:
    from ingest.git import open_repository
    from ingest.trees import read_tree
    from kb.critique import opening
    from kb.critique.drafts import Checkout

    client, pull = None, None
    if named.rev:
        repository = stack.enter_context(open_repository(named.checkout or Path()))
        made = opening.from_range(repository, named.rev, store, families, named.repo, named.as_of)
        return _Opened(made, Checkout(read_tree(repository, made.head), is_after=True))
    if named.pr:
        client = stack.enter_context(open_client(named.api_url, None))
        pull = _fetch(client, named, families)
        made, files = pull.patch, list(pull.files)
    elif named.card:
        made = opening.from_card(store, named.card)
        files = opening.patched_files(made)
    else:
        assert named.patch is not None
        made = opening.from_file(named.patch, store, families, named.repo, named.as_of)
        files = opening.patched_files(made)
    if named.checkout is None:
        return _Opened(made, None, client, pull)
    tree = stack.enter_context(opening.checkout_tree(named.checkout))
    made, checkout = opening.in_checkout(made, files, tree, families)
    return _Opened(made, checkout, client, pull)


def _fetch(client: Client, named: _Named, families: Families) -> FetchedPull:
    from kb.critique.github import fetch_pull
    from kb.references import parse_card_id

    reference = parse_card_id(named.pr)
    repo = (reference.repo if reference else "") or named.repo
    if reference is None or not repo:
        raise UsageProblem(f"{named.pr!r} names no pull request: write OWNER/NAME#N")
    return fetch_pull(client, repo, reference.number, families, named.as_of)


def _post(client: Client, pull: FetchedPull, found: Critique, yes: bool) -> str:
    """Post a critique, or say what would be posted."""
    import json

    from kb.critique.github import payload, post, prepare
    from kb.reports.safe import plain

    review = prepare(client, pull, found)
    if review.is_empty:
        return f"Nothing to post on {pull.repo}#{pull.number}: {review.known} findings stand there already, none is new."
    if not yes:
        shown = json.dumps(payload(review), indent=2, ensure_ascii=False)
        return plain(
            f"Would post {len(review.comments)} comments on {pull.repo}#{pull.number} (add --yes to send it):\n{shown}"
        )
    return f"Posted {len(review.comments)} comments: {plain(post(client, review))}"


def _printed(found: Critique, form: str) -> str:
    from kb.reports import critique as report

    if form == "json":
        return report.critique_json(found) + "\n"
    if form in ("sarif", "rdjson"):
        from kb.reports.critique_machine import critique_rdjson, critique_sarif

        return (critique_sarif(found) if form == "sarif" else critique_rdjson(found)) + "\n"
    if form == "html":
        from kb.reports.critique_html import critique_html

        return critique_html(found)
    return report.critique_markdown(found) if form == "md" else report.critique_text(found)


def _status(found: Critique, fail_on: str | None) -> int:
    from kb.critique.findings import at_or_over

    return int(any(at_or_over(f.severity, fail_on) for f in found.findings)) if fail_on else 0  # type: ignore[arg-type]
