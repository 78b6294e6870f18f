"""An open knowledge base that answers many calls: loaded once beside the handshake, looked at anew when it has changed.

Searching is not for threads, so calls take turns. What an ingest adds is seen within half a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from kb.cards import Card, decode_card
from kb.commands.choosing import card_id
from kb.families import Families, load_families
from kb.mcp.foreign import foreign
from kb.mcp.shapes import LaterPull
from kb.references import parse_card_id
from kb.reports.safe import one_line
from kb.search import Searcher
from kb.store import Store
from kb.threads.reader import ThreadIndex

_LOOK_AGAIN = 30.0  # seconds
_ORDER = ("reverts", "fixes")  # what tells most comes first


@dataclass(frozen=True, slots=True)
class _Head:
    """What a list shows of a card."""

    title: str
    merged_at: str


class Shelf:
    """One state of a store, with what calls need in memory."""

    def __init__(self, uri: str) -> None:
        self.store = Store.open(uri)
        self.state = _state(self.store)
        self.families: Families = load_families()
        self.searcher = Searcher(self.store, self.families)
        self.searcher.warm()
        self.threads = ThreadIndex(self.store)
        rows = self.store.scan("cards", ["id", "title", "merged_at"])
        self._heads = {
            i: _Head(t, m) for i, t, m in zip(*(rows[c].to_pylist() for c in ("id", "title", "merged_at")), strict=True)
        }  # fmt: skip
        self._later: dict[str, list[tuple[str, str]]] = {}
        links = self.store.scan("links", ["target", "kind", "source"])
        for target, kind, source in zip(
            *(links[c].to_pylist() for c in ("target", "kind", "source")), strict=True
        ):
            if not target.startswith("commit:"):
                self._later.setdefault(target, []).append((kind, source))

    def later(self, card_id: str, most: int) -> list[LaterPull]:
        """Pull requests that name a card, reverts and fixes first, then the newest."""
        found = [
            (kind, source, self._heads.get(source, _Head("", "")))
            for kind, source in dict.fromkeys(self._later.get(card_id, ()))
        ]
        found.sort(key=lambda f: f[2].merged_at, reverse=True)
        found.sort(key=lambda f: _ORDER.index(f[0]) if f[0] in _ORDER else len(_ORDER))
        return [
            LaterPull(id=source, kind=kind, merged_at=head.merged_at, untrusted_title=one_line(foreign(head.title)))
            for kind, source, head in found[:most]
        ]  # fmt: skip

    def card(self, name: str) -> Card:
        """The one card that a name means; found in memory when it is written in full.

        Raises:
            PrloreError: the name is none, or names no card or more than one.
        """
        reference, index = parse_card_id(name), self.searcher.index
        known = f"{reference.repo}#{reference.number}" if reference else ""
        if known in index.place:
            row = self.store.cards_at(index.stored_at([known]), ["card"])
        else:
            row = self.store.cards_by_id([card_id(self.store, name)], ["card"])
        return decode_card(row["card"][0].as_py())

    def seen(self, word: str) -> int:
        """In how many cards a word stands."""
        return int(self.searcher.index.postings.any.frequency(word))


class Library:
    """The shelf of now. `open` begins to read at once and returns at once; the first call waits for it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prlore-library")
        self._shelf: Future[Shelf] = self._pool.submit(Shelf, uri)

    @contextmanager
    def shelf(self) -> Iterator[Shelf]:
        """The shelf for one call; others wait meanwhile.

        Raises:
            StoreError: the store can't be opened. The next call tries again.
        """
        with self._lock:
            yield self._current()

    def _current(self) -> Shelf:
        now = time.monotonic()
        if self._shelf.done() and (self._shelf.exception() or now - self._looked > _LOOK_AGAIN):
            self._looked = now
            if self._shelf.exception() or _state(Store.open(self._uri)) != self._shelf.result().state:
                self._shelf = self._pool.submit(Shelf, self._uri)
        return self._shelf.result()

    def close(self) -> None:
        """Wait for what is being read, take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _state(store: Store) -> tuple[str, ...]:
    """What changes when an ingest or a sync has written."""
    held = [
        f"{name}:{store.count(name)}" for name in ("cards", "links", "pulls", "threads") if store.has(name)
    ]
    return (store.meta().get("finished", ""), *held)
