"""The light default: a table with one vector a word, averaged. NumPy only, no model hub, no torch.

The table is data/encoders/static.npz; its model card stands beside it. A text's vector is the mean of its
words' vectors, each already scaled by how telling the word is; words outside the table count nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kb.datafiles import data_file
from kb.encoders.base import DEFAULT_ENCODER, EncoderError, Vectors
from kb.words import prose_words

_MOST_WORDS = 900


class StaticEncoder:
    """Mean of word vectors. `vectors` is (words, dimensions) int8, `scales` (words,) float32."""

    name = DEFAULT_ENCODER

    def __init__(
        self, words: Sequence[str], vectors: np.ndarray[Any, np.dtype[np.int8]], scales: Vectors
    ) -> None:
        self._row = {word: i for i, word in enumerate(words)}
        self._vectors = vectors
        self._scales = scales.astype(np.float32)
        self.dimensions = int(vectors.shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, shape (len(texts), dimensions)."""
        result = np.zeros((len(texts), self.dimensions), np.float32)
        for i, text in enumerate(texts):
            rows = [r for w in prose_words(text)[:_MOST_WORDS] if (r := self._row.get(w)) is not None]
            if rows:
                result[i] = self._scales[rows] @ self._vectors[rows].astype(np.float32)
        lengths = np.linalg.norm(result, axis=1, keepdims=True)
        np.divide(result, lengths, out=result, where=lengths > 0)
        return result


@cache
def load_static(path: Path | None = None) -> StaticEncoder:
    """Read the table.

    Raises:
        EncoderError: the file is missing or damaged.
    """
    path = path or data_file("encoders", "static.npz")
    try:
        with np.load(path, allow_pickle=False) as data:
            words = data["words"].tobytes().decode("utf-8").split("\n")
            return StaticEncoder(words, data["vectors"], data["scales"])
    except (OSError, KeyError, ValueError) as exc:
        raise EncoderError(
            f"can't read the word table {path}: reinstall prlore, or use --encoder none"
        ) from exc
