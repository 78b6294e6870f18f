"""Six clients' files as one type, and any other bytes as one line."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import click.testing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.bench.read import read_files
from analysis.bench.result import Result
from analysis.errors import AnalysisError, UnreadableResult
from loop.cli import cli

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "bench"
real = pytest.mark.real
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no benchmark results beside the checkout")

VLLM = {
    "date": "20260101-000000", "endpoint_type": "openai", "backend": "vllm", "label": None, "model_id": "m",
    "tokenizer_id": "m", "num_prompts": 4, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 2,
    "tensor_parallel_size": "4", "gpu_model": "H200", "duration": 2.0, "completed": 3, "failed": 1,
    "total_input_tokens": 30, "total_output_tokens": 12, "request_throughput": 1.5, "output_throughput": 6.0,
    "total_token_throughput": 21.0, "mean_ttft_ms": 20.0, "median_ttft_ms": 18.0, "p99_ttft_ms": 40.0,
    "mean_tpot_ms": 10.0, "median_tpot_ms": 9.0, "p99_tpot_ms": 11.0, "mean_e2el_ms": 50.0,
    "ttfts": [0.01, 0.02, 0.03, 0.0], "itls": [[0.01, 0.02], [0.03], [0.01, 0.01, 0.01], []],
    "output_lens": [4, 4, 4, 0], "spec_decode_acceptance_rate": 71.0, "spec_decode_acceptance_length": 2.5,
}  # fmt: skip
SGLANG = {
    "tag": "radix off", "backend": "sglang", "dataset_name": "random", "request_rate": float("inf"),
    "max_concurrency": 8, "random_input_len": 100, "random_output_len": 10, "random_range_ratio": 1.0,
    "server_info": {"model_path": "m", "tokenizer_path": "m", "tp_size": 2, "dp_size": 4, "version": "0.5.17",
                    "disable_radix_cache": True},
    "completed": 2, "total_input_tokens": 200, "total_output_tokens": 20, "total_output_tokens_retokenized": 20,
    "request_throughput": 2.0, "output_throughput": 20.0, "total_throughput": 220.0, "mean_e2e_latency_ms": 60.0,
    "median_e2e_latency_ms": 61.0, "mean_ttft_ms": 10.0, "median_ttft_ms": 9.0, "p99_ttft_ms": 12.0,
    "mean_tpot_ms": 5.0, "median_tpot_ms": 5.5, "errors": ["", "", "refused"],
}  # fmt: skip
STATS = {"mean": 0.2, "p50": 0.19, "p99": 0.4}
GENAI = {
    "aggregated_metrics": {
        "scenario": "N(480,240)/(300,150)", "num_concurrency": 8, "requests_per_second": 3.0,
        "mean_output_throughput_tokens_per_s": 900.0, "mean_total_tokens_throughput_tokens_per_s": 2340.0,
        "num_completed_requests": 99, "num_error_requests": 1, "num_requests": 100,
        "stats": {"ttft": STATS, "tpot": {"mean": 0.01, "p50": 0.009, "p99": 0.02}, "e2e_latency": STATS},
    },
    "individual_request_metrics": [{"ttft": 0.2, "tpot": 0.01, "e2e_latency": 3.0, "error_code": None}],
}  # fmt: skip
GENAI_ABOUT = {
    "cmd": "genai-bench benchmark", "model": "m", "server_model_tokenizer": "m", "server_engine": "SGLang",
    "server_gpu_type": "H100", "server_gpu_count": "8", "task": "text-to-text", "metrics_time_unit": "s",
}  # fmt: skip
GUIDE = {
    "metadata": {"guidellm_version": "0.8.1"},
    "config": {"spec": {"backend": {"model": "m"}, "tokenizer": {"model": "m"},
                        "data": [{"kind": "synthetic_text", "prompt_tokens": 64, "output_tokens": 32}]}},
    "benchmarks": [{
        "config": {"strategy": {"type_": "constant", "rate": rate, "max_concurrency": 10240}},
        "duration": 10.0,
        "metrics": {
            "request_totals": {"successful": 38, "errored": 1, "incomplete": 1, "total": 40},
            "requests_per_second": {"successful": {"mean": 3.9}},
            "output_token_count": {"successful": {"mean": 32.0}}, "total_token_count": {"successful": {"mean": 96.0}},
            "prompt_token_count": {"successful": {"mean": 64.0}},
            "time_to_first_token_ms": {"successful": {"mean": 100, "median": 99, "percentiles": {"p99": 120}}},
            "inter_token_latency_ms": {"successful": {"mean": 20, "median": 19.9, "percentiles": {"p99": 21}}},
            "time_per_output_token_ms": {"successful": {"mean": 23, "median": 22.9, "percentiles": {"p99": 25}}},
            "request_latency": {"successful": {"mean": 0.7, "median": 0.69, "percentiles": {"p99": 0.9}}},
        },
    } for rate in (4.0, 8.0)],
}  # fmt: skip
AIPERF = {
    "aiperf_version": "0.13.0", "request_throughput": {"unit": "requests/sec", "avg": 37.0},
    "request_latency": {"unit": "s", "avg": 0.72, "p50": 0.71, "p99": 0.75},
    "time_to_first_token": {"unit": "ms", "avg": 103.0, "p50": 102.0, "p99": 107.0},
    "inter_token_latency": {"unit": "ms", "avg": 20.0, "p50": 19.9, "p99": 20.1},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 1190.0}, "request_count": {"avg": 390.0},
    "input_sequence_length": {"avg": 64.0}, "output_sequence_length": {"avg": 32.0},
    "input_config": {"models": {"items": [{"name": "m"}]}, "tokenizer": {"name": "m"},
                     "phases": [{"kind": "profiling", "type": "constant", "rate": 40.0, "requests": 400}]},
    "error_summary": [{"count": 10}],
}  # fmt: skip
RECORD = {
    "metadata": {"request_start_ns": 1_000_000_000, "request_end_ns": 3_000_000_000, "was_cancelled": False},
    "metrics": {"time_to_first_token": {"value": 100.0, "unit": "ms"},
                "inter_token_latency": {"value": 20.0, "unit": "ms"},
                "request_latency": {"value": 2.0, "unit": "s"},
                "output_sequence_length": {"value": 32, "unit": "tokens"},
                "inter_chunk_latency": {"value": [19.0, 21.0], "unit": "ms"}},
}  # fmt: skip
CANDIDATE = {
    "framework": "vllm", "candidate_id": "tp4", "model": "m", "status": "ok", "hardware": {"gpu_count": 4},
    "metrics": {"request_throughput": 5.0, "p50_ttft_ms": 80.0},
}  # fmt: skip
FORMS = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "genai-bench": GENAI,
    "guidellm": GUIDE,
    "aiperf": AIPERF,
    "candidates": CANDIDATE,
}


def one(tmp_path, data: object, name: str = "r.json") -> Result:
    path = tmp_path / name
    path.write_text(json.dumps(data))
    runs = read_files([str(path)]).runs
    assert len(runs) == 1
    return runs[0].result


@pytest.mark.parametrize("client", FORMS)
def test_a_client_is_known_by_its_content(tmp_path, client):
    path = tmp_path / "whatever.txt"
    path.write_text(json.dumps(FORMS[client]))
    assert {run.client for run in read_files([str(path)]).runs} == {client}


def test_vllm(tmp_path):
    path = tmp_path / "v.json"
    path.write_text(json.dumps(VLLM))
    run = read_files([str(path)]).runs[0]
    r = run.result
    assert (r.framework, r.model, r.tokenizer) == ("vllm", "m", "m")
    assert (r.hardware.gpu_count, r.hardware.gpu_model) == (4, "H200")
    assert (r.workload.input_len, r.workload.output_len, r.workload.request_rate) == (10.0, 4.0, "inf")
    assert r.metrics.success_rate == 0.75
    assert (r.metrics.p50_ttft_ms, r.metrics.p50_tpot_ms, r.metrics.mean_e2e_ms) == (18.0, 9.0, 50.0)
    assert (r.spec_decode.acceptance_rate, r.spec_decode.mean_accept_length) == (0.71, 2.5)
    assert run.samples.ttft_ms.tolist() == pytest.approx([10, 20, 30])
    assert run.samples.tpot_ms.tolist() == pytest.approx([10, 10, 10])  # by tokens, not by chunks
    assert run.samples.e2e_ms.tolist() == pytest.approx([40, 50, 60])


def test_sglang(tmp_path):
    r = one(tmp_path, SGLANG)
    assert (r.framework, r.framework_version, r.candidate_id) == ("sglang", "0.5.17", "radix off")
    assert (r.hardware.gpu_count, r.cache.prefix_cache_enabled) == (8, False)
    assert (r.workload.input_len, r.workload.request_rate) == (100, "inf")
    assert r.metrics.success_rate == pytest.approx(2 / 3)
    assert (r.metrics.p50_e2e_ms, r.metrics.p50_tpot_ms) == (61.0, 5.5)


def test_genai_bench_takes_what_stands_beside_it(tmp_path):
    (tmp_path / "experiment_metadata.json").write_text(json.dumps(GENAI_ABOUT))
    (tmp_path / "run.json").write_text(json.dumps(GENAI))
    run = read_files([str(tmp_path)]).runs[0]
    r = run.result
    assert (r.framework, r.hardware.gpu_count, r.hardware.gpu_model) == ("sglang", 8, "H100")
    assert (r.workload.input_len, r.workload.output_len, r.workload.max_concurrency) == (480, 300, 8)
    assert (r.metrics.p50_ttft_ms, r.metrics.p50_tpot_ms, r.metrics.success_rate) == (190.0, 9.0, 0.99)
    assert run.samples.ttft_ms.tolist() == [200.0]
    (tmp_path / "experiment_metadata.json").write_text(json.dumps({**GENAI_ABOUT, "metrics_time_unit": "ms"}))
    assert read_files([str(tmp_path / "run.json")]).runs[0].result.metrics.p50_ttft_ms == 0.19


def test_guidellm_gives_a_run_for_each_rate_and_its_itl_is_tpot(tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(GUIDE))
    four, eight = (run.result for run in read_files([str(path)]).runs)
    assert (four.workload.request_rate, eight.workload.request_rate) == (4.0, 8.0)
    assert four.workload.max_concurrency is None
    assert (four.metrics.p50_tpot_ms, four.metrics.p50_e2e_ms) == (19.9, 690.0)
    assert (four.metrics.request_throughput, four.metrics.output_token_throughput) == (
        3.8,
        pytest.approx(121.6),
    )
    assert four.metrics.success_rate == 0.95


def test_aiperf_with_its_units(tmp_path):
    r = one(tmp_path, AIPERF)
    assert (r.metrics.p50_e2e_ms, r.metrics.p50_tpot_ms, r.metrics.p99_ttft_ms) == (710.0, 19.9, 107.0)
    assert (r.workload.request_rate, r.workload.num_prompts, r.metrics.success_rate) == (40.0, 400, 0.975)


def test_aiperfs_requests_are_one_run(tmp_path):
    rows = [RECORD, {**RECORD, "metadata": {**RECORD["metadata"], "request_end_ns": 5_000_000_000}}]
    path = tmp_path / "profile.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    run = read_files([str(path)]).runs[0]
    assert (run.result.metrics.request_throughput, run.result.metrics.output_token_throughput) == (0.5, 16.0)
    assert (run.result.metrics.p50_itl_ms, run.result.metrics.p50_e2e_ms) == (20.0, 2000.0)


def test_rows_written_are_rows_read(tmp_path):
    for name, data in FORMS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    out = click.testing.CliRunner().invoke(cli, ["bench", "rows", str(tmp_path)])
    assert out.exit_code == 0
    (tmp_path / "all.jsonl").write_text(out.output)
    before = [run.result for run in read_files([str(tmp_path / f"{n}.json") for n in sorted(FORMS)]).runs]
    after = [run.result for run in read_files([str(tmp_path / "all.jsonl")]).runs]
    assert [r.metrics for r in after] == [r.metrics for r in before]
    assert [(r.model, r.workload, r.hardware, r.status) for r in after] == [
        (r.model, r.workload, r.hardware, r.status) for r in before
    ]


def test_zero_requests_are_a_failure_with_its_reason(tmp_path):
    zero = {**VLLM, "completed": 0, "request_throughput": 0.0, "median_ttft_ms": 0.0}
    r = one(tmp_path, zero)
    assert (r.status, r.failure_reason) == ("failed", "no request succeeded")
    assert r.metrics.request_throughput is None
    assert r.metrics.p50_ttft_ms is None


def test_a_line_cut_off_costs_that_line(tmp_path):
    path = tmp_path / "candidates.jsonl"
    text = json.dumps(CANDIDATE)
    path.write_text(f"{text}\n{text.replace('tp4', 'tp8')}\n{text[:40]}")
    found = read_files([str(path)])
    assert [run.result.candidate_id for run in found.runs] == ["tp4", "tp8"]
    assert "1 broken line left out" in found.warnings[0]


def test_a_copy_is_not_a_repeat(tmp_path):
    for name in ("a_0.json", "a_1.json"):
        (tmp_path / name).write_text(json.dumps(VLLM))
    found = read_files([str(tmp_path / "a_0.json"), str(tmp_path / "a_1.json")])
    assert len(found.runs) == 1
    assert "is a copy of one already read" in found.warnings[0]


def test_names_folders_and_patterns(tmp_path):
    for i in range(2):
        (tmp_path / f"x{i}.json").write_text(json.dumps({**VLLM, "duration": 2.0 + i}))
    runs = read_files([f"mine={tmp_path}/x*.json"]).runs
    assert [run.name for run in runs] == ["mine", "mine"]
    assert len(read_files([str(tmp_path)]).runs) == 2
    odd = tmp_path / "a=b.json"
    odd.write_text(json.dumps({**VLLM, "duration": 9.0}))
    assert read_files([str(odd)]).runs[0].name is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b"{}",
        b"3",
        b'{"traceEvents": []}',
        b"[" * 100_000,
        b"1" * 5000,
        b"NaN",
        b'"\\ud800"',
    ],
)
def test_what_is_no_result_is_one_line(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableResult, match=r"x\.json"):
        read_files([str(path)])


@pytest.mark.parametrize("name", ["no/such/file", "a\0b", "x" * 300, "n=none*.json", "."])
def test_what_is_no_file_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableResult):
        read_files([name])


def test_names_from_files_cannot_reach_the_terminal_or_a_spreadsheet(tmp_path):
    nasty = "=1+1\x1b[31m<img src=x>|`x`\ud800\u202e"
    path = tmp_path / "c.jsonl"
    path.write_text(
        json.dumps({**CANDIDATE, "candidate_id": nasty, "status": "failed", "failure_reason": nasty})
    )
    for form in ("text", "md", "csv", "json"):
        out = click.testing.CliRunner().invoke(cli, ["bench", "compare", str(path), "--format", form]).output
        assert "\x1b" not in out
        assert "\u202e" not in out
        if form == "md":
            assert "<img" not in out.replace("\\<img", "")
        if form == "csv":
            assert not any(cell.startswith("=") for line in csv.reader(io.StringIO(out)) for cell in line)
        if form == "json":
            json.loads(out)


def test_the_command(tmp_path):
    run = click.testing.CliRunner().invoke
    for i, v in enumerate((5.0, 5.1, 5.2)):
        made = json.dumps({**VLLM, "request_throughput": v, "failed": 0, "num_prompts": 3})
        (tmp_path / f"new_{i}.json").write_text(made)
        (tmp_path / f"old_{i}.json").write_text(
            made.replace(f'"request_throughput": {v}', f'"request_throughput": {v / 2}')
        )
    files = sorted(map(str, tmp_path.glob("*.json")))
    out = run(cli, ["bench", "compare", *files])
    assert out.exit_code == 0, out.output
    assert "new wins by requests, 2 times the next" in out.output
    data = json.loads(run(cli, ["bench", "compare", *files, "--format", "json"]).output)
    assert data["tables"][0]["outcome"]["kind"] == "winner"
    assert data["tables"][0]["rows"][0]["metrics"]["request_throughput"]["values"] == [5.0, 5.1, 5.2]
    rows = list(csv.DictReader(io.StringIO(run(cli, ["bench", "compare", *files, "--format", "csv"]).output)))
    assert [(r["candidate_id"], r["rank"], r["runs"]) for r in rows] == [("new", "1", "3"), ("old", "2", "3")]
    markdown = run(cli, ["bench", "compare", *files, "--format", "md"]).output
    assert "**new wins" in markdown
    for suffix, magic in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
        plot = tmp_path / f"p{suffix}"
        assert run(cli, ["bench", "compare", *files, "--plot", str(plot)]).exit_code == 0
        assert plot.read_bytes().startswith(magic)
    assert b">new<" in (tmp_path / "p.svg").read_bytes()
    for bad in ("p.bmp", "no/such/folder/p.svg"):
        assert isinstance(run(cli, ["bench", "compare", *files, "--plot", bad]).exception, AnalysisError)


# --- whatever the bytes -----------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["inf", "NaN", "", "ok", -1, 0, 1e308, 10**400]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutated(data: object, rng: random.Random, values: list[object]) -> object:
    """The same with one value somewhere replaced."""
    copy = json.loads(json.dumps(data))
    at, place = copy, []
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at))
        if not keys:
            return copy
        key = rng.choice(list(keys))
        place.append(key)
        inside = at[key]
        if not isinstance(inside, (dict, list)) or not inside or rng.random() < 0.3:
            if rng.random() < 0.2 and isinstance(at, dict):
                del at[key]
            else:
                at[key] = rng.choice(values)
            return copy
        at = inside


@settings(max_examples=80)
@given(
    st.sampled_from(sorted(FORMS)),
    st.randoms(use_true_random=False),
    st.lists(anything, min_size=1, max_size=4),
    st.integers(1, 4),
)
def test_a_result_with_anything_in_any_place_is_read_or_refused(tmp_path_factory, form, rng, values, times):
    data = FORMS[form]
    for _ in range(times):
        data = mutated(data, rng, values)
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps(data))
    for made in ("text", "json", "csv", "html"):
        out = click.testing.CliRunner().invoke(cli, ["bench", "compare", str(path), "--format", made])
        assert out.exception is None or isinstance(out.exception, (AnalysisError, SystemExit)), out.exc_info


@settings(max_examples=60)
@given(st.sampled_from(sorted(FORMS)), st.integers(0, 2000), st.binary(max_size=6))
def test_a_file_cut_or_overwritten_anywhere_is_read_or_refused(tmp_path_factory, form, at, noise):
    raw = json.dumps(FORMS[form]).encode()
    path = tmp_path_factory.getbasetemp() / "cut.json"
    at %= len(raw)
    path.write_bytes(raw[:at] + noise + (raw[at + len(noise) :] if noise else b""))
    out = click.testing.CliRunner().invoke(cli, ["bench", "compare", str(path)])
    assert out.exception is None or isinstance(out.exception, (AnalysisError, SystemExit)), out.exc_info


# --- real results ------------------------------------------------------------------------------------------------


@real
@needs_shared
def test_real_results_of_four_clients():
    runs = {
        run.client: run
        for run in read_files(
            [
                str(SHARED / "guidellm.json"),
                str(SHARED / "aiperf-profile_export.json"),
                str(SHARED / "sglang-bench_serving.jsonl"),
            ]
        ).runs
    }
    assert set(runs) == {"guidellm", "aiperf", "sglang"}
    for run in runs.values():  # a server of known delays: 100 ms to the first token, 20 ms a token
        assert run.result.metrics.p50_ttft_ms == pytest.approx(102, rel=0.03)
        assert run.result.metrics.p50_tpot_ms == pytest.approx(20, rel=0.01)
        assert (run.result.workload.input_len, run.result.workload.output_len) == (64, 32)


@real
@needs_shared
def test_statistics_from_samples_are_those_that_the_client_wrote():
    import numpy as np

    for name in ("bench_small_0.json", "bench_sglang_1.json", "sglang-bench_serving.jsonl"):
        run = read_files([str(SHARED / name)]).runs[0]
        for quantity in ("ttft", "tpot", "e2e"):
            sample = run.samples.of(quantity)
            told = getattr(run.result.metrics, f"p50_{quantity}_ms")
            assert np.median(sample) == pytest.approx(told, rel=0.02), (name, quantity)
