"""All cards of a store as ranking sees them, in memory: postings, vectors and a few columns, in one order of cards."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kb.encoders.base import Encoder, Vectors
from kb.filters import Filter
from kb.postings import Postings
from kb.store import Store

Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class VectorSet:
    """Vectors of one encoder: (cards, dimensions), zeros where a card has none; `share` of the cards have one."""

    encoder: Encoder
    vectors: Vectors
    held: np.ndarray[Any, np.dtype[np.bool_]]
    share: float


class CardIndex:
    """Columns over all cards, ordered as the postings are: repository by repository, then by number."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.postings: Postings = store.postings()
        self.ids = self.postings.ids
        self.place = {card_id: i for i, card_id in enumerate(self.ids)}
        rows = store.scan("cards", ["id", "merged_at", "kind", "families"], row_id=True)
        places = [self.place.get(i, -1) for i in rows["id"].to_pylist()]
        kept = [i for i, place in enumerate(places) if place >= 0]  # a writer may be at work
        order = np.full(len(self.ids), -1, np.int64)
        order[[places[i] for i in kept]] = kept
        self._order = order
        take = np.maximum(order, 0)
        self.there = order >= 0
        columns = {name: rows[name].combine_chunks() for name in ("merged_at", "kind", "_rowid")}
        self.merged_at: np.ndarray[Any, Any] = (
            np.array(columns["merged_at"].to_pylist(), dtype=object)[take]
            if len(rows)
            else np.zeros(0, object)
        )
        self.kinds: np.ndarray[Any, Any] = (
            np.array(columns["kind"].to_pylist(), dtype=object)[take] if len(rows) else np.zeros(0, object)
        )
        self._row_ids = (
            columns["_rowid"].to_numpy(zero_copy_only=False)[take] if len(rows) else np.zeros(0, np.int64)
        )
        families = rows["families"].combine_chunks()
        self._family_names = families.values.dictionary_encode()
        self._family_starts = families.offsets.to_numpy()
        repos = [i.rpartition("#")[0] for i in self.ids]
        self._by_kinds: dict[tuple[str, ...], np.ndarray[Any, np.dtype[np.float32]]] = {}
        self.spans = {r: slice(bisect_left(repos, r), bisect_right(repos, r)) for r in dict.fromkeys(repos)}

    def __len__(self) -> int:
        return len(self.ids)

    def stored_at(self, card_ids: Iterable[str]) -> list[int]:
        """Where the store has cards."""
        return [int(self._row_ids[self.place[i]]) for i in card_ids]

    def of_kinds(self, wanted: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """1 for the cards of some kinds, 0 for the others."""
        if wanted not in self._by_kinds:
            self._by_kinds[wanted] = np.isin(self.kinds.astype(str), wanted).astype(np.float32)
        return self._by_kinds[wanted]

    @cached_property
    def tags(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """How many families each card has."""
        counts = np.diff(self._family_starts)[np.maximum(self._order, 0)] if len(self.ids) else np.zeros(0)
        return np.asarray(counts, np.float32)

    def of_families(self, wanted: Iterable[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which cards have one of some families."""
        names = self._family_names.dictionary.to_pylist()
        codes = {i for i, name in enumerate(names) if name in set(wanted)}
        result = np.zeros(len(self.ids), bool)
        if not codes:
            return result
        flat = np.isin(self._family_names.indices.to_numpy(), list(codes))
        rows = np.searchsorted(self._family_starts, np.flatnonzero(flat), side="right") - 1
        by_row = np.zeros(len(self._family_starts) - 1, bool)
        by_row[rows] = True
        return by_row[np.maximum(self._order, 0)]

    @cached_property
    def age(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Place of each card in time: 0 for the oldest, 1 for the newest."""
        order = np.argsort(self.merged_at.astype(str), kind="stable")
        rank = np.empty(len(self.ids), np.float32)
        rank[order] = np.arange(len(self.ids)) / max(1, len(self.ids) - 1)
        return rank

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

    def vector_set(self, encoder: Encoder, ids: Sequence[str], vectors: np.ndarray[Any, Any]) -> VectorSet:
        """Vectors in the order of the cards."""
        places = np.fromiter((self.place.get(i, -1) for i in ids), np.int64, len(ids))
        known = places >= 0
        result = np.zeros((len(self.ids), encoder.dimensions), np.float32)
        held = np.zeros(len(self.ids), bool)
        result[places[known]] = vectors[known]
        held[places[known]] = True
        return VectorSet(encoder, result, held, float(held.mean()) if len(held) else 0.0)
