"""GuideLLM's report: one object with a benchmark for each rate or concurrency.

Its `time_per_output_token_ms` counts the time to the first token in; its `inter_token_latency_ms`, one value a
request, is what everyone else calls TPOT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.bench.clients.reading import Client, Reading, finite, nothing_worked, success_of
from analysis.bench.result import Metrics, Rate, Result, Samples, Workload
from analysis.bench.values import Fields


def recognises(data: dict[str, Any]) -> bool:
    """Benchmarks, each with distributions of successful requests."""
    rows = data.get("benchmarks")
    return isinstance(rows, list) and any(
        isinstance(row, dict)
        and isinstance(row.get("metrics"), dict)
        and "requests_per_second" in row["metrics"]
        for row in rows
    )


def read(data: dict[str, Any], path: Path) -> list[Reading]:
    """One run for each benchmark in it."""
    f = Fields(data)
    spec = f.part("config", "spec")
    version = f.part("metadata").text("guidellm_version")
    return [_benchmark(row, spec, version) for row in f.objects("benchmarks")]


def _benchmark(b: Fields, spec: Fields, version: str | None) -> Reading:
    b.notes = []
    config = b.part("config") if "config" in b else b.part("args")
    metrics = b.part("metrics")
    totals = metrics.part("request_totals")
    completed = totals.count("successful")
    asked = totals.count("total")
    strategy = config.part("strategy")
    backend = config.part("backend") if config.part("backend").data else spec.part("backend")
    synthetic = next((d for d in spec.objects("data") if d.text("kind") == "synthetic_text"), Fields({}))
    measured = Metrics(
        # the mean over time bins weighs ramp and tail; requests over the run's time is what rivals report
        request_throughput=_rate(b, completed) or _stat(metrics, "requests_per_second", "mean"),
        output_token_throughput=_tokens(b, metrics, "output_token_count", completed)
        or _stat(metrics, "output_tokens_per_second", "mean"),
        total_token_throughput=_tokens(b, metrics, "total_token_count", completed)
        or _stat(metrics, "tokens_per_second", "mean"),
        success_rate=success_of(completed, None, asked),
        **_latency(metrics, "ttft", "time_to_first_token_ms"),
        **_latency(metrics, "tpot", "inter_token_latency_ms"),
        **_latency(metrics, "e2e", "request_latency", 1e3),
    )
    counted = _stat(metrics, "prompt_token_count", "mean")
    wanted = synthetic.positive("prompt_tokens") if synthetic.data.get("prompt_tokens") else None
    notes = list(b.notes)
    if wanted and counted and abs(counted - wanted) > 0.1 * wanted:
        notes.append(f"{wanted:g} prompt tokens were asked for, the server counted {counted:g}")
    reason = nothing_worked(measured, completed)
    concurrency = strategy.count("max_concurrency", "streams")
    kind = strategy.text("type_", "type", "kind")
    result = Result(
        model=backend.text("model"),
        tokenizer=spec.part("tokenizer").text("model"),
        status="failed" if reason else "ok",
        failure_reason=reason,
        workload=Workload(
            input_len=wanted or counted,
            output_len=(synthetic.positive("output_tokens") if synthetic.data.get("output_tokens") else None)
            or _stat(metrics, "output_token_count", "mean"),
            num_prompts=asked,
            request_rate=_offered(strategy, kind),
            # a constant rate's ceiling is the client's own, far above what is ever reached
            max_concurrency=concurrency if kind in ("concurrent", "synchronous", "throughput") else None,
            endpoint=backend.text("request_format"),
        ),
        metrics=measured,
        benchmark_command=f"guidellm {version}" if version else None,
    )
    return Reading(result, _samples(b), tuple(notes))


def _offered(strategy: Fields, kind: str | None) -> Rate | None:
    if kind in ("constant", "poisson", "async"):
        return strategy.positive("rate")
    return "inf" if kind in ("throughput", "concurrent") else None


def _rate(b: Fields, completed: int | None) -> float | None:
    duration = b.positive("duration")
    return completed / duration if completed and duration else None


def _tokens(b: Fields, metrics: Fields, key: str, completed: int | None) -> float | None:
    mean, rate = _stat(metrics, key, "mean"), _rate(b, completed)
    return mean * rate if mean and rate else None


def _stat(metrics: Fields, key: str, statistic: str) -> float | None:
    return metrics.part(key, "successful").positive(statistic)


def _latency(metrics: Fields, ours: str, theirs: str, scale: float = 1.0) -> dict[str, float | None]:
    of = metrics.part(theirs, "successful")
    values = {
        "mean": of.positive("mean"),
        "p50": of.positive("median"),
        "p99": of.part("percentiles").positive("p99"),
    }
    return {f"{k}_{ours}_ms": None if v is None else v * scale for k, v in values.items()}


def _samples(b: Fields) -> Samples:
    rows = [r for r in b.part("requests").items("successful") if isinstance(r, dict)]
    return Samples(
        finite(r.get("time_to_first_token_ms") for r in rows),
        finite(r.get("inter_token_latency_ms") for r in rows),
        finite((r.get("request_latency") for r in rows), 1e3),
    )


CLIENT = Client("guidellm", recognises, read)
