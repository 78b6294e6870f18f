"""Vectors of the tuned transformer for the cards of a store: from the shipped cache, or computed.

A transformer needs about 10 ms a card on a core, too long for a whole history. The vectors of the public pull requests
that the model was tuned on ship with it, under a hash of the very text it read; a card whose text is not among them is
embedded when there are few, else left to `prlore embed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kb.cards import Card
from kb.datafiles import data_file
from kb.distill import searched_names, searched_paths
from kb.encoders.base import Encoder, EncoderError, Vectors
from kb.encoders.mini import MINI_DIMENSIONS, MINI_ENCODER
from kb.postings import word_hash
from kb.store import Store
from kb.tables import vectors_name, vectors_schema
from kb.texts import code_text

FEW = 300  # cards embedded without being asked: about five seconds on two cores
_BATCH = 512


@dataclass(frozen=True, slots=True)
class VectorCache:
    """Vectors by the hash of the text they were made from: (n,) uint64 ascending, (n, 256) int8."""

    hashes: np.ndarray[Any, np.dtype[np.uint64]]
    vectors: np.ndarray[Any, np.dtype[np.int8]]

    def find(self, text: str) -> int:
        """The row of a text, -1 where it is not held."""
        wanted = np.uint64(word_hash(text))
        at = int(np.searchsorted(self.hashes, wanted))
        return at if at < len(self.hashes) and self.hashes[at] == wanted else -1


@cache
def load_cache(path: Path | None = None) -> VectorCache:
    """The shipped cache; empty where this installation has none.

    Raises:
        EncoderError: the file is damaged.
    """
    path = path or data_file("encoders", "mini", "cards.npz")
    if not path.is_file():
        return VectorCache(np.zeros(0, np.uint64), np.zeros((0, MINI_DIMENSIONS), np.int8))
    try:
        with np.load(path, allow_pickle=False) as data:
            return VectorCache(data["hashes"], data["vectors"])
    except (OSError, KeyError, ValueError) as exc:
        raise EncoderError(f"can't read {path}: reinstall prlore") from exc


def save_cache(path: Path, texts: Sequence[str], vectors: Vectors) -> None:
    """Write a cache of unit vectors."""
    hashes = np.array([word_hash(t) for t in texts], np.uint64)
    order = np.argsort(hashes)
    scaled = vectors / np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-9)
    np.savez_compressed(path, hashes=hashes[order], vectors=np.round(scaled[order] * 127).astype(np.int8))


def model_text(title: str, path_text: str, symbol_text: str, diff_words: str) -> str:
    """What the transformer reads of a card."""
    return f"{title} . {code_text(path_text, symbol_text, diff_words)}"


def cached_rows(cards: Sequence[tuple[Card, dict[str, str]]], batch: int) -> pa.Table:
    """Rows of the tuned vectors' table for those of some cards that the cache holds."""
    held = load_cache()
    found = []
    if len(held.hashes):
        for card, words in cards:
            text = model_text(card.title, searched_paths(card), searched_names(card), words["diff_words"])
            row = held.find(text)
            if row >= 0:
                found.append((card.id, row))
    vectors = held.vectors[[row for _, row in found]].astype(np.float32)
    return vector_table([i for i, _ in found], vectors, batch)


def vector_table(ids: Sequence[str], vectors: Vectors, batch: int) -> pa.Table:
    """Rows of a table of vectors, each made of unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    size = vectors.shape[1]
    flat = pa.array(unit.astype(np.float16).reshape(-1), pa.float16())
    return pa.table(
        {
            "id": list(ids),
            "repo": [i.rpartition("#")[0] for i in ids],
            "batch": pa.array([batch] * len(ids), pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, size),
        },
        schema=vectors_schema(size),
    )


def lacking(store: Store, encoder: str) -> list[str]:
    """Ids of the cards that have no vector of an encoder."""
    ids = store.scan("cards", ["id"])["id"].to_pylist()
    if not store.has_vectors(encoder):
        return sorted(ids)
    held = set(store.vectors(encoder)[0])
    return sorted(i for i in ids if i not in held)


def embed(
    store: Store,
    encoder: Encoder,
    ids: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Embed cards with an encoder, replacing what they had; returns how many. Batch by batch, so that a killed run goes on."""
    if not store.has_vectors(encoder.name):
        store.create_vectors(encoder.dimensions, vectors_name(encoder.name))
    table, batch = store.vector_table(encoder.name), store.last_batch()
    columns = ["id", "title", "path_text", "symbol_text", "diff_words"]
    for start in range(0, len(ids), _BATCH):
        rows = store.cards_by_id(ids[start : start + _BATCH], columns).to_pylist()
        texts = [model_text(r["title"], r["path_text"], r["symbol_text"], r["diff_words"]) for r in rows]
        store.replace_vectors(vector_table([r["id"] for r in rows], encoder.encode(texts), batch), table)
        progress(min(start + _BATCH, len(ids)), len(ids))
    return len(ids)


def complete(store: Store) -> int:
    """Embed the cards without a tuned vector where they are few; returns how many are left without."""
    if store.meta().get("encoder") != "static":
        return 0
    missing = lacking(store, MINI_ENCODER)
    if not missing or len(missing) > FEW:
        return len(missing)
    from kb.encoders.mini import load_mini

    embed(store, load_mini(), missing)
    return 0
