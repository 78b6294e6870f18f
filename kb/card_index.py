"""All cards of a store as ranking sees them, in memory: postings, vectors and a few columns, in one order of cards."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from kb.encoders.base import Encoder, Vectors
from kb.filters import Filter
from kb.kept_arrays import kept_arrays
from kb.postings import Postings
from kb.store import Store
from kb.stored_postings import stored_postings

_NAMES = ("path_text", "symbol_text")

Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class VectorSet:
    """Vectors of one encoder: (cards, dimensions), zeros where a card has none; `share` of the cards have one."""

    encoder: Encoder
    vectors: Vectors
    held: np.ndarray[Any, np.dtype[np.bool_]]
    share: float


@dataclass(frozen=True, slots=True)
class _Coded:
    """A column of names: `codes` are places in `names`."""

    codes: np.ndarray[Any, Any]
    names: np.ndarray[Any, Any]

    def among(self, wanted: Iterable[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows have one of some names."""
        asked = np.isin(self.names, np.array([w.encode() for w in wanted] or [b""], "S"))
        found: np.ndarray[Any, np.dtype[np.bool_]] = asked[self.codes]
        return found


class CardIndex:
    """Columns over all cards, ordered as the postings are: repository by repository, then by number.

    Attributes:
        ids: of the cards.
        place: where each card stands in that order.
        there: whether the store still has the card.
        merged_at: when it was merged, as bytes; empty for what is not merged.
        imported: whether it came from someone else's dossier; such a card never stands above an own one.
        tags: how many families it has.
        age: place in time, 0 for the oldest, 1 for the newest.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.postings: Postings = stored_postings(store)
        self.ids = self.postings.ids
        self.place = {card_id: i for i, card_id in enumerate(self.ids)}
        self._version = f"{store.version_of('cards')} {store.version_of('postings')}"
        columns = kept_arrays(store.uri, "columns", self._version, self._read_columns)
        self.there = columns["there"]
        self.merged_at = columns["merged_at"]
        self.imported = columns["imported"]
        self.tags = columns["tags"]
        self.age = columns["age"]
        self._row_ids = columns["row_ids"]
        self._kinds = _Coded(columns["kinds"], columns["kind_names"])
        self._families = _Coded(columns["families"], columns["family_names"])
        self._family_cards = columns["family_cards"]
        self._by_kinds: dict[tuple[str, ...], np.ndarray[Any, np.dtype[np.float32]]] = {}
        repos = [i.rpartition("#")[0] for i in self.ids]
        self.spans = {r: slice(bisect_left(repos, r), bisect_right(repos, r)) for r in dict.fromkeys(repos)}

    def _read_columns(self) -> dict[str, np.ndarray[Any, Any]]:
        names = ["id", "merged_at", "kind", "families", "status"]
        rows = self._store.scan("cards", names, row_id=True)
        places = np.array([self.place.get(i, -1) for i in rows["id"].to_pylist()], np.int64)
        known = np.flatnonzero(places >= 0)  # a writer may be at work
        rows, places = rows.take(known), places[known]
        size = len(self.ids)

        def spread(values: Any, kind: Any) -> np.ndarray[Any, Any]:
            values = np.array(values, kind)
            column = np.zeros(size, values.dtype)
            column[places] = values
            return column

        merged_at = spread([m.encode() for m in rows["merged_at"].to_pylist()] or [b""], "S")
        families = rows["families"].to_pylist()
        flat = [name for names in families for name in names]
        cards = np.repeat(places, [len(names) for names in families])
        oldest_first = np.argsort(merged_at, kind="stable")
        age = np.empty(size, np.float32)
        age[oldest_first] = np.arange(size) / max(1, size - 1)
        kind_names, kinds = np.unique(np.array(rows["kind"].to_pylist() or [""], "S"), return_inverse=True)
        family_names, codes = np.unique(np.array(flat or [""], "S"), return_inverse=True)
        return {
            "there": spread(np.ones(len(places), bool), bool),
            "merged_at": merged_at,
            "imported": spread([s == "imported" for s in rows["status"].to_pylist()], bool),
            "tags": spread([len(names) for names in families], np.float32),
            "age": age,
            "row_ids": spread(rows["_rowid"].to_numpy(), np.int64),
            "kinds": spread(kinds[: len(places)], np.int32),
            "kind_names": kind_names,
            "families": codes[: len(flat)].astype(np.int32),
            "family_names": family_names,
            "family_cards": cards.astype(np.int32),
        }

    def _read_names(self) -> dict[str, np.ndarray[Any, Any]]:
        rows = self._store.scan("cards", ["id", *_NAMES])
        lines = {i: (p, s) for i, p, s in zip(*(rows[c].to_pylist() for c in ("id", *_NAMES)), strict=True)}
        texts = [part.lower().encode() for i in self.ids for part in lines.get(i, ("", ""))]
        return {
            "text": np.frombuffer(b"".join(texts), np.uint8),
            "ends": np.cumsum([len(t) for t in texts], dtype=np.int64),
        }

    @cached_property
    def _names(self) -> dict[str, np.ndarray[Any, Any]]:
        return kept_arrays(self._store.uri, "names", self._version, self._read_names)

    def names_of(self, card_id: str) -> tuple[list[str], list[str]]:
        """Paths and symbols of a card in lower case, each behind its mark."""
        at = 2 * self.place[card_id]
        text, ends = self._names["text"], self._names["ends"]
        edges = [int(ends[at - 1]) if at else 0, int(ends[at]), int(ends[at + 1])]
        paths, symbols = (text[a:b].tobytes().decode().split("\n") for a, b in pairwise(edges))
        return paths, symbols

    def __len__(self) -> int:
        return len(self.ids)

    def stored_at(self, card_ids: Iterable[str]) -> list[int]:
        """Where the store has cards."""
        return [int(self._row_ids[self.place[i]]) for i in card_ids]

    def of_kinds(self, wanted: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """1 for the cards of some kinds, 0 for the others."""
        if wanted not in self._by_kinds:
            self._by_kinds[wanted] = self._kinds.among(wanted).astype(np.float32)
        return self._by_kinds[wanted]

    def of_families(self, wanted: Iterable[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which cards have one of some families."""
        result = np.zeros(len(self.ids), bool)
        result[self._family_cards[self._families.among(wanted)]] = True
        return result

    @cached_property
    def size(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """log(1 + words of the diff field) of each card."""
        return np.log1p(self.postings.fields["diff_words"].lengths).astype(np.float32)

    def scope(self, where: Filter) -> Places:
        """Places of the cards that a filter lets pass."""
        spans = [self.spans[r] for r in where.repos or self.spans if r in self.spans]
        parts = [np.arange(s.start, s.stop) for s in spans] or [np.zeros(0, np.int64)]
        places = np.concatenate(parts)
        if where != where.only_repos:
            allowed = self._store.scan("cards", ["id"], where)["id"].to_pylist()
            mask = np.zeros(len(self.ids), bool)
            mask[[self.place[i] for i in allowed if i in self.place]] = True
            places = places[mask[places]]
        return places[self.there[places]]

    def stored_vectors(self, encoder: Encoder) -> VectorSet:
        """The vectors that the store has of an encoder."""
        store = self._store
        table = store.vector_table(encoder.name)

        def make() -> dict[str, np.ndarray[Any, Any]]:
            found = self.vector_set(encoder, *store.vectors(encoder.name))
            return {"vectors": found.vectors, "held": found.held}

        version = f"{store.version_of(table)} {store.version_of('postings')}"
        arrays = kept_arrays(store.uri, table, version, make)
        held = arrays["held"]
        return VectorSet(
            encoder, np.asarray(arrays["vectors"]), held, float(held.mean()) if len(held) else 0.0
        )

    def vector_set(self, encoder: Encoder, ids: Sequence[str], vectors: np.ndarray[Any, Any]) -> VectorSet:
        """Vectors in the order of the cards."""
        places = np.fromiter((self.place.get(i, -1) for i in ids), np.int64, len(ids))
        known = places >= 0
        result = np.zeros((len(self.ids), encoder.dimensions), np.float32)
        held = np.zeros(len(self.ids), bool)
        result[places[known]] = vectors[known]
        held[places[known]] = True
        return VectorSet(encoder, result, held, float(held.mean()) if len(held) else 0.0)
