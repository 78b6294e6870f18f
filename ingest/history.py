"""The walk of a history: which commits there are, which pull request each one is, and what each became."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ingest.git import Repository
from ingest.records import CommitHead, Link
from ingest.subjects import Subject, parse_subject

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
    """Resolves the commits that messages name (`This reverts commit …`) to pull request numbers."""

    def __init__(self, commits: Iterable[WalkedCommit]) -> None:
        self._numbers = {c.head.sha: c.subject.number for c in commits if c.subject.number is not None}
        self._short: dict[str, str] = {}
        for sha in self._numbers:
            self._short.setdefault(sha[:7], sha)

    def resolve(self, repo: str, link: Link) -> Link:
        """The link with a full target: `owner/name#N`, or `commit:SHA` where the commit has no number."""
        target = link.target
        if target.startswith("commit:"):
            sha = target.removeprefix("commit:")
            full = sha if sha in self._numbers else self._short.get(sha[:7], "")
            if full.startswith(sha):
                return Link(link.kind, f"{repo}#{self._numbers[full]}")
            return link
        return Link(link.kind, f"{repo}{target}" if target.startswith("#") else target)
