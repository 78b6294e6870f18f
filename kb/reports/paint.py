"""Colours for answers on a terminal: added last, to text that is already harmless, and to nothing that goes into a pipe."""

from __future__ import annotations

import os
import re
import sys

import click

_HEADING = re.compile(r"(\s*(?:\d+\. )?)([\w.-]+/[\w.-]+#\d+)(  (?:\d{4}-\d\d-\d\d|date unknown))(  .*)$")


def wants_colour() -> bool:
    """Whether a person reads stdout on a terminal that shows colours: NO_COLOR and TERM=dumb say no."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str) -> str:
    """An answer's lines: pull requests in bold, added and removed lines in green and red, places and reasons dimmed."""
    return "\n".join(_line(line) for line in text.split("\n")) if wants_colour() else text


def _line(line: str) -> str:
    heading = _HEADING.match(line)
    if heading:
        lead, card, day, title = heading.groups()
        return lead + click.style(card, bold=True, fg="cyan") + click.style(day, dim=True) + click.style(title, bold=True)  # fmt: skip
    stripped = line.lstrip()
    if line.startswith("      ") and stripped[:1] in ("+", "-"):
        return click.style(line, fg="green" if stripped[0] == "+" else "red")
    if stripped.startswith(("why: ", "https://")):
        return click.style(line, dim=True)
    if line.startswith("Nothing here answers this"):
        return click.style(line, fg="yellow")
    return line
