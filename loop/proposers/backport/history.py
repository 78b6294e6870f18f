"""What the engine's own history says about a pull request and a target: is it lacking, how far away is it, what does it stand on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ingest.errors import GitFailed
from loop.trees.store import TreeError, TreeStore

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+", re.MULTILINE)
_AROUND = 3  # lines around a hunk that a merge compares as well
_RANGES = 40


@dataclass(frozen=True, slots=True)
class Pull:
    """A merged pull request as a commit of the engine's repository.

    Attributes:
        id: `owner/name#N`.
        sha, parent: its commit, and the first parent that its diff is taken against.
        title: of the card; words of a stranger.
        is_perf: whether it was made for speed.
    """

    id: str
    sha: str
    parent: str
    title: str = ""
    is_perf: bool = True


def is_held(trees: TreeStore, name: str) -> bool:
    """Whether the repository has a commit."""
    if not re.fullmatch(r"[0-9a-f]{40,64}", name):
        return False
    try:
        return bool(trees.tree_of(name))
    except TreeError:
        return False


def lacks(trees: TreeStore, target: str, sha: str) -> bool:
    """Whether a commit is not among the target's ancestors."""
    return bool(trees.repository.run("rev-list", "-n", "1", sha, f"^{target}").strip())


def days_between(trees: TreeStore, target: str, sha: str) -> float:
    """Days from the target's commit to the other's, by committer date; negative when it is older."""
    times = [int(trees.repository.run("show", "-s", "--format=%ct", c).split()[-1]) for c in (target, sha)]
    return (times[1] - times[0]) / 86_400


def prerequisites(trees: TreeStore, target: str, pull: Pull, paths: Sequence[str]) -> list[str]:
    """Commits between the target and a pull request that last changed the lines it stands on in some files, oldest first."""
    found: set[str] = set()
    for path in paths:
        patch = trees.repository.run(
            "diff-tree", "-p", "-U0", "--no-renames", pull.parent, pull.sha, "--", path
        )
        ranges = []
        for start, count in _HUNK.findall(patch)[:_RANGES]:
            first, lines = int(start), int(count or 1)
            ranges += ["-L", f"{max(1, first - _AROUND)},+{lines + 2 * _AROUND}"]
        if ranges:
            found |= _blamed(trees, target, pull.parent, path, ranges)
    if not found:
        return []
    listed = trees.repository.run("rev-list", "--no-walk=sorted", "--reverse", *sorted(found))
    return listed.decode().split()


def _blamed(trees: TreeStore, target: str, parent: str, path: str, ranges: Sequence[str]) -> set[str]:
    """Commits of `target..parent` that some lines of the parent's file come from."""
    try:
        raw = trees.repository.run("blame", "--porcelain", *ranges, f"{target}..{parent}", "--", path)
    except GitFailed:
        return set()  # a range beyond the end, or a file that is not there: nothing to stand on
    commits = {
        row.split(b" ")[0].decode() for row in raw.split(b"\n") if re.match(rb"[0-9a-f]{40,64} \d+ \d+", row)
    }
    boundary: set[str] = set()
    current = ""
    for row in raw.split(b"\n"):
        if re.match(rb"[0-9a-f]{40,64} \d+ \d+", row):
            current = row.split(b" ")[0].decode()
        elif row == b"boundary":
            boundary.add(current)
    return commits - boundary


def committed_at(trees: TreeStore, commit: str) -> str:
    """Committer date of a commit as cards have it: ISO 8601 in UTC."""
    seconds = int(trees.repository.run("show", "-s", "--format=%ct", commit).split()[-1])
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def first_parent(trees: TreeStore, sha: str) -> str | None:
    """The commit's first parent, None for a root."""
    words = trees.repository.run("rev-list", "--parents", "-n", "1", sha).decode().split()
    return words[1] if len(words) > 1 else None
