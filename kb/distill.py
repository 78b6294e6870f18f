"""From a pull request as read to its card and its rows in the store. Facts only: nothing is made up here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from ingest.paths import group_of
from ingest.reader import ReadPullRequest
from ingest.records import ChangedFile
from kb.cards import Card, CardFile, CardSymbol, Coverage, Excerpt, NoCode, WithoutCode, encode_card
from kb.chunks import FileDigest
from kb.diff_lines import LineKind
from kb.excerpt_choice import Candidates, choose, is_generated
from kb.extracts import extracted_claims, stated_numbers
from kb.families import Families
from kb.messages import body_of
from kb.tables import CARDS, CHUNKS, LINKS
from kb.words import capped, code_words, name_ends, path_terms, prose_words

_MOVED_LINES = 8  # lines of a kind in a file that make it worth looking for moves between files
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
    message = body_of(pull.message)
    claims, anchors = extracted_claims(
        pull.title, message, [(f.path, d.comment) for f, d in zip(pull.files, read.digests, strict=True)]
    )
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
            lines_indexed=_lines_kept(read.digests),
            files_total=len(files),
            files_read=len(files) if pull.diff_state == "complete" else 0,
        ),
        message=message,
        claims=claims,
        numbers=stated_numbers(pull.title, message),
        anchors=anchors,
        files=files,
        symbols=_symbols(pull.files),
        facts=pull.facts,
        blast_radius=pull.blast_radius,
        links=pull.links,
        excerpts=excerpts_of(read),
        without_code=without_code(read),
    )


def kept_chunks(digests: Sequence[FileDigest]) -> list[int]:
    """How many chunks of each file are kept: all, or in a huge change those of the files that say most."""
    room = _CHUNKS_A_PULL
    if sum(len(d.chunks) for d in digests) <= room:
        return [len(d.chunks) for d in digests]
    kept = [0] * len(digests)
    for place in sorted(
        range(len(digests)), key=lambda i: -(digests[i].windows[0].score if digests[i].windows else -1)
    ):
        kept[place] = min(len(digests[place].chunks), room)
        room -= kept[place]
    return kept


def _lines_kept(digests: Sequence[FileDigest]) -> int:
    """Changed lines in the chunks that are kept."""
    lines = 0
    for digest, kept in zip(digests, kept_chunks(digests), strict=True):
        if kept == len(digest.chunks):
            lines += digest.lines_indexed
        else:
            lines += sum(line[:1] in ("+", "-") for c in digest.chunks[:kept] for line in c.text.split("\n"))
    return lines


def excerpts_of(read: ReadPullRequest[FileDigest]) -> tuple[Excerpt, ...]:
    """The excerpts of a pull request; all their lines stand in its chunks."""
    pull = read.pull
    files = [
        Candidates(file.path, file.group, file.entry.status == "added", digest.windows)
        for file, digest, kept in zip(pull.files, read.digests, kept_chunks(read.digests), strict=True)
        if digest.windows and kept == len(digest.chunks)
    ]
    introduced = {s.name for f in pull.files for s in f.symbols if s.change == "introduced"}
    return choose(pull.title, pull.kind, files, introduced, _moved_between_files(read.digests))


def _moved_between_files(digests: Sequence[FileDigest]) -> frozenset[str]:
    """Stripped lines that one file lost and another got; looked for where two files changed much."""
    lost, got = (
        sum(any(k.line[:1] == mark and k.lines >= _MOVED_LINES for k in d.kinds) for d in digests)
        for mark in "-+"
    )
    if not lost or not got or len(digests) < 2:
        return frozenset()
    sides: dict[str, set[str]] = {"+": set(), "-": set()}
    for digest in digests:
        for chunk in digest.chunks:
            for line in chunk.text.split("\n"):
                if line[:1] in sides:
                    sides[line[0]].add(line[1:].strip())
    return frozenset(sides["+"] & sides["-"])


_REASONS: dict[LineKind, NoCode] = {
    "comment": "comments only", "import": "imports only", "licence": "licence only", "format": "formatting only",
    "moved": "moves only", "bracket": "punctuation only", "blank": "punctuation only", "long": "long lines only",
}  # fmt: skip


def without_code(read: ReadPullRequest[FileDigest]) -> WithoutCode | None:
    """Why a change has no code to show, None where it has."""
    pull = read.pull
    if pull.diff_state != "complete" or read.problems:
        return WithoutCode(reason="unreadable")
    if not pull.files:
        return WithoutCode(reason="empty")
    counts = [
        (f, k) for f, d in zip(pull.files, read.digests, strict=True) for k in d.kinds if k.line[1:].strip()
    ]
    groups = {f.group for f in pull.files}
    whole: NoCode | None = None
    if all(is_generated(f.path) for f in pull.files):
        whole = "generated only"
    elif groups <= {"docs"}:
        whole = "docs only"
    elif groups <= {"docs", "config"}:
        whole = "config only"
    if whole is None and any(k.kind == "code" for _, k in counts):
        return None
    if counts:
        order = ["code", *_REASONS]
        file, first = min(counts, key=lambda c: (order.index(c[1].kind), -c[1].lines))
        return WithoutCode(reason=whole or _REASONS[first.kind], path=file.path, line=first.line)
    if any(f.entry.added is None for f in pull.files):
        return WithoutCode(
            reason="binary only", path=next(f.path for f in pull.files if f.entry.added is None)
        )
    blank = any(k.lines for d in read.digests for k in d.kinds)
    return WithoutCode(
        reason="punctuation only" if blank else "modes and names only", path=pull.files[0].path
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
    return {
        "title_words": capped(prose_words(card.title), 3, _WORDS["title"]),
        "path_words": capped(path_words, 2, _WORDS["path"]),
        "introduced_words": capped(
            [*new_definitions, *_name_words(introduced, new_names)], 2, _WORDS["introduced"]
        ),
        "changed_words": capped(_name_words(changed, old_names), 2, _WORDS["changed"]),
        "diff_words": diff,
        "description_words": capped(
            (w for part in prose_of(card) for w in prose_words(part)), 3, _WORDS["description"]
        ),
        "review_words": "",
    }


def prose_of(card: Card) -> tuple[str, ...]:
    """The texts of a card that a person wrote."""
    return (
        card.motivation,
        card.implementation,
        *card.validation,
        *card.risks,
        *(a.says for a in card.anchors),
    )


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
        for file, digest, kept in zip(read.pull.files, read.digests, kept_chunks(read.digests), strict=True):
            for chunk in digest.chunks[:kept]:
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
