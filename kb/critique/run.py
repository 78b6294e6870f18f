"""A critique from end to end: understand the patch, sweep what bears on it, draft, check, choose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from kb.critique.calls import flows
from kb.critique.chart import Chart, charts
from kb.critique.comprehension import statements
from kb.critique.drafts import Case, Checkout
from kb.critique.findings import CONCERNS, SEVERITIES, Finding, Record, Refusal, Standing
from kb.critique.gaps import Gap, gaps, questions, residual
from kb.critique.history import read_history
from kb.critique.patch import Patch
from kb.critique.ranking import Spot, best_spots, rank
from kb.critique.rules_facts import claim_without_numbers, flag_without_docs, shared_file, untested_change
from kb.critique.rules_history import fixed_before, restored_lines, undone_fixes
from kb.critique.rules_threads import asked_before
from kb.critique.sweep import Sweep, sweep_precedents
from kb.critique.verify import Verifier
from kb.families import Families
from kb.store import Store

MOST_FINDINGS = 5
_PATH = re.compile(r"`([^`\s]+/[^`\s]+\.\w+)`")
_DRAFTS = 40  # that are checked, the strongest
RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    undone_fixes, restored_lines, fixed_before, asked_before, claim_without_numbers, flag_without_docs, shared_file, untested_change,
)  # fmt: skip


Wordings = Callable[[Case, Verifier, list[Finding]], tuple[list[Finding], list[Refusal]]]


class Critique(Record, frozen=True, kw_only=True):
    """Everything a report prints, in its order."""

    subject: str
    repo: str
    title: str
    head: str
    as_of: str
    comprehension: tuple[str, ...]
    charts: tuple[Chart, ...]
    sweep: Sweep
    findings: tuple[Finding, ...]
    focus: tuple[Spot, ...]
    questions: tuple[str, ...]
    gaps: tuple[Gap, ...]
    residual: str
    refused: tuple[Refusal, ...] = ()
    left_out: int = 0
    standing: Standing = "unverified"
    worded_by: str = ""


def review_patch(
    store: Store, patch: Patch, families: Families, most: int = MOST_FINDINGS, wording: Wordings | None = None,
    checkout: Checkout | None = None,
) -> Critique:  # fmt: skip
    """Review a patch against a knowledge base. The same patch and store give the same critique.

    Args:
        store: the knowledge base.
        patch: what is reviewed.
        families: the table of families.
        most: findings at most.
        wording: as of `critique_of`.
        checkout: where what is said beyond the diff is looked up.
    """
    return critique_of(build_case(store, patch, families, checkout), most, wording)


def critique_of(case: Case, most: int = MOST_FINDINGS, wording: Wordings | None = None) -> Critique:
    """The critique of a case whose history was read.

    Args:
        case: the patch and what bears on it.
        most: findings at most.
        wording: gives the chosen findings other words and order; what it gives back has passed the same checks.
    """
    patch = case.patch
    verifier = Verifier(case.store, patch, case.history)
    kept, refused = verifier.check(strongest(drafts(case)))
    chosen = choose(kept)
    if wording is not None:
        chosen, more = wording(case, verifier, chosen)
        refused += more
    spots = best_spots(case.ranked.spots)
    flow = flows(patch)
    findings = [_standing(case, f) for f in chosen[:most]]
    return Critique(
        subject=patch.subject, repo=patch.repo, title=patch.title, head=patch.head, as_of=patch.as_of,
        comprehension=tuple(statements(patch, flow)), charts=tuple(charts(flow)), sweep=case.swept.sweep,
        findings=tuple(findings), focus=spots, questions=tuple(questions(case)), gaps=tuple(gaps(case)),
        residual=residual(case, findings, spots), refused=tuple(refused), left_out=len(chosen) - len(findings),
        standing=_whole_standing(case),
    )  # fmt: skip


def _standing(case: Case, finding: Finding) -> Finding:
    """The finding with how far it was looked up: within the diff, in a checkout, or naming files nobody looked at."""
    own = {n for f in case.patch.files for n in f.names}
    named = {n for text in (finding.failure, finding.check) for n in _PATH.findall(text)} - own
    if not named:
        return finding
    seen = case.checkout is not None and all(case.checkout.tree.has(n) for n in named)
    return msgspec.structs.replace(finding, standing="checkout" if seen else "unverified")


def _whole_standing(case: Case) -> Standing:
    if case.checkout is None:
        return "unverified"
    return "checkout" if not case.checkout.strangers else "diff"


def build_case(store: Store, patch: Patch, families: Families, checkout: Checkout | None = None) -> Case:
    """All that bears on a patch."""
    history = read_history(store, patch)
    swept = sweep_precedents(store, patch, history, families)
    newest = max((p.merged_at for p in history.pulls.values()), default="")
    # ages count from the patch's moment or the newest card: the clock would make two runs differ
    now = patch.as_of or newest or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Case(store, patch, history, swept, now, families, rank(now, patch, history), checkout)


def chosen_findings(case: Case) -> list[Finding]:
    """All findings of a case that hold, before any is left out."""
    return choose(Verifier(case.store, case.patch, case.history).check(strongest(drafts(case)))[0])


def drafts(case: Case) -> list[Finding]:
    """What the rules draft, in their order."""
    return [finding for rule in RULES for finding in rule(case)]


def strongest(found: Iterable[Finding]) -> list[Finding]:
    """The drafts worth checking."""
    return sorted(found, key=_order)[:_DRAFTS]


def choose(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a hunk and one a precedent, worst first."""
    chosen: list[Finding] = []
    hunks: set[tuple[str, str]] = set()
    cited: set[str] = set()
    for finding in sorted(findings, key=_order):
        hunk = (finding.place.path, finding.place.hunk)
        first = (finding.pulls[0].id if finding.pulls else "") or finding.threads[0].id
        if hunk in hunks or first in cited:
            continue
        hunks.add(hunk)
        cited.add(first)
        chosen.append(finding)
    return chosen


def _order(finding: Finding) -> tuple[int, float, int, str, int, str]:
    place = finding.place
    return (
        SEVERITIES.index(finding.severity), -finding.score, CONCERNS.index(finding.concern), place.path, place.start, finding.rule,
    )  # fmt: skip
