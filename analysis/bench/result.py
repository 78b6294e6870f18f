"""One serving benchmark run, whoever measured it: the nouns of a comparison.

Field names are those of the public `candidates.jsonl` rows, so that a row written here is read elsewhere and the
other way round. `None` is "not recorded": no field has a default that could be taken for a measurement.

Times are milliseconds. TTFT: request sent to first token. TPOT: (last token - first token) / (output tokens - 1) of
one request. ITL: each pause between two chunks. E2E: request sent to last token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Status = Literal["ok", "failed", "oom", "timeout", "skipped"]
Rate = float | Literal["inf"]  # requests/s; "inf" sends all at once


class Hardware(msgspec.Struct, frozen=True):
    """What it ran on."""

    gpu_model: str | None = None
    gpu_count: int | None = None
    visible_devices: str | None = None


class Workload(msgspec.Struct, frozen=True):
    """What was asked of the server. Lengths are tokens a request: as asked for, else the mean of what was counted."""

    kind: str | None = None
    scenario: str | None = None
    dataset_path: str | None = None
    input_len: float | None = None
    output_len: float | None = None
    num_prompts: int | None = None
    request_rate: Rate | None = None
    max_concurrency: int | None = None
    endpoint: str | None = None


class Sla(msgspec.Struct, frozen=True):
    """Limits that a row carries, and what its writer made of them (`passed` is never believed)."""

    max_p50_ttft_ms: float | None = None
    max_p50_tpot_ms: float | None = None
    min_success_rate: float | None = None
    passed: bool | None = None


class Metrics(msgspec.Struct, frozen=True):
    """What was measured. Throughputs are per second over the whole run, of all GPUs together."""

    request_throughput: float | None = None
    output_token_throughput: float | None = None
    total_token_throughput: float | None = None
    mean_ttft_ms: float | None = None
    p50_ttft_ms: float | None = None
    p99_ttft_ms: float | None = None
    mean_tpot_ms: float | None = None
    p50_tpot_ms: float | None = None
    p99_tpot_ms: float | None = None
    mean_itl_ms: float | None = None
    p50_itl_ms: float | None = None
    p99_itl_ms: float | None = None
    mean_e2e_ms: float | None = None
    p50_e2e_ms: float | None = None
    p99_e2e_ms: float | None = None
    success_rate: float | None = None


class SpecDecode(msgspec.Struct, frozen=True):
    """Speculative decoding. `acceptance_rate` is 0..1."""

    enabled: bool | None = None
    algorithm: str | None = None
    mean_accept_length: float | None = None
    acceptance_rate: float | None = None


class Cache(msgspec.Struct, frozen=True):
    """Prefix cache; the rate is 0..1."""

    prefix_cache_enabled: bool | None = None
    prefix_cache_hit_rate: float | None = None


class Normalization(msgspec.Struct, frozen=True):
    """What a row's writer says about equality with its rivals; `False` is believed."""

    same_gpu_count: bool | None = None
    same_model_weights: bool | None = None
    same_tokenizer: bool | None = None
    same_endpoint: bool | None = None
    notes: str | None = None


class Result(msgspec.Struct, frozen=True):
    """One run of one candidate under one workload."""

    framework: str | None = None
    framework_version: str | None = None
    framework_commit: str | None = None
    candidate_id: str | None = None
    model: str | None = None
    tokenizer: str | None = None
    status: Status = "ok"
    failure_reason: str | None = None
    hardware: Hardware = Hardware()
    workload: Workload = Workload()
    sla: Sla = Sla()
    metrics: Metrics = Metrics()
    spec_decode: SpecDecode = SpecDecode()
    cache: Cache = Cache()
    normalization: Normalization = Normalization()
    server_command: str | None = None
    benchmark_command: str | None = None


@dataclass(frozen=True)
class Samples:
    """Per-request times in ms where the client kept them, successful requests only."""

    ttft_ms: NDArray[np.float64] | None = None
    tpot_ms: NDArray[np.float64] | None = None
    e2e_ms: NDArray[np.float64] | None = None

    def of(self, quantity: str) -> NDArray[np.float64] | None:
        """By name: `ttft`, `tpot`, `e2e`."""
        values: NDArray[np.float64] | None = getattr(self, f"{quantity}_ms", None)
        return values


@dataclass(frozen=True)
class Run:
    """A result and where it comes from.

    Attributes:
        client: `vllm`, `sglang`, `guidellm`, `aiperf`, `genai-bench` or `candidates`.
        path: file, as the user named it.
        place: which of the results in the file, from 0.
        content: hash of the result's own text, so that a copy isn't taken for a repeat.
        name: name given on the command line, if any.
        notes: values that were there and could not be used, each with its reason.
    """

    result: Result
    client: str
    path: str
    place: int = 0
    content: str = ""
    name: str | None = None
    samples: Samples = field(default_factory=Samples)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """How a metric is shown and which way is better."""

    name: str
    label: str
    unit: str
    higher_is_better: bool = False


THROUGHPUTS = (
    Metric("request_throughput", "requests", "req/s", True),
    Metric("output_token_throughput", "output", "tok/s", True),
    Metric("total_token_throughput", "all tokens", "tok/s", True),
)
LATENCIES = tuple(
    Metric(f"{statistic}_{quantity}_ms", f"{label} {statistic}", "ms")
    for quantity, label in (("ttft", "TTFT"), ("tpot", "TPOT"), ("itl", "ITL"), ("e2e", "E2E"))
    for statistic in ("p50", "mean", "p99")
)
METRICS = {metric.name: metric for metric in (*THROUGHPUTS, *LATENCIES)}
