"""Sentences that the change itself states: comments and docstrings on added lines, word for word.

They make the prose of an extracted card, where nobody has written any: what the author wrote beside the code, with
the lines it stands on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ingest.records import Hunk
from kb.excerpts import RankedLines

_FEWEST_WORDS, _MOST_WORDS = 8, 60
_DECORATION = re.compile(r"^(?:#+!?|/{2,}!?<?|/\*+|\*+/?|[rRbBuU]?\"\"\"|'''|--)\s?|(?:\"\"\"|'''|\*/)$")
_NO_PROSE = re.compile(
    r"todo|fixme|noqa|type:\s*ignore|pylint|pragma|clang-format|https?://|^\s*(?:args?|returns?|raises|parameters|example|usage|note)s?\s*:|"
    r">>>|@\w+|copyright|licen[sc]e|isort|fmt:|adapted from|copied from|={3,}|-{4,}",
    re.IGNORECASE,
)
_CODE = re.compile(r"[=;{}<>]|\w\(|\[\w")
_WHY = re.compile(
    r"\b(?:because|since|otherwise|so that|avoid\w*|prevent\w*|instead|must|should|only|need\w*|when|unless|without|before|after|"
    r"overhead|latency|memory|faster|slow\w*|sync\w*|race|overlap\w*|fallback|skip\w*|cache\w*|graph|kernel|fus\w+|in order to|"
    r"requires?|ensure\w*|support\w*)\b",
    re.IGNORECASE,
)


class Comment(NamedTuple):
    """Prose of added comment lines: how much it explains, its text, and the lines it stands on."""

    score: float
    text: str
    hunk: str
    first: int
    last: int
    sha256: str


def best_comment(hunks: Iterable[tuple[Hunk, RankedLines]]) -> Comment | None:
    """The comment of a file that explains most; None where none is a sentence."""
    best: Comment | None = None
    for hunk, ranked in hunks:
        if "comment" not in ranked.kinds:
            continue
        number, block = hunk.new_start, []  # type: int, list[tuple[int, str]]
        for line, kind in zip([*ranked.lines, ""], [*ranked.kinds, "mark"], strict=True):
            if kind == "comment" and line[0] == "+":
                block.append((number, line[1:]))
            elif block:
                found = _comment(block, hunk.header)
                if found is not None and (best is None or found.score > best.score):
                    best = found
                block = []
            if line[:1] in ("+", " "):
                number += 1
    return best


def _comment(block: Sequence[tuple[int, str]], header: str) -> Comment | None:
    """The first paragraph of a run of comment lines, if it is prose."""
    taken: list[tuple[int, str]] = []
    words: list[str] = []
    for number, raw in block:
        text = _DECORATION.sub("", _DECORATION.sub("", raw.strip()).strip()).strip()
        if not text and words:
            break
        if _NO_PROSE.search(text):
            break
        if not words and not text:
            continue
        taken.append((number, raw))
        words += text.split()
    if not _FEWEST_WORDS <= len(words) <= _MOST_WORDS:
        return None
    text = " ".join(words)
    plain = sum(w.strip(".,:;()`'\"").isalpha() for w in words)
    if (
        plain < 0.6 * len(words)
        or len(_CODE.findall(text)) > 2
        or not text[0].isalpha()
        or not text.isprintable()
    ):
        return None
    lines = "\n".join(raw for _, raw in taken)
    score = min(len(words), 25) / 25 + 0.35 * min(len({m.lower() for m in _WHY.findall(text)}), 4)
    return Comment(score, text, header, taken[0][0], taken[-1][0], hashlib.sha256(lines.encode()).hexdigest())
