"""What an encoder is, and how one is had by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from ingest.errors import PrloreError

Vectors: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

DEFAULT_ENCODER = "static"
NO_ENCODER = "none"


class EncoderError(PrloreError):
    """An encoder that can't be had: a missing extra, a missing file, an unknown name."""


class Encoder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        name: what `--encoder` calls it and what the store remembers.
        dimensions: length of a vector.
    """

    name: str
    dimensions: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (len(texts), dimensions); a text without a known word gives zeros."""
        ...


def load_encoder(name: str, device: str | None = None) -> Encoder | None:
    """The encoder of a name: `static`, `mini`, `none` (None: words only), or any sentence-transformers model or folder.

    Args:
        name: the name.
        device: where a sentence-transformers model runs, its own choice by default; the others run on the CPU.

    Raises:
        EncoderError: it needs an extra that is not installed, or there is no such model.
    """
    if name == NO_ENCODER:
        return None
    if device not in (None, "cpu") and name in (DEFAULT_ENCODER, "mini"):
        raise EncoderError(
            f"--encoder {name} runs on the CPU: leave --device out, or name the folder of a trained model"
        )
    if name == DEFAULT_ENCODER:
        from kb.encoders.static import load_static

        return load_static()
    if name == "mini":
        from kb.encoders.mini import load_mini

        return load_mini()
    from kb.encoders.transformer import load_transformer

    return load_transformer(name, device)
