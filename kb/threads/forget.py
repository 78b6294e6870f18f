"""Forgetting a person: their words and name leave threads, descriptions, cards' words, indexes and kept pages, and stay away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingest.github.forget import forget_in_ledger
from ingest.github.ledger import archived, open_ledger
from ingest.github.records import Description, ReviewedPull, Thread
from kb.families import load_families
from kb.filters import one_of, written_by
from kb.store import Store
from kb.threads.build import joined_rows, write_ledger
from kb.threads.forgotten import forgotten_hashes, remember_to_forget, without_forgotten
from kb.threads.rows import pull_rows
from kb.threads.words import rewrite_card_words

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What held an author's words or name: threads, pull requests, pages of all repositories."""

    threads: int
    pulls: int
    pages: int


def forget(store: Store, pages: Path, login: str) -> Forgotten:
    """Remove an author everywhere. Safe to repeat; one that was killed is run again.

    Comments stay as empty places, so that what others answered keeps its order.
    """
    remember_to_forget(store, login)
    changed = 0
    held = len(store.rows_where("threads", written_by(login), ["id"]))
    described = len(store.rows_where("pulls", written_by(login), ["id"]))
    for repo in archived(pages):  # first what later syncs and replays would bring back
        with open_ledger(pages, repo, create=False) as ledger:
            changed += forget_in_ledger(ledger, login)
            write_ledger(store, ledger)  # the tables are what the pages say, nothing else
    # then what was imported
    hashes, families = forgotten_hashes(store), load_families()
    threads = store.rows_where("threads", written_by(login), ["id", "card_id", "record"]).to_pylist()
    for start in range(0, len(threads), _BATCH):
        part = threads[start : start + _BATCH]
        kept = [without_forgotten(msgspec.json.decode(r["record"], type=Thread), hashes) for r in part]
        store.replace_rows("threads", joined_rows(store, kept, families), one_of("id", [t.id for t in kept]))
    ids = [r["id"] for r in store.rows_where("pulls", written_by(login), ["id"]).to_pylist()]
    for start in range(0, len(ids), _BATCH):
        _rewrite_pulls(store, ids[start : start + _BATCH], hashes)
    store.set_meta({"finished": ""})  # search indexes and word counts are to be made up to date
    store.finish()
    store.purge(("threads", "pulls", "cards", "postings", "meta"))
    store.finish()
    return Forgotten(held, described, changed)


def _rewrite_pulls(store: Store, ids: list[str], hashes: frozenset[str]) -> None:
    records = store.rows_where("pulls", one_of("id", ids), ["record"])["record"].to_pylist()
    threads: dict[str, list[Thread]] = {i: [] for i in ids}
    for record in store.rows_where("threads", one_of("card_id", ids), ["record"])["record"].to_pylist():
        thread = msgspec.json.decode(record, type=Thread)
        threads[thread.pull_id].append(thread)
    pulls = []
    for record in records:
        description = without_forgotten(msgspec.json.decode(record, type=Description), hashes)
        said = tuple(sorted(threads[description.id], key=lambda t: (t.created_at, t.id)))
        pulls.append(ReviewedPull(description=description, threads=said))
    store.replace_rows("pulls", pull_rows(pulls), one_of("id", ids))
    rewrite_card_words(store, ids)
