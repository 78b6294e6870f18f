"""What every reader gives back, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.bench.result import Hardware, Metrics, Rate, Result, Samples
from analysis.bench.values import Fields, as_number

ENGINES = {
    "vllm": "vllm",
    "sglang": "sglang",
    "sglang-native": "sglang",
    "sglang-oai": "sglang",
    "sglang-oai-chat": "sglang",
    "sglang-embedding": "sglang",
    "trt": "trtllm",
    "tensorrt-llm": "trtllm",
    "tensorrt_llm": "trtllm",
    "trtllm": "trtllm",
    "lmdeploy": "lmdeploy",
}


@dataclass(frozen=True)
class Reading:
    """One result out of an object."""

    result: Result
    samples: Samples = field(default_factory=Samples)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Client:
    """A client's reader."""

    name: str
    recognises: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any], Path], list[Reading]]


def engine_of(word: str | None) -> str | None:
    """The engine that a backend's name stands for, None for a mere protocol such as `openai-chat`."""
    return ENGINES.get(word.lower()) if word else None


def rate_of(fields: Fields, key: str) -> Rate | None:
    """A request rate; infinity, in any spelling, is "inf"."""
    value = fields.data.get(key)
    if isinstance(value, str) and value.lower() in ("inf", "infinity"):
        return "inf"
    if isinstance(value, float) and value == float("inf"):
        return "inf"
    return fields.positive(key)


def hardware_of(fields: Fields) -> Hardware:
    """What people put into `--metadata`, under the names they use; tensor x pipeline x data parallel is a count."""
    count = fields.count("gpu_count", "num_gpus", "gpus", "n_gpus")
    if count is None:
        sizes = [
            fields.count(long, short)
            for long, short in (
                ("tensor_parallel_size", "tp_size"),
                ("pipeline_parallel_size", "pp_size"),
                ("data_parallel_size", "dp_size"),
            )
        ]
        if sizes[0] is not None:
            count = sizes[0] * (sizes[1] or 1) * (sizes[2] or 1)
    return Hardware(
        fields.text("gpu_model", "gpu", "gpu_type", "gpu_name"), count, fields.text("visible_devices")
    )


def finite(values: Iterable[Any], scale: float = 1.0) -> NDArray[np.float64] | None:
    """Positive finite numbers of a list, scaled; None where there are none."""
    numbers = [n * scale for n in map(as_number, values) if n is not None and n > 0]
    return np.asarray(numbers, np.float64) if numbers else None


def latencies(fields: Fields, names: dict[str, str]) -> dict[str, float | None]:
    """`mean_`, `p50_` (or `median_`) and `p99_` of each quantity, as flat keys: our word -> the file's."""
    found = {}
    for ours, theirs in names.items():
        found[f"mean_{ours}_ms"] = fields.positive(f"mean_{theirs}_ms")
        found[f"p50_{ours}_ms"] = fields.positive(f"median_{theirs}_ms", f"p50_{theirs}_ms")
        found[f"p99_{ours}_ms"] = fields.positive(f"p99_{theirs}_ms")
    return found


def success_of(completed: int | None, failed: int | None, asked: int | None) -> float | None:
    """Share of requests that succeeded."""
    if completed is None:
        return None
    total = completed + failed if failed is not None else asked
    if asked is not None:
        total = max(total or 0, asked)
    return min(1.0, completed / total) if total else None


def nothing_worked(metrics: Metrics, completed: int | None) -> str | None:
    """Why a run counts as failed, where its numbers say so."""
    if completed == 0:
        return "no request succeeded"
    measured = (metrics.request_throughput, metrics.output_token_throughput, metrics.total_token_throughput)
    return "no throughput was recorded" if all(value is None for value in measured) else None
