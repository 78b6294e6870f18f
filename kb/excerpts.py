"""Which lines of a diff are worth showing.

Lines are ranked by what they say: code before comments, definitions and calls before brackets, changed lines
before context. Licence headers, imports and blank lines score nothing, so that they are shown only where a
change consists of nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ingest.records import FileGroup

MOST_LINES = 12

_NOISE = re.compile(
    r"\s*(?:$|#(?!\s*(?:if|ifdef|define|pragma|include))|//|/?\*|\"\"\"|'''|from\s+\S+\s+import\b|import\b|use\s+[\w:]+|"
    r"#include|[\])}\[({,;:]+$|pass$|else:$|try:$|return$|@@)", re.IGNORECASE
)  # fmt: skip
_LEGAL = re.compile(r"licen[sc]e|copyright|spdx", re.IGNORECASE)
_STRONG = re.compile(
    r"\b(?:def|class|fn|struct|__global__|triton\.jit|if|elif|assert|raise|return|add_argument|register|torch\.ops|"
    r"environ|getenv)\b"
)
_HEADER = re.compile(r"@@ .*? @@")
_WORD = re.compile(r"[A-Za-z]{2,}")
_GROUP_WEIGHT: dict[FileGroup, float] = {
    "runtime": 1.0, "kernel": 1.0, "build": 0.35, "config": 0.3, "benchmark": 0.3, "test": 0.3, "ci": 0.2, "docs": 0.2,
}  # fmt: skip


class Window(NamedTuple):
    """Lines worth showing: how much they say, the header of the hunk they stand in, and their text."""

    score: float
    hunk: str
    text: str


def line_score(line: str) -> float:
    """Information in one diff line, marks included: 0 for noise and context."""
    if line[:1] not in "+-" or len(line) > 400 or _NOISE.match(line, 1) or _LEGAL.search(line):
        return 0.0
    score = min(len(set(_WORD.findall(line))), 8) / 8 + (0.5 if _STRONG.search(line) else 0.0)
    return score if line[0] == "+" else 0.7 * score


def best_window(text: str, wanted: Mapping[str, float] | None = None) -> Window:
    """The best run of at most 12 lines of a chunk.

    Args:
        text: diff lines, hunk headers among them.
        wanted: words of a question with their worth; lines that hold them come first.
    """
    best = (0.0, 0, 0)
    lines = text.rstrip("\n").split("\n")
    scores = [line_score(line) for line in lines]
    if wanted:
        for i, line in enumerate(lines):
            if line[:1] in "+- ":
                flat = line[1:].lower().replace("_", "")  # `all_reduce` holds the word `allreduce`
                worth = sum(value for word, value in wanted.items() if word in flat)
                scores[i] += worth * (1.0 if line[:1] in "+-" else 0.4)
    for first, last in _spans(lines):
        window, start = 0.0, first
        for i in range(first, last):
            window += scores[i]
            if i - start >= MOST_LINES:
                window -= scores[start]
                start += 1
            if window > best[0] + 1e-9:
                best = (window, start, i + 1)
    start, end = _trimmed(lines, best[1], best[2], has_code=best[0] > 0)
    head = next((lines[i] for i in range(start, -1, -1) if lines[i].startswith("@@")), "")
    header = _HEADER.match(head)
    return Window(best[0], header[0] if header else "", "\n".join(line[:240] for line in lines[start:end]))


def _trimmed(lines: Sequence[str], start: int, end: int, *, has_code: bool) -> tuple[int, int]:
    """A window without blank lines at its ends; the first changed lines where nothing but noise is there."""
    if end == 0:
        start = next((i for i, line in enumerate(lines) if line[:1] in "+-"), 0)
        stop = next((i for i in range(start, len(lines)) if lines[i].startswith("@@")), len(lines))
        end = min(start + MOST_LINES, stop)
    while start < end - 1 and _opens_badly(lines[start], has_code=has_code):
        start += 1
    while end - 1 > start and not lines[end - 1].strip("+- \t"):
        end -= 1
    return start, end


def _opens_badly(line: str, *, has_code: bool) -> bool:
    """Blank lines, and noise where the window has something better, are no way to begin."""
    return not line.strip("+- \t") or (has_code and line[:1] in "+-" and line_score(line) == 0)


def _spans(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Ranges of lines between hunk headers, so that no window crosses or ends at one."""
    heads = [i for i, line in enumerate(lines) if line.startswith("@@")]
    if not heads:
        return [(0, len(lines))]
    spans = [(0, heads[0])] if heads[0] else []
    return spans + [(a + 1, b) for a, b in zip(heads, [*heads[1:], len(lines)], strict=True)]


def group_weight(group: FileGroup) -> float:
    """How much a file's group counts when the excerpts of a card are chosen."""
    return _GROUP_WEIGHT[group]
