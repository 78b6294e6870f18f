"""Facts of a card: they must agree with each other, and with the diff where it is at hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from ingest.paths import group_of
from kb.cards import Card
from kb.gate.defects import Finding
from kb.stored_diff import Diff

_ID = re.compile(r"[\w.-]+/[\w.-]+#[1-9]\d{0,6}")
_TARGET = re.compile(r"[\w.-]+/[\w.-]+#\d{1,7}|commit:[0-9a-f]{7,64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def check_facts(card: Card, diff: Diff | None) -> Iterator[Finding]:
    """Defects of everything that is no prose and no excerpt."""
    yield from _identity(card)
    yield from _status(card)
    if card.origin != "dossier" and card.coverage.state != "not read":
        yield from _counts(card)
    yield from _files(card)
    if diff is not None:
        yield from _against_diff(card, diff)


def _identity(card: Card) -> Iterator[Finding]:
    if not _ID.fullmatch(card.id):
        yield "identity", f"{card.id!r} is no pull request: owner/name#N"
    if not card.title.strip():
        yield "identity", "no title"
    if card.merged_at and not _TIME.fullmatch(card.merged_at):
        yield "identity", f"merge time {card.merged_at!r} is no UTC time"
    if card.origin == "git" and (not card.merged_at or not _SHA.fullmatch(card.sha)):
        yield "identity", "a card of a history names its commit and merge time"
    for link in card.links:
        if not _TARGET.fullmatch(link.target) or link.target == card.id:
            yield "links", f"link {link.kind} {link.target!r} names no other pull request"


def _status(card: Card) -> Iterator[Finding]:
    if (card.status == "imported") != (card.origin == "dossier"):
        yield "status", f"a card of {card.origin} can't be {card.status}"
    if card.status == "extracted" and card.written_by:
        yield "status", f"an extracted card has no writer, this one names {card.written_by}"
    if card.status in ("reviewed", "verified") and not card.written_by:
        yield "status", f"a {card.status} card says who wrote it"


def _counts(card: Card) -> Iterator[Finding]:
    cover = card.coverage
    added, removed = sum(f.added or 0 for f in card.files), sum(f.removed or 0 for f in card.files)
    if (added, removed) != (card.additions, card.deletions):
        yield (
            "counts",
            f"its files add up to +{added} -{removed}, the card says +{card.additions} -{card.deletions}",
        )
    if cover.files_total != len(card.files):
        yield "files", f"{len(card.files)} of {cover.files_total} changed files are named"
    if (
        cover.lines_total != card.additions + card.deletions
        or not 0 <= cover.lines_indexed <= cover.lines_total
    ):
        yield "coverage", f"{cover.lines_indexed} of {cover.lines_total} lines indexed can't be"
    if cover.files_read > cover.files_total:
        yield "coverage", f"{cover.files_read} of {cover.files_total} files read can't be"


def _files(card: Card) -> Iterator[Finding]:
    if not card.files and card.coverage.state == "complete" and not (card.without_code or card.sources):
        yield "files", "no files"
    paths = set(card.paths())
    for path, count in Counter(f.path for f in card.files).items():
        if count > 1:
            yield "files", f"{path} is named {count} times"
    for file in card.files:
        if file.group != group_of(file.path):
            yield "group", f"{file.path} is {group_of(file.path)}, not {file.group}"
    for symbol in card.symbols:
        if symbol.path not in paths or symbol.start > symbol.end:
            yield "symbols", f"symbol {symbol.name} stands in no file of the change"


def _against_diff(card: Card, diff: Diff) -> Iterator[Finding]:
    counts = {f.path: (f.added or 0, f.removed or 0) for f in card.files}
    held = 0
    for file in diff.files:
        added, removed = sum(h.added for h in file.hunks), sum(h.removed for h in file.hunks)
        held += added + removed
        if file.path not in counts:
            yield "files", f"{file.path} was changed and is not named"
        elif file.whole and (added, removed) != counts[file.path]:
            yield "counts", f"{file.path} has +{added} -{removed} in the diff, the card says otherwise"
    for path in counts.keys() - {f.path for f in diff.files}:
        yield "files", f"{path} is no file of the change"
    if card.origin == "git" and not diff.whole and held < card.coverage.lines_indexed:
        yield "coverage", f"{card.coverage.lines_indexed} lines indexed, the diff holds {held}"
