"""The dossier card: what one pull request taught, as it is stored, shown and shipped.

A card is a validated record. Facts come from the history. Prose is a list of claims, each with the anchors that
prove it: lines of the diff held by a hash, characters of the commit message or description, a review thread.

`imported`   from somebody else's document; unproven, never above a card of ours
`extracted`  facts, and sentences taken word for word from the message or from comments in the diff
`reviewed`   a person or a model wrote the prose after reading the diff
`verified`   as reviewed, and the anchors of every single claim were checked against the diff
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ingest.records import DiffState, Facts, FileGroup, FileStatus, Link, PrKind, SymbolChange, SymbolSource

Status = Literal["imported", "extracted", "reviewed", "verified"]
Origin = Literal["git", "starter", "dossier"]
State = Literal["merged", "open", "closed"]
Side = Literal["new", "old"]
AnchorSource = Literal["diff", "message", "description", "thread"]
ClaimField = Literal["motivation", "implementation", "validation", "risk"]
# what a change consists of when it has no line of code to show
NoCode = Literal[
    "docs only", "config only", "generated only", "imports only", "comments only", "licence only", "formatting only",
    "moves only", "punctuation only", "long lines only", "binary only", "modes and names only", "unreadable", "empty",
]  # fmt: skip

SCHEMA_VERSION = 2


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
    """Lines of a diff, byte for byte.

    Attributes:
        path: file in the diff.
        hunk: header of the hunk they stand in.
        text: the lines with their `+`, `-` and blank marks.
        at: place of the first of them in the hunk, 1 for the line below its header; 0 where it isn't known.
    """

    path: str
    hunk: str
    text: str
    at: int = 0


class Anchor(Record, frozen=True, kw_only=True):
    """Where a claim can be checked.

    Attributes:
        source: what it points into: the diff, the commit message, the description, a review thread.
        path: file in the diff.
        side: whether `lines` count on the new or the old side.
        lines: first and last line, 1-based.
        hunk: header of the hunk that holds them; path and header are a hunk's id.
        sha256: of the anchored text, so that no code need be shipped: lines as they stand in the file, joined by
            newlines; or the characters of `span`.
        says: what the anchored text does, in our words.
        thread: id of the review thread.
        span: first character and the one behind the last, 0-based, of a message, description or thread.
    """

    path: str = ""
    lines: tuple[int, int] = (0, 0)
    says: str = ""
    side: Side = "new"
    hunk: str = ""
    sha256: str = ""
    source: AnchorSource = "diff"
    thread: str = ""
    span: tuple[int, int] = (0, 0)


class Claim(Record, frozen=True, kw_only=True):
    """One or a few sentences that stand or fall together.

    Attributes:
        field: the part of the card it belongs to.
        text: one line of prose; names of code in backticks.
        anchors: places in the card's list of anchors.
        radius: for a risk, what else runs through the changed code.
    """

    field: ClaimField
    text: str
    anchors: tuple[int, ...] = ()
    radius: tuple[str, ...] = ()


class Number(Record, frozen=True, kw_only=True):
    """A figure the pull request states, with its unit, workload and place; `anchors` as in a claim."""

    value: str
    unit: str = ""
    workload: str = ""
    where: str = ""
    anchors: tuple[int, ...] = ()


class Coverage(Record, frozen=True, kw_only=True):
    """How much of the diff the card rests on. Lines are added plus removed lines; binary files have none."""

    state: DiffState | Literal["not read"] = "complete"
    lines_total: int = 0
    lines_indexed: int = 0
    files_total: int = 0
    files_read: int = 0

    @property
    def truncated(self) -> bool:
        """Whether part of the diff stayed out of the index."""
        return self.lines_indexed < self.lines_total


class WithoutCode(Record, frozen=True, kw_only=True):
    """Why no code can be shown: what the change consists of, and a line of it, byte for byte, with its mark."""

    reason: NoCode
    path: str = ""
    line: str = ""


class ReviewPoint(Record, frozen=True, kw_only=True):
    """One point of a review; `anchors` as in a claim."""

    text: str
    anchors: tuple[int, ...] = ()


class Review(Record, frozen=True, kw_only=True):
    """What reviewers said: counts, names and points, each anchored to its thread."""

    threads: int = 0
    comments: int = 0
    reviewers: tuple[str, ...] = ()
    points: tuple[ReviewPoint, ...] = ()


class Card(Record, frozen=True, kw_only=True):
    """A dossier card. `id` is `owner/name#N`; times are ISO 8601.

    Attributes:
        message: body of the commit message without trailers; what `message` anchors point into.
        without_code: set where the excerpts show no code because the change has none.
        written_by: who wrote the claims: empty for the history, `person`, or `model NAME`.
        sources: addresses that a card rests on whose diff was not read.
    """

    id: str
    title: str
    kind: PrKind
    status: Status
    origin: Origin
    state: State = "merged"
    sha: str = ""
    parent: str = ""
    merged_at: str = ""
    additions: int = 0
    deletions: int = 0
    families: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    coverage: Coverage = Coverage()
    message: str = ""
    claims: tuple[Claim, ...] = ()
    numbers: tuple[Number, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    files: tuple[CardFile, ...] = ()
    symbols: tuple[CardSymbol, ...] = ()
    facts: Facts = Facts()
    blast_radius: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    without_code: WithoutCode | None = None
    review: Review | None = None
    written_by: str = ""
    sources: tuple[str, ...] = ()

    @property
    def motivation(self) -> str:
        """Why: the claims of that field, joined."""
        return " ".join(self.texts("motivation"))

    @property
    def implementation(self) -> str:
        """Which runtime path changed, and how: the claims of that field, joined."""
        return " ".join(self.texts("implementation"))

    @property
    def validation(self) -> tuple[str, ...]:
        """What to run, and what to look for."""
        return self.texts("validation")

    @property
    def risks(self) -> tuple[str, ...]:
        """What can go wrong, one risk each."""
        return self.texts("risk")

    def texts(self, field: ClaimField) -> tuple[str, ...]:
        """The texts of one part of the card."""
        return tuple(claim.text for claim in self.claims if claim.field == field)

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


def plain_claims(
    motivation: str = "", implementation: str = "", validation: tuple[str, ...] = (), risks: tuple[str, ...] = (),
) -> tuple[Claim, ...]:  # fmt: skip
    """Claims of plain prose, without anchors of their own."""
    parts: tuple[tuple[ClaimField, tuple[str, ...]], ...] = (
        ("motivation", (motivation,)), ("implementation", (implementation,)), ("validation", validation), ("risk", risks),
    )  # fmt: skip
    return tuple(Claim(field=f, text=" ".join(t.split())) for f, texts in parts for t in texts if t.strip())
