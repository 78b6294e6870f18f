"""Runs of diff lines worth showing: whole lines of one hunk, 5 to 12 where the hunk has so many.

A window is the run whose lines say most together (see kb/diff_lines.py). It never crosses a hunk header or a line
too long to be read, begins and ends with a line that says something, and is filled up with its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ingest.records import Hunk
from kb.diff_lines import LONGEST_LINE, LineKind, line_kinds, line_worth

MOST_LINES = 12
FEWEST_LINES = 5

_WINDOWS_A_HUNK = 3
_HUNKS_RANKED = 400  # of one file: a mechanical rename over a whole file says the same everywhere
_HEADER = re.compile(r"@@ .*? @@")
_UNSHOWN: tuple[LineKind, ...] = ("licence", "import", "blank", "mark")


class Window(NamedTuple):
    """Lines worth showing: how much they say, the header of the hunk they stand in, their text and place in it."""

    score: float
    hunk: str
    text: str
    at: int = 0


class RankedLines(NamedTuple):
    """The lines of one hunk with their kinds and worths."""

    lines: list[str]
    kinds: list[LineKind]
    worths: list[float]


def rank_lines(path: str, lines: list[str], moved: Collection[str] = ()) -> RankedLines:
    """Kinds and worths of a hunk's lines."""
    kinds = line_kinds(path, lines, moved)
    return RankedLines(lines, kinds, [line_worth(*pair) for pair in zip(lines, kinds, strict=True)])


def moved_lines(hunks: Sequence[Hunk]) -> frozenset[str]:
    """Stripped lines that a change takes out at one place and puts in at another, or indents anew."""
    if not any(h.added for h in hunks) or not any(h.removed for h in hunks):
        return frozenset()
    sides: dict[str, set[str]] = {"+": set(), "-": set()}
    for hunk in hunks:
        for line in hunk.text.split("\n"):
            if line[:1] in sides:
                sides[line[0]].add(line[1:].strip())
    return frozenset(sides["+"] & sides["-"])


def hunk_windows(header: str, ranked: RankedLines) -> list[Window]:
    """The best windows of a hunk that do not overlap, best first; none where no line says anything."""
    lines = ranked.lines
    found: list[Window] = []
    spans = _spans(lines)
    # comments explain what is shown, they are not what is looked for
    of_code = [w if kind == "code" else 0.0 for w, kind in zip(ranked.worths, ranked.kinds, strict=True)]
    for _ in range(_WINDOWS_A_HUNK):
        score, start, end = best_run(of_code, spans)
        if score <= 0:
            break
        first, last = next(s for s in spans if s[0] <= start < s[1])
        start, end = _rounded(ranked, start, end, first, last)
        found.append(Window(score, header, "\n".join(lines[start:end]), start + 1))
        # the next one keeps clear of it
        spans = [
            part for a, b in spans for part in ((a, min(b, start)), (max(a, end), b)) if part[0] < part[1]
        ]
    return found


def plain_window(header: str, ranked: RankedLines) -> Window | None:
    """The first changed lines of a hunk, for a change that consists of nothing that says anything."""
    for first, last in _spans(ranked.lines):
        for start in range(first, last):
            if ranked.lines[start][:1] in ("+", "-") and ranked.lines[start][1:].strip():
                end = min(last, start + MOST_LINES)
                while end - 1 > start and ranked.lines[end - 1][:1] not in ("+", "-"):
                    end -= 1
                return Window(0.0, header, "\n".join(ranked.lines[start:end]), start + 1)
    return None


def best_run(worths: Sequence[float], spans: Sequence[tuple[int, int]]) -> tuple[float, int, int]:
    """Score, start and end of the run of at most 12 lines that says most."""
    best = (0.0, 0, 0)
    for first, last in spans:
        window, start = 0.0, first
        for i in range(first, last):
            window += worths[i]
            if i - start >= MOST_LINES:
                window -= worths[start]
                start += 1
            if window > best[0] + 1e-9:
                best = (window, start, i + 1)
    return best


def _spans(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Ranges of lines between hunk headers and lines too long to show."""
    walls = [
        i for i, line in enumerate(lines) if len(line) > LONGEST_LINE or line[:2] == "@@" or line[:1] == "\\"
    ]
    edges = [-1, *walls, len(lines)]
    return [(a + 1, b) for a, b in pairwise(edges) if b > a + 1]


def _rounded(ranked: RankedLines, start: int, end: int, first: int, last: int) -> tuple[int, int]:
    """A run without lines at its ends that say nothing, filled up with neighbours to at least 5 lines."""
    lines, kinds, worths = ranked
    while start < end - 1 and worths[start] <= 0:
        start += 1
    while end - 1 > start and worths[end - 1] <= 0:
        end -= 1
    # what a new line replaces belongs to it
    while (
        start > first
        and end - start < MOST_LINES
        and lines[start - 1][:1] == "-"
        and kinds[start - 1] == "code"
    ):
        start -= 1
    # the rest of an edit belongs to it, lines that were only indented anew as well
    while (
        end < last
        and end - start < MOST_LINES
        and lines[end][:1] in ("+", "-")
        and kinds[end] not in _UNSHOWN
    ):
        end += 1
    while end - start < FEWEST_LINES:
        above = start > first and kinds[start - 1] not in _UNSHOWN
        below = end < last and kinds[end] not in _UNSHOWN
        if not above and not below:
            break
        if below and (not above or lines[end][:1] != " " or end - start > 1):
            end += 1
        else:
            start -= 1
    return start, end


def best_window(text: str, wanted: Mapping[str, float] | None = None, path: str = "") -> Window:
    """The best run of at most 12 lines of a chunk.

    Args:
        text: diff lines, hunk headers among them.
        wanted: words of a question with their worth; lines that hold them come first.
        path: the chunk's file.
    """
    lines = text.rstrip("\n").split("\n")
    worths: list[float] = []
    kinds: list[LineKind] = []
    heads = [i for i, line in enumerate(lines) if line.startswith("@@")]
    edges = [*([0] if not heads or heads[0] else []), *heads, len(lines)]
    for start, end in pairwise(edges):
        ranked = rank_lines(path, lines[start:end])
        kinds += ranked.kinds
        worths += ranked.worths
    said = RankedLines(lines, kinds, list(worths))
    if wanted:
        for i, line in enumerate(lines):
            if line[:1] in "+- ":
                flat = line[1:].lower().replace("_", "")  # `all_reduce` holds the word `allreduce`
                worth = sum(value for word, value in wanted.items() if word in flat)
                said.worths[i] += worth * (1.0 if line[:1] in "+-" else 0.4)
    # where no line is short enough, the beginning of one is better than nothing
    spans = _spans(lines) or _spans([line[:LONGEST_LINE] for line in lines]) or [(0, 0)]
    score, start, end = best_run(said.worths, spans)
    if end:
        first, last = next(s for s in spans if s[0] <= start < s[1])
        start, end = _rounded(said, start, end, first, last)
    else:
        plain = plain_window("", said)
        start = plain.at - 1 if plain else spans[0][0]
        end = start + plain.text.count("\n") + 1 if plain else min(spans[0][1], start + MOST_LINES)
    head = next((lines[i] for i in range(start, -1, -1) if lines[i].startswith("@@")), "")
    header = _HEADER.match(head)
    return Window(
        score, header[0] if header else "", "\n".join(line[:LONGEST_LINE] for line in lines[start:end])
    )


def file_windows(
    path: str, hunks: Sequence[Hunk], shown: int, most: int = 4
) -> tuple[list[Window], list[tuple[Hunk, RankedLines]]]:
    """The best windows of a file, best first, and its ranked hunks.

    Args:
        path: the file.
        hunks: its hunks.
        shown: how many lines of them, from the first on, may be shown.
        most: windows wanted.
    """
    moved = moved_lines(hunks)
    ranked: list[tuple[Hunk, RankedLines]] = []
    found: list[Window] = []
    for hunk in hunks[:_HUNKS_RANKED]:
        lines = hunk.text.rstrip("\n").split("\n")[: max(0, shown)]
        shown -= len(lines)
        if not lines:
            break
        said = rank_lines(path, lines, moved)
        ranked.append((hunk, said))
        found += hunk_windows(hunk.header, said)
    if not found:
        plain = [(h.added, w) for h, said in ranked if (w := plain_window(h.header, said)) is not None]
        found = [w for _, w in sorted(plain, key=lambda p: -p[0])[:1]]
    found.sort(key=lambda w: -w.score)
    return found[:most], ranked
