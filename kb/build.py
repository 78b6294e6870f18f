"""A git history into the store: plan what is new, read it, write it batch by batch, index it.

Which commit owns a number is decided from the whole history and the ledger, never from what happened to be
written, so a run that was killed and run again writes what one clean run writes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa

from ingest.git import Repository
from ingest.history import CommitIndex, WalkedCommit, walk
from ingest.reader import Problem, ReadPullRequest, read_pull_requests
from kb.cards import Card, decode_card, encode_card
from kb.chunks import FileDigest, digest_file
from kb.distill import card_of, card_rows, chunk_rows, diff_words, field_words, link_rows, utc
from kb.encoders.base import DEFAULT_ENCODER, Encoder
from kb.encoders.load import load_encoder
from kb.encoders.mini import MINI_DIMENSIONS, MINI_ENCODER
from kb.families import Families, load_families
from kb.location import StoreError
from kb.model_vectors import cached_rows, complete
from kb.starter import load_starter_cards, merge_prose
from kb.store import Store
from kb.tables import COMMITS, LedgerRow, vectors_name, vectors_schema
from kb.threads.build import rejoin
from kb.threads.words import said_of, with_said

_BATCH_COMMITS = 256
# a fork's own small numbers stand among upstream's large ones
_OUT_OF_SEQUENCE = 0.5
_NEIGHBOURS = 101
_REWRITTEN = 2000  # cards rewritten in one transaction
_DIFF_WORDS = 300  # of a card's diff that its vector sees


@dataclass(frozen=True, slots=True)
class Options:
    """What to ingest.

    Attributes:
        repo: `owner/name`, the namespace of the numbers.
        rev: the revision to walk.
        since: only commits from this time on, ISO 8601 in UTC; empty for all.
        limit: only the newest N numbered commits; 0 for all.
        encoder: name of the encoder; None for what the store uses already, or the default.
        workers: worker processes; None for one a core.
    """

    repo: str
    rev: str = "HEAD"
    since: str = ""
    limit: int = 0
    encoder: str | None = None
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A commit whose number an earlier commit has."""

    number: int
    sha: str
    kept: str
    subject: str


@dataclass(slots=True)
class Report:
    """What a run did.

    Counts are of this run but for `known`, commits that were in the ledger before, and `unembedded`, cards of the store
    without a vector of the tuned model.
    """

    repo: str
    walked: int = 0
    known: int = 0
    cards: int = 0
    unnumbered: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    out_of_sequence: list[int] = field(default_factory=list)
    discarded: int = 0
    fallbacks: int = 0
    files: int = 0
    retagged: int = 0
    rejoined: int = 0
    unembedded: int = 0


Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Planned:
    commit: WalkedCommit
    outcome: str  # card, duplicate, no-number
    supersedes: str  # commit that had the number until now


def build(store: Store, repository: Repository, options: Options, progress: Progress) -> Report:
    """Bring the store up to date with a history.

    Args:
        store: an open store.
        repository: the history.
        options: what to ingest.
        progress: called with (pull requests done, pull requests to do).

    Raises:
        RepositoryError: the revision names no commit.
        EncoderError: the store's encoder can't be had here.
    """
    report = Report(options.repo)
    families = load_families()
    encoder = ensure_encoder(store, options.encoder)
    last = store.last_batch()
    report.discarded = store.discard_after(last)
    report.retagged = retag(store, families)

    commits = walk(repository, options.rev)
    ledger = store.ledger(options.repo)
    report.walked = len(commits)
    report.known = sum(c.head.sha in ledger for c in commits)
    plan = _plan(commits, ledger, options, report)
    report.out_of_sequence = _out_of_sequence(commits)

    numbered = [p.commit for p in plan if p.outcome == "card"]
    progress(0, len(numbered))
    if plan:
        index = CommitIndex(commits)
        reads = read_pull_requests(repository, options.repo, numbered, index, digest_file, options.workers)
        writer = _Writer(store, options.repo, families, encoder, report)
        _write(plan, reads, writer, last, progress)
    report.rejoined = rejoin(store, families)
    if plan or not store.is_finished():
        report.unembedded = complete(store)
        store.finish()
    return report


def _write(
    plan: Sequence[_Planned],
    reads: Generator[ReadPullRequest[FileDigest], None, None],
    writer: _Writer,
    last: int,
    progress: Progress,
) -> None:
    """Read and write what is planned, batch by batch behind batch `last`."""
    total = sum(p.outcome == "card" for p in plan)
    done = 0
    for number, part in enumerate(_slices(plan, _BATCH_COMMITS), start=last + 1):
        wanted = sum(p.outcome == "card" for p in part)
        batch = []
        for _ in range(wanted):
            batch.append(next(reads))
            done += 1
            progress(done, total)
        writer.write(number, part, batch)
    reads.close()  # ends the workers: indexing needs the memory they hold


def ensure_encoder(store: Store, name: str | None) -> Encoder | None:
    """The encoder of a store; a new store takes the named one, or the default.

    Raises:
        StoreError: the store was built with another one.
        EncoderError: the encoder can't be had here.
    """
    known = store.meta().get("encoder")
    wanted = name or known or DEFAULT_ENCODER
    encoder = load_encoder(wanted)
    if known is None:
        if encoder is not None:
            store.create_vectors(encoder.dimensions)
        if wanted == DEFAULT_ENCODER:
            store.create_vectors(MINI_DIMENSIONS, vectors_name(MINI_ENCODER))
        store.set_meta({"encoder": wanted, "dimensions": str(encoder.dimensions if encoder else 0)})
    elif known != wanted:
        raise StoreError(
            f"{store.uri} was built with encoder {known!r}: leave --encoder out, or ingest into a new --kb with {wanted!r}"
        )
    return encoder


def _plan(
    commits: Sequence[WalkedCommit], ledger: dict[str, LedgerRow], options: Options, report: Report
) -> list[_Planned]:
    """What each new commit becomes, parents before children."""
    owner: dict[int, tuple[str, str]] = {}  # number -> (commit, time) of the first merged
    for commit in commits:
        if commit.subject.number is not None:
            owner.setdefault(commit.subject.number, (commit.head.sha, utc(commit.head.committed_at)))
    walked = {c.head.sha for c in commits}
    held: dict[int, LedgerRow] = {
        r.number: r for r in ledger.values() if r.outcome == "card" and r.number is not None
    }
    for held_number, row in held.items():
        if row.sha not in walked and (held_number not in owner or row.committed_at <= owner[held_number][1]):
            owner[held_number] = (row.sha, row.committed_at)  # another revision brought it, earlier

    wanted = [c for c in commits if utc(c.head.committed_at) >= options.since]
    if (
        options.limit
    ):  # counted over what the history has, so that a run that was killed goes on to the same end
        places = [i for i, c in enumerate(wanted) if c.subject.number is not None]
        wanted = wanted[places[-options.limit] :] if len(places) > options.limit else wanted
    new = [c for c in wanted if c.head.sha not in ledger]
    plan = []
    for commit in new:
        number, sha = commit.subject.number, commit.head.sha
        if number is None:
            plan.append(_Planned(commit, "no-number", ""))
            report.unnumbered += 1
        elif owner[number][0] == sha:
            before = held.get(number)
            plan.append(_Planned(commit, "card", before.sha if before and before.sha != sha else ""))
        else:
            plan.append(_Planned(commit, "duplicate", ""))
            report.duplicates.append(Duplicate(number, sha, owner[number][0], commit.head.subject))
    return plan


def _out_of_sequence(commits: Sequence[WalkedCommit]) -> list[int]:
    """Numbers far below those merged around them: most likely a fork's own pull requests."""
    numbers = [c.subject.number for c in commits if c.subject.number is not None]
    found = []
    for i, number in enumerate(numbers):
        around = numbers[max(0, i - _NEIGHBOURS) : i]
        if len(around) == _NEIGHBOURS and number < _OUT_OF_SEQUENCE * statistics.median_low(around):
            found.append(number)
    return found


class _Writer:
    """Writes one batch after the other; the ledger last, since it is what makes a batch count."""

    def __init__(
        self, store: Store, repo: str, families: Families, encoder: Encoder | None, report: Report
    ) -> None:
        self._store = store
        self._repo = repo
        self._families = families
        self._encoder = encoder
        self._report = report
        self._tuned = vectors_name(MINI_ENCODER) if store.has_vectors(MINI_ENCODER) else ""
        # not from the cards table: a killed run may have taken a card out of it
        held = store.meta().get("starter") == "yes"
        self._starter = {c.id: c for c in load_starter_cards()} if held else {}
        self._imported = frozenset(store.ids_of_origin("dossier"))

    def write(
        self, number: int, part: Sequence[_Planned], reads: Sequence[ReadPullRequest[FileDigest]]
    ) -> None:
        cards: list[tuple[Card, dict[str, str]]] = []
        replaced = [
            r.pull.id
            for r, p in zip(reads, (p for p in part if p.outcome == "card"), strict=True)
            if p.supersedes
        ]
        for read in reads:
            diff = diff_words(read.digests, self._families)
            card = card_of(read, diff, self._families)
            if card.id in self._starter:
                card = merge_prose(card, self._starter[card.id])
                replaced.append(card.id)
            elif card.id in self._imported:  # what others wrote gives way to what was read
                replaced.append(card.id)
            cards.append((card, field_words(card, diff)))
            self._report.problems += read.problems
            self._report.files += len(card.files)
            self._report.fallbacks += sum(f.symbol_source == "hunk-header" for f in card.files)
        said = said_of(self._store, [c.id for c, _ in cards])
        told = [
            (card, with_said(words, said[card.id]) if card.id in said else words) for card, words in cards
        ]
        if replaced:
            self._store.remove_cards(replaced)
        self._store.append("chunks", chunk_rows(reads, number))
        self._store.append("links", link_rows((c for c, _ in cards), number))
        if self._encoder is not None and cards:
            self._store.append("vectors", vector_rows(self._encoder, cards, number))
            if self._tuned:
                self._store.append(self._tuned, cached_rows(cards, number))
        self._store.append("cards", card_rows(told, number))
        self._store.commit_batch(self._ledger_rows(number, part, reads))
        self._report.cards += len(cards)

    def _ledger_rows(
        self, number: int, part: Sequence[_Planned], reads: Iterable[ReadPullRequest[FileDigest]]
    ) -> pa.Table:
        problems = {r.pull.sha: "; ".join(p.what for p in r.problems) for r in reads}
        rows = []
        for p in part:
            head, subject = p.commit.head, p.commit.subject
            rows.append(
                {
                    "repo": self._repo, "sha": head.sha, "number": subject.number, "outcome": p.outcome,
                    "committed_at": utc(head.committed_at), "subject": head.subject,
                    "problem": problems.get(head.sha, ""), "batch": number,
                }
            )  # fmt: skip
        superseded = self._store.ledger_rows(self._repo, [p.supersedes for p in part if p.supersedes])
        rows += [{**row, "outcome": "duplicate"} for row in superseded]
        return pa.Table.from_pylist(rows, schema=COMMITS)


def vector_texts(words: dict[str, str]) -> tuple[str, str]:
    """What an encoder reads of a card: what people say of it, and what its diff names."""
    said = f"{words['title_words']} {words['description_words']}"
    paths = " ".join(w for w in words["path_words"].split(" ") if "/" not in w and "." not in w)
    diff = " ".join(words["diff_words"].split(" ")[:_DIFF_WORDS])
    return said, " ".join((words["introduced_words"], words["changed_words"], paths, diff))


def vector_rows(encoder: Encoder, cards: Sequence[tuple[Card, dict[str, str]]], batch: int) -> pa.Table:
    """Rows of the vectors table: the mean of two unit vectors, which finds more than either alone."""
    texts = [vector_texts(words) for _, words in cards]
    vectors = encoder.encode([said for said, _ in texts]) + encoder.encode([named for _, named in texts])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    flat = pa.array(vectors.astype(np.float16).reshape(-1), pa.float16())
    return pa.table(
        {
            "id": [c.id for c, _ in cards],
            "repo": [c.repo for c, _ in cards],
            "batch": pa.array([batch] * len(cards), pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, encoder.dimensions),
        },
        schema=vectors_schema(encoder.dimensions),
    )


def retag(store: Store, families: Families) -> int:
    """Tag all cards anew when data/families.yaml has changed since they were tagged; returns how many changed."""
    if store.meta().get("families") == families.digest:
        return 0
    rows = store.scan("cards", ["id", "title", "diff_words", "families", "card"])
    ids: list[str] = []
    tags: list[list[str]] = []
    cards: list[str] = []
    for row in rows.to_pylist():
        card = decode_card(row["card"])
        found = families.tag(row["title"], card.paths(), row["diff_words"].split(" "))
        if card.status != "extracted":  # a person may know better
            found = tuple(sorted({*found, *card.families}))
        if list(found) != row["families"]:
            ids.append(row["id"])
            tags.append(list(found))
            cards.append(encode_card(msgspec.structs.replace(card, families=found)))
    for i in range(0, len(ids), _REWRITTEN):
        part = slice(i, i + _REWRITTEN)
        store.rewrite_cards(ids[part], {"families": tags[part], "card": cards[part]})
    store.set_meta({"families": families.digest})
    return len(ids)


def _slices(plan: Sequence[_Planned], size: int) -> Iterator[Sequence[_Planned]]:
    return (plan[i : i + size] for i in range(0, len(plan), size))
