"""Suggestion blocks: fenced pieces of a comment that GitHub can commit in place of the commented lines."""

from __future__ import annotations

import re

from ingest.github.records import Anchor, Suggestion

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*suggestion(?:[:\w.+-]*)?[ \t]*\r?$", re.IGNORECASE)
# `suggestion:-2+1`: lines above and below the commented one, as GitLab writes it and bots copy it
_RANGE = re.compile(r"suggestion:-(\d{1,3})\+(\d{1,3})", re.IGNORECASE)
_MOST = 20


def parse_suggestions(body: str, anchor: Anchor) -> tuple[Suggestion, ...]:
    """The suggestions of a comment, with the lines they replace: those that the comment is anchored to."""
    if "suggestion" not in body.lower():
        return ()
    end = anchor.line or anchor.original_line
    start = (anchor.start_line if anchor.line else anchor.original_start_line) or end
    found: list[Suggestion] = []
    lines = body.split("\n")
    at = 0
    while at < len(lines) and len(found) < _MOST:
        opening = _FENCE.match(lines[at])
        at += 1
        if not opening:
            continue
        closing = re.compile(rf"^ {{0,3}}{re.escape(opening[1][0])}{{{len(opening[1])},}}[ \t]*\r?$")
        stop = next((i for i in range(at, len(lines)) if closing.match(lines[i])), None)
        if stop is None:  # never closed: it is not rendered as one
            break
        text = "\n".join(line.removesuffix("\r") for line in lines[at:stop])
        above = _RANGE.search(opening[0])
        first, last = start, end
        if above and end is not None:
            first, last = max(1, end - int(above[1])), end + int(above[2])
        found.append(Suggestion(start=first, end=last, text=text))
        at = stop + 1
    return tuple(found)
