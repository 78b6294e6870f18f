"""The nouns of a critique. What is not here can't be said: a finding has a place, a failure mode, a check and precedents."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, get_args

import msgspec

from ingest.records import LinkKind

Severity = Literal["blocking", "major", "minor", "nit"]
Concern = Literal[
    "correctness", "performance", "GPU/kernel", "memory/cache", "distributed", "API compatibility",
    "model/quantisation", "tests", "docs", "build", "observability", "maintainability",
]  # fmt: skip
Side = Literal["new", "old"]
Rule = Literal[
    "undoes-fix", "restores-reverted", "fixed-before", "asked-before", "untested-change", "claim-without-numbers",
    "flag-without-docs", "shared-file", "model",
]  # fmt: skip
Standing = Literal["diff", "checkout", "unverified"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CONCERNS: tuple[Concern, ...] = get_args(Concern)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a critique is made of."""


class Place(Record, frozen=True, kw_only=True):
    """Lines of the reviewed diff: within the hunk of that header, on one side, at least one of them changed."""

    path: str
    side: Side
    start: int
    line: int
    hunk: str
    symbol: str = ""


class PullPrecedent(Record, frozen=True, kw_only=True):
    """A merged pull request that fixed or reverted something in the same place.

    Attributes:
        id: `owner/name#N`.
        relation: what it did: `fixes` by its own kind, `reverts`, or another link.
        target: whom it reverted, where that is known.
        path: file in its own diff, which may be an older name of the reviewed one.
        hunk: header of a hunk of its diff there.
        quote: lines of that hunk with their marks.
        sha256: of the quote.
    """

    id: str
    title: str
    relation: LinkKind
    merged_at: str
    path: str
    hunk: str
    quote: str
    sha256: str
    target: str = ""

    @property
    def url(self) -> str:
        """Where it can be read."""
        repo, _, number = self.id.rpartition("#")
        return f"https://github.com/{repo}/pull/{number}"


class ThreadPrecedent(Record, frozen=True, kw_only=True):
    """A past review thread. `sha256` is of the whole quoted comment, `quote` a part of it, word for word."""

    id: str
    url: str
    path: str
    comment: int
    quote: str
    sha256: str
    created_at: str
    addressed: str
    trust: str


class Finding(Record, frozen=True, kw_only=True):
    """One concern about one place. All text but quotations is ours; names of code in it stand in backticks."""

    rule: Rule
    severity: Severity
    concern: Concern
    place: Place
    failure: str
    check: str
    pulls: tuple[PullPrecedent, ...] = ()
    threads: tuple[ThreadPrecedent, ...] = ()
    standing: Standing = "diff"
    score: float = 0.0
    fingerprint: str = ""

    @property
    def precedents(self) -> int:
        """How many precedents it cites."""
        return len(self.pulls) + len(self.threads)


class Refusal(Record, frozen=True, kw_only=True):
    """A finding that was dropped, and why."""

    rule: str
    path: str
    why: str


def quote_sha(text: str) -> str:
    """The hash of quoted lines."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint_of(place: Place, concern: Concern, lines: str, rule: str = "") -> str:
    """A name of a finding that stays when lines above it move: of its path, symbol, concern and the hunk's own text."""
    body = re.sub(r"\s+", " ", "\n".join(row for row in lines.split("\n") if row[:1] in ("+", "-")))
    parts = (place.path, place.symbol, rule, concern, body)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def at_or_over(severity: Severity, level: Severity) -> bool:
    """Whether a severity is at least a level."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(level)
