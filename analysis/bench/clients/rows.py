"""Rows of the public `candidates.jsonl`: the one form that says what a candidate is and why it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

from analysis.bench.clients.reading import Client, Reading, hardware_of, rate_of
from analysis.bench.result import (
    Cache,
    Hardware,
    Metrics,
    Normalization,
    Result,
    Sla,
    SpecDecode,
    Status,
    Workload,
)
from analysis.bench.values import Fields

_SCENARIOS = ("scenario", "scenario_name", "dataset_scenario", "dataset_name")


def recognises(data: dict[str, Any]) -> bool:
    """An engine and measurements as an object, or a candidate's name and status."""
    return ("framework" in data and isinstance(data.get("metrics"), dict)) or (
        "candidate_id" in data and "status" in data
    )


def read(data: dict[str, Any], path: Path) -> list[Reading]:
    """One row, one run."""
    f = Fields(data)
    work, hard, m = f.part("workload"), f.part("hardware"), f.part("metrics")
    latencies = {
        f"{statistic}_{quantity}_ms": m.positive(f"{statistic}_{quantity}_ms")
        for statistic in ("mean", "p50", "p99")
        for quantity in ("ttft", "tpot", "itl", "e2e")
    }
    metrics = Metrics(
        request_throughput=m.positive("request_throughput"),
        output_token_throughput=m.positive("output_token_throughput"),
        total_token_throughput=m.positive("total_token_throughput"),
        success_rate=m.share("success_rate"),
        **latencies,
    )
    status, reason = _status(f)
    sla, same, spec, cache = f.part("sla"), f.part("normalization"), f.part("spec_decode"), f.part("cache")
    hardware = hardware_of(hard)
    result = Result(
        framework=f.text("framework"),
        framework_version=f.text("framework_version"),
        framework_commit=f.text("framework_commit"),
        candidate_id=f.text("candidate_id"),
        model=f.text("model"),
        tokenizer=f.text("tokenizer"),
        status=status,
        failure_reason=reason,
        hardware=Hardware(hardware.gpu_model, hardware.gpu_count, hard.text("visible_devices")),
        workload=Workload(
            kind=work.text("kind"),
            scenario=work.text(*_SCENARIOS) or f.text("scenario"),
            dataset_path=work.text("dataset_path"),
            input_len=work.positive("input_len", "input_len_p50"),
            output_len=work.positive("output_len", "output_len_p50"),
            num_prompts=work.count("num_prompts"),
            request_rate=rate_of(work, "request_rate"),
            max_concurrency=work.count("max_concurrency"),
            endpoint=work.text("endpoint"),
        ),
        sla=Sla(
            sla.positive("max_p50_ttft_ms"),
            sla.positive("max_p50_tpot_ms"),
            sla.share("min_success_rate"),
            sla.flag("passed"),
        ),
        metrics=metrics,
        spec_decode=SpecDecode(
            spec.flag("enabled"),
            spec.text("algorithm"),
            spec.positive("mean_accept_length") if spec.data.get("mean_accept_length") else None,
            spec.share("acceptance_rate"),
        ),
        cache=Cache(cache.flag("prefix_cache_enabled"), cache.share("prefix_cache_hit_rate")),
        normalization=Normalization(
            same_gpu_count=same.flag("same_gpu_count"),
            same_model_weights=same.flag("same_model_weights"),
            same_tokenizer=same.flag("same_tokenizer"),
            same_endpoint=same.flag("same_endpoint"),
            notes=same.text("notes"),
        ),
        server_command=f.text("server_command"),
        benchmark_command=f.text("benchmark_command"),
    )
    return [Reading(result, notes=tuple(f.notes))]


def _status(f: Fields) -> tuple[Status, str | None]:
    """The row's status; a word that isn't one, or none at all, is a failure that says so."""
    word, reason = f.text("status"), f.text("failure_reason")
    if word in get_args(Status):
        return cast("Status", word), reason if word != "ok" else None
    return "failed", reason or (f"unknown status {word!r}" if word else "the row has no status")


CLIENT = Client("candidates", recognises, read)
