"""The embedded cards in data/cards: written by people who read the diffs, in their own words, facts only.

Prose stands in data/cards/<engine>/<number>.yaml, one file a card. What a history states of the same pull
requests, files, symbols, flags, counts, hunks and hashes of the anchored lines, stands in data/cards/facts.jsonl,
written by `prlore starter facts`. The two make the demo store; when the same pull request is read from a real
history, the prose joins the card that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from ingest.errors import PrloreError
from ingest.paths import group_of
from ingest.records import Link, PrKind
from kb.cards import Anchor, Card, CardFile, Claim, Coverage, Number, decode_card, plain_claims
from kb.datafiles import data_file
from kb.families import Families
from kb.words import prose_words

FACTS = "facts.jsonl"
_ID = re.compile(r"[\w.-]+/[\w.-]+#[1-9]\d{0,6}")


class StarterError(PrloreError):
    """A file in data/cards can't be used."""


class WrittenCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One YAML file. `source`, `merged_at` and `paths` are for cards whose diff could not be read."""

    id: str
    title: str
    kind: PrKind
    families: tuple[str, ...]
    motivation: str
    implementation: str
    validation: tuple[str, ...]
    risks: tuple[str, ...]
    numbers: tuple[Number, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    links: tuple[Link, ...] = ()
    source: tuple[str, ...] = ()
    merged_at: str | None = None
    paths: tuple[str, ...] = ()


def load_written(folder: Path | None = None) -> list[WrittenCard]:
    """The prose of all embedded cards, by file name.

    Raises:
        StarterError: a file is no card, or describes a pull request that another file describes.
    """
    folder = folder or data_file("cards")
    cards: dict[str, WrittenCard] = {}
    for path in sorted(folder.glob("*/*.yaml")):
        try:
            raw = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            card = msgspec.convert(raw, type=WrittenCard)
        except (OSError, yaml.YAMLError, msgspec.ValidationError) as exc:
            raise StarterError(f"{path}: {str(exc).splitlines()[0]}") from exc
        if not _ID.fullmatch(card.id):
            raise StarterError(f"{path}: {card.id!r} is no pull request: write owner/name#N")
        if card.id in cards:
            raise StarterError(f"{path}: {card.id} is described by another file as well")
        if path.stem != card.id.rpartition("#")[2]:
            raise StarterError(f"{path}: the file name is not the number of {card.id}")
        cards[card.id] = card
    return list(cards.values())


def load_starter_cards(folder: Path | None = None) -> list[Card]:
    """The embedded cards with their facts, by id.

    Raises:
        StarterError: a file can't be read, or a card that has anchors has no facts.
    """
    folder = folder or data_file("cards")
    facts = load_facts(folder / FACTS)
    cards = []
    for written in load_written(folder):
        fact = facts.get(written.id)
        if fact is None and written.anchors:
            raise StarterError(
                f"no facts for {written.id}: run `prlore starter facts` with a history that has it"
            )
        if fact is not None and [_place(a) for a in fact.anchors] != [_place(a) for a in written.anchors]:
            raise StarterError(
                f"anchors of {written.id} were edited: run `prlore starter facts` to prove them"
            )
        cards.append(join(fact, written) if fact else without_diff(written))
    return sorted(cards, key=lambda c: c.id)


def _place(anchor: Anchor) -> tuple[str, str, tuple[int, int], str]:
    return anchor.path, anchor.side, anchor.lines, anchor.says


def load_facts(path: Path) -> dict[str, Card]:
    """The facts of all embedded cards, by id.

    Raises:
        StarterError: the file is missing, or a line is no card.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise StarterError(f"can't read {path}: reinstall prlore, or run `prlore starter facts`") from exc
    facts = {}
    for number, line in enumerate(lines, start=1):
        try:
            card = decode_card(line)
        except msgspec.DecodeError as exc:
            raise StarterError(f"{path}:{number}: {exc}") from exc
        facts[card.id] = card
    return facts


def join(facts: Card, written: WrittenCard) -> Card:
    """Facts as a history has them, prose as a person wrote it. The facts' anchors hold hunks and hashes."""
    return msgspec.structs.replace(
        facts,
        title=written.title,
        kind=written.kind,
        status="reviewed",
        families=tuple(sorted({*facts.families, *written.families})),
        claims=claims_of(written),
        written_by="person",
        numbers=written.numbers,
        links=tuple(dict.fromkeys((*facts.links, *written.links))),
        sources=written.source,
    )


def without_diff(written: WrittenCard) -> Card:
    """A card that rests on public statements alone."""
    files = tuple(CardFile(path=p, group=group_of(p), status="modified") for p in written.paths)
    return Card(
        id=written.id,
        title=written.title,
        kind=written.kind,
        status="reviewed",
        origin="starter",
        merged_at=written.merged_at or "",
        families=tuple(sorted(written.families)),
        coverage=Coverage(state="not read", files_total=len(files)),
        claims=claims_of(written),
        written_by="person",
        numbers=written.numbers,
        files=files,
        links=written.links,
        sources=written.source,
    )


_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")


def claims_of(card: WrittenCard) -> tuple[Claim, ...]:
    """The prose as claims, a sentence each; a claim that names what an anchor stands on or says is tied to it."""
    claims = plain_claims(validation=card.validation, risks=card.risks)
    why, how = (_SENTENCE.split(" ".join(t.split())) for t in (card.motivation, card.implementation))
    parts = [Claim(field="motivation", text=t) for t in why if t]
    parts += [Claim(field="implementation", text=t) for t in how if t]
    return tuple(
        msgspec.structs.replace(c, anchors=_support(c.text, card.anchors)) for c in (*parts, *claims)
    )


def _support(text: str, anchors: tuple[Anchor, ...]) -> tuple[int, ...]:
    """Places of the anchors whose path or words a text shares; all of them where it shares none in particular."""
    words = set(prose_words(text))
    close = [len(words & {w for w in prose_words(f"{a.path} {a.says}") if len(w) > 3}) for a in anchors]
    best = max(close, default=0)
    return tuple(i for i, n in enumerate(close) if n == best)


def merge_prose(extracted: Card, starter: Card) -> Card:
    """A card read from a history, with the prose of the embedded card of the same pull request."""
    return msgspec.structs.replace(
        extracted,
        status=starter.status,
        claims=starter.claims,
        written_by=starter.written_by,
        numbers=starter.numbers,
        anchors=starter.anchors,
        families=tuple(sorted({*extracted.families, *starter.families})),
        links=tuple(dict.fromkeys((*extracted.links, *starter.links))),
        sources=starter.sources,
    )


def known_families(cards: Iterable[WrittenCard], families: Families) -> list[str]:
    """Families that cards name and the table lacks, as `id: family`."""
    slugs = {f.slug for f in families.entries}
    return [f"{c.id}: {f}" for c in cards for f in c.families if f not in slugs]
