"""What a sync, a replay, an import or a forgetting did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kb.reports.safe import one_line

if TYPE_CHECKING:
    from ingest.github.pace import Counts
    from ingest.github.plan import Plan
    from ingest.github.sync import SyncReport
    from kb.threads.build import Written


@dataclass(frozen=True, slots=True)
class Synced:
    """A sync: what was fetched, what was written, what it cost."""

    found: SyncReport
    written: Written
    counts: Counts
    remaining: Mapping[str, int]
    uri: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay of one repository."""

    repo: str
    pages: int
    written: Written


def plan_json(plan: Plan) -> dict[str, Any]:
    """The cost of a first sync."""
    return {
        "repo": plan.repo, "requests": plan.requests, "graphql_points": plan.points, "probes": plan.probes,
        "steps": [{"stream": s.stream, "items": s.items, "requests": s.requests, "graphql_points": s.points} for s in plan.steps],
    }  # fmt: skip


def plan_text(plan: Plan) -> str:
    """The cost of a first sync for people."""
    lines = [f"a first sync of {plan.repo}: about {plan.requests} requests, {plan.points} GraphQL points"]
    lines += [f"  {s.stream:<20} {s.items:>8} items  {s.requests:>6} requests" + (f"  {s.points:>6} points" if s.points else "") for s in plan.steps]  # fmt: skip
    return "\n".join([*lines, f"({plan.probes} requests were sent to count)"])


def sync_json(told: Synced) -> dict[str, Any]:
    """A sync."""
    found, counts = told.found, told.counts
    return {
        "repo": found.repo, "complete": found.complete, "requests": counts.requests, "unchanged": counts.unchanged,
        "retries": counts.retries, "graphql_points": counts.points, "waited_s": round(counts.waited, 1),
        "pages": found.pages, "rows": found.listed, "reconciled": found.reconciled, "remaining": dict(told.remaining),
        "pull_requests": told.written.pulls, "threads": told.written.threads, "cards": told.written.cards,
        "failed": [{"what": w, "number": n, "why": why} for w, n, why in found.failed], "kb": told.uri,
    }  # fmt: skip


def sync_text(told: Synced) -> str:
    """A sync for people."""
    found, counts, written = told.found, told.counts, told.written
    lines = [
        f"{found.repo}: {counts.requests} requests ({counts.unchanged} unchanged, {counts.retries} again), "
        f"{found.pages} pages kept; {written.pulls} pull requests and {written.threads} threads written, "
        f"{written.cards} cards have new words: {told.uri}"
    ]
    if not found.complete:
        lines.append("the request budget is spent: run the same command again to go on")
    for what, number, why in found.failed[:10]:
        lines.append(f"  #{number}: {what} not answered ({one_line(why)}); the next run asks again")
    return "\n".join(lines)


def replay_json(told: Replayed) -> dict[str, Any]:
    """A replay."""
    return {"repo": told.repo, "pages": told.pages, "pull_requests": told.written.pulls, "threads": told.written.threads, "cards": told.written.cards}  # fmt: skip


def replay_text(told: Replayed) -> str:
    """A replay for people."""
    written = told.written
    return f"{told.repo}: {told.pages} pages read again; {written.pulls} pull requests and {written.threads} threads written, {written.cards} cards have new words"  # fmt: skip
