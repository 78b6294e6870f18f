"""`sglang.bench_serving --output-file`: one object a line; `server_info`, where the server gave it, says the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.bench.clients.reading import (
    Client,
    Reading,
    engine_of,
    hardware_of,
    latencies,
    nothing_worked,
    rate_of,
    success_of,
)
from analysis.bench.clients.vllm import samples_of
from analysis.bench.result import Cache, Metrics, Result, SpecDecode, Workload
from analysis.bench.values import Fields


def recognises(data: dict[str, Any]) -> bool:
    """Its own word for end-to-end latency, or lengths counted a second time."""
    return "mean_e2e_latency_ms" in data or "total_output_tokens_retokenized" in data


def read(data: dict[str, Any], path: Path) -> list[Reading]:
    """One object, one run."""
    f = Fields(data)
    server = f.part("server_info")
    completed = f.count("completed")
    # how many were asked for stands only in the details
    asked = len(f.items("errors")) or len(f.items("ttfts")) or f.count("num_prompts")
    metrics = Metrics(
        request_throughput=f.positive("request_throughput"),
        output_token_throughput=f.positive("output_throughput"),
        total_token_throughput=f.positive("total_throughput"),
        success_rate=success_of(completed, None, asked),
        **latencies(f, {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2e": "e2e_latency"}),
    )
    reason = nothing_worked(metrics, completed)
    fixed = f.data.get("random_range_ratio") == 1.0  # otherwise the lengths asked for are upper bounds
    accept = f.positive("accept_length")
    result = Result(
        framework=engine_of(f.text("backend")),
        framework_version=server.text("version"),
        candidate_id=f.text("tag"),
        model=server.text("model_path"),
        tokenizer=server.text("tokenizer_path"),
        status="failed" if reason else "ok",
        failure_reason=reason,
        hardware=hardware_of(server),
        workload=Workload(
            scenario=f.text("dataset_name"),
            input_len=_length(f, "random_input_len", "total_input_tokens", completed, fixed),
            output_len=_length(f, "random_output_len", "total_output_tokens", completed, fixed),
            num_prompts=asked or completed,
            request_rate=rate_of(f, "request_rate"),
            max_concurrency=f.count("max_concurrency"),
        ),
        metrics=metrics,
        spec_decode=SpecDecode(
            enabled=True if accept is not None else None,
            algorithm=server.text("speculative_algorithm"),
            mean_accept_length=accept,
        ),
        cache=Cache(prefix_cache_enabled=_radix(server)),
    )
    return [Reading(result, samples_of(f), tuple(f.notes))]


def _length(f: Fields, asked: str, total: str, requests: int | None, fixed: bool) -> float | None:
    if fixed and f.text("dataset_name") in ("random", "random-ids") and f.data.get(asked):
        return f.positive(asked)
    tokens = f.positive(total)
    return tokens / requests if tokens is not None and requests else None


def _radix(server: Fields) -> bool | None:
    off = server.flag("disable_radix_cache")
    return None if off is None else not off


CLIENT = Client("sglang", recognises, read)
