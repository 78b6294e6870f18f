"""The changed lines of one file's patch, and a source with them applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Starts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Edit:
    """One run of changed lines: 0-based first rows, lines taken out and lines put in, with newlines."""

    old_row: int
    new_row: int
    taken: tuple[bytes, ...]
    inserted: tuple[bytes, ...]

    @property
    def removed(self) -> int:
        """How many lines are taken out."""
        return len(self.taken)


def edits_of(patch: bytes) -> list[Edit]:
    """The runs of changed lines of one file's patch, top to bottom."""
    edits: list[Edit] = []
    old = new = 0
    taken: list[bytes] = []
    put: list[bytes] = []
    start = (0, 0)
    in_hunk = False

    def close() -> None:
        nonlocal taken, put
        if taken or put:
            edits.append(Edit(start[0], start[1], tuple(taken), tuple(put)))
        taken, put = [], []

    last = b""
    for line in patch.split(b"\n"):
        mark = line[:1]
        if mark == b"@" and line.startswith(b"@@ -"):
            close()
            in_hunk = True
            ranges = line.split(b" ", 3)
            old = _start(ranges[1])
            new = _start(ranges[2])
        elif not in_hunk:
            continue
        elif mark == b"+":
            if not taken and not put:
                start = (old, new)
            put.append(line[1:] + b"\n")
            new += 1
        elif mark == b"-":
            if not taken and not put:
                start = (old, new)
            taken.append(line[1:] + b"\n")
            old += 1
        elif mark == b"\\":  # "No newline at end of file" speaks of the line above
            if last == b"+" and put:
                put[-1] = put[-1][:-1]
            elif last == b"-" and taken:
                taken[-1] = taken[-1][:-1]
        elif mark == b" ":
            close()
            old += 1
            new += 1
        last = mark
    close()
    return edits


def _start(side: bytes) -> int:
    """0-based first row of one side of a hunk header; `-0,0` and `-5,0` stand behind the named line."""
    numbers = side[1:].split(b",")
    first = int(numbers[0])
    return first if len(numbers) > 1 and numbers[1] == b"0" else first - 1


def line_starts(source: bytes) -> Starts:
    """Offsets at which the lines begin, and behind them the length of the source."""
    breaks = np.flatnonzero(np.frombuffer(source, np.uint8) == ord("\n")) + 1
    tail = [len(source)] if len(source) and not source.endswith(b"\n") else []
    return np.concatenate(([0], breaks, tail)).astype(np.int64)


def apply_edits(source: bytes, starts: Starts, edits: Sequence[Edit]) -> bytes | None:
    """The source after a patch; None where the patch is of a longer source.

    Args:
        source: the source before.
        starts: its `line_starts`.
        edits: top to bottom.
    """
    lines = len(starts) - 1
    parts: list[bytes] = []
    row = 0
    for edit in edits:
        if not row <= edit.old_row <= edit.old_row + edit.removed <= lines:
            return None
        parts.append(source[starts[row] : starts[edit.old_row]])
        parts += edit.inserted
        row = edit.old_row + edit.removed
    parts.append(source[starts[row] :])
    return b"".join(parts)


def reversed_edits(edits: Sequence[Edit]) -> list[Edit]:
    """The edits that undo some."""
    return [Edit(e.new_row, e.old_row, e.inserted, e.taken) for e in edits]
