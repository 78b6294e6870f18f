"""The reranker: a small cross-encoder that reads a question and a card together. ONNX int8; model card in data/reranker/README.md."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kb.datafiles import data_file
from kb.encoders.onnx_session import OnnxModel

_LONGEST = 96
_MOST_QUESTION = 260  # characters of a question that are read: about 40 word pieces


class Reranker:
    """Scores pairs; a higher logit fits better."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    def scores(self, question: str, cards: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Logits, one a card text."""
        if not cards:
            return np.zeros(0, np.float32)
        asked = question[:_MOST_QUESTION]
        return self._model.run([(asked, card) for card in cards], _LONGEST).reshape(-1)


@cache
def load_reranker(folder: Path | None = None) -> Reranker | None:
    """The reranker, None where this installation has none.

    Raises:
        EncoderError: its files are damaged.
    """
    folder = folder or data_file("reranker")
    if not (folder / "model.onnx").is_file():
        return None
    return Reranker(OnnxModel(folder, data_file("encoders", "mini", "tokenizer.json")))
