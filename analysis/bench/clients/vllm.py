"""`vllm bench serve --save-result`, with or without `--save-detailed`; `--metadata` says what it ran on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.bench.clients.reading import (
    Client,
    Reading,
    engine_of,
    finite,
    hardware_of,
    latencies,
    nothing_worked,
    rate_of,
    success_of,
)
from analysis.bench.result import Metrics, Result, Samples, SpecDecode, Workload
from analysis.bench.values import Fields, as_number


def recognises(data: dict[str, Any]) -> bool:
    """Its own word for end-to-end latency, or model and tokenizer under its names."""
    return "mean_e2el_ms" in data or ("model_id" in data and "tokenizer_id" in data)


def read(data: dict[str, Any], path: Path) -> list[Reading]:
    """One object, one run."""
    f = Fields(data)
    asked, completed = f.count("num_prompts"), f.count("completed")
    success = success_of(completed, f.count("failed"), asked)
    metrics = Metrics(
        request_throughput=f.positive("request_throughput"),
        output_token_throughput=f.positive("output_throughput"),
        total_token_throughput=f.positive("total_token_throughput"),
        success_rate=success,
        **latencies(f, {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2e": "e2el"}),
    )
    reason = nothing_worked(metrics, completed)
    workload = Workload(
        scenario=f.text("scenario", "dataset_name"),
        input_len=_mean_length(f, "total_input_tokens", completed),
        output_len=_mean_length(f, "total_output_tokens", completed),
        num_prompts=asked,
        request_rate=rate_of(f, "request_rate"),
        max_concurrency=f.count("max_concurrency"),
        endpoint=f.text("endpoint"),
    )
    rate = f.positive("spec_decode_acceptance_rate")
    result = Result(
        framework=f.text("framework", "engine") or engine_of(f.text("backend", "endpoint_type")),
        framework_version=f.text("framework_version", "version", "engine_version"),
        framework_commit=f.text("framework_commit", "commit"),
        candidate_id=f.text("candidate_id", "label"),
        model=f.text("model_id"),
        tokenizer=f.text("tokenizer_id"),
        status="failed" if reason else "ok",
        failure_reason=reason,
        hardware=hardware_of(f),
        workload=workload,
        metrics=metrics,
        spec_decode=SpecDecode(
            enabled=True if rate is not None else None,
            mean_accept_length=f.positive("spec_decode_acceptance_length"),
            acceptance_rate=rate / 100 if rate is not None and rate <= 100 else None,  # the file's is percent
        ),
        server_command=f.text("server_command"),
    )
    return [Reading(result, samples_of(f), tuple(f.notes))]


def samples_of(f: Fields) -> Samples:
    """Per-request times; a request without a first token failed and is left out. The file's are seconds."""
    ttfts, itls, lengths = f.items("ttfts"), f.items("itls"), f.items("output_lens")
    tpot, e2e = [], []
    for i, first in enumerate(ttfts):
        start = as_number(first)
        pauses = itls[i] if i < len(itls) and isinstance(itls[i], list) else None
        if start is None or start <= 0 or pauses is None:
            continue
        decode = sum(p for p in map(as_number, pauses) if p is not None)
        e2e.append((start + decode) * 1e3)
        tokens = as_number(lengths[i]) if i < len(lengths) else None
        # chunks may hold several tokens: the count of tokens, not of pauses, is the divisor
        if tokens is not None and tokens > 1:
            tpot.append(decode / (tokens - 1) * 1e3)
    return Samples(finite(ttfts, 1e3), np.asarray(tpot) if tpot else None, np.asarray(e2e) if e2e else None)


def _mean_length(f: Fields, key: str, requests: int | None) -> float | None:
    total = f.positive(key)
    return total / requests if total is not None and requests else None


CLIENT = Client("vllm", recognises, read)
