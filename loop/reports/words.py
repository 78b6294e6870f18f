"""Pieces that all views share: numbers with their links, tables, digests."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence

from kb.reports.safe import inline_code, markdown_text
from loop.records import Comparison, Digest, EngineBuild


def percent(log_ratio: float) -> str:
    """A log ratio as a signed percentage."""
    return f"{math.expm1(log_ratio):+.2%}" if math.isfinite(log_ratio) else "?"


def gain(found: Comparison) -> str:
    """Gain with its interval."""
    return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"


def anchor(found: Comparison) -> str:
    """Heading of a comparison in the appendix, as Markdown readers name it."""
    return found.key.replace("/", "-")


def linked(found: Comparison, up: str = "") -> str:
    """Gain with a link to its blocks; `up` leads to the folder of the appendix."""
    return f"[{gain(found)}]({up}appendix.md#{anchor(found)})"


def blob_link(digest: Digest, up: str = "../", words: str = "") -> str:
    """A link to what is stored under a digest."""
    return f"[{words or digest[:12]}]({up}objects/{digest[:2]}/{digest[2:]})"


def command(build: EngineBuild) -> str:
    """A launch command as one could type it."""
    names = [f"{name}={shlex.quote(value)}" for name, value in build.launch.env]
    return " ".join([*names, shlex.join(build.argv)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; cells are inert already."""
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body] if body else ["(none)"]


def code(text: str) -> str:
    """Foreign text as inline code in a table cell."""
    return inline_code(text.replace("|", "\u2502")) if text else ""


def words(text: str) -> str:
    """Foreign text, inert."""
    return markdown_text(text)
