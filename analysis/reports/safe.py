"""Names out of traces and result files made harmless for a terminal, for Markdown and for a spreadsheet."""

from __future__ import annotations

import re
import unicodedata


def plain(text: str) -> str:
    """One line that can't control a terminal: control, format and surrogate characters become blanks."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else c for c in text)
    return " ".join("".join(kept).split())


def markdown(text: str) -> str:
    """One inert line of Markdown: no HTML, links, images, code, emphasis or table cells."""
    inert = re.sub(r"([\\`*_\[\]<>#|!~&])", r"\\\1", plain(text))
    return re.sub(
        r"(?i)\b(https?|ftp)://|\bwww\.", lambda m: f"{m[1]}\\://" if m[1] else f"{m[0][:-1]}\\.", inert
    )


def spreadsheet(text: str) -> str:
    """A cell that a spreadsheet takes for text: what would start a formula gets an apostrophe."""
    line = plain(text)
    return f"'{line}" if line[:1] in ("=", "+", "-", "@") else line
