"""The state of a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kb.reports.safe import one_line
from kb.status import ListedCommit, StoreStatus


def status_json(status: StoreStatus) -> dict[str, Any]:
    """A store's state."""
    return {**dataclasses.asdict(status), "by_status": dict(status.by_status)}


def status_text(status: StoreStatus) -> str:
    """A store's state for people."""
    lines = [
        f"knowledge base: {status.uri} (schema {status.schema}, {status.created_by}, encoder {status.encoder})",
        f"{status.cards} cards ({', '.join(f'{n} {s}' for s, n in status.by_status)}), {status.chunks} chunks, "
        f"{status.links} links, {status.words} words, "
        + (
            "search indexes complete" if status.indexed else "search indexes incomplete: run the ingest again"
        ),
    ]
    if status.descriptions:
        lines.append(f"{status.descriptions} descriptions of pull requests, {status.threads} review threads")
    for r in status.repositories:
        starter = f" ({r.starter_cards} embedded)" if r.starter_cards else ""
        span = f"{r.first_merged[:10]} to {r.last_merged[:10]}" if r.first_merged else "no dates"
        lines.append(
            f"{r.repo}: {r.cards} cards{starter}, {span}; {r.commits} commits walked, {r.duplicates} numbers seen before, "
            f"{r.without_number} without a number, {r.problems} with problems"
        )
    return "\n".join(lines)


def commits_text(rows: Sequence[ListedCommit]) -> str:
    """Commits of the ledger, one a line."""
    return "\n".join(
        f"{r.repo}{'#' + str(r.number) if r.number is not None else ''} {r.sha[:12]} {one_line(r.subject)}"
        + (f" [{one_line(r.problem)}]" if r.problem else "")
        for r in rows
    )
