"""A corpus of review threads into the store: streamed, joined to the cards, below own sync in trust.

What is already synced stays as it is. An import that was killed is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.corpus.lines import read_lines
from ingest.corpus.rows import RowProblem, parse_row
from ingest.github.records import Description, ReviewedPull, Thread
from kb.families import Families, load_families
from kb.filters import one_of
from kb.store import Store
from kb.threads.build import joined_rows, our_bots
from kb.threads.forgotten import forgotten_hashes, without_forgotten
from kb.threads.rows import pull_rows
from kb.threads.words import rewrite_card_words

_BATCH = 2000  # threads written in one transaction
_BATCH_BYTES = 48 << 20
_PULLS = 1000
_MOST_PROBLEMS = 1000  # named in the report; all are counted
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A line that was left out, and why."""

    line: int
    what: str


@dataclass(slots=True)
class Imported:
    """What an import did. `held` are threads that own sync has; `duplicates` are lines whose threads all stood above."""

    lines: int = 0
    threads: int = 0
    comments: int = 0
    held: int = 0
    duplicates: int = 0
    left_out: int = 0
    pulls: int = 0
    cards: int = 0
    problems: list[LineProblem] = field(default_factory=list)

    def refuse(self, line: int, what: str) -> None:
        """Take note of a line that is left out."""
        self.left_out += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(LineProblem(line, what))


def import_corpus(store: Store, path: Path, progress: Progress | None = None) -> Imported:
    """Read a corpus into the store.

    Raises:
        CorpusError: the file can't be read at all, or is a bomb; what was read before is kept.
    """
    return _Import(store, load_families(), progress or (lambda lines: None)).run(path)


class _Import:
    def __init__(self, store: Store, families: Families, progress: Progress) -> None:
        self._store, self._families, self._progress = store, families, progress
        self._bots = our_bots()
        self._forgotten = forgotten_hashes(store)
        held = store.rows_where("threads", "", ["id", "trust"])
        self._held = dict(zip(held["id"].to_pylist(), held["trust"].to_pylist(), strict=True))
        self._seen: dict[str, int] = {}
        self._pulls: dict[str, Description] = {}
        self._waiting: list[Thread] = []
        self._bytes = 0
        self.report = Imported()

    def run(self, path: Path) -> Imported:
        report = self.report
        try:
            for line in read_lines(path):
                report.lines += 1
                if line.problem:
                    report.refuse(line.number, line.problem)
                    continue
                self._take(line.number, line.data)
                if len(self._waiting) >= _BATCH or self._bytes >= _BATCH_BYTES:
                    self._write()
                    self._progress(report.lines)
        finally:
            self._write()
            self._finish()
        return report

    def _take(self, number: int, data: bytes) -> None:
        report = self.report
        try:
            row = parse_row(data, self._bots)
        except RowProblem as exc:
            report.refuse(number, str(exc))
            return
        fresh = [t for t in row.threads if t.id not in self._seen]
        if not fresh:
            report.duplicates += 1
            report.refuse(number, f"a duplicate of line {self._seen[row.threads[0].id]}")
            return
        for thread in fresh:
            self._seen[thread.id] = number
            if self._held.get(thread.id) == "synced":
                report.held += 1
                continue
            self._waiting.append(without_forgotten(thread, self._forgotten))
            report.threads += 1
            report.comments += len(thread.comments)
        self._bytes += len(data)
        self._pulls[row.description.id] = row.description

    def _write(self) -> None:
        if not self._waiting:
            return
        rows = joined_rows(self._store, self._waiting, self._families)
        known = [t.id for t in self._waiting if t.id in self._held]
        if known:
            self._store.replace_rows("threads", rows, one_of("id", known))
        else:
            self._store.append("threads", rows)
        self._waiting, self._bytes = [], 0

    def _finish(self) -> None:
        """Rows of the pull requests, from all their threads, and the words of their cards."""
        store, ids = self._store, sorted(self._pulls)
        for start in range(0, len(ids), _PULLS):
            part = ids[start : start + _PULLS]
            rows = store.rows_where("pulls", one_of("id", part) + " AND trust = 'synced'", ["id"])
            part = sorted(set(part) - set(rows["id"].to_pylist()))
            if not part:
                continue
            threads: dict[str, list[Thread]] = {i: [] for i in part}
            for record in store.rows_where("threads", one_of("card_id", part), ["record"])["record"].to_pylist():  # fmt: skip
                thread = msgspec.json.decode(record, type=Thread)
                threads[thread.pull_id].append(thread)
            pulls = [
                ReviewedPull(description=without_forgotten(self._pulls[i], self._forgotten), threads=tuple(sorted(threads[i], key=lambda t: (t.created_at, t.id))))
                for i in part
            ]  # fmt: skip
            store.replace_rows("pulls", pull_rows(pulls), one_of("id", part))
            self.report.pulls += len(part)
            self.report.cards += rewrite_card_words(store, part)
        if ids:
            store.finish()
