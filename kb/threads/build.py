"""From the ledger of a repository to the tables: rows of pull requests that changed, and the words of their cards.

A pull request stays marked in the ledger until all its rows are written, so that a killed run writes them
again; what is written depends on the ledger and the cards alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from ingest.github.assemble import reviewed_pulls
from ingest.github.authors import Bots, load_bots
from ingest.github.ledger import Ledger
from ingest.github.records import ReviewedPull, Thread, Trust
from kb.cards import Card, decode_card
from kb.datafiles import data_file
from kb.families import Families, load_families
from kb.filters import of_pulls, one_of
from kb.store import Store
from kb.stored_diff import stored_diffs
from kb.threads.diff import merged_files
from kb.threads.joins import join
from kb.threads.rows import pull_rows, thread_rows
from kb.threads.words import rewrite_card_words

_BATCH = 500  # pull requests whose rows and diffs are in memory at once
_REWRITTEN = 4000  # cards rewritten in one transaction
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Written:
    """What was written."""

    pulls: int = 0
    threads: int = 0
    cards: int = 0


def our_bots() -> Bots:
    """The list in data/bots.yaml."""
    return load_bots(data_file("bots.yaml"))


def write_ledger(store: Store, ledger: Ledger, progress: Progress | None = None) -> Written:
    """Bring the tables up to date with a ledger, and the search indexes with the tables."""
    numbers = ledger.dirty()
    written, bots, families = Written(), our_bots(), load_families()
    waiting: list[int] = []
    for start in range(0, len(numbers), _BATCH):
        part = numbers[start : start + _BATCH]
        pulls = list(reviewed_pulls(ledger, part, bots))
        written.pulls += len(pulls)
        written.threads += write_pulls(store, ledger.repo, pulls, families, "synced")
        waiting += part
        if len(waiting) >= _REWRITTEN or start + _BATCH >= len(numbers):
            written.cards += rewrite_card_words(store, [f"{ledger.repo}#{n}" for n in waiting])
            ledger.clean(waiting)
            waiting = []
        if progress is not None:
            progress(min(start + _BATCH, len(numbers)), len(numbers))
    store.set_meta({"threads families": store.meta().get("threads families", families.digest)})
    if numbers or not store.is_finished():
        store.finish()
    return written


def write_pulls(
    store: Store, repo: str, pulls: Sequence[ReviewedPull], families: Families, trust: Trust
) -> int:
    """Write the rows of some pull requests of one repository in place of what was there; returns the threads."""
    threads = [t for p in pulls for t in p.threads]
    here = of_pulls(repo, (p.description.number for p in pulls), trust)
    store.replace_rows("threads", joined_rows(store, threads, families), here)
    store.replace_rows("pulls", pull_rows(pulls), here)
    return len(threads)


def joined_rows(store: Store, threads: Sequence[Thread], families: Families) -> pa.Table:
    """Rows of threads, joined to the cards that the store holds now."""
    cards = cards_of(store, list(dict.fromkeys(t.pull_id for t in threads)))
    on_code = {t.pull_id for t in threads if t.anchor.path}
    diffs = stored_diffs(store, [c for i, c in cards.items() if i in on_code])
    files = {i: merged_files(cards[i], diff) for i, diff in diffs.items()}
    joined = []
    for thread in threads:
        card = cards.get(thread.pull_id)
        joined.append((thread, join(thread, card, files.get(thread.pull_id, {})), card))
    return thread_rows(joined, families)


def rejoin(store: Store, families: Families) -> int:
    """Join threads anew whose cards came after them, or all when the families have changed; returns how many.

    Which cards are new is told by their batch, so that a run that was killed joins them the next time.
    """
    if not store.has("threads") or not store.count("threads"):
        return 0
    meta, last = store.meta(), store.last_batch()
    joined = int(meta.get("threads joined", "0"))
    retag = meta.get("threads families", families.digest) != families.digest
    if last == joined and not retag:
        store.set_meta({"threads families": families.digest})
        return 0
    held = set(store.rows_where("threads", "", ["card_id"])["card_id"].to_pylist())
    new = set(store.rows_where("cards", f"batch > {joined}", ["id"])["id"].to_pylist())
    ids = sorted(held if retag else new & held)
    done = 0
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        records = store.rows_where("threads", one_of("card_id", part), ["record"])["record"].to_pylist()
        threads = [msgspec.json.decode(r, type=Thread) for r in records]
        rows = joined_rows(store, threads, families)
        store.replace_rows("threads", rows, one_of("id", rows["id"].to_pylist()))
        done += len(threads)
    store.set_meta({"threads joined": str(last), "threads families": families.digest})
    return done


def cards_of(store: Store, ids: Sequence[str]) -> dict[str, Card]:
    """Cards by id, those that the store holds."""
    if not ids:
        return {}
    rows = store.cards_by_id(ids, ["id", "card"])
    return {i: decode_card(text) for i, text in zip(rows["id"].to_pylist(), rows["card"].to_pylist(), strict=True)}  # fmt: skip
