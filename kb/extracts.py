"""Prose of an extracted card: sentences of the message and comments of the diff, word for word, with their anchors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from kb.cards import Anchor, Claim, Number
from kb.comments import Comment
from kb.gate.prose import is_template
from kb.messages import sentences

_MOST_WHY = 3
_MOST_HOW = 3
_MOST_COMMENTS = 2
_FEWEST_SCORE = 0.7  # of a comment: enough words, or a word that explains

# a figure of speed, memory or quality with its unit
_FIGURE = re.compile(
    r"(?<![\w.,/-])([~+-]?\d[\d,]*(?:\.\d+)?(?:\s?(?:→|->|to|vs\.?)\s?[~+-]?\d[\d,]*(?:\.\d+)?)?)\s?"
    r"(%|x\b|×|ms\b|us\b|µs\b|seconds?\b|tok(?:ens?)?/s(?:ec(?:ond)?)?\b|tokens? per second\b|req(?:uests?)?/s\b|QPS\b|"
    r"(?:GB|TB|GiB|MB)/s\b|GB\b|GiB\b|MiB\b|MB\b|TFLOPS\b|TFLOP/s\b)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[^.;\n]*(?:\.(?=\d)[^.;\n]*)*")
_MOST_NUMBERS = 8


def span_sha(text: str, first: int, last: int) -> str:
    """Hash of the characters of a span."""
    return hashlib.sha256(text[first:last].encode()).hexdigest()


def extracted_claims(
    title: str, message: str, comments: Sequence[tuple[str, Comment | None]]
) -> tuple[tuple[Claim, ...], tuple[Anchor, ...]]:
    """Claims taken word for word, and their anchors.

    Args:
        title: a sentence that only repeats it is none.
        message: body of the commit message.
        comments: (path, best comment) of each file.
    """
    anchors: list[Anchor] = []
    claims: list[Claim] = []
    said = [s for s in sentences(message) if not is_template(s.text, title)]
    why, how = ([s for s in said if s.says_why is w] for w in (True, False))
    for field, found in (("motivation", why[:_MOST_WHY]), ("implementation", how[:_MOST_HOW])):
        for s in found:
            claims.append(Claim(field=field, text=s.text, anchors=(len(anchors),)))  # type: ignore[arg-type]
            span = (s.first, s.last)
            anchors.append(Anchor(source="message", span=span, sha256=span_sha(message, *span)))
    best = sorted(
        (
            (c, path)
            for path, c in comments
            if c and c.score >= _FEWEST_SCORE and not is_template(c.text, title)
        ),
        key=lambda c: -c[0].score,
    )
    seen = {claim.text for claim in claims}
    for comment, path in best[:_MOST_COMMENTS]:
        if comment.text not in seen:
            seen.add(comment.text)
            claims.append(Claim(field="implementation", text=comment.text, anchors=(len(anchors),)))
            anchors.append(
                Anchor(
                    path=path, lines=(comment.first, comment.last), hunk=comment.hunk, sha256=comment.sha256
                )
            )
    return tuple(claims), tuple(anchors)


def stated_numbers(title: str, message: str) -> tuple[Number, ...]:
    """Figures that title and message state, with the clause around them as their workload."""
    found: dict[tuple[str, str], Number] = {}
    for where, text in (("title", title), ("message", message)):
        for match in _FIGURE.finditer(text):
            start = max(text.rfind(c, 0, match.start()) for c in "\n;|") + 1
            clause = _CLAUSE.match(text, start)
            around = " ".join((clause[0] if clause else match[0]).split())
            number = Number(value=match[1].strip(), unit=match[2], workload=around[:200], where=where)
            if around.isprintable():
                found.setdefault((number.value, number.unit), number)
    return tuple(found.values())[:_MOST_NUMBERS]
