"""The outline of a changed Python file from the one before, by parsing only the statements around the changes.

A statement that begins a line, and whose first line a change leaves alone, begins there in the new version too:
what stands above it ends as it did, and what stands below is parsed as it was. So the statements from the last
one above a change to the next one below it can be parsed on their own, under the headers of the definitions they
stand in. That counts when they parse without an error and a statement put behind them begins where it should;
otherwise the caller parses the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ingest.edits import Edit, Starts
from ingest.outline import Outline, outline_of_piece

_WORTH_IT = 0.6  # share of a file's rows from which it is parsed whole at once
_INDENT = re.compile(rb"[ \t]*")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file: its bytes, its `line_starts`, its outline."""

    source: bytes
    starts: Starts
    outline: Outline

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return len(self.source) + 8 * len(self.starts) + self.outline.size

    def indent(self, row: int) -> bytes:
        """The blanks a row begins with."""
        match = _INDENT.match(self.source, int(self.starts[row]))
        return match[0] if match else b""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows `start..end-1` of the old version that are parsed anew.

    Attributes:
        chain: indices of the definitions around the first statement, outermost first.
        open: how many of them go on behind the piece.
        grows: lines that come with the changes less those that go.
    """

    start: int
    end: int
    chain: tuple[int, ...]
    open: int
    grows: int


def splice(old: Version, edits: Sequence[Edit], source: bytes, starts: Starts) -> Outline | None:
    """The outline after some changes; None where the whole file has to be parsed.

    Args:
        old: the version before.
        edits: the changes, top to bottom.
        source: the version after.
        starts: its `line_starts`.
    """
    if not len(old.outline.rows):
        return None
    total = len(old.starts) - 1
    pieces = _pieces(old.outline, edits, total)
    if sum(p.end - p.start + max(p.grows, 0) for p in pieces) > _WORTH_IT * total:
        return None
    outline = old.outline
    above = sum(p.grows for p in pieces)
    for piece in reversed(pieces):  # bottom to top, so that the rows of those above stay true
        above -= piece.grows
        first = piece.start + above
        behind = piece.end + above + piece.grows
        lines = source[starts[first] : starts[behind]]
        end = None
        if piece.end < total:
            indent = old.indent(piece.end)
            end = (len(piece.chain) + behind - first, len(indent), piece.open)
            lines += indent + b"0\n"
        part = outline_of_piece(_headers(old, piece.chain) + lines, len(piece.chain), end)
        if part is None:
            return None
        outline = _replace(outline, piece, part, behind - first)
    return outline


def _pieces(outline: Outline, edits: Sequence[Edit], total: int) -> list[_Piece]:
    """What is parsed anew, top to bottom, none overlapping another."""
    pieces: list[_Piece] = []
    firsts: list[int] = []  # old row of the first change of each
    for edit in edits:
        first, behind = edit.old_row, edit.old_row + edit.removed
        grows = len(edit.inserted) - edit.removed
        piece = _around(outline, first, behind, total, grows)
        while pieces and pieces[-1].end > piece.start:
            first, grows = firsts.pop(), grows + pieces.pop().grows
            piece = _around(outline, first, behind, total, grows)
        pieces.append(piece)
        firsts.append(first)
    return pieces


def _around(outline: Outline, first: int, behind: int, total: int, grows: int) -> _Piece:
    """The fewest statements around the changed rows `first..behind-1` that can be parsed on their own."""
    rows, scopes = outline.rows, outline.scopes
    at = int(np.searchsorted(rows, first)) - 1  # its first row is above the change
    chain: list[int] = []
    scope = int(scopes[at]) if at >= 0 else -1
    while scope >= 0:
        chain.append(scope)
        scope = int(scopes[np.searchsorted(rows, outline.spans[scope, 0])])
    chain.reverse()
    for place in range(int(np.searchsorted(rows, behind, side="right")), len(rows)):
        scope = int(scopes[place])
        if scope < 0 or scope in chain:
            is_open = chain.index(scope) + 1 if scope >= 0 else 0
            return _Piece(int(rows[at]) if at >= 0 else 0, int(rows[place]), tuple(chain), is_open, grows)
    return _Piece(int(rows[at]) if at >= 0 else 0, total, tuple(chain), 0, grows)


def _headers(old: Version, chain: Sequence[int]) -> bytes:
    """A header a line for the definitions of a chain, indented as they are."""
    outline = old.outline
    lines = []
    for place in chain:
        name = outline.names[place].rpartition(".")[2].encode()
        head = b"class %s:\n" if outline.kinds[place] == "class" else b"def %s():\n"
        lines.append(old.indent(int(outline.spans[place, 0])) + head % name)
    return b"".join(lines)


def _replace(outline: Outline, piece: _Piece, part: Outline, lines: int) -> Outline:
    """An outline with a piece of it parsed anew; `part` has the headers of its chain first and `lines` rows below."""
    depth = len(piece.chain)
    shift = piece.start - depth
    first, behind = np.searchsorted(outline.spans[:, 0], (piece.start, piece.end)).tolist()
    before = outline.spans[:first].copy()
    for level, place in enumerate(piece.chain):
        before[place, 2] = (
            before[place, 2] + piece.grows if level < piece.open else part.spans[level, 2] + shift
        )
    more = len(part.names) - depth - (behind - first)
    inside = (part.rows >= depth) & (part.rows < depth + lines)
    places = np.array([*piece.chain, *range(first, first + len(part.names) - depth), -1], np.int32)
    top, bottom = np.searchsorted(outline.rows, (piece.start, piece.end)).tolist()
    below = outline.scopes[bottom:]
    return Outline(
        names=(*outline.names[:first], *part.names[depth:], *outline.names[behind:]),
        kinds=(*outline.kinds[:first], *part.kinds[depth:], *outline.kinds[behind:]),
        spans=np.concatenate(
            (before, part.spans[depth:] + np.int32(shift), outline.spans[behind:] + np.int32(piece.grows))
        ),
        errors=outline.errors,
        rows=np.concatenate(
            (
                outline.rows[:top],
                part.rows[inside] + np.int32(shift),
                outline.rows[bottom:] + np.int32(piece.grows),
            )
        ),
        scopes=np.concatenate(
            (
                outline.scopes[:top],
                places[part.scopes[inside]],
                np.where(below >= behind, below + np.int32(more), below),
            )
        ),
    )
