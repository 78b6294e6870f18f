"""Shapes that nobody recorded: the four projections of a dense layer, from the model's configuration.

In a graph replay kernels have no operators, but a layer's matrix products come in one order: queries, keys and values;
output; gate and up; down. With the step's tokens that makes their shapes. Layers with another number of matrix
products (experts, MLA, fused projections) are left alone: better no figure than a wrong one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.layers.find import find_layers
from analysis.layers.model import read_model
from analysis.layers.passes import ForwardPass, Layer, Layered
from analysis.roofline.work import Work, gemm
from analysis.steps import Staged


@dataclass(frozen=True)
class Dense:
    """Sizes of a dense layer's projections on one rank.

    Attributes:
        projections: name -> (input width, output width).
        dtype: type of the products; `width` its bytes.
    """

    projections: dict[str, tuple[int, int]]
    dtype: str
    width: float


@dataclass(frozen=True)
class Product:
    """One projection of one layer: its kernels (rows of `Trace.kernels`) and its work."""

    name: str
    rows: tuple[int, ...]
    work: Work


def read_dense(path: Path, ranks: int) -> Dense:
    """Sizes from a `config.json` or the one in a model's folder, split over `ranks`.

    Raises:
        AnalysisError: it can't be read or lacks a size.
    """
    path = path / "config.json" if path.is_dir() else path
    try:
        data: Any = json.loads(path.read_text("utf-8"))
        config = data.get("text_config", data)
        wide, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        each = int(config.get("head_dim") or wide // heads)
        keys = int(config.get("num_key_value_heads") or heads)
        inner = int(config["intermediate_size"])
        if min(wide, heads, each, keys, inner, ranks) < 1:
            raise ValueError
        quantised = config.get("quantization_config")
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError):
        raise AnalysisError(
            f"{path}: it lacks the sizes of a decoder's layers; name a model's config.json"
        ) from None
    # with fewer key-value heads than ranks each rank keeps one
    mine = heads // ranks * each + 2 * max(1, keys // ranks) * each
    projections = {
        "qkv": (wide, mine),
        "o": (heads // ranks * each, wide),
        "gate_up": (wide, 2 * inner // ranks),
        "down": (inner // ranks, wide),
    }
    return Dense(projections, *(("fp8", 1.0) if method == "fp8" else ("bf16", 2.0)))


def derived_products(staged: Staged, config: Path, ranks: int | None) -> Iterator[Product]:
    """Projections of all layers whose matrix products are four, in steps that say their tokens.

    Args:
        staged: the trace with its steps.
        config: the model's configuration.
        ranks: tensor-parallel ranks; the trace's world size by default.
    """
    dense = read_dense(config, ranks or staged.trace.world_size or 1)
    layered = find_layers(staged, read_model(config))
    for p in layered.passes:
        tokens = staged.steps[p.step].what.tokens if p.step is not None else None
        if p.whole and tokens:
            yield from _of_pass(layered, p, tokens, dense)


def _of_pass(layered: Layered, p: ForwardPass, tokens: int, dense: Dense) -> Iterator[Product]:
    for layer in p.layers:
        groups = _matrix_products(layered, layer)
        if len(groups) != len(dense.projections):
            continue
        for (name, (k, n)), rows in zip(dense.projections.items(), groups, strict=True):
            yield Product(name, tuple(rows), gemm(tokens, k, n, dense.dtype, dense.width))


def _matrix_products(layered: Layered, layer: Layer) -> list[list[int]]:
    """Runs of neighbouring kernels of the family `gemm`: a product and the reductions of its splits."""
    groups: list[list[int]] = []
    before = ""
    for row in layer.rows.tolist():
        family = layered.rows.family(row)
        if family == "gemm":
            if before != "gemm":
                groups.append([])
            groups[-1].append(row)
        before = family
    return groups
