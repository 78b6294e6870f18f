"""Facts of the embedded cards, read from real histories: what `prlore starter facts` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.git import open_repository
from ingest.history import CommitIndex, WalkedCommit, walk
from ingest.reader import ReadPullRequest, read_pull_requests
from ingest.records import ChangedFile
from kb.anchors import AnchorError, resolve_anchor
from kb.cards import Card, CardSymbol, encode_card
from kb.chunks import FileDigest, digest_file
from kb.datafiles import data_file
from kb.distill import card_of, diff_words
from kb.families import Families, load_families
from kb.starter import FACTS, WrittenCard, load_facts, load_written
from kb.stored_diff import Diff, DiffFile

_SYMBOLS = 80  # a shipped card names the first of them; a read history has all


@dataclass(slots=True)
class FactsReport:
    """How many cards got facts, which were not found, and anchors that do not hold."""

    written: int = 0
    not_found: list[str] = field(default_factory=list)
    broken_anchors: list[str] = field(default_factory=list)


def digest_with_hunks(file: ChangedFile) -> tuple[ChangedFile, FileDigest]:
    """A file as it was read, hunks and all, beside its digest."""
    return file, digest_file(file)


def write_facts(histories: Mapping[str, Path], folder: Path | None = None) -> FactsReport:
    """Read the pull requests of all embedded cards and write their facts.

    Args:
        histories: repository name -> clone that has its pull requests.
        folder: data/cards, or another folder of its layout.
    """
    folder = folder or data_file("cards")
    written = load_written(folder)
    report = FactsReport()
    families = load_families()
    cards: list[Card] = []
    for repo, clone in histories.items():
        wanted = {int(w.id.rpartition("#")[2]): w for w in written if w.id.rpartition("#")[0] == repo}
        with open_repository(clone) as repository:
            commits = walk(repository, "HEAD")
            first: dict[int, WalkedCommit] = {}
            for commit in commits:
                number = commit.subject.number
                if number is not None and number in wanted:
                    first.setdefault(number, commit)
            reads = read_pull_requests(
                repository, repo, list(first.values()), CommitIndex(commits), digest_with_hunks
            )
            cards += [_facts(read, wanted[read.pull.number], families, report) for read in reads]
        report.not_found += [f"{repo}#{n}" for n in wanted if n not in first]
    path = folder / FACTS
    kept = [c for c in load_facts(path).values() if c.repo not in histories] if path.exists() else []
    lines = sorted([*cards, *kept], key=lambda c: c.id)
    path.write_text("".join(encode_card(c) + "\n" for c in lines), encoding="utf-8")
    report.written = len(cards)
    return report


def _facts(
    read: ReadPullRequest[tuple[ChangedFile, FileDigest]],
    written: WrittenCard,
    families: Families,
    report: FactsReport,
) -> Card:
    plain = ReadPullRequest(read.pull, tuple(d for _, d in read.digests), read.problems)
    card = card_of(plain, diff_words(plain.digests, families), families)
    diff = Diff(tuple(DiffFile(f.path, f.entry.old_path, f.hunks, whole=True) for f, _ in read.digests))
    anchors = []
    for anchor in written.anchors:
        try:
            anchors.append(resolve_anchor(anchor, diff).anchor)
        except AnchorError as exc:
            report.broken_anchors.append(f"{card.id} {exc}")
    # what others wrote stays out: no title, no lines of the diff
    return msgspec.structs.replace(
        card, title="", origin="starter", message="", claims=(), numbers=(), excerpts=(), without_code=None,
        facts=dataclasses.replace(card.facts, commands=()), anchors=tuple(anchors), symbols=_most_telling(card),
    )  # fmt: skip


def _most_telling(card: Card) -> tuple[CardSymbol, ...]:
    order = {"introduced": 0, "removed": 1, "changed": 2}
    return tuple(sorted(card.symbols, key=lambda s: order[s.change])[:_SYMBOLS])
