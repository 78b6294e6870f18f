"""The page of one card: facts, claims with their places, highlighted excerpts, review threads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from markupsafe import Markup, escape

from ingest.github.records import Comment, Description, Thread
from kb.cards import Card, CardFile, CardSymbol, Claim, Number, decode_card
from kb.lanes import Lane, validation_lanes
from kb.reports.cards import anchor_place
from loop.site.highlight import Line, diff_lines
from loop.site.pages import Site, render
from loop.site.places import Held, card_page, family_page, root_of, short_id
from loop.site.prose import prose_html

_FILES = 150
_SYMBOLS = 60
_NAMES = 60
_THREADS = 60
_COMMENTS = 40
_HUNK_LINES = 14  # the last ones, which the comment hangs on
_LONG_LINE = 400
_LANES = {
    "test": "run",
    "benchmark": "measure with",
    "command": "command",
    "flag": "launch with",
    "prose": "",
}


class ThreadRow(NamedTuple):
    """A thread as the store has it, with what became of its lines."""

    record: str
    addressed: str
    addressed_by: str


class CardRow(NamedTuple):
    """All that a card's page is made from, as the store has it, so that it can go to another process."""

    card: str
    linked_from: tuple[tuple[str, str], ...] = ()
    threads: tuple[ThreadRow, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A page that is to be written."""

    page: str
    html: str


@dataclass(frozen=True, slots=True)
class Linked:
    """Another pull request: how it stands to this one, its short name, its address."""

    kind: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Highlighted lines of a diff."""

    path: str
    hunk: str
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Said:
    """A comment."""

    author: str
    role: str
    day: str
    state: str
    body: Markup


@dataclass(frozen=True, slots=True)
class Talk:
    """A thread as a page shows it; `marks` are words on what became of it."""

    place: str
    url: str
    marks: tuple[str, ...]
    lines: list[Line]
    comments: list[Said]
    more: int


@dataclass(frozen=True, slots=True)
class Stated:
    """A claim: its text, and the places where it can be checked."""

    text: Markup
    places: tuple[str, ...]


class CardWriter:
    """Makes card pages.

    Args:
        site: the frame of every page.
        held: the cards that have a page.
        families: families that have a page, slug -> name.
    """

    def __init__(self, site: Site, held: Held, families: dict[str, str]) -> None:
        self._site = site
        self._held = held
        self._families = families

    def page(self, row: CardRow) -> Made | None:
        """The page of a card, None for an id that makes no file's name."""
        card = decode_card(row.card)
        page = card_page(card.id)
        if page is None:
            return None
        root = root_of(page)
        threads = [self._talk(t, page) for t in row.threads[:_THREADS]]
        description = msgspec.json.decode(row.description, type=Description) if row.description else None
        shown = render(
            "card.html", page, self._site,
            card=card,
            name=short_id(card.id),
            families=[(f, self._families.get(f, f), root + family_page(f) if f in self._families else "") for f in card.families],
            links=[self._linked(link.kind, link.target, root) for link in card.links]
            + [self._linked(f"{kind} this", other, root) for kind, other in row.linked_from],
            parts=_parts(card),
            looks=[(anchor_place(a), prose_code(a.says)) for a in card.anchors if a.says],
            excerpts=[Excerpt(e.path, e.hunk, diff_lines(_cut(e.text), e.path)) for e in card.excerpts],
            symbols=_symbols(card.symbols),
            switches=_switches(card),
            groups=_groups(card.files),
            more_files=max(0, len(card.files) - _FILES),
            threads=threads,
            more_threads=max(0, len(row.threads) - _THREADS),
            comments=sum(len(t.comments) for t in threads),
            description=prose_html(description.body, page, self._held.by_url, 2) if description and not description.gone else "",
            coverage=_coverage(card),
            sources=[s for s in card.sources if re.fullmatch(r"https://[\w./#?=&%:+~-]+", s)],
        )  # fmt: skip
        return Made(page, shown)

    def _linked(self, kind: str, target: str, root: str) -> Linked:
        if target.startswith("commit:"):
            return Linked(kind, target[:19], "")
        return Linked(kind, short_id(target), self._held.link(target, root))

    def _talk(self, row: ThreadRow, page: str) -> Talk:
        thread = msgspec.json.decode(row.record, type=Thread)
        anchor = thread.anchor
        line = anchor.line or anchor.original_line
        place = f"{anchor.path}:{line}" if anchor.path and line else anchor.path or thread.kind
        marks = [
            "resolved" if thread.resolved else "",
            "outdated" if thread.outdated else "",
            f"addressed: {row.addressed_by or 'yes'}" if row.addressed == "yes" else "",
            "lines stayed as they were" if row.addressed == "no" else "",
            "first comment missing" if thread.root_missing else "",
            "imported" if thread.trust == "imported" else "",
        ]
        hunk = "\n".join(anchor.diff_hunk.split("\n")[1:][-_HUNK_LINES:])
        return Talk(
            place, thread.url, tuple(m for m in marks if m),
            diff_lines(_cut(hunk), anchor.path) if hunk else [],
            [self._said(c, page) for c in thread.comments[:_COMMENTS]],
            max(0, len(thread.comments) - _COMMENTS),
        )  # fmt: skip

    def _said(self, comment: Comment, page: str) -> Said:
        author = comment.author
        body = prose_html(comment.body, page, self._held.by_url, 3)
        role = author.role.replace("pr_author", "author")
        return Said(author.login or "deleted account", role, comment.created_at[:10], comment.state.lower().replace("_", " "), body)  # fmt: skip


def prose_code(text: str) -> Markup:
    """Prose of one line; names in backticks become code."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def _cut(text: str) -> str:
    """Without what is right of the longest line that anybody reads."""
    return "\n".join(
        line if len(line) <= _LONG_LINE else f"{line[:_LONG_LINE]}…" for line in text.split("\n")
    )


def _parts(card: Card) -> list[tuple[str, list[Stated]]]:
    """The headings of the prose with what stands under each."""
    said = ", as its author says" if card.status == "extracted" else ""
    found = [
        (f"Motivation{said}", [_stated(card, c) for c in card.claims if c.field == "motivation"]),
        (f"Key implementation{said}", [_stated(card, c) for c in card.claims if c.field == "implementation"]),
        ("Numbers", [_number(card, n) for n in card.numbers]),
        ("Validation", [_lane(lane) for lane in validation_lanes(card)[:_NAMES]]),
        ("Risks", [_stated(card, c) for c in card.claims if c.field == "risk"]),
    ]
    return [(heading, items) for heading, items in found if items]


def _stated(card: Card, claim: Claim) -> Stated:
    reach = f" Reaches {', '.join(claim.radius)}." if claim.radius else ""
    return Stated(prose_code(claim.text + reach), _anchored(card, claim.anchors))


def _number(card: Card, number: Number) -> Stated:
    workload = f": {number.workload}" if number.workload else ""
    where = f" ({number.where})" if number.where else ""
    return Stated(
        prose_code(f"{number.value} {number.unit}{workload}{where}"), _anchored(card, number.anchors)
    )


def _anchored(card: Card, anchors: Sequence[int]) -> tuple[str, ...]:
    return tuple(anchor_place(card.anchors[a]) for a in anchors if a < len(card.anchors))


def _lane(lane: Lane) -> Stated:
    if lane.kind == "prose":
        return Stated(prose_code(lane.text), ())
    return Stated(Markup("{} <code>{}</code>").format(_LANES[lane.kind], lane.text), ())


def _symbols(symbols: Sequence[CardSymbol]) -> list[tuple[str, list[CardSymbol], int]]:
    """(change, symbols, how many more) for each kind of change that there is."""
    found = []
    for change in ("introduced", "changed", "removed"):
        names = [s for s in symbols if s.change == change]
        if names:
            found.append((change, names[:_SYMBOLS], max(0, len(names) - _SYMBOLS)))
    return found


def _switches(card: Card) -> list[tuple[str, tuple[str, ...]]]:
    facts = card.facts
    named = (
        ("Server flags added", facts.flags_added), ("Server flags removed", facts.flags_removed),
        ("Flags that tests and docs pass", facts.flags_used), ("Environment variables added", facts.env_added),
        ("Environment variables removed", facts.env_removed), ("Config keys added", facts.config_added),
        ("Config keys removed", facts.config_removed),
    )  # fmt: skip
    return [(title, items[:_NAMES]) for title, items in named if items]


def _groups(files: Sequence[CardFile]) -> list[tuple[str, list[CardFile]]]:
    """The files by group, as many as a page shows."""
    shown = files[:_FILES]
    return [(g, [f for f in shown if f.group == g]) for g in dict.fromkeys(f.group for f in shown)]


def _coverage(card: Card) -> str:
    cover = card.coverage
    if cover.state == "missing":
        return "diff not readable: objects are missing from the clone"
    if cover.state == "not read":
        return "diff not read: the card rests on the sources below"
    part = ", the rest is data or generated" if cover.truncated else ""
    return f"{cover.lines_indexed:,} of {cover.lines_total:,} changed lines indexed{part}"
