"""Rooflines against arithmetic done by hand, and against the generator's shapes and times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from traces.generator import Pass, Spec, generate

from analysis.errors import AnalysisError
from analysis.roofline.derived import derived_products, read_dense
from analysis.roofline.gpus import find_gpu, gpus, need_gpu
from analysis.roofline.table import roofline_of
from analysis.roofline.work import work_of
from analysis.steps import Stage, stage
from analysis.trace import Trace
from loop.cli import cli

TRACES = Path(__file__).resolve().parent.parent.parent / "shared" / "traces"
QWEN3_8B = {
    "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "intermediate_size": 12288, "num_hidden_layers": 36,
}  # fmt: skip
BF = '["c10::BFloat16", "c10::BFloat16"]'


@pytest.mark.parametrize(
    ("op", "dims", "types", "flops", "moved"),
    [
        ("aten::mm", "[[2000, 4096], [4096, 6144]]", BF, 2 * 2000 * 4096 * 6144, 2 * (2000 * 4096 + 4096 * 6144 + 2000 * 6144)),
        ("aten::addmm", "[[8], [2, 4], [4, 8]]", '["float", "float", "float"]', 128, 4 * (8 + 32 + 16)),
        ("aten::bmm", "[[3, 2, 4], [3, 4, 8]]", BF, 3 * 128, 3 * 2 * (8 + 32 + 16)),
        ("aten::linear", "[[5, 2, 4], [8, 4], []]", BF, 2 * 10 * 4 * 8, 2 * (40 + 32 + 80)),
        ("sgl_kernel::fp8_scaled_mm", "[[2, 4], [4, 8]]", '["c10::Float8_e4m3fn"]', 128, 8 + 32 + 2 * 16),
        ("aten::_scaled_dot_product_flash_attention", "[[1, 8, 16, 64], [1, 8, 32, 64], [1, 8, 32, 64]]", BF,
         2 * 8 * 16 * 32 * 128, 2 * (2 * 8 * 16 * 64 + 2 * 8 * 32 * 64)),
        ("aten::copy_", "[[10], [10], []]", '["c10::BFloat16", "float", "Scalar"]', 0, 20 + 40),
        ("sgl_kernel::fused_add_rmsnorm", "[[4, 8], [4, 8], [8]]", BF, 0, 3 * 64),
    ],
)  # fmt: skip
def test_work_by_hand(op, dims, types, flops, moved):
    work = work_of(op, dims, types)
    assert (work.flops, work.bytes) == (flops, moved)


@pytest.mark.parametrize(
    ("op", "dims"),
    [("aten::mm", "[[2, 4], [5, 8]]"), ("aten::mm", ""), ("aten::mm", "[[2, 4]]"), ("aten::mm", "[[-1, 4], [4, 8]]"),
     ("sglang::fused_moe", "[[2, 4], [4, 8]]"), ("aten::linear", "[[], []]"), ("aten::mm", "[[1e9, 4], [4, 8]]")],
)  # fmt: skip
def test_what_shapes_do_not_tell_is_not_guessed(op, dims):
    assert work_of(op, dims, BF) is None


@given(st.sampled_from(["aten::mm", "aten::linear", "aten::addmm", "aten::copy_", "aten::bmm"]), st.text(max_size=30),
       st.text(max_size=30))  # fmt: skip
def test_no_text_for_shapes_breaks_it(op, dims, types):
    work_of(op, dims, types)
    work_of(op, json.dumps([dims, 3, [2**40, 2**40], [dims], None]), types)


@pytest.mark.parametrize(
    ("name", "known", "bf16", "tbs"),
    [
        ("NVIDIA H200", "H200 SXM", 989.5, 4.8),
        ("NVIDIA H100 80GB HBM3", "H100 SXM", 989.5, 3.35),
        ("NVIDIA H100 PCIe", "H100 PCIe", 756, 2.0),
        ("NVIDIA H100 NVL", "H100 NVL", 835.5, 3.9),
        ("NVIDIA H20", "H20", 148, 4.0),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB", 312, 2.039),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB", 312, 1.555),
        ("NVIDIA B200", "B200", 2250, 8.0),
        ("NVIDIA GB200", "GB200", 2500, 8.0),
        ("NVIDIA L40S", "L40S", 362, 0.864),
        ("AMD Instinct MI300X", "MI300X", 1307.4, 5.3),
    ],
)
def test_devices_by_the_names_that_profilers_write(name, known, bf16, tbs):
    gpu = find_gpu(name)
    assert (gpu.name, gpu.flops["bf16"] / 1e12, gpu.bandwidth / 1e12) == (known, bf16, tbs)


def test_devices_have_sources_and_types_fall_back_to_wider_ones():
    assert all(gpu.source for gpu in gpus())
    assert find_gpu("NVIDIA A100-SXM4-80GB").peak("fp8") == 312e12
    assert find_gpu("NVIDIA GeForce GTX 970") is None
    with pytest.raises(AnalysisError, match="there are"):
        need_gpu("abacus")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))

    def run(spec: Spec):
        path = tmp_path / "t.json"
        made = generate(spec)
        path.write_bytes(made.json())
        return made, stage(Trace.open(path))

    return run


def test_recorded_shapes_give_share_and_headroom(opened):
    made, staged = opened(Spec(passes=(Pass("prefill", 1, 1024), Pass("decode", 8)), layers=("dense",) * 3))
    roof = roofline_of(staged)
    assert roof.gpu.name == "H200 SXM"
    rows = {r.work.shape: r for r in roof.rows if r.family == "gemm"}
    gate = rows["[1024, 4096] x [4096, 32768]"]
    flops, moved = 2 * 1024 * 4096 * 32768, 2 * (1024 * 4096 + 4096 * 32768 + 1024 * 32768)
    time = sum(k.dur_ns for k in made.truth.kernels if k.role == "gate_up_gemm" and not k.graph)
    assert (gate.calls, gate.time_ns, gate.work.flops, gate.work.bytes) == (3, time, flops, moved)
    at_roof = 3 * max(flops / 989.5e12, moved / 4.8e12) * 1e9
    assert gate.share == pytest.approx(at_roof / time)
    assert gate.headroom_ns == pytest.approx(time - at_roof)
    assert gate.bound == "compute"
    assert gate.intensity == pytest.approx(flops / moved)
    # every kernel is either in a row or told as untold
    for s, total in roof.total_ns.items():
        assert sum(r.time_ns for r in roof.rows if r.stage is s) + roof.untold_ns.get(s, 0) == total
    assert roof.untold_ns[Stage.DECODE] == roof.total_ns[Stage.DECODE]  # replays have no shapes


def test_a_configuration_tells_the_shapes_of_replays(opened, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**QWEN3_8B, "num_hidden_layers": 3}))
    made, staged = opened(Spec(passes=(Pass("decode", 16),) * 2, layers=("dense",) * 3))
    roof = roofline_of(staged, None, derived_products(staged, config, None))
    rows = {r.op.split(" ")[0]: r for r in roof.rows}
    assert {name: (r.work.shape, r.calls) for name, r in rows.items()} == {
        "qkv": ("[16, 4096] x [4096, 6144]", 6), "o": ("[16, 4096] x [4096, 4096]", 6),
        "gate_up": ("[16, 4096] x [4096, 24576]", 6), "down": ("[16, 12288] x [12288, 4096]", 6),
    }  # fmt: skip
    for role, name in (
        ("qkv_gemm", "qkv"),
        ("o_gemm", "o"),
        ("gate_up_gemm", "gate_up"),
        ("down_gemm", "down"),
    ):
        assert rows[name].time_ns == sum(k.dur_ns for k in made.truth.kernels if k.role == role)
    # another kind of layer is left alone
    _, staged = opened(Spec(passes=(Pass("decode", 16),), layers=("moe",) * 3))
    assert not list(derived_products(staged, config, None))


def test_projections_are_split_over_ranks(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**QWEN3_8B, "quantization_config": {"quant_method": "fp8"}}))
    dense = read_dense(tmp_path, 2)
    assert dense.projections == {
        "qkv": (4096, 3072),
        "o": (2048, 4096),
        "gate_up": (4096, 12288),
        "down": (6144, 4096),
    }
    assert dense.dtype == "fp8"
    assert read_dense(tmp_path, 16).projections["qkv"] == (
        4096,
        256 + 256,
    )  # each rank keeps a key-value head
    for bad in ("{}", "[]", '{"hidden_size": 0, "num_attention_heads": 0, "intermediate_size": 1}', "x"):
        config.write_text(bad)
        with pytest.raises(AnalysisError, match=r"config\.json"):
            read_dense(config, 1)


def test_the_command(opened, tmp_path):
    opened(Spec())
    path = str(tmp_path / "t.json")

    def run(*args: str):
        return CliRunner().invoke(cli, ["roofline", path, *args])

    out = run()
    assert out.exit_code == 0, out.exception
    assert "H200 SXM, 4.8 TB/s" in out.output
    data = json.loads(run("--format", "json", "--gpu", "H100").output)
    assert data[0]["gpu"] == "H100 SXM"
    assert data[0]["rows"][0]["ref"] == f"{data[0]['ref']}/prefill/roofline/0"
    assert run("--format", "csv").output.startswith("stage,family,op,shape,dtype")
    assert "## t" in run("--format", "md", "--stage", "prefill").output
    assert isinstance(run("--gpu", "abacus").exception, AnalysisError)


@pytest.mark.real
@pytest.mark.skipif(not TRACES.is_dir(), reason="no traces beside the checkout")
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("h200/vllm-0.26-h200-qwen3-8b-decode16.trace.json.gz", 0.5, 0.9),
        ("h200/sglang-0.5.17-h200-qwen3-8b-extend.trace.json.gz", 0.6, 0.9),
        ("tracelens/sglang_prefilldecode/sglang_Qwen3-8B_prefilldecode.json.gz", 0.3, 1.0),
    ],
)
def test_real_projections_lie_below_the_roof(tmp_path, name, least, most):
    (tmp_path / "config.json").write_text(json.dumps(QWEN3_8B))
    staged = stage(Trace.open(TRACES / name, cache=tmp_path))
    # recorded where it is eager, derived where it is replayed: either way the model's four projections
    roof = roofline_of(staged, None, derived_products(staged, tmp_path, 1))
    rows = [r for r in roof.rows if r.stage is not Stage.UNKNOWN and r.work.flops > 1e8 and r.calls >= 36]
    widths = {tuple(json.loads(r.work.shape.partition(" x ")[2])) for r in rows}
    assert widths == {(4096, 6144), (4096, 4096), (4096, 24576), (12288, 4096)}
    for row in rows:
        assert least < row.share < most, row
