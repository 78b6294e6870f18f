"""The diff of a pull request as the store holds it, put together again from its chunks, or read anew from a clone.

Anchors and excerpts are checked against it, so that the gate and the reviewer need no clone. Where the index left
lines out (generated files, lines of over 400 characters), the diff says so, and what cannot be seen is no defect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ingest.diffs import parse_hunks
from ingest.git import open_repository
from ingest.logstream import stream_commits
from ingest.records import Hunk
from kb.cards import Card
from kb.diff_lines import LONGEST_LINE
from kb.store import Store

_HEADER = re.compile(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@ ?(.*)$")


class ChunkRow(NamedTuple):
    """A piece of a pull request's diff."""

    card_id: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class DiffFile:
    """One file's hunks.

    Attributes:
        path: on the new side.
        old_path: the name it had, empty when it has kept its name.
        hunks: as far as they are held.
        whole: whether all its changed lines are held, uncut.
    """

    path: str
    old_path: str
    hunks: tuple[Hunk, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """All changed files of a pull request."""

    files: tuple[DiffFile, ...]

    def named(self, path: str) -> list[DiffFile]:
        """Files of a path, old names included."""
        return [f for f in self.files if path in (f.path, f.old_path)]

    @property
    def whole(self) -> bool:
        """Whether every changed line is held."""
        return all(f.whole for f in self.files)

    def lines(self) -> Iterator[str]:
        """All lines of all hunks with their marks."""
        return (line for f in self.files for h in f.hunks for line in hunk_lines(h))


def hunk_lines(hunk: Hunk) -> list[str]:
    """The lines of a hunk with their marks."""
    return hunk.text.rstrip("\n").split("\n")


def stored_diffs(store: Store, cards: Sequence[Card]) -> dict[str, Diff]:
    """The diffs of some cards by id."""
    table = store.chunks_of([c.id for c in cards])
    rows = (ChunkRow(*row) for row in zip(*(table[c].to_pylist() for c in ChunkRow._fields), strict=True))
    pieces = {key: list(group) for key, group in groupby(rows, key=lambda r: r.card_id)}
    return {card.id: diff_of(card, pieces.get(card.id, [])) for card in cards}


def diff_of(card: Card, rows: Iterable[ChunkRow]) -> Diff:
    """A card's diff from its chunks, which come in order."""
    by_path: dict[str, list[ChunkRow]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    files = []
    for file in card.files:
        hunks = tuple(hunks_of_chunks(by_path.get(file.path, [])))
        counts = (sum(h.added for h in hunks), sum(h.removed for h in hunks))
        cut = any(len(line) >= LONGEST_LINE for h in hunks for line in hunk_lines(h))
        whole = not cut and counts == (file.added or 0, file.removed or 0)
        files.append(DiffFile(file.path, file.old_path, hunks, whole))
    return Diff(tuple(files))


def hunks_of_chunks(rows: Sequence[ChunkRow]) -> Iterator[Hunk]:
    """Hunks of one file; a piece that goes on with a hunk repeats its header."""
    head: re.Match[str] | None = None
    lines: list[str] = []
    for row in rows:
        for line in row.text.split("\n"):
            found = _HEADER.match(line)
            if found is None:
                lines.append(line)
            elif head is None or found[0] != head[0]:
                if head is not None:
                    yield _hunk(head, lines)
                head, lines = found, []
    if head is not None:
        yield _hunk(head, lines)


def _hunk(head: re.Match[str], lines: Sequence[str]) -> Hunk:
    added, removed = (sum(line[:1] == mark for line in lines) for mark in "+-")
    old, old_lines, new, new_lines = (int(head[i]) for i in range(1, 5))
    return Hunk(old, old_lines, new, new_lines, head[5], "\n".join(lines) + "\n", added, removed)


def clone_diffs(clone: Path, cards: Sequence[Card]) -> dict[str, Diff]:
    """The diffs of some cards by id, read from a clone; those that can't be read are left out.

    Raises:
        RepositoryError: there is no repository.
    """
    ids: Mapping[str, str] = {c.sha: c.id for c in cards if c.sha}
    found = {}
    with open_repository(clone) as repository:
        for commit in stream_commits(repository, list(ids)):
            if commit.problem is None:
                found[ids[commit.sha]] = Diff(
                    tuple(
                        DiffFile(
                            f.entry.path,
                            f.entry.old_path if f.entry.old_path != f.entry.path else "",
                            parse_hunks(f.patch, f.entry.added, f.entry.removed),
                            True,
                        )
                        for f in commit.files
                    )
                )
    return found
