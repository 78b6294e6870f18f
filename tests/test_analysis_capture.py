"""Graph replays take their sources from a capture trace, by names or, without names, only where nothing contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from traces import vocabulary as v
from traces.generator import Pass, Spec, generate

from analysis.report import analyse
from analysis.trace import Trace
from tests.small_traces import TraceFile

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "traces"
LAYER = [
    ("rms_norm_kernel", "aten::rms_norm"),
    ("nvjet_gemm", "aten::mm"),
    ("flash_fwd_kernel", "x::attention"),
]


def opened(tmp_path, file: TraceFile, name: str) -> Trace:
    return Trace.open(file.write(tmp_path / name), cache=tmp_path / "cache")


def replay(*names: str) -> TraceFile:
    file = TraceFile()
    for step in range(2):
        file.step("step[DECODE bs=4]", 1000 * step, 50)
        start = 1000 * step + 100
        file.launch([(name, start + 10 * i, 5) for i, name in enumerate(names)], 1000 * step + 5, graph=True)
    return file


def capture(*kernels: tuple[str, str], named: bool, spare: int = 0) -> TraceFile:
    """A capture of a graph inside of model.py, a line a kernel."""
    file = TraceFile()
    file.add("cuda_runtime", "cudaLaunchKernel", 2, 1, correlation=1)  # a warm-up before the capture
    root = file.frame("runner.py(10): capture", 0, 10_000)
    file.add("cuda_runtime", "cudaStreamBeginCapture", 10, 1, correlation=2)
    for i, (name, op) in enumerate([*kernels, *kernels[:spare]]):
        at = 100 + 10 * i
        file.frame(f"/x/site-packages/sglang/srt/model.py({i + 1}): layer", at, 9, root)
        file.add("cpu_op", op, at + 1, 7, **{"External id": 50 + i})
        args = {"kernel": name} if named else {}
        file.add(
            "cuda_runtime",
            "cudaLaunchKernel",
            at + 3,
            2,
            correlation=100 + i,
            **{"External id": 50 + i},
            **args,
        )
    file.add("cuda_runtime", "cudaStreamEndCapture", 9000, 1, correlation=3)
    return file


@pytest.mark.parametrize("named", [True, False])
def test_replays_take_source_and_operator_from_the_capture(tmp_path, named):
    traced = opened(tmp_path, replay(*(name for name, _ in LAYER)), "t.json")
    found = analyse(traced, [opened(tmp_path, capture(*LAYER, named=named), "c.json")])
    assert {r.name: (r.source, r.op, r.how, r.launches) for r in found.kernels} == {
        name: (f"sglang/srt/model.py:{i + 1} layer", op, "capture trace", 2)
        for i, (name, op) in enumerate(LAYER)
    }
    assert found.notes[0] == "capture trace: 6 of 6 replayed kernels have a source"


def test_names_are_aligned_where_the_capture_holds_more(tmp_path):
    traced = opened(tmp_path, replay(*(name for name, _ in LAYER)), "t.json")
    other = [LAYER[0], ("extra_copy", "aten::copy_"), *LAYER[1:]]
    found = analyse(traced, [opened(tmp_path, capture(*other, named=True), "c.json")])
    assert {r.name: r.source for r in found.kernels} == {
        "rms_norm_kernel": "sglang/srt/model.py:1 layer",
        "nvjet_gemm": "sglang/srt/model.py:3 layer",
        "flash_fwd_kernel": "sglang/srt/model.py:4 layer",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        capture(*LAYER, named=False, spare=1),  # another length
        capture(*reversed(LAYER), named=False),  # operators that launch other kernels
        capture(("a", "aten::a"), ("b", "aten::b"), ("c", "aten::c"), named=True),
        TraceFile(),
    ],
)
def test_a_capture_of_something_else_explains_nothing(tmp_path, wrong):
    traced = opened(tmp_path, replay(*(name for name, _ in LAYER)), "t.json")
    found = analyse(traced, [opened(tmp_path, wrong, "c.json")])
    assert {r.source for r in found.kernels} == {None}
    assert "isn't in the capture trace" in found.notes[1]


def test_a_trace_without_graphs_serves_as_well(tmp_path):
    passes = (Pass("decode", 4), Pass("decode", 4))
    made = generate(Spec(passes=passes, layers=("dense", "moe")))
    eager = generate(
        Spec(passes=tuple(Pass(p.stage, p.batch, graph=False) for p in passes), layers=("dense", "moe"))
    )
    for name, one in (("graph", made), ("eager", eager)):
        (tmp_path / f"{name}.json").write_bytes(one.json())
    traced = Trace.open(tmp_path / "graph.json", cache=tmp_path)
    found = analyse(traced, [Trace.open(tmp_path / "eager.json", cache=tmp_path)])
    places: dict[str, set[str | None]] = {}
    for kernel in eager.truth.kernels:
        places.setdefault(kernel.name, set()).add(kernel.frame)
    assert all(row.source in places[row.name] for row in found.kernels)
    assert {row.how for row in found.kernels} == {"capture trace"}
    assert v.FLASHINFER_DECODE in places


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="no real traces beside the checkout")
@pytest.mark.parametrize(
    ("trace", "captured", "kernels"),
    [
        ("sglang_decode/sglang_Qwen3-8B_decode.json.gz", "sglang_decode/capture_traces", 544),
        (
            "vllm_prefilldecode_piecewise/graph_execution.json.gz",
            "vllm_prefilldecode_piecewise/capture_traces",
            361,
        ),
    ],
)
def test_real_replays_have_sources(tmp_path, trace, captured, kernels):
    root = REAL / "tracelens"
    [path] = (root / captured).iterdir()
    found = analyse(Trace.open(root / trace, cache=tmp_path), [Trace.open(path, cache=tmp_path)])
    assert found.notes[0] == f"capture trace: {kernels} of {kernels} replayed kernels have a source"
    assert all(row.source for row in found.kernels if row.replayed)
