"""How an encoder is had by name."""

from __future__ import annotations

from kb.encoders.base import DEFAULT_ENCODER, NO_ENCODER, Encoder, EncoderError
from kb.encoders.mini import MINI_ENCODER, load_mini
from kb.encoders.static import load_static
from kb.encoders.transformer import load_transformer


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
    if device not in (None, "cpu") and name in (DEFAULT_ENCODER, MINI_ENCODER):
        raise EncoderError(
            f"--encoder {name} runs on the CPU: leave --device out, or name the folder of a trained model"
        )
    if name == DEFAULT_ENCODER:
        return load_static()
    return load_mini() if name == MINI_ENCODER else load_transformer(name, device)
