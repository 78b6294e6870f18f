"""The state of a store as numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from kb.store import Store
from kb.stored_postings import stored_postings


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """One repository in a store; times are ISO 8601 in UTC, empty when nothing is known."""

    repo: str
    cards: int
    starter_cards: int
    commits: int
    duplicates: int
    without_number: int
    problems: int
    first_merged: str
    last_merged: str


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store as a whole. `indexed` is whether the search indexes cover every row."""

    uri: str
    schema: str
    created_by: str
    encoder: str
    repositories: tuple[RepositoryStatus, ...]
    cards: int
    chunks: int
    links: int
    words: int
    by_status: tuple[tuple[str, int], ...]
    indexed: bool
    descriptions: int = 0
    threads: int = 0


@dataclass(frozen=True, slots=True)
class ListedCommit:
    """A commit of the ledger."""

    repo: str
    sha: str
    number: int | None
    subject: str
    problem: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def store_status(store: Store) -> StoreStatus:
    """Count what a store holds."""
    meta = store.meta()
    cards = store.scan("cards", ["repo", "origin", "status", "merged_at"]).to_pylist()
    commits = store.scan("commits", ["repo", "outcome", "problem"]).to_pylist()
    repositories = []
    for repo in sorted({r["repo"] for r in cards} | {r["repo"] for r in commits}):
        own = [r for r in cards if r["repo"] == repo]
        walked = [r for r in commits if r["repo"] == repo]
        outcomes = Counter(r["outcome"] for r in walked)
        times = sorted(r["merged_at"] for r in own if r["merged_at"])
        repositories.append(
            RepositoryStatus(
                repo=repo, cards=len(own), starter_cards=sum(r["origin"] == "starter" for r in own), commits=len(walked),
                duplicates=outcomes["duplicate"], without_number=outcomes["no-number"],
                problems=sum(bool(r["problem"]) for r in walked),
                first_merged=times[0] if times else "", last_merged=times[-1] if times else "",
            )
        )  # fmt: skip
    return StoreStatus(
        uri=store.uri, schema=meta.get("schema", ""), created_by=meta.get("created_by", ""),
        encoder=meta.get("encoder", "none"), repositories=tuple(repositories), cards=len(cards),
        chunks=store.count("chunks"), links=store.count("links"), words=len(stored_postings(store).any.hashes) if store.count("postings") else 0,
        by_status=tuple(Counter(r["status"] for r in cards).most_common()), indexed=store.is_finished(),
        descriptions=store.count("pulls") if store.has("pulls") else 0,
        threads=store.count("threads") if store.has("threads") else 0,
    )  # fmt: skip


def listed_commits(store: Store, which: str) -> list[ListedCommit]:
    """Commits of the ledger that are `duplicates`, have `problems`, or have `no-number`."""
    rows = store.scan("commits", ["repo", "sha", "number", "subject", "problem", "outcome"]).to_pylist()
    wanted = {"duplicates": "duplicate", "no-number": "no-number"}.get(which)
    return [
        ListedCommit(r["repo"], r["sha"], r["number"], r["subject"], r["problem"])
        for r in rows
        if (r["outcome"] == wanted if wanted else r["problem"])
    ]
