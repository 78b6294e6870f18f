"""The body of a commit message: without its trailers, and the sentences of it that say why and how.

A squash merge keeps the description its author wrote, when there is one. Sentences are taken word for word and
anchored by the characters they stand on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LONGEST = 6000
_TRAILER = re.compile(
    r"^\s*(?:co-authored-by|signed-off-by|reviewed-by|tested-by|acked-by|suggested-by|reported-by|change-id|cc|fixes|closes|resolves|"
    r"generated with|🤖|\(cherry picked from|this reverts commit|this reapplies commit|made-with|assisted-by|github-[\w-]+|-{3,}|={3,})\b.*$|"
    r"^\s*(?:-{3,}|={3,}|\*{3,})\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_COMMIT_LIST = re.compile(
    r"^\s*[*-]\s+(?:merge branch|fix(?:es)?|lint|format|update|upd|wip|address|nit|clean\w*|rebase|review|more|minor|test\w*|ci|pre-?commit|"
    r"Merge|revert|typo|resolve)\b[^.]{0,60}$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^\s].*?(?:[.!?](?=\s|$)|(?=\n\s*\n)|(?=\n\s*[*#-]\s)|\Z)", re.DOTALL)
_WHY = re.compile(
    r"\b(?:because|since|otherwise|so that|avoids?|previously|currently|before this|was|were|fail(?:s|ed|ing|ure)?|crash\w*|hang\w*|"
    r"wrong\w*|incorrect\w*|broken|breaks?|bug|issue|regress\w*|slow\w*|bottleneck|overhead|wast\w+|missing|unable|cannot|can't|"
    r"leak\w*|out of memory|OOM|error|mismatch\w*|unnecessar\w+|redundant|need(?:s|ed)?|in order to|motivation|goal|problem)\b",
    re.IGNORECASE,
)
_FEWEST_WORDS, _MOST_WORDS = 7, 60
_NO_PROSE = re.compile(r"https?://\S+$|^\s*\||```|^\s*<|^\s*\[[ x]\]", re.IGNORECASE)


class Sentence(NamedTuple):
    """A sentence of a message: its text on one line, where it stands, and whether it says why."""

    text: str
    first: int
    last: int
    says_why: bool


def body_of(message: str) -> str:
    """A message's body without trailers and lists of fix-up commits."""
    kept = [
        line.rstrip()
        for line in _TRAILER.sub("", message).replace("\r", "").split("\n")
        if not _COMMIT_LIST.match(line)
    ]
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return body[:_LONGEST]


def sentences(body: str) -> list[Sentence]:
    """The sentences of a body that are prose."""
    found = []
    for match in _SENTENCE.finditer(body):
        text = " ".join(match[0].split())
        lead = re.match(r"(?:[*#>-]+|\d+[.)])\s+", text)
        text = text[lead.end() :] if lead else text
        words = text.split()
        plain = sum(w.strip(".,:;()`'\"*").isalpha() for w in words)
        if not _FEWEST_WORDS <= len(words) <= _MOST_WORDS or plain < 0.6 * len(words):
            continue
        if _NO_PROSE.search(text) or not text.isprintable() or text.endswith(":"):
            continue
        found.append(Sentence(text, match.start(), match.end(), bool(_WHY.search(text))))
    return found
