"""AIPerf: `profile_export_aiperf.json` with statistics, or `profile_export.jsonl` with a line for each request.

Its `inter_token_latency` is one value a request, decode time over output tokens less one: TPOT. The pauses between
chunks are its `inter_chunk_latency`: ITL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analysis.bench.clients.reading import Client, Reading, finite, nothing_worked, success_of
from analysis.bench.result import Metrics, Rate, Result, Samples, Workload
from analysis.bench.values import Fields

_QUANTITIES = {
    "ttft": "time_to_first_token",
    "tpot": "inter_token_latency",
    "itl": "inter_chunk_latency",
    "e2e": "request_latency",
}
_TO_MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3}


def recognises(data: dict[str, Any]) -> bool:
    """Metrics as objects with a unit."""
    metric = data.get("request_throughput")
    return isinstance(metric, dict) and ("avg" in metric or "unit" in metric)


def recognises_record(data: dict[str, Any]) -> bool:
    """A line of the per-request export."""
    metadata, metrics = data.get("metadata"), data.get("metrics")
    return isinstance(metadata, dict) and isinstance(metrics, dict) and "request_start_ns" in metadata


def read(data: dict[str, Any], path: Path) -> list[Reading]:
    """One object, one run."""
    f = Fields(data)
    config = f.part("input_config")
    completed, asked = f.part("completed_request_count").count("avg"), None
    completed = f.part("request_count").count("avg") if completed is None else completed
    phase = next((p for p in config.objects("phases") if p.text("kind") != "warmup"), Fields({}))
    asked = phase.count("requests")
    failed = sum(e.count("count") or 0 for e in f.objects("error_summary")) or None
    metrics = Metrics(
        request_throughput=f.part("request_throughput").positive("avg"),
        output_token_throughput=f.part("output_token_throughput").positive("avg"),
        total_token_throughput=f.part("total_token_throughput").positive("avg"),
        success_rate=success_of(completed, failed, asked),
        **{k: v for ours, theirs in _QUANTITIES.items() for k, v in _latency(f.part(theirs), ours).items()},
    )
    notes = list(f.notes)
    wanted = f.part("input_sequence_length").positive("avg") if "input_sequence_length" in f else None
    counted = f.part("usage_prompt_tokens").positive("avg") if "usage_prompt_tokens" in f else None
    if wanted and counted and abs(counted - wanted) > 0.1 * wanted:
        notes.append(f"{wanted:g} prompt tokens were sent, the server counted {counted:g}")
    reason = nothing_worked(metrics, completed)
    if f.flag("was_cancelled"):
        reason = "the run was cancelled"
    model = next((m.text("name") for m in config.part("models").objects("items")), None)
    result = Result(
        model=model,
        tokenizer=config.part("tokenizer").text("name"),
        status="failed" if reason else "ok",
        failure_reason=reason,
        workload=Workload(
            input_len=wanted,
            output_len=f.part("output_sequence_length").positive("avg")
            if "output_sequence_length" in f
            else None,
            num_prompts=asked or completed,
            request_rate=_offered(phase),
            max_concurrency=phase.count("concurrency"),
            endpoint=config.part("endpoint").text("type"),
        ),
        metrics=metrics,
        benchmark_command=f.part("run_info").text("cli_command"),
    )
    return [Reading(result, Samples(), tuple(notes))]


def _offered(phase: Fields) -> Rate | None:
    if "rate" in phase:
        return phase.positive("rate")
    return "inf" if phase.text("type") in ("concurrency", "burst") or "concurrency" in phase else None


def _latency(of: Fields, ours: str) -> dict[str, float | None]:
    if not of.data:
        return {}
    scale = _TO_MS.get(of.text("unit") or "ms", 1.0)
    values = {"mean": of.positive("avg"), "p50": of.positive("p50"), "p99": of.positive("p99")}
    return {f"{k}_{ours}_ms": None if v is None else v * scale for k, v in values.items()}


def read_records(rows: list[dict[str, Any]]) -> Reading:
    """All lines of a per-request export are one run; its statistics are computed here."""
    requests = [Fields(row) for row in rows]
    good = [r for r in requests if not r.part("metadata").flag("was_cancelled") and not r.data.get("error")]
    span = _span_s(good)
    values = {ours: _record_times(good, theirs) for ours, theirs in _QUANTITIES.items()}
    outputs = finite(r.part("metrics", "output_sequence_length").positive("value") for r in good)
    inputs = finite(r.part("metrics", "input_sequence_length").positive("value") for r in good)
    statistics: dict[str, float | None] = {}
    for ours, sample in values.items():
        if sample is not None:
            statistics[f"mean_{ours}_ms"] = float(sample.mean())
            statistics[f"p50_{ours}_ms"] = float(np.percentile(sample, 50))
            statistics[f"p99_{ours}_ms"] = float(np.percentile(sample, 99))
    tokens = float(outputs.sum()) if outputs is not None else None
    metrics = Metrics(
        request_throughput=len(good) / span if span else None,
        output_token_throughput=tokens / span if tokens and span else None,
        success_rate=len(good) / len(rows) if rows else None,
        **statistics,
    )
    reason = nothing_worked(metrics, len(good))
    result = Result(
        status="failed" if reason else "ok",
        failure_reason=reason,
        workload=Workload(
            input_len=float(inputs.mean()) if inputs is not None else None,
            output_len=float(outputs.mean()) if outputs is not None else None,
            num_prompts=len(rows),
        ),
        metrics=metrics,
    )
    return Reading(result, Samples(values["ttft"], values["tpot"], values["e2e"]))


def _record_times(requests: list[Fields], key: str) -> Any:
    found = []
    for request in requests:
        metric = request.part("metrics", key)
        value = metric.data.get("value")
        scale = _TO_MS.get(metric.text("unit") or "ms", 1.0)
        sample = finite(value if isinstance(value, list) else [value], scale)
        if sample is not None:
            found.append(sample)
    return np.concatenate(found) if found else None


def _span_s(requests: list[Fields]) -> float | None:
    """First request sent to last answer, seconds."""
    starts = [s for r in requests if (s := r.part("metadata").positive("request_start_ns"))]
    ends = [e for r in requests if (e := r.part("metadata").positive("request_end_ns"))]
    return (max(ends) - min(starts)) / 1e9 if starts and ends and max(ends) > min(starts) else None


CLIENT = Client("aiperf", recognises, read)
