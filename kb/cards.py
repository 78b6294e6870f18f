"""The dossier card: what one pull request taught, as it is stored, shown and shipped.

A card is a validated record. Prose fields are empty on an `extracted` card: git alone states no motivation,
and none is made up. `reviewed` cards carry prose that a person wrote after reading the diff.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ingest.records import DiffState, Facts, FileGroup, FileStatus, Link, PrKind, SymbolChange, SymbolSource

Status = Literal["extracted", "reviewed", "verified"]
Origin = Literal["git", "starter"]
Side = Literal["new", "old"]

SCHEMA_VERSION = 1


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of everything a store or a file of ours holds."""


class CardFile(Record, frozen=True, kw_only=True):
    """One changed file. `added` and `removed` are lines, None for a binary file."""

    path: str
    group: FileGroup
    status: FileStatus
    added: int | None = None
    removed: int | None = None
    old_path: str = ""
    symbol_source: SymbolSource = "none"


class CardSymbol(Record, frozen=True, kw_only=True):
    """A definition the change touched: lines of `path` on the new side, on the old side when removed."""

    name: str
    kind: str
    change: SymbolChange
    path: str
    start: int
    end: int


class Excerpt(Record, frozen=True, kw_only=True):
    """Lines of a diff: `hunk` is the header of the hunk they stand in, `text` keeps their `+`, `-` and blank marks."""

    path: str
    hunk: str
    text: str


class Anchor(Record, frozen=True, kw_only=True):
    """Where a claim of the prose can be checked.

    Attributes:
        path: file in the diff.
        side: whether `lines` count on the new or the old side.
        lines: first and last line, 1-based.
        hunk: header of the hunk that holds them.
        sha256: of the anchored lines as they stand in the file, joined by newlines, so that no code need be shipped.
        says: what the lines do, in our words.
    """

    path: str
    lines: tuple[int, int]
    says: str
    side: Side = "new"
    hunk: str = ""
    sha256: str = ""


class Number(Record, frozen=True, kw_only=True):
    """A figure the pull request states, with its unit, workload and place."""

    value: str
    unit: str = ""
    workload: str = ""
    where: str = ""


class Coverage(Record, frozen=True, kw_only=True):
    """How much of the diff the card rests on. Lines are added plus removed lines."""

    state: DiffState | Literal["not read"] = "complete"
    lines_total: int = 0
    lines_indexed: int = 0
    files_total: int = 0

    @property
    def truncated(self) -> bool:
        """Whether part of the diff stayed out of the index."""
        return self.lines_indexed < self.lines_total


class Card(Record, frozen=True, kw_only=True):
    """A dossier card. `id` is `owner/name#N`; times are ISO 8601."""

    id: str
    title: str
    kind: PrKind
    status: Status
    origin: Origin
    sha: str = ""
    parent: str = ""
    merged_at: str = ""
    additions: int = 0
    deletions: int = 0
    families: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    coverage: Coverage = Coverage()
    motivation: str = ""
    implementation: str = ""
    validation: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    files: tuple[CardFile, ...] = ()
    symbols: tuple[CardSymbol, ...] = ()
    facts: Facts = Facts()
    blast_radius: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def repo(self) -> str:
        """`owner/name`."""
        return self.id.rpartition("#")[0]

    @property
    def number(self) -> int:
        """The pull request's number in its repository."""
        return int(self.id.rpartition("#")[2])

    @property
    def url(self) -> str:
        """Where the pull request can be read."""
        return f"https://github.com/{self.repo}/pull/{self.number}"

    def paths(self) -> list[str]:
        """All paths of the change, old names of renamed files included."""
        return list(dict.fromkeys(p for f in self.files for p in (f.path, f.old_path) if p))


def encode_card(card: Card) -> str:
    """The card as JSON text."""
    return msgspec.json.encode(card).decode()


def decode_card(text: str | bytes) -> Card:
    """A card from its JSON text.

    Raises:
        msgspec.ValidationError: the text is no card of this schema.
    """
    return msgspec.json.decode(text, type=Card)
