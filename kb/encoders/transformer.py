"""Any sentence-transformers model as an encoder, with the extra `[neural]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kb.encoders.base import EncoderError, Vectors


class TransformerEncoder:
    """A sentence-transformers model. `name` is the model's name or folder."""

    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self._model = model
        # renamed in sentence-transformers 5.x
        size = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.dimensions = int(size())

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, shape (len(texts), dimensions)."""
        found = self._model.encode(
            list(texts),
            batch_size=256 if self._model.device.type == "cuda" else 64,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(found, dtype=np.float32)


def load_transformer(name: str, device: str | None = None) -> TransformerEncoder:
    """Load a model by name or folder.

    Raises:
        EncoderError: `[neural]` is not installed, or the model can't be loaded.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as exc:
        raise EncoderError(
            f"--encoder {name} needs sentence-transformers: pip install 'prlore[neural]'"
        ) from exc
    try:
        return TransformerEncoder(name, SentenceTransformer(name, device=device))
    except Exception as exc:  # the library raises what its loaders raise: OSError, ValueError, HTTP errors
        said = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise EncoderError(f"can't load the model {name!r}: {said[:200]}") from exc
