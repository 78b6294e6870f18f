"""Rows of the tables of pull requests and threads. A pure function of what was read and of the card."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from ingest.github.records import FORGOTTEN, Description, ReviewedPull, Thread
from kb.cards import Card
from kb.families import Families
from kb.tables import PULLS, THREADS
from kb.threads.joins import Join
from kb.threads.text import description_words, review_words, thread_words


def encode(record: Description | Thread) -> str:
    """A record as JSON."""
    return msgspec.json.encode(record).decode("utf-8", "replace")


def pull_rows(pulls: Sequence[ReviewedPull]) -> pa.Table:
    """Rows of the table of pull requests."""
    rows = []
    for pull in pulls:
        description = pull.description
        last: dict[str, str] = {}
        for thread in pull.threads:
            for comment in thread.comments:
                if comment.state in ("approved", "changes_requested", "dismissed") and comment.author.kind == "human":  # fmt: skip
                    last[comment.author.login] = comment.state
        decisions = list(last.values())
        rows.append(
            {
                "id": description.id, "repo": description.repo, "number": description.number,
                "state": "gone" if description.gone else description.state, "trust": description.trust,
                "updated_at": description.updated_at, "threads": len(pull.threads),
                "approvals": decisions.count("approved"), "changes_requested": decisions.count("changes_requested"),
                "authors": _authors(description, pull.threads),
                "description_words": description_words(description), "review_words": review_words(pull.threads),
                "record": encode(description),
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PULLS)


def thread_rows(threads: Sequence[tuple[Thread, Join, Card | None]], families: Families) -> pa.Table:
    """Rows of the table of threads."""
    rows = []
    for thread, place, card in threads:
        anchor = thread.anchor
        tags = list(card.families) if card else []
        if anchor.path:  # the file's own families first, then what the whole change concerns
            tags = [*families.of_path(anchor.path), *tags]
        rows.append(
            {
                "id": thread.id, "card_id": thread.pull_id, "repo": thread.repo, "number": thread.number,
                "kind": thread.kind, "path": anchor.path, "hunk": place.hunk, "symbol": place.symbol,
                "line": place.line or anchor.line or anchor.original_line, "families": list(dict.fromkeys(tags)),
                "addressed": place.addressed, "addressed_by": place.addressed_by, "resolved": thread.resolved,
                "outdated": thread.outdated, "comments": len(thread.comments),
                "humans": sum(c.author.kind != "bot" for c in thread.comments),
                "suggestions": sum(len(c.suggestions) for c in thread.comments),
                "authors": _authors(None, [thread]), "trust": thread.trust, "created_at": thread.created_at,
                "updated_at": thread.updated_at, "words": thread_words(thread, place.symbol), "record": encode(thread),
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=THREADS)


def _authors(description: Description | None, threads: Sequence[Thread]) -> list[str]:
    logins = {c.author.login.lower() for t in threads for c in t.comments}
    if description is not None:
        logins.add(description.author.login.lower())
    return sorted(logins - {"", FORGOTTEN})
