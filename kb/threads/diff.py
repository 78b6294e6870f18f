"""The merged diff of a pull request as the store holds it, line by line: where a reviewed line ended up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kb.cards import Card

_HEADER = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_LINE_CHARS = 400  # as chunks cut them


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
        wanted = [line[:_LINE_CHARS].strip() for line in block]
        skipped = "-" if side == "new" else "+"
        lines = [line for line in self.lines if line.mark != skipped]
        texts = [line.text.strip() for line in lines]
        for at in range(len(texts) - len(wanted) + 1):
            if texts[at] == wanted[0] and texts[at : at + len(wanted)] == wanted:
                return lines[at + len(wanted) - 1]
        return None


def merged_files(card: Card, chunks: Iterable[tuple[str, str]]) -> dict[str, MergedFile]:
    """The files of a card's diff by path.

    Args:
        card: the card.
        chunks: (path, text) of its chunks in order.
    """
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for path, text in chunks:
        texts[path].append(text)
    found = {}
    for file in card.files:
        lines = tuple(_lines(texts.get(file.path, ())))
        changed = sum(line.mark != " " for line in lines)
        complete = file.added is not None and changed == file.added + (file.removed or 0)
        found[file.path] = MergedFile(file.path, file.status, complete, lines)
    return found


def _lines(texts: Iterable[str]) -> Iterable[DiffLine]:
    old = new = 0
    head = ""
    for text in texts:
        for at, raw in enumerate(text.split("\n")):
            header = _HEADER.match(raw)
            if header:
                # a long hunk is cut into chunks that each repeat its header: the count goes on
                if not (at == 0 and head and raw.startswith(head)):
                    old, new = int(header[1]), int(header[2])
                head = header[0]
                continue
            mark, rest = raw[:1] or " ", raw[1:]
            if mark not in "+- ":
                continue
            yield DiffLine(mark, rest, 0 if mark == "+" else old, 0 if mark == "-" else new, head)
            old += mark != "+"
            new += mark != "-"
