"""What an encoder is."""

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
