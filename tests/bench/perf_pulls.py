"""Performance pull requests of a real history, for the benches of policy and backports: drawn at random, the same each time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice

from ingest.paths import group_of
from ingest.subjects import classify, parse_subject
from loop.gates.paths import rule_on
from loop.proposers.backport.history import Pull
from loop.trees.patches import changes
from loop.trees.store import TreeStore


@dataclass(frozen=True)
class Drawn:
    """A pull request, when it was merged (seconds since 1970), and the history before it, newest first, as (sha, time)."""

    pull: Pull
    merged: int
    place: int


def recent(trees: TreeStore, count: int) -> list[tuple[str, str, int, str]]:
    """(sha, first parent, committer time, subject) of the newest commits of the main line."""
    raw = trees.repository.run(
        "log",
        "--first-parent",
        f"-n{count}",
        "--format=%H%x00%P%x00%ct%x00%s%x01",
        trees.repository.resolve("HEAD"),
    )
    rows = []
    for block in raw.decode("utf-8", "replace").split("\x01"):
        fields = block.strip().split("\0")
        if len(fields) == 4 and fields[1]:
            rows.append((fields[0], fields[1].split()[0], int(fields[2]), fields[3]))
    return rows


def draw(
    trees: TreeStore, line: list[tuple[str, str, int, str]], count: int, seed: int, repo: str
) -> list[Drawn]:
    """Performance pull requests that change code, at random."""
    rows = list(enumerate(line))
    random.Random(seed).shuffle(rows)
    return list(islice(_perf(trees, rows, repo), count))


def _perf(trees, rows, repo):
    from ingest.records import CommitHead

    for place, (sha, parent, when, subject) in rows:
        said = parse_subject(CommitHead(sha, (parent,), "", subject, ""))
        if said.number is None:
            continue
        paths = [c.path for c in changes(trees, parent, sha)]
        groups = frozenset(group_of(p) for p in paths)
        if classify(said.title, groups) == "perf" and any(rule_on(p).place == "code" for p in paths):
            yield Drawn(Pull(f"{repo}#{said.number}", sha, parent, said.title), when, place)


__all__ = ["Drawn", "draw", "recent"]
