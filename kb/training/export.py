"""Trained models as ONNX int8: what ships in data/ and runs without torch."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

_OPSET = 17


def export_encoder(model: Any, folder: Path) -> int:
    """Write a SentenceTransformer's BERT, mean pooling and normalisation as `model.onnx` (int8), and its tokenizer; returns bytes."""
    import torch

    bert = _transformer(model)

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            hidden = self.bert(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=-1)

    size = _write(Pooled(), folder, "embedding")
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return size


def export_reranker(model: Any, folder: Path) -> int:
    """Write a one-score classifier as `model.onnx` (int8); it shares the encoder's tokenizer. Returns bytes."""
    import torch

    class Scored(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).logits[:, 0]

    return _write(Scored(), folder, "score")


def _transformer(model: Any) -> Any:
    """The transformers model inside a SentenceTransformer."""
    first = model[0]
    return getattr(first, "auto_model", None) or first.model


def _write(module: Any, folder: Path, output: str) -> int:
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder.mkdir(parents=True, exist_ok=True)
    module.eval().to("cpu").float()
    for part in module.modules():  # fused attention has no place in this export
        if hasattr(part, "config") and hasattr(part.config, "_attn_implementation"):
            part.config._attn_implementation = "eager"
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = (torch.ones(2, 16, dtype=torch.long),) * 3
    axes = {name: {0: "texts", 1: "pieces"} for name in names} | {output: {0: "texts"}}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that BERT's own code checks
        whole = Path(scratch) / "whole.onnx"
        torch.onnx.export(
            module, example, str(whole), input_names=names, output_names=[output], dynamic_axes=axes,
            opset_version=_OPSET, dynamo=False,
        )  # fmt: skip
        quantize_dynamic(str(whole), str(folder / "model.onnx"), weight_type=QuantType.QInt8)
    return (folder / "model.onnx").stat().st_size
