"""The walk of a history: which commits there are, which pull request each one is, and what each became."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ingest.git import Repository
from ingest.records import CommitHead, Link
from ingest.subjects import Subject, bare_title, links_of, parse_subject

Outcome = Literal["card", "duplicate", "no-number"]


@dataclass(frozen=True, slots=True)
class WalkedCommit:
    """A commit with its parsed message."""

    head: CommitHead
    subject: Subject


def walk(repository: Repository, rev: str) -> list[WalkedCommit]:
    """All commits reachable from `rev`, parents before children.

    Merges without a number are walked through, so that a fork that merges its upstream shows the upstream's
    pull requests.

    Raises:
        RepositoryError: `rev` names no commit.
        GitFailed: git can't walk the history.
    """
    sha = repository.resolve(rev)
    form = "%H%x00%P%x00%cI%x00%s%x00%b%x00"
    out = repository.run("log", "--topo-order", "--reverse", "-z", f"--format=tformat:{form}", sha)
    fields = out.decode("utf-8", "replace").split("\0")
    commits = []
    # five fields and the separator that -z puts behind each commit
    for i in range(0, len(fields) - 5, 6):
        name, parents, date, subject, body = fields[i : i + 5]
        head = CommitHead(name.strip(), tuple(parents.split()), date, subject, body.strip())
        commits.append(WalkedCommit(head, parse_subject(head)))
    return commits


class CommitIndex:
    """Resolves what messages name, commits and titles, to pull request numbers of the same history."""

    def __init__(self, commits: Iterable[WalkedCommit]) -> None:
        self._numbers: dict[str, int] = {}
        self._short: dict[str, list[str]] = {}
        self._titles: dict[str, list[tuple[int, int]]] = {}  # title -> (place in the walk, number)
        self._places: dict[str, int] = {}
        for place, commit in enumerate(commits):
            number = commit.subject.number
            if number is not None:
                self._places[commit.head.sha] = place
                self._numbers[commit.head.sha] = number
                self._short.setdefault(commit.head.sha[:7], []).append(commit.head.sha)
                self._titles.setdefault(bare_title(commit.subject.title), []).append((place, number))

    def resolve_all(self, repo: str, commit: WalkedCommit) -> tuple[Link, ...]:
        """A commit's links with full targets: `owner/name#N`, or `commit:SHA` for a commit without a number."""
        links = (
            self._resolve(repo, link, self._places.get(commit.head.sha, 0)) for link in links_of(commit.head)
        )
        own = f"{repo}#{commit.subject.number}"
        return tuple(dict.fromkeys(link for link in links if link is not None and link.target != own))

    def _resolve(self, repo: str, link: Link, place: int) -> Link | None:
        scheme, _, name = link.target.partition(":")
        if scheme == "commit":
            fitting = [sha for sha in self._short.get(name[:7], []) if sha.startswith(name)]
            return Link(link.kind, f"{repo}#{self._numbers[fitting[0]]}") if len(fitting) == 1 else link
        if (
            scheme == "title"
        ):  # the last change of this title before the one that names it; None if there is none
            earlier = [number for at, number in self._titles.get(bare_title(name), []) if at < place]
            return Link(link.kind, f"{repo}#{earlier[-1]}") if earlier else None
        return Link(link.kind, f"{repo}{link.target}" if link.target.startswith("#") else link.target)
