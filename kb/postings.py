"""Which cards hold a word, field by field: what exact BM25 scores of every card are made from.

LanceDB's full-text search returns the best of a list; ranking wants every field's score for every candidate. So
the words of the card fields are also kept as compact postings, a few blobs a field, made anew at the end of an
ingest and read whole: about 2 kB a card. Words are held as 64-bit hashes, since nothing ever asks for them back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kb.tables import CARD_FIELDS, POSTINGS

ANY_FIELD = "any"
_K1 = 1.2
_B = 0.75
_MOST_COUNTED = 255
_MOST_REMEMBERED = 20_000
_PARTS = ("hashes", "starts", "cards", "impacts", "lengths")
_SLICE = 2048  # cards whose words are split at a time: bounds memory

Floats = np.ndarray[Any, np.dtype[np.float32]]


def word_hash(word: str) -> int:
    """A word's name in the postings: 64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class FieldPostings:
    """The postings of one field.

    Attributes:
        hashes: (words,) uint64, ascending.
        starts: (words + 1,) int64, where each word's postings begin.
        cards: (postings,) int32, places of cards, ascending within a word.
        impacts: (postings,) float32, what the word is worth there by BM25 but for its weight and rarity; empty where only
            document frequency counts.
        lengths: (cards,) float32, words of the field of each card.
        spans: where words were found before; a question asks for the same ones again and again.
    """

    hashes: np.ndarray[Any, np.dtype[np.uint64]]
    starts: np.ndarray[Any, np.dtype[np.int64]]
    cards: np.ndarray[Any, np.dtype[np.int32]]
    impacts: Floats
    lengths: Floats
    spans: dict[str, slice] = field(default_factory=dict, compare=False, repr=False)

    def frequency(self, word: str) -> int:
        """How many cards hold a word."""
        span = self._span(word)
        return int(span.stop - span.start)

    def holding(self, word: str) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Places of the cards that hold a word."""
        return self.cards[self._span(word)]

    def holds(self, word: str, card: int) -> bool:
        """Whether a card, named by its place, holds a word."""
        held = self.holding(word)
        at = int(np.searchsorted(held, card))
        return at < len(held) and int(held[at]) == card

    def telling(self, word: str) -> float:
        """Inverse document frequency of a word, as BM25 has it."""
        held = self.frequency(word)
        return float(np.log1p((len(self.lengths) - held + 0.5) / (held + 0.5)))

    def ideal(self, words: Mapping[str, float]) -> float:
        """What a card of mean length scores that holds each of some words once."""
        return sum(weight * self.telling(word) for word, weight in words.items())

    def scores(self, words: Mapping[str, float], within: slice | None = None) -> Floats:
        """BM25 of the cards of a range, of all if there is none, for weighted words (Robertson and Zaragoza 2009).

        Args:
            words: word -> its weight in the question.
            within: places of cards.
        """
        within = within or slice(0, len(self.lengths))
        found = np.zeros(within.stop - within.start, np.float32)
        for word, weight in words.items():
            span = self._within(word, within)
            if span.start != span.stop:
                worth = np.float32(weight * self.telling(word))
                found[self.cards[span] - within.start] += worth * self.impacts[span]
        return found

    def shares(self, words: Mapping[str, float], within: slice) -> Floats:
        """For the cards of a range, how much of some weighted words, by how telling they are, each holds: 0..1."""
        found = np.zeros(within.stop - within.start, np.float32)
        total = 0.0
        for word, weight in words.items():
            worth = weight * self.telling(word)
            total += worth
            found[self.cards[self._within(word, within)] - within.start] += np.float32(worth)
        found /= np.float32(max(total, 1e-6))
        return found

    def _within(self, word: str, within: slice) -> slice:
        """Where the postings of a word stand that are of a range of cards."""
        span = self._span(word)
        if span.start == span.stop or (within.start == 0 and within.stop == len(self.lengths)):
            return span
        first, last = self.cards[span].searchsorted((within.start, within.stop))
        return slice(span.start + int(first), span.start + int(last))

    def _span(self, word: str) -> slice:
        known = self.spans.get(word)
        if known is None:
            if len(self.spans) >= _MOST_REMEMBERED:
                self.spans.clear()
            known = self.spans[word] = self._find(word)
        return known

    def _find(self, word: str) -> slice:
        wanted = np.uint64(word_hash(word))
        at = int(np.searchsorted(self.hashes, wanted))
        if at == len(self.hashes) or self.hashes[at] != wanted:
            return slice(0, 0)
        return slice(int(self.starts[at]), int(self.starts[at + 1]))


@dataclass(frozen=True, slots=True)
class Postings:
    """Postings of all fields. `ids` are the cards in their order: repository by repository, then by number."""

    ids: list[str]
    fields: dict[str, FieldPostings]

    @property
    def any(self) -> FieldPostings:
        """Which cards hold a word in any field."""
        return self.fields[ANY_FIELD]


def card_order(ids: Sequence[str]) -> list[int]:
    """The places of ids, repository by repository and then by number."""

    def key(place: int) -> tuple[str, int]:
        repo, _, number = ids[place].rpartition("#")
        return repo, int(number)

    return sorted(range(len(ids)), key=key)


def build_postings(ids: Sequence[str], column: Callable[[str], pa.ChunkedArray]) -> pa.Table:
    """Rows of the postings table.

    Args:
        ids: all cards.
        column: gives the words of a field, a text a card in the order of `ids`; asked for one field at a time, so that
            memory holds one.
    """
    order = card_order(ids)
    rows = [_row("", {"words": "\n".join(ids[i] for i in order).encode()})]
    take = pa.array(order, pa.int64())
    known: list[np.ndarray[Any, Any]] = []
    pairs_of: list[np.ndarray[Any, Any]] = []
    for name in CARD_FIELDS:
        hashes, pairs, counts, lengths = _pairs(column(name).take(take))
        rows.append(_row(name, _blobs(hashes, pairs, counts, lengths, len(ids))))
        known.append(hashes)
        pairs_of.append(pairs)
    hashes = np.unique(np.concatenate(known))
    everywhere = np.zeros(0, np.int64)
    for mine in known:
        pairs = pairs_of.pop(0)
        if len(pairs):
            names = np.searchsorted(hashes, mine)
            everywhere = np.union1d(everywhere, names[pairs // len(ids)] * len(ids) + pairs % len(ids))
    nothing = np.zeros(0, np.uint8)
    rows.append(_row(ANY_FIELD, _blobs(hashes, everywhere, nothing, np.zeros(len(ids)), len(ids))))
    return pa.Table.from_pylist(rows, schema=POSTINGS)


def _pairs(
    column: pa.ChunkedArray,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Hashes of a field's words in ascending order; code * cards + card of each word in each card, ascending, how often; words a card."""
    cards = len(column)
    codes: dict[str, int] = {}
    pairs, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
    lengths = np.zeros(cards, np.int64)
    for start in range(0, cards, _SLICE):
        split = pc.split_pattern(column.slice(start, _SLICE).combine_chunks(), " ")
        many = pc.list_value_length(split).to_numpy(zero_copy_only=False)
        places = np.repeat(np.arange(start, start + len(split), dtype=np.int64), many)
        coded = split.flatten().dictionary_encode()
        names = [codes.setdefault(w, len(codes)) if w else -1 for w in coded.dictionary.to_pylist()]
        local = np.array(names, np.int64)[coded.indices.to_numpy(zero_copy_only=False)]
        kept = local >= 0  # an empty field splits into one empty word
        local, places = local[kept], places[kept]
        lengths += np.bincount(places, minlength=cards)
        found = local * cards + places
        found.sort()
        first = np.flatnonzero(np.diff(found, prepend=-1))
        pairs.append(found[first])
        counts.append(np.minimum(np.diff(first, append=len(found)), _MOST_COUNTED).astype(np.uint8))
    hashes = np.array([word_hash(w) for w in codes], np.uint64)
    ascending = np.argsort(hashes)
    rank = np.empty(len(hashes), np.int64)
    rank[ascending] = np.arange(len(hashes))
    whole = np.concatenate(pairs)
    if cards:
        whole = rank[whole // cards] * cards + whole % cards if len(whole) else whole
    order = np.argsort(whole)
    return hashes[ascending], whole[order], np.concatenate(counts)[order], lengths


def _blobs(
    hashes: np.ndarray[Any, Any],
    pairs: np.ndarray[Any, Any],
    counts: np.ndarray[Any, Any],
    lengths: np.ndarray[Any, Any],
    cards: int,
) -> dict[str, bytes]:
    codes, places = (pairs // cards, pairs % cards) if cards else (pairs, pairs)
    starts = np.searchsorted(codes, np.arange(len(hashes) + 1))
    return {
        "words": hashes.astype(np.uint64).tobytes(),
        "starts": starts.astype(np.int64).tobytes(),
        "cards": places.astype(np.int32).tobytes(),
        "counts": counts.astype(np.uint8).tobytes(),
        "lengths": lengths.astype(np.float32).tobytes(),
    }


def _row(name: str, blobs: Mapping[str, bytes]) -> dict[str, Any]:
    return {"field": name, **{n: blobs.get(n, b"") for n in POSTINGS.names if n != "field"}}


def posting_arrays(rows: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays from the rows of the postings table: `ids`, and a field's attributes as `field.attribute`."""
    found: dict[str, np.ndarray[Any, Any]] = {"ids": np.zeros(0, np.uint8)}
    columns = {name: rows[name] for name in POSTINGS.names}
    for i, name in enumerate(columns["field"].to_pylist()):
        if not name:
            found["ids"] = _array(columns["words"][i], np.uint8)
            continue
        cards, lengths = _array(columns["cards"][i], np.int32), _array(columns["lengths"][i], np.float32)
        counts = _array(columns["counts"][i], np.uint8)
        found |= {
            f"{name}.hashes": _array(columns["words"][i], np.uint64),
            f"{name}.starts": _array(columns["starts"][i], np.int64),
            f"{name}.cards": cards,
            f"{name}.impacts": _impacts(cards, counts, lengths) if len(counts) else np.zeros(0, np.float32),
            f"{name}.lengths": lengths,
        }
    return found


def read_postings(rows: pa.Table) -> Postings:
    """Postings from the rows of their table."""
    return open_postings(posting_arrays(rows))


def open_postings(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Postings:
    """Postings from their arrays, without copying them."""
    text = arrays["ids"].tobytes().decode()
    fields = {}
    for name in (*CARD_FIELDS, ANY_FIELD):
        if f"{name}.hashes" in arrays:
            hashes, starts, cards, impacts, lengths = (np.asarray(arrays[f"{name}.{p}"]) for p in _PARTS)
            fields[name] = FieldPostings(hashes, starts, cards, impacts, lengths)
        else:  # a store that no ingest has finished yet
            fields[name] = _nothing()
    return Postings(text.split("\n") if text else [], fields)


def _impacts(cards: np.ndarray[Any, Any], counts: np.ndarray[Any, Any], lengths: Floats) -> Floats:
    mean = max(float(lengths.mean()) if len(lengths) else 0.0, 1e-9)
    norm = (_K1 * (1 - _B) + _K1 * _B / mean * lengths).astype(np.float32)
    often = counts.astype(np.float32)
    return np.asarray(often * np.float32(_K1 + 1) / (often + norm[cards]), np.float32)


def _nothing() -> FieldPostings:
    return FieldPostings(
        np.zeros(0, np.uint64),
        np.zeros(1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        np.zeros(0, np.float32),
    )


def _array(blob: Any, kind: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(blob.as_buffer(), kind)


def word_counts(postings: Postings, words: Iterable[str]) -> dict[str, int]:
    """In how many cards each of some words stands; words that stand in none are left out."""
    return {w: n for w in dict.fromkeys(words) if (n := postings.any.frequency(w))}
