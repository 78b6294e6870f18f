"""The three tables against generated traces with exact truth, and against cases in which they could say too much."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traces import vocabulary as v
from traces.generator import Pass, Spec, generate
from traces.specs import specs

from analysis import mapped, report
from analysis.fuse import fusions
from analysis.overlap import union
from analysis.report import Tables, analyse
from analysis.sources import sources_of_kernels
from analysis.steps import Stage, stage
from analysis.taxonomy import family, family_names, short_name
from analysis.trace import Trace
from analysis.window import self_time
from tests.small_traces import TraceFile

STAGES = {"verify": "target-verify"}


def opened(tmp_path, raw: bytes, name: str = "t.json") -> Trace:
    (tmp_path / name).write_bytes(raw)
    return Trace.open(tmp_path / name, cache=tmp_path / "cache")


def rows_of(trace):
    tables = Tables(stage(trace), sources_of_kernels(trace))
    return tables.kernels.rows(), tables.overlap.rows(), tables.fuse.rows(), tables.overlap.stages()


SPECS = {
    "eager and graph": Spec(),
    "all stages": Spec(
        passes=(
            Pass("prefill", 1, 2048),
            Pass("mixed", 4, 512),
            Pass("decode", 8),
            Pass("verify", 4),
            Pass("draft", 4),
        )
    ),
    "vllm": Spec(
        engine=v.VLLM,
        layers=("dense", "moe") * 2,
        passes=(Pass("prefill", 2, 1024), Pass("decode", 64), Pass("mixed", 16, 4000)),
    ),
    "trtllm": Spec(engine=v.TRTLLM, passes=(Pass("prefill", 1, 512), Pass("decode", 12), Pass("decode", 12))),
    "tensor parallel": Spec(ranks=2, overlap=0.4),
    "one stream": Spec(ranks=2),
    "mla": Spec(layers=("mla_dense", "mla_moe", "mla_moe")),
    "hybrid": Spec(layers=("linear", "linear", "dense", "linear_moe")),
    "quantised": Spec(layers=("fp8",) * 3),
    "fused": Spec(ranks=2, all_reduce="fused"),
    "far apart": Spec(ranks=2, all_reduce="custom", far_apart=True),
    "no steps": Spec(annotate=False),
}


@pytest.mark.parametrize("name", SPECS)
def test_tables_are_the_truth(tmp_path, name):
    made = generate(SPECS[name])
    for rank in range(made.spec.ranks):
        trace = opened(tmp_path, made.json(rank), f"{rank}.json")
        mine = [k for k in made.truth.kernels if k.rank == rank]
        kernels, over, fuse, found = rows_of(trace)
        truth: dict[tuple[str, str, bool], int] = defaultdict(int)
        for k in mine:
            truth[STAGES.get(k.stage, k.stage), k.name, k.graph] += k.dur_ns
        assert {(r.stage.value, r.name, r.replayed): r.time_ns for r in kernels} == truth
        families = {k.name: k.family for k in mine}
        assert {r.name: r.family for r in kernels} == families
        _overlap_is_true(made, rank, over, found)
        _sources_are_true(mine, kernels)
        _fusions_are_true(made, fuse)


def _overlap_is_true(made, rank, rows, found):
    for time in found:
        word = {"target-verify": "verify"}.get(time.stage.value, time.stage.value)
        true = made.truth.overlap(rank, word)
        assert time.busy_ns == true.busy
        assert time.exposed_ns == true.exposed_communication
        for kind in ("communication", "gemm"):
            mine = [r for r in rows if r.stage is time.stage and r.family == kind]
            assert sum(r.exclusive_ns for r in mine) + sum(r.hidden_ns for r in mine) == sum(
                r.time_ns for r in mine
            )
        talk = [r for r in rows if r.stage is time.stage and r.family == "communication"]
        assert sum(r.hidden_ns for r in talk) == true.hidden.get("communication", 0)


def _sources_are_true(mine, rows):
    for row in rows:
        places = {k.frame for k in mine if k.name == row.name and k.graph == row.replayed}
        if row.replayed:
            assert row.source is None
        else:
            assert row.source in places
            assert row.op in {k.cpu_op for k in mine if k.name == row.name}


def _fusions_are_true(made, rows):
    wanted = defaultdict(int)
    for planted in made.truth.planted:
        if planted.found:
            wanted[planted.what, STAGES.get(planted.stage, planted.stage)] += planted.times
    got = defaultdict(int)
    for row in rows:
        if row.fusion in ("norm+quant", "activation+quant", "allreduce+norm"):
            got[row.fusion, row.stage.value] += row.times * made.spec.ranks
            assert row.times <= row.of
    if not made.spec.overlap:  # a norm that starts before the all-reduce ends doesn't depend on it
        assert dict(got) == dict(wanted)
    for planted in made.truth.planted:
        if planted.what == "fused_allreduce":
            assert not any(short_name(planted.kernels[0]) in row.kernels for row in rows)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (v.FA3, "attention"),
        (v.FLASHINFER_PREFILL, "attention"),
        (v.FLASHINFER_DECODE, "attention"),
        ("void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128>>(Flash_fwd_params)", "attention"),
        ("void merge_attn_states_kernel<__nv_bfloat16>(__nv_bfloat16*)", "attention"),
        ("void gemma_fused_add_rmsnorm_kernel<__nv_bfloat16>(__nv_bfloat16*)", "norm"),
        ("void flashinfer::norm::GemmaRMSNormKernel<8u>(float)", "norm"),
        ("nvjet_sm90_tst_192x16_64x8_2x1_v_bz_TNT", "gemm"),
        ("void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<>>(Params)", "gemm"),
        ("_w8a8_block_fp8_matmul", "gemm"),
        ("fused_moe_kernel", "moe"),
        ("ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "communication"),
        (v.FUSED_AR, "communication"),
        ("triton_red_fused_fused_add_rms_norm_2", "norm"),
        ("triton_poi_fused_mul_silu_slice_1", "activation"),
        ("void vllm::act_and_mul_kernel<c10::BFloat16>()", "activation"),
        ("_fwd_grouped_kernel_stage1", "attention"),
        ("fused_qk_norm_rope_kernel", "rope"),
        ("aten::mm", "gemm"),
        ("aten::linear", "gemm"),
        ("something_new", "other"),
    ],
)
def test_the_one_classifier(name, expected):
    assert family(name) == expected


def test_every_family_of_a_fusion_is_one_and_every_path_has_an_engine():
    assert {part.family for f in fusions() for s in f.sequences for part in s} - {None} <= set(family_names())
    for fusion in fusions():
        assert fusion.where
        for path in fusion.where:
            assert path.engine in ("sglang", "vllm", "tensorrt-llm", "flashinfer")
            assert all(
                pr.split("#")[0] in ("sglang", "vllm") and pr.split("#")[1].isdigit() for pr in path.prs
            )


def test_missing_here_and_present_in_the_other_engine_is_said(tmp_path):
    file = TraceFile()
    file.step("step[DECODE bs=1]", 0, 100)
    file.launch(
        [("flash_fwd_kernel", 1000, 5), ("static_scaled_fp8_quant", 1006, 2), ("nvjet_x", 1009, 5)],
        5,
        graph=True,
    )
    [row] = analyse(opened(tmp_path, file.text().encode())).fusions
    assert (row.fusion, row.status, row.times, row.time_ns) == (
        "attention+quant",
        "in another engine",
        1,
        7000,
    )
    assert row.headroom_ns == 2000 + 1000
    assert "vllm#16756" in row.where[0].prs


@pytest.mark.parametrize(
    ("kernels", "why"),
    [
        (
            [("rms_norm_kernel", 1000, 5), ("nvjet", 1006, 1), ("per_token_quant_fp8", 1008, 2)],
            "something between",
        ),
        ([("rms_norm_kernel", 1000, 5), ("per_token_quant_fp8", 1100, 2)], "far apart"),
        ([("fused_add_rms_norm_static_fp8_quant", 1000, 5), ("nvjet", 1006, 1)], "fused already"),
        (
            [("allreduce_fusion_kernel_oneshot_lamport", 1000, 5), ("rms_norm_kernel", 1006, 1)],
            "the fused kernel",
        ),
    ],
)
def test_what_is_no_opportunity_is_not_listed(tmp_path, kernels, why):
    file = TraceFile()
    file.step("step[DECODE bs=1]", 0, 100)
    file.launch(kernels, 5, graph=True)
    assert analyse(opened(tmp_path, file.text().encode())).fusions == (), why


def test_neighbours_on_other_streams_or_in_other_steps_are_none(tmp_path):
    file = TraceFile()
    file.step("step[DECODE bs=1]", 0, 50)
    file.step("step[DECODE bs=2]", 60, 50)
    file.launch([("rms_norm_kernel", 1000, 5)], 5)
    file.launch([("per_token_quant_fp8", 1006, 2)], 8, stream=9)
    file.launch([("rms_norm_kernel", 1010, 5)], 20)
    file.launch([("per_token_quant_fp8", 1016, 2)], 65)
    assert analyse(opened(tmp_path, file.text().encode())).fusions == ()


def idle_of(tmp_path, file) -> dict[str, int]:
    found = analyse(opened(tmp_path, file.text().encode()))
    total: dict[str, int] = defaultdict(int)
    for row in found.stages:
        for cause, ns in row.time.idle_ns.items():
            total[cause] += ns
    return {cause: ns for cause, ns in total.items() if ns}


def test_idle_time_has_its_cause(tmp_path):
    file = TraceFile()
    file.launch([("a", 100, 50)], 90)
    file.launch([("b", 205, 45)], 200)  # launched 50 us into the pause
    file.launch([("c", 300, 50)], 95)  # launched long before
    file.add("cuda_runtime", "cudaStreamSynchronize", 310, 50, correlation=900)
    file.launch([("d", 375, 25)], 365)  # after a wait for the device
    file.launch([("e", 450, 50)], 98)
    file.add("gpu_memcpy", "Memcpy DtoH", 410, 30, pid=0, tid=7, device=0, stream=7, correlation=901)
    assert idle_of(tmp_path, file) == {
        "launch-bound": 55_000,
        "dependency": 50_000 + 20_000,
        "synchronisation": 25_000,
        "data": 30_000,
    }


def test_a_fully_hidden_all_reduce_is_reported_as_hidden(tmp_path):
    file = TraceFile()
    file.launch([("nvjet_gemm", 100, 100)], 10)
    file.launch([("ncclDevKernel_AllReduce", 120, 50)], 12, stream=9)
    _, over, _, found = rows_of(opened(tmp_path, file.text().encode()))
    [talk] = [r for r in over if r.family == "communication"]
    assert (talk.verdict, talk.hidden_ns, talk.exclusive_ns, talk.hidden_by_compute_ns) == (
        "hidden",
        50_000,
        0,
        50_000,
    )
    assert found[0].exposed_ns == 0


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=25)
)
def test_hidden_and_busy_time_by_counting_every_nanosecond(rows):
    from analysis.overlap import _hidden

    start = np.array([s for s, _, _ in rows])
    end = start + np.array([d for _, d, _ in rows])
    stream = np.array([n for _, _, n in rows], np.int32)
    got = _hidden(start, end, stream).tolist()
    busy = [{int(stream[i]) for i in range(len(rows)) if start[i] <= t < end[i]} for t in range(260)]
    assert got == [sum(len(busy[t]) > 1 for t in range(int(start[i]), int(end[i]))) for i in range(len(rows))]
    left, right = union(start, end)
    assert int((right - left).sum()) == sum(bool(b) for b in busy)


def test_self_time_is_what_inner_operators_leave(tmp_path):
    file = TraceFile()
    file.add("cpu_op", "aten::linear", 0, 100)
    file.add("cpu_op", "aten::t", 10, 5)
    file.add("cpu_op", "aten::addmm", 20, 70)
    file.add("cpu_op", "aten::copy_", 30, 10)
    file.add("cpu_op", "aten::other_thread", 30, 10, tid=7)
    trace = opened(tmp_path, file.text().encode())
    times = {trace.text(int(n)): int(t) for n, t in zip(trace.ops.name, self_time(trace), strict=True)}
    assert times == {
        "aten::linear": 25_000,
        "aten::t": 5_000,
        "aten::addmm": 60_000,
        "aten::copy_": 10_000,
        "aten::other_thread": 10_000,
    }


def test_long_tables_are_made_side_by_side_and_are_the_same(tmp_path, monkeypatch):
    trace = opened(tmp_path, generate(SPECS["quantised"]).json())
    alone = analyse(trace)
    monkeypatch.setattr(report, "_WORTH_THREADS", 0)
    assert analyse(trace) == alone


@given(specs(max_passes=3), st.sampled_from([3, 17, 64]), st.booleans())
@settings(max_examples=25)
def test_a_trace_is_read_the_same_in_any_windows(tmp_path_factory, spec, rows, merged):
    folder, made = tmp_path_factory.mktemp("windows"), generate(spec)
    raw = made.merged() if merged else made.json()
    whole = analyse(opened(folder, raw, "whole.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "WINDOW", rows)
        (folder / "cache").rename(folder / "other")  # the columns are sorted in windows as well
        assert analyse(opened(folder, raw, "whole.json")) == whole


def test_what_waits_for_a_window_is_bounded_and_nothing_is_lost(tmp_path, monkeypatch):
    """One step without a pause, as long as many windows: neighbours are found across all of their edges."""
    file = TraceFile()
    names = ["rms_norm_kernel", "per_token_group_quant_8bit", "nvjet_gemm", "x"]
    file.launch([(names[i % 4], 100 + i, 1) for i in range(400)], 10, graph=True)
    trace = opened(tmp_path, file.text().encode())
    whole = rows_of(trace)[2]
    assert [r.times for r in whole] == [100]
    for rows in (5, 7, 32):
        monkeypatch.setattr(mapped, "WINDOW", rows)
        assert rows_of(trace)[2] == whole


def test_rows_have_stable_references(tmp_path):
    found = analyse(opened(tmp_path, generate(Spec()).json()))
    again = analyse(opened(tmp_path, generate(Spec()).json(), "elsewhere.json"))
    assert [r.ref for r in found.kernels] == [r.ref for r in again.kernels]
    assert found.kernels[0].ref == f"trace:{found.sha256[:12]}/{found.kernels[0].stage.value}/kernel/1"
    assert found.unknown_share == 0.0
    assert found.kernel_ns == sum(r.time_ns for r in found.kernels)
    assert [r.stage for r in found.stages] == [Stage.PREFILL, Stage.DECODE]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        (
            "void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*)",
            "flashinfer::norm::FusedAddRMSNormKernel",
        ),
        ("void (anonymous namespace)::store_kvcache<2048l, 2048l>(P)", "store_kvcache"),
        ("nvjet_sm90_tst_64x16_64x16_4x1_v_bz_TNT", "nvjet_sm90_tst_64x16_64x16_4x1_v_bz_TNT"),
        (v.FA3, "cutlass::device_kernel<FlashAttnFwdSm90>"),
        ("_ZN5aiter24add_rmsnorm_quant_kernelIDF16bDF16bLi64EEEvPT0_", "aiter::add_rmsnorm_quant_kernel"),
        ("operator()", "operator"),
        ("", ""),
        ("<<<", "<<<"),
    ],
)
def test_short_names(name, short):
    assert short_name(name) == short
