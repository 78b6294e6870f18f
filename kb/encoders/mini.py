"""The tuned transformer as ONNX int8: about 3 ms a question on one core, no torch. Model card: data/encoders/mini/README.md."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from kb.datafiles import data_file
from kb.encoders.base import Vectors
from kb.encoders.onnx_session import OnnxModel

MINI_ENCODER = "mini"
MINI_DIMENSIONS = 256
_BATCH = 16
_LONGEST = 128


class MiniEncoder:
    """Unit vectors of the first 256 Matryoshka dimensions."""

    name = MINI_ENCODER
    dimensions = MINI_DIMENSIONS

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, shape (len(texts), 256)."""
        result = np.zeros((len(texts), self.dimensions), np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding in a batch
        for start in range(0, len(texts), _BATCH):
            rows = by_length[start : start + _BATCH]
            result[rows] = self._model.run([texts[i] for i in rows], _LONGEST)[:, : self.dimensions]
        lengths = np.linalg.norm(result, axis=1, keepdims=True)
        np.divide(result, lengths, out=result, where=lengths > 0)
        return result


@cache
def load_mini(folder: Path | None = None) -> MiniEncoder:
    """Load the model.

    Raises:
        EncoderError: a file is missing or damaged.
    """
    folder = folder or data_file("encoders", "mini")
    return MiniEncoder(OnnxModel(folder, folder / "tokenizer.json"))
