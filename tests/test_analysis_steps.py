"""Steps by the ranges that engines name, and kernels given to the step that launched them or to none."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from analysis.steps import ORDER, Stage, read_step, stage, stage_of_file
from analysis.trace import Trace
from tests.small_traces import TraceFile

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "traces"


def staged(tmp_path, file, name="t.json"):
    return stage(Trace.open(file.write(tmp_path / name), cache=tmp_path / "cache"))


def time_by_stage(found) -> dict[str, int]:
    total: Counter[str] = Counter()
    for code, dur in zip(
        found.stages(found.kernel_step).tolist(), found.trace.kernels.dur.tolist(), strict=True
    ):
        total[ORDER[code].value] += dur
    return dict(total)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step[EXTEND bs=2 toks=14721]", Stage.PREFILL),
        ("step[DECODE bs=64]", Stage.DECODE),
        ("step[MIXED bs=2]", Stage.MIXED),
        ("step[TARGET_VERIFY bs=8]", Stage.VERIFY),
        ("step[DRAFT_EXTEND bs=8]", Stage.DRAFT),
        ("step[DRAFT_EXTEND_V2 bs=8]", Stage.DRAFT),
        ("step[DRAFT_LOOP raw_bs=3 bs=4 topk=1]", Stage.DRAFT),
        ("step[IDLE bs=0]", Stage.IDLE),
        ("step[PREBUILT bs=3]", Stage.UNKNOWN),
        ("execute_context_2(6144)_generation_3(3)", Stage.MIXED),
        ("execute_context_1(4000)_generation_16(16)", Stage.MIXED),
        ("execute_context_0(0)_generation_8(8)", Stage.DECODE),
        ("execute_context_0(0)_generation_64(64)", Stage.DECODE),
        ("execute_context_0(0)_generation_16(64)", Stage.VERIFY),
        ("execute_context_1(512)_generation_0(0)", Stage.PREFILL),
        ("execute_context_0(0)_generation_0(0)", Stage.IDLE),
        (
            "execute_8192_context_9(sq8155sk8430sqsq74sqsk76)_generation_37(sq37sk34489sqsq37sqsk34489)",
            Stage.MIXED,
        ),
        ("execute_32_context_0(sq0sk0sqsq0sqsk0)_generation_32(sq32sk32785sqsq32sqsk32785)", Stage.DECODE),
        ("gpu_model_runner: draft", Stage.DRAFT),
        ("[Executor] _forward_step: 1 ctx reqs, 0 gen reqs", Stage.PREFILL),
        ("[Executor] _forward_step 17: 1 ctx reqs, 3 gen reqs", Stage.MIXED),
        ("[Executor] _forward_step 17: 0 ctx reqs, 0 ctx tokens, 32 gen reqs", Stage.DECODE),
        ("prefill", None),
        ("generation_1", None),
        ("my step[DECODE bs=64]", None),
        ("gpu_model_runner: forward", None),
        ("scheduler.run_batch", None),
    ],
)
def test_the_name_of_a_range_says_the_stage(name, expected):
    found = read_step(name)
    assert (found.stage if found else None) is expected


def test_the_name_of_a_range_says_the_batch():
    found = read_step("execute_context_2(6144)_generation_3(3)")
    assert (found.requests, found.tokens, found.context_tokens, found.generation_requests) == (
        5,
        6147,
        6144,
        3,
    )
    assert read_step("step[EXTEND bs=2 toks=14721]").tokens == 14721
    assert read_step("step[DECODE bs=64]").tokens == 64
    assert read_step("[Executor] _forward_step 17: 1 ctx reqs, 3 gen reqs").tokens is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1755231111.3-TP-0-EXTEND.trace.json.gz", Stage.PREFILL),
        ("run1-1755231111.3-TP-3-DP-1-EP-0-DECODE.trace.json.gz", Stage.DECODE),
        ("1755231111.3-TP-0.trace.json.gz", None),
        ("decode.trace.json.gz", None),
    ],
)
def test_the_name_of_a_file_says_the_stage_only_as_sglang_writes_it(tmp_path, name, expected):
    assert stage_of_file(tmp_path / "decode" / name) is expected


def test_kernels_belong_to_the_step_that_launched_them(tmp_path):
    """Prefill kernels run on while the CPU is in the decode step already; none goes to the nearest step."""
    file = TraceFile()
    file.step("step[EXTEND bs=1 toks=4096]", 0, 100)
    file.step("step[DECODE bs=8]", 110, 50)
    file.launch([("a", 50, 7000)], 10)
    file.launch([("b", 7050, 600)], 90)
    file.launch([("c", 7700, 30)], 120)
    file.launch([("between", 7740, 5)], 105)
    file.launch([("other_thread", 7750, 9)], 20, tid=999)
    assert time_by_stage(staged(tmp_path, file)) == {
        "prefill": 7_600_000,
        "decode": 30_000,
        "unknown": 14_000,
    }


def test_mixed_verify_and_draft_are_kept_apart(tmp_path):
    file = TraceFile()
    names = [
        "step[MIXED bs=2]",
        "step[TARGET_VERIFY bs=2]",
        "step[DRAFT_LOOP raw_bs=2 bs=2 topk=1]",
        "step[DECODE bs=2]",
    ]
    for i, name in enumerate(names):
        file.step(name, 100 * i, 90)
        file.launch([("k", 1000 + 100 * i, i + 1)], 100 * i + 5)
    assert time_by_stage(staged(tmp_path, file)) == {
        "mixed": 1000,
        "target-verify": 2000,
        "draft": 3000,
        "decode": 4000,
    }


def test_an_inner_step_owns_its_kernels_and_an_equal_one_is_the_same_step(tmp_path):
    file = TraceFile()
    file.step("execute_context_0(0)_generation_2(2)", 0, 100)
    file.step("step[DECODE bs=2]", 5, 90)
    file.step("gpu_model_runner: draft", 60, 20)
    file.launch([("target", 1000, 10)], 10)
    file.launch([("draft", 1010, 3)], 65)
    file.launch([("after", 1013, 4)], 85)
    found = staged(tmp_path, file)
    assert [s.name for s in found.steps] == [
        "execute_context_0(0)_generation_2(2)",
        "gpu_model_runner: draft",
    ]
    assert time_by_stage(found) == {"decode": 14_000, "draft": 3_000}


def test_a_kernel_without_a_launch_needs_one_window_around_it(tmp_path):
    file = TraceFile()
    file.step("step[EXTEND bs=1 toks=9]", 0, 10, gpu=(100, 50))
    file.step("step[DECODE bs=1]", 20, 10, gpu=(140, 60))
    for name, ts, dur in [
        ("in_first", 105, 5),
        ("in_both", 142, 3),
        ("in_second", 180, 5),
        ("across", 198, 9),
        ("near", 201, 1),
    ]:
        file.add("kernel", name, ts, dur, pid=0, tid=7, device=0, stream=7, correlation=-1)
    assert time_by_stage(staged(tmp_path, file)) == {"prefill": 5_000, "decode": 5_000, "unknown": 13_000}


def test_ranges_of_the_device_serve_where_the_cpu_has_none(tmp_path):
    file = TraceFile()
    file.add("gpu_user_annotation", "step[DECODE bs=4]", 100, 50, pid=0, tid=7, **{"External id": 5})
    file.add("kernel", "k", 110, 5, pid=0, tid=7, device=0, stream=7)
    found = staged(tmp_path, file)
    assert [s.on_gpu for s in found.steps] == [True]
    assert time_by_stage(found) == {"decode": 5_000}


def test_a_suffixed_file_without_steps_is_of_its_stage(tmp_path):
    file = TraceFile()
    file.launch([("k", 10, 5)], 0)
    found = staged(tmp_path, file, "1.5-TP-0-DECODE.trace.json")
    assert found.whole is Stage.DECODE
    assert time_by_stage(found) == {"decode": 5_000}


def test_processes_merged_into_one_file_keep_their_launches(tmp_path):
    """Two ranks whose correlation ids are equal: each device follows its own process."""
    file = TraceFile()
    file.step("step[DECODE bs=1]", 0, 100, tid=100)
    file.events[-1]["pid"] = 100
    file.add("user_annotation", "step[EXTEND bs=1 toks=5]", 0, 100, pid=200, tid=200)
    for i in range(4):
        file.launch([("mine", 1000 + i, 0.5)], 10 + i, pid=100, tid=100, device=0, correlation=50 + i)
        file.launch([("theirs", 1000 + i, 0.25)], 10 + i, pid=200, tid=200, device=1, correlation=53 + i)
    assert time_by_stage(staged(tmp_path, file)) == {"decode": 2_000, "prefill": 1_000}


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="no real traces beside the checkout")
def test_real_steps_are_those_of_the_file(tmp_path):
    for path in sorted(p for p in REAL.rglob("*.gz") if p.stat().st_size < 200_000):
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
        named = [e for e in events if e.get("cat") == "user_annotation" and read_step(e["name"])]
        found = stage(Trace.open(path, cache=tmp_path))
        assert {s.name for s in found.steps} <= {e["name"] for e in named}
        assert len(found.steps) == len(named) - ("tracelens" in path.parts and len(named) > 1)
        gpu = [e for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
        launched = {
            e["args"]["correlation"]: e
            for e in events
            if "correlation" in e.get("args", {}) and "cuda_" in e["cat"]
        }
        for event, code in zip(
            sorted(gpu, key=lambda e: e["ts"]), found.stages(found.kernel_step).tolist(), strict=True
        ):
            launch = launched[event["args"]["correlation"]]
            around = [
                e for e in named if e["tid"] == launch["tid"] and e["ts"] <= launch["ts"] < e["ts"] + e["dur"]
            ]
            assert {read_step(e["name"]).stage for e in around} == {ORDER[code]} - {Stage.UNKNOWN}
