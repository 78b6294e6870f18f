"""genai-bench: a file for each scenario and concurrency, and `experiment_metadata.json` beside it.

Its times are in the experiment's unit, seconds unless the metadata says `ms`; latency statistics convert accordingly.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from analysis.bench.clients.reading import Client, Reading, engine_of, finite, nothing_worked, success_of
from analysis.bench.result import Hardware, Metrics, Result, Samples, Workload
from analysis.bench.values import Fields

METADATA = "experiment_metadata.json"
_QUANTITIES = {"ttft": "ttft", "tpot": "tpot", "e2e": "e2e_latency"}

# D(1000,100)                 deterministic: input, output
# N(480,240)/(300,150)        normal: mean and deviation of input, then of output
# U(100,200)/(200,300)        uniform: bounds of input, then of output
_LENGTHS = re.compile(r"^([DNU])\((\d+),(\d+)\)(?:/\((\d+),(\d+)\))?$")


def recognises(data: dict[str, Any]) -> bool:
    """Aggregated metrics of one run."""
    return isinstance(data.get("aggregated_metrics"), dict)


def read(data: dict[str, Any], path: Path) -> list[Reading]:
    """One object, one run; what it ran on stands in the file beside it."""
    f = Fields(data)
    m = f.part("aggregated_metrics")
    about = Fields(_beside(path))
    scale = {"ms": 1.0, "s": 1e3}.get(about.text("metrics_time_unit") or "s", 1e3)
    completed, failed, asked = (
        m.count("num_completed_requests"),
        m.count("num_error_requests"),
        m.count("num_requests"),
    )
    stats = m.part("stats")
    metrics = Metrics(
        request_throughput=m.positive("requests_per_second"),
        output_token_throughput=m.positive("mean_output_throughput_tokens_per_s"),
        total_token_throughput=m.positive("mean_total_tokens_throughput_tokens_per_s"),
        success_rate=success_of(completed, failed, asked),
        **{
            f"{statistic}_{ours}_ms": None if value is None else value * scale
            for ours, theirs in _QUANTITIES.items()
            for statistic in ("mean", "p50", "p99")
            for value in (stats.part(theirs).positive(statistic),)
        },
    )
    reason = nothing_worked(metrics, completed)
    scenario = m.text("scenario")
    lengths = _lengths(scenario)
    result = Result(
        framework=engine_of(about.text("server_engine")) or about.text("server_engine"),
        framework_version=about.text("server_version"),
        model=about.text("model", "api_model_name"),
        tokenizer=about.text("server_model_tokenizer"),
        status="failed" if reason else "ok",
        failure_reason=reason,
        hardware=Hardware(about.text("server_gpu_type"), about.count("server_gpu_count")),
        workload=Workload(
            kind=about.text("task"),
            scenario=scenario,
            dataset_path=about.text("dataset_path"),
            input_len=lengths[0] or stats.part("num_input_tokens").positive("mean"),
            output_len=lengths[1] or stats.part("num_output_tokens").positive("mean"),
            num_prompts=asked,
            request_rate="inf",
            max_concurrency=m.count("num_concurrency"),
        ),
        metrics=metrics,
        benchmark_command=about.text("cmd"),
    )
    rows = [
        r for r in f.items("individual_request_metrics") if isinstance(r, dict) and not r.get("error_code")
    ]
    samples = Samples(*(finite((r.get(q) for r in rows), scale) for q in _QUANTITIES.values()))
    return [Reading(result, samples, (*f.notes, *about.notes))]


def _lengths(scenario: str | None) -> tuple[float | None, float | None]:
    """Input and output tokens that a scenario asks for; the mean of a distribution."""
    match = _LENGTHS.match(scenario or "")
    if not match:
        return None, None
    kind, *digits = match.groups()
    a, b, c, d = (float(x) if x else 0.0 for x in digits)
    if kind == "D" and not c:
        return a, b
    if kind == "N" and c:
        return a, c
    if kind == "U" and c:
        return (a + b) / 2, (c + d) / 2
    return None, None


def _beside(path: Path) -> Any:
    try:
        return json.loads((path.parent / METADATA).read_text("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return {}


CLIENT = Client("genai-bench", recognises, read)
