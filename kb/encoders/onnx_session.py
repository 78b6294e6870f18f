"""Models as ONNX files on one or two cores: the only module that imports onnxruntime and tokenizers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kb.encoders.base import EncoderError

_MOST_THREADS = 2  # a question is too small for more; ingest embeds in batches and gains little beyond


class OnnxModel:
    """A BERT-like model and its tokenizer from one folder: `model.onnx`, `tokenizer.json`."""

    def __init__(self, folder: Path, tokenizer: Path, threads: int | None = None) -> None:
        """Load both.

        Raises:
            EncoderError: a file is missing or damaged.
        """
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads that spin would take the cores from the rest of a query
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # both libraries raise plain exceptions of their own kinds
            raise EncoderError(
                f"can't read the model in {folder}: reinstall prlore, or use --encoder static"
            ) from exc
        self._inputs = {i.name for i in self._session.get_inputs()}

    def run(self, texts: Sequence[Any], longest: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The model's one output for texts, or for pairs of texts, cut to `longest` word pieces."""
        self._tokenizer.enable_truncation(
            longest, strategy="only_second" if isinstance(texts[0], tuple) else "longest_first"
        )
        self._tokenizer.enable_padding()
        rows = self._tokenizer.encode_batch(list(texts))
        found = {
            "input_ids": np.array([r.ids for r in rows], np.int64),
            "attention_mask": np.array([r.attention_mask for r in rows], np.int64),
            "token_type_ids": np.array([r.type_ids for r in rows], np.int64),
        }
        output = self._session.run(None, {k: v for k, v in found.items() if k in self._inputs})[0]
        return np.asarray(output, np.float32)
