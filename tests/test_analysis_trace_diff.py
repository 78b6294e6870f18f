"""Comparisons of traces: what changed is found, what didn't is noise, and parts add up to the gap."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from traces import vocabulary as v
from traces.generator import Pass, Spec, generate

from analysis.errors import AnalysisError
from analysis.steps import Stage
from analysis.trace import Trace
from analysis.trace_diff import compare
from loop.cli import cli
from tests.small_traces import TraceFile

BASE = Spec(passes=(Pass("prefill", 1, 1024), *(Pass("decode", 8) for _ in range(8))), layers=("dense",) * 4)


@pytest.fixture
def opened(tmp_path):
    def make(name: str, spec: Spec) -> Trace:
        (tmp_path / name).write_bytes(generate(spec).json())
        return Trace.open(tmp_path / name, cache=tmp_path / "cache")

    return make


def by_family(diff, stage=Stage.DECODE):
    [row] = [row for row in diff.stages if row.stage is stage]
    return row, {f.family: f for f in row.families}


def test_a_trace_against_itself_has_no_difference(opened):
    one = opened("a.json", BASE)
    for row in compare([one], [one]).stages:
        assert (row.gap_ns, row.significant, row.unexplained_ns) == (0.0, False, 0.0)
        assert not any(f.significant for f in row.families)


def test_what_was_added_is_found_and_explains_the_gap(opened):
    """Quantisation kernels and longer pauses: their sum is the gap, and nothing else moved."""
    row, families = by_family(
        compare([opened("a.json", BASE)], [opened("b.json", replace(BASE, layers=("fp8",) * 4))])
    )
    assert row.significant
    assert row.gap_ns == pytest.approx(4 * 3 * (3_000 + 1_000))  # three quantisations a layer, a pause each
    assert families["quantization"].delta_ns == pytest.approx(4 * 3 * 3_000)
    assert families["idle"].delta_ns == pytest.approx(4 * 3 * 1_000)
    assert {name for name, f in families.items() if f.significant} == {"quantization", "idle"}
    assert row.unexplained_ns == pytest.approx(0)
    assert row.families[0].family == "quantization"
    assert sum(f.delta_ns for f in row.families) == pytest.approx(row.gap_ns)


def test_jitter_is_noise(opened):
    """Ten seeds of the same specification: what is called a difference stays rare."""
    spec = replace(BASE, jitter=0.05)
    sides = [opened(f"{seed}.json", replace(spec, seed=seed)) for seed in range(10)]
    wrong = sum(compare([a], [b]).stages[1].significant for a, b in zip(sides[::2], sides[1::2], strict=True))
    assert wrong <= 1


def test_repeats_set_the_noise(opened):
    spec = replace(BASE, jitter=0.05)
    a = [opened(f"a{seed}.json", replace(spec, seed=seed)) for seed in range(4)]
    b = [opened(f"b{seed}.json", replace(spec, seed=seed + 9, layers=("fp8",) * 4)) for seed in range(4)]
    diff = compare(a, b)
    row, families = by_family(diff)
    assert families["quantization"].significant
    assert not families["gemm"].significant
    assert not [note for note in row.notes if "repeats" in note]


def test_stages_of_one_side_and_steps_of_another_size_are_said(opened):
    b = replace(BASE, passes=(*(Pass("decode", 64) for _ in range(4)), Pass("mixed", 4, 512)))
    diff = compare([opened("a.json", BASE)], [opened("b.json", b)])
    assert (diff.only_a, diff.only_b) == ((Stage.PREFILL,), (Stage.MIXED,))
    assert "steps differ in size: 8 against 64 tokens" in by_family(diff)[0].notes


def test_two_engines_are_compared_by_family(opened):
    diff = compare([opened("a.json", BASE)], [opened("b.json", replace(BASE, engine=v.VLLM))])
    row, families = by_family(diff)
    assert {"gemm", "attention", "norm", "rope", "kv_cache"} <= set(families)
    assert not row.significant


def test_a_trace_without_a_gpu_is_refused(tmp_path):
    file = TraceFile()
    file.add("cpu_op", "aten::mm", 0, 5)
    trace = Trace.open(file.write(tmp_path / "cpu.json"), cache=tmp_path)
    with pytest.raises(AnalysisError, match=r"cpu\.json: no kernel in it"):
        compare([trace], [trace])


@pytest.mark.parametrize("form", ["text", "md", "csv", "json", "html"])
def test_every_format(tmp_path, monkeypatch, opened, form):
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))
    opened("a.json", BASE)
    opened("b.json", replace(BASE, layers=("fp8",) * 4))
    args = ["trace", "diff", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--format", form]
    out = CliRunner().invoke(cli, args, catch_exceptions=False).output
    assert "quantization" in out
    if form == "json":
        assert json.loads(out)["stages"][1]["families"][0]["family"] == "quantization"
