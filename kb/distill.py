"""From a pull request as read to its card and its rows in the store. Facts only: nothing is made up here."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from ingest.paths import group_of
from ingest.reader import ReadPullRequest
from ingest.records import ChangedFile
from kb.cards import Card, CardFile, CardSymbol, Coverage, encode_card
from kb.chunks import FileDigest
from kb.families import Families
from kb.tables import CARDS, CHUNKS, LINKS
from kb.words import capped, code_words, name_ends, path_terms, prose_words

_EXCERPTS = 3
_SYMBOLS = 400  # kept of one card: imports of a whole vendored library must not fill it
_CHUNKS_A_PULL = 400
_WORDS = {"title": 200, "path": 2000, "introduced": 1500, "changed": 1500, "diff": 4000, "description": 2000}


def utc(moment: str) -> str:
    """A time in UTC, `2026-01-31T12:00:00Z`; what is no time stays as it is."""
    try:
        parsed = datetime.fromisoformat(moment)
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return moment


def diff_words(digests: Iterable[FileDigest], families: Families) -> str:
    """The diff field of a card: names of model classes first, so that the limit never cuts them off."""
    words = [w for d in digests for w in d.words.split(" ") if w]
    return capped([*families.class_words(words), *words], 4, _WORDS["diff"])


def card_of(read: ReadPullRequest[FileDigest], diff: str, families: Families) -> Card:
    """The extracted card of a pull request; `diff` is its diff field."""
    pull = read.pull
    files = tuple(
        CardFile(
            path=f.path,
            group=f.group,
            status=f.entry.status,
            added=f.entry.added,
            removed=f.entry.removed,
            old_path=f.entry.old_path if f.entry.old_path != f.path else "",
            symbol_source=f.symbol_source,
        )
        for f in pull.files
    )
    best = heapq.nlargest(_EXCERPTS, (d for d in read.digests if d.excerpt), key=lambda d: d.score)
    return Card(
        id=pull.id,
        title=pull.title,
        kind=pull.kind,
        status="extracted",
        origin="git",
        sha=pull.sha,
        parent=pull.parent,
        merged_at=utc(pull.merged_at),
        additions=pull.added,
        deletions=pull.removed,
        families=families.tag(
            pull.title, (p for f in files for p in (f.path, f.old_path) if p), diff.split(" ")
        ),
        tickets=pull.tickets,
        coverage=Coverage(
            state=pull.diff_state,
            lines_total=pull.added + pull.removed,
            lines_indexed=sum(d.lines_indexed for d in read.digests),
            files_total=len(files),
        ),
        files=files,
        symbols=_symbols(pull.files),
        facts=pull.facts,
        blast_radius=pull.blast_radius,
        links=pull.links,
        excerpts=tuple(d.excerpt for d in best if d.excerpt),
    )


def _symbols(files: Sequence[ChangedFile]) -> tuple[CardSymbol, ...]:
    found = [
        CardSymbol(name=s.name, kind=s.kind, change=s.change, path=f.path, start=s.start, end=s.end)
        for f in files
        for s in f.symbols
    ]
    if len(found) <= _SYMBOLS:
        return tuple(found)
    order = {"introduced": 0, "removed": 1, "changed": 2}
    return tuple(sorted(found, key=lambda s: order[s.change])[:_SYMBOLS])


def field_words(card: Card, diff: str) -> dict[str, str]:
    """The searched columns of a card.

    Args:
        card: the card.
        diff: its diff field, as `diff_words` makes it.
    """
    path_words = [w for p in card.paths() for w in (*prose_words(p.replace("/", " ")), *path_terms(p))]
    path_words += [f"+{term}" for f in card.files if f.status == "added" for term in path_terms(f.path)]
    introduced = [s.name for s in card.symbols if s.change == "introduced"]
    changed = [s.name for s in card.symbols if s.change != "introduced"]
    new_definitions = [
        f"+{name}"
        for s in card.symbols
        if s.change == "introduced" and group_of(s.path) not in ("test", "benchmark")
        for name in name_ends(s.name)
    ]
    facts = card.facts
    new_names = [*facts.flags_added, *facts.env_added, *facts.config_added]
    old_names = [*facts.flags_removed, *facts.env_removed, *facts.config_removed]
    prose = [
        card.motivation,
        card.implementation,
        *card.validation,
        *card.risks,
        *(a.says for a in card.anchors),
    ]
    return {
        "title_words": capped(prose_words(card.title), 3, _WORDS["title"]),
        "path_words": capped(path_words, 2, _WORDS["path"]),
        "introduced_words": capped(
            [*new_definitions, *_name_words(introduced, new_names)], 2, _WORDS["introduced"]
        ),
        "changed_words": capped(_name_words(changed, old_names), 2, _WORDS["changed"]),
        "diff_words": diff,
        "description_words": capped(
            (w for part in prose for w in prose_words(part)), 3, _WORDS["description"]
        ),
        "review_words": "",
    }


def _name_words(symbols: Sequence[str], names: Sequence[str]) -> list[str]:
    words = [w for name in (*symbols, *names) for w in code_words(name)]
    return words + [name.lower() for name in names]  # `--tp-size` and `SGLANG_X` whole, for exact questions


_MARKS = {"introduced": "+", "changed": "~", "removed": "-"}


def searched_names(card: Card) -> str:
    """Symbols, flags, variables and keys of a card, one a line behind a mark: `+` new, `~` changed, `-` gone."""
    facts = card.facts
    names = [f"{_MARKS[s.change]}{s.name}" for s in card.symbols]
    names += [f"+{n}" for group in (facts.flags_added, facts.env_added, facts.config_added) for n in group]
    names += [
        f"-{n}" for group in (facts.flags_removed, facts.env_removed, facts.config_removed) for n in group
    ]
    return "\n".join(dict.fromkeys(names))


def searched_paths(card: Card) -> str:
    """Paths of a card, one a line behind a mark: `+` added, `~` changed, `-` deleted or the old name."""
    marks = {"added": "+", "deleted": "-"}
    lines = [f"{marks.get(f.status, '~')}{f.path}" for f in card.files]
    lines += [f"-{f.old_path}" for f in card.files if f.old_path]
    return "\n".join(dict.fromkeys(lines))


def card_rows(cards: Sequence[tuple[Card, dict[str, str]]], batch: int) -> pa.Table:
    """Rows of the cards table."""
    rows = [
        {
            "id": card.id,
            "repo": card.repo,
            "number": card.number,
            "title": card.title,
            "kind": card.kind,
            "status": card.status,
            "origin": card.origin,
            "merged_at": card.merged_at,
            "families": list(card.families),
            "path_text": searched_paths(card),
            "symbol_text": searched_names(card),
            **words,
            "card": encode_card(card),
            "batch": batch,
        }
        for card, words in cards
    ]
    return pa.Table.from_pylist(rows, schema=CARDS)


def chunk_rows(reads: Iterable[ReadPullRequest[FileDigest]], batch: int) -> pa.Table:
    """Rows of the chunks table."""
    columns: dict[str, list[object]] = {name: [] for name in CHUNKS.names}
    for read in reads:
        ordinal = 0
        for file, digest in zip(read.pull.files, read.digests, strict=True):
            for chunk in digest.chunks[: max(0, _CHUNKS_A_PULL - ordinal)]:
                values = (
                    read.pull.id,
                    read.pull.repo,
                    ordinal,
                    file.path,
                    chunk.hunk,
                    chunk.text,
                    chunk.words,
                    batch,
                )
                for name, value in zip(CHUNKS.names, values, strict=True):
                    columns[name].append(value)
                ordinal += 1
    return pa.table(columns, schema=CHUNKS)


def link_rows(cards: Iterable[Card], batch: int) -> pa.Table:
    """Rows of the links table."""
    rows = [
        {"repo": card.repo, "source": card.id, "kind": link.kind, "target": link.target, "batch": batch}
        for card in cards
        for link in card.links
    ]
    return pa.Table.from_pylist(rows, schema=LINKS)
