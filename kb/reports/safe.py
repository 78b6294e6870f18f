"""Foreign text (titles, paths, diffs) made harmless for a terminal and for Markdown. Every report goes through here."""

from __future__ import annotations

import json
import re
import unicodedata

_CONTROL = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # categories that no reader sees


def plain(text: str) -> str:
    """Text that can't control a terminal: control and format characters (escapes, bidi marks) become blanks."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _CONTROL else " " for c in text)


def json_line(value: object) -> str:
    """JSON on one line whose strings keep every character, those that could control a terminal as escapes."""
    return escaped(json.dumps(value, ensure_ascii=False))


def escaped(document: str) -> str:
    """A JSON document with control, format and bidi characters in its strings written as escapes: the same values."""
    return re.sub(
        r"[^\x00-\x7e]",
        lambda m: json.dumps(m[0])[1:-1] if unicodedata.category(m[0]) in _CONTROL else m[0],
        document,
    )  # control characters below a blank are escaped by every JSON writer


def one_line(text: str) -> str:
    """Plain text on one line."""
    return " ".join(plain(text).split())


def markdown_text(text: str) -> str:
    """Foreign text as inert Markdown on one line: no HTML, links, images, code, emphasis, headings or tables."""
    return _inert(one_line(text))


def _inert(text: str) -> str:
    """Plain text of one line, its blanks kept, as inert Markdown."""
    inert = re.sub(r"([\\`*_\[\]<>#|!~&])", r"\\\1", text)
    # a bare address would become a link on GitHub
    return re.sub(
        r"(?i)\b(https?|ftp)://|\bwww\.", lambda m: f"{m[1]}\\://" if m[1] else f"{m[0][:-1]}\\.", inert
    )


def prose_markdown(text: str) -> str:
    """Prose as inert Markdown on one line; names in backticks stay code."""
    parts = re.split(r"(`[^`]+`)", one_line(text))
    return "".join(inline_code(p[1:-1]) if p[:1] == "`" and len(p) > 2 else _inert(p) for p in parts)


def inline_code(text: str) -> str:
    """Foreign text as inline code; a fence longer than any run of backticks in it."""
    content = one_line(text)
    fence = "`" * (max((len(m) for m in re.findall(r"`+", content)), default=0) + 1)
    pad = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{pad}{content}{pad}{fence}"
