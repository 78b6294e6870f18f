"""What a model's `config.json` says about its layers: how many, which mixer and which MLP each has.

The keys are those of Hugging Face configurations; a nested text configuration of a multimodal model counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

_NESTED = ("text_config", "llm_config", "language_config", "thinker_config", "language_model")
_MIXERS = {
    "full_attention": "attention",
    "attention": "attention",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "mamba": "linear",
    "mamba2": "linear",
    "compressed_sparse_attention": "sparse",
    "deepseek_sparse_attention": "sparse",
}


@dataclass(frozen=True)
class Model:
    """A model's layers.

    Attributes:
        name: architecture as the configuration names it.
        kinds: `mixer+mlp` of each layer: `attention+dense`, `mla+moe`, `linear+moe`, `sliding+dense`, `linear` alone.
    """

    name: str
    kinds: tuple[str, ...]

    @property
    def layers(self) -> int:
        """How many layers."""
        return len(self.kinds)


def read_model(path: Path) -> Model:
    """Read a `config.json`, or the one in a model's folder.

    Raises:
        AnalysisError: it can't be read or says no number of layers.
    """
    if path.is_dir():
        path = path / "config.json"
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise AnalysisError(
            f"{path}: {getattr(exc, 'strerror', None) or 'not JSON'}; name a model's config.json"
        ) from None
    config = _text_config(data)
    count = next(
        (n for key in ("num_hidden_layers", "n_layer", "num_layers", "n_layers") if (n := _int(config, key))),
        0,
    )
    if not 0 < count <= 10_000:
        raise AnalysisError(f"{path}: it says no num_hidden_layers; name a model's config.json")
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str) and len(pattern) == count:
        return Model(_name(data, config), tuple(_blocks(pattern)))
    mixer, mlp = _mixer(config), _mlp(config)
    return Model(_name(data, config), tuple(f"{mixer(i)}+{mlp(i)}" for i in range(count)))


def _blocks(pattern: str) -> Iterator[str]:
    """Nemotron-H writes a letter for each block: Mamba `M`, attention `*`, MLP `-`, experts `E`.

    A layer is a mixer and the MLP behind it, if there is one.
    """
    for i, letter in enumerate(pattern):
        if letter in "M*":
            mlp = {"-": "+dense", "E": "+moe"}.get(pattern[i + 1 : i + 2], "")
            yield ("linear" if letter == "M" else "attention") + mlp


def _text_config(data: Any) -> dict[str, Any]:
    config = data if isinstance(data, dict) else {}
    for _ in range(3):
        inner = next((config[key] for key in _NESTED if isinstance(config.get(key), dict)), None)
        if inner is None or _int(config, "num_hidden_layers"):
            break
        config = inner
    return config


def _name(data: Any, config: dict[str, Any]) -> str:
    words = data.get("architectures") if isinstance(data, dict) else None
    if isinstance(words, list) and words and isinstance(words[0], str):
        return words[0]
    return str(config.get("model_type") or "model")


def _int(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _mixer(config: dict[str, Any]) -> Callable[[int], str]:
    """The mixer of layer `i`."""
    full = "mla" if _int(config, "kv_lora_rank") else "attention"
    types = config.get("layer_types")
    if isinstance(types, list) and types:
        names = [_MIXERS.get(str(t), str(t)) for t in types]
        return lambda i: full if names[i % len(names)] == "attention" else names[i % len(names)]
    # Kimi Linear counts its full-attention layers from 1
    linear = config.get("linear_attn_config")
    if isinstance(linear, dict) and isinstance(linear.get("full_attn_layers"), list):
        there = {n - 1 for n in linear["full_attn_layers"] if isinstance(n, int)}
        return lambda i: full if i in there else "linear"
    # Qwen3-Next: every n-th layer has full attention
    if interval := _int(config, "full_attention_interval"):
        return lambda i: full if (i + 1) % interval == 0 else "linear"
    # Jamba
    if period := _int(config, "attn_layer_period"):
        offset = _int(config, "attn_layer_offset")
        return lambda i: full if i % period == offset else "linear"
    # Gemma 2 and 3: every n-th layer is global
    if window := _int(config, "sliding_window_pattern"):
        return lambda i: full if (i + 1) % window == 0 else "sliding"
    return lambda i: full


def _mlp(config: dict[str, Any]) -> Callable[[int], str]:
    """The MLP of layer `i`."""
    experts = (
        "n_routed_experts",
        "num_experts",
        "num_local_experts",
        "moe_num_experts",
        "num_experts_per_tok",
    )
    if not any(_int(config, key) > 0 for key in experts):
        return lambda i: "dense"
    checks: list[Callable[[int], bool]] = []
    if first := _int(config, "first_k_dense_replace") or _int(config, "moe_layer_start_index"):
        checks.append(lambda i: i >= first)
    frequency = config.get("moe_layer_freq")
    if isinstance(frequency, list):
        checks.append(lambda i: i < len(frequency) and bool(frequency[i]))
    elif step := _int(config, "moe_layer_freq") or _int(config, "moe_layer_interval"):
        checks.append(lambda i: i % step == 0 if "moe_layer_freq" in config else (i + 1) % step == 0)
    # Qwen MoE, Llama 4: every n-th layer, counted from 1
    if sparse := _int(config, "decoder_sparse_step") or _int(config, "interleave_moe_layer_step"):
        checks.append(lambda i: (i + 1) % sparse == 0)
    if period := _int(config, "expert_layer_period"):
        offset = _int(config, "expert_layer_offset")
        checks.append(lambda i: i % period == offset)
    only = config.get("mlp_only_layers")
    if isinstance(only, list):
        checks.append(lambda i: i not in only)
    return lambda i: "moe" if all(check(i) for check in checks) else "dense"
