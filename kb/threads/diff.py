"""The merged diff of a pull request as the store holds it, line by line: where a reviewed line ended up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ingest.records import Hunk
from kb.cards import Card
from kb.diff_lines import LONGEST_LINE
from kb.stored_diff import Diff, hunk_lines


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a hunk. `old` and `new` are its numbers, 0 on the side that lacks it."""

    mark: str
    text: str
    old: int
    new: int
    hunk: str


@dataclass(frozen=True, slots=True)
class MergedFile:
    """One file of the merged diff. `complete` is whether every changed line stands in `lines`."""

    path: str
    status: str
    complete: bool
    lines: tuple[DiffLine, ...] = ()

    def find(self, block: Sequence[str], side: str) -> DiffLine | None:
        """The last line of the first run of lines on one side that is `block`, white space at the ends left aside."""
        wanted = [line[:LONGEST_LINE].strip() for line in block]
        skipped = "-" if side == "new" else "+"
        lines = [line for line in self.lines if line.mark != skipped]
        texts = [line.text.strip() for line in lines]
        for at in range(len(texts) - len(wanted) + 1):
            if texts[at] == wanted[0] and texts[at : at + len(wanted)] == wanted:
                return lines[at + len(wanted) - 1]
        return None


def merged_files(card: Card, diff: Diff) -> dict[str, MergedFile]:
    """The files of a card's diff by path."""
    status = {f.path: f.status for f in card.files}
    return {f.path: MergedFile(f.path, status[f.path], f.whole, tuple(_lines(f.hunks))) for f in diff.files}


def _lines(hunks: Iterable[Hunk]) -> Iterator[DiffLine]:
    for hunk in hunks:
        old, new = hunk.old_start, hunk.new_start
        for raw in hunk_lines(hunk):
            mark, rest = raw[:1] or " ", raw[1:]
            if mark not in "+- ":
                continue
            yield DiffLine(mark, rest, 0 if mark == "+" else old, 0 if mark == "-" else new, hunk.header)
            old += mark != "+"
            new += mark != "-"
