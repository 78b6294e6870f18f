"""The shapes that a kernel meets in this campaign: from the model's configuration and the workload, not made up.

A harness that runs a kernel at other shapes than the server does optimises something else. Decode meets as many tokens as
requests are in flight, prefill a chunk of the prompt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import PrloreError
from loop.records import Stage, Workload

_CHUNK = 8192  # tokens of a prefill that engines put into one pass by default, at most


class NoShapes(PrloreError):
    """The model's configuration does not say its sizes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one pass on one rank: tokens, and what the model's configuration says."""

    tokens: int
    context: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    experts: int
    experts_a_token: int
    vocabulary: int
    dtype: str


def shapes_of(
    model: Path, workloads: tuple[Workload, ...], stage: Stage, precision: str, ranks: int = 1
) -> tuple[Shape, ...]:
    """One shape a workload and stage, without repetition.

    Args:
        model: folder with a `config.json`, or the file.
        workloads: of the campaign.
        stage: prefill, decode or both.
        precision: of the weights.
        ranks: tensor-parallel ranks.

    Raises:
        NoShapes: the configuration can't be read or lacks a size.
    """
    file = model / "config.json" if model.is_dir() else model
    try:
        config = json.loads(file.read_text("utf-8"))
        config = config.get("text_config", config)
        hidden, heads = int(config["hidden_size"]), int(config.get("num_attention_heads") or 1)
        kv_heads = int(config.get("num_key_value_heads") or heads)
        head_dim = int(config.get("head_dim") or hidden // heads)
        experts = int(
            config.get("num_experts")
            or config.get("n_routed_experts")
            or config.get("num_local_experts")
            or 0
        )
        each = int(config.get("num_experts_per_tok") or 0)
        inner = int(
            (config.get("moe_intermediate_size") if experts else None)
            or config.get("intermediate_size")
            or 4 * hidden
        )
        vocabulary = int(config.get("vocab_size") or 0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as exc:
        raise NoShapes(f"{file}: it lacks the sizes of a decoder; name a model's config.json") from exc
    found: dict[Shape, None] = {}
    for workload in workloads:
        batch = min(workload.concurrency or workload.num_prompts, workload.num_prompts)
        passes = {
            "decode": (batch, workload.input_len + workload.output_len // 2),
            "prefill": (min(workload.input_len, _CHUNK), workload.input_len),
        }
        for name, (tokens, context) in passes.items():
            if stage in (name, "all"):
                found[
                    Shape(tokens, context, hidden, max(1, heads // ranks), max(1, kv_heads // ranks), head_dim, inner // ranks,
                          experts, each, vocabulary // ranks, precision)
                ] = None  # fmt: skip
    return tuple(found)
