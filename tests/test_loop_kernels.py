"""Kernel work of a round: what is eligible, shapes of the campaign, a harness that can be run, one next edit."""

from __future__ import annotations

import ast
import json

import msgspec
import pytest

from loop.gates.evidence import ceiling_of
from loop.kernels.eligibility import Eligible, NotEligible, eligible
from loop.kernels.harness import harness_for, launcher_of, ncu_command
from loop.kernels.next_edit import next_edit
from loop.kernels.shapes import NoShapes, shapes_of
from loop.records import EvidenceBundle, Policy, ProfileDigest, ProfileRow, Workload

PATH = "python/sglang/srt/layers/norm.py"
TRITON = b"""import triton


@triton.jit
def _rms_norm_kernel(x, w, y, n, eps):
    pass


def rms_norm(x, weight, eps=1e-6):
    _rms_norm_kernel[(x.shape[0],)](x, weight, x, x.shape[1], eps)
"""
CUDA = b"template <int N>\n__global__ void __launch_bounds__(256) fused_norm_kernel(float* x) {}\n"


def case(name="_rms_norm_kernel", share=0.2, clock="gpu", path=PATH):
    profile = ProfileDigest(
        "t",
        "sglang",
        "decode",
        "",
        (ProfileRow("decode/kernel/1", name, "norm", share, 9, (), ("rms_norm",)),),
        clock,
    )
    bundle = EvidenceBundle(
        "",
        "",
        0.0,
        "decode",
        profile.id,
        "decode/kernel/1",
        share,
        f"{path}:5",
        "t",
        (),
        "",
        ceiling_of(share),
    )
    return bundle, profile


def test_a_triton_and_a_cuda_kernel_are_eligible():
    found = eligible(*case(), TRITON, Policy())
    assert found == Eligible("_rms_norm_kernel", PATH, "triton", ceiling_of(0.2))
    found = eligible(
        *case("void fused_norm_kernel<256>(float*)", path="sgl-kernel/csrc/norm.cu"), CUDA, Policy()
    )
    assert (found.function, found.kind) == ("fused_norm_kernel", "cuda")


@pytest.mark.parametrize(
    ("changes", "source", "reason"),
    [
        ({"name": "nvjet_tst_128x64"}, TRITON, "LIBRARY"),
        ({"name": "ncclDevKernel_AllReduce"}, TRITON, "LIBRARY"),
        ({"share": 0.005}, TRITON, "CANNOT_PAY"),
        ({"clock": "cpu"}, TRITON, "NOT_ON_DEVICE"),
        ({}, None, "NO_SOURCE"),
        ({}, b"def f():\n    pass\n", "NO_KERNEL"),
        ({"name": "other_kernel"}, TRITON.replace(b"def rms_norm(", b"def norm("), "OTHER_KERNEL"),
    ],
)
def test_what_is_not_kernel_work_says_why(changes, source, reason):
    found = eligible(*case(**changes), source, Policy())
    assert isinstance(found, NotEligible)
    assert found.reason == reason


def test_a_row_of_another_profile_is_none():
    bundle, profile = case()
    assert eligible(bundle, msgspec.structs.replace(profile, tree="u"), TRITON, Policy()).reason == "NO_ROW"


@pytest.fixture
def model(tmp_path):
    config = {
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


CHAT = Workload("chat", input_len=1000, output_len=1000, num_prompts=80, concurrency=16)


def test_shapes_are_those_of_the_campaign(model):
    (decode,) = shapes_of(model, (CHAT,), "decode", "bfloat16", ranks=2)
    assert (decode.tokens, decode.context, decode.hidden, decode.heads, decode.kv_heads, decode.head_dim) == (
        16,
        1500,
        4096,
        16,
        4,
        128,
    )
    both = shapes_of(model, (CHAT, msgspec.structs.replace(CHAT, name="again")), "all", "bfloat16")
    assert [s.tokens for s in both] == [16, 1000]
    (model / "config.json").write_text("{}")
    with pytest.raises(NoShapes):
        shapes_of(model, (CHAT,), "decode", "bfloat16")


def test_the_harness_calls_the_launcher_at_those_shapes(model):
    kernel = eligible(*case(), TRITON, Policy())
    shapes = shapes_of(model, (CHAT,), "decode", "bfloat16")
    harness = harness_for(kernel, TRITON, shapes)
    tree = ast.parse(harness.text)
    assert harness.launcher == "rms_norm"
    (listed,) = [n for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "SHAPES"]
    assert json.loads(listed.value.args[0].value)[0]["hidden"] == 4096
    assert '"sglang.srt.layers.norm"' in harness.text or "'sglang.srt.layers.norm'" in harness.text
    assert harness.command[0] == "ncu"
    assert launcher_of("absent", TRITON.decode()) is None
    assert harness_for(renewed(kernel, kind="cuda"), CUDA, shapes) is None


def renewed(value, **fields):
    import dataclasses

    return dataclasses.replace(value, **fields)


def test_a_name_can_not_become_an_expression():
    assert ncu_command("a.*b", "x.csv")[7] == r"regex:a\.\*b"


def test_counters_end_in_exactly_one_edit(tmp_path):
    """As `ncu --csv --page raw` writes it: names, units, one launch."""
    rows = [
        '"ID","Kernel Name","Grid Size","Block Size","gpu__time_duration.sum","sm__throughput.avg.pct_of_peak_sustained_elapsed",'
        '"gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed","dram__throughput.avg.pct_of_peak_sustained_elapsed"',
        '"","","","","nsecond","%","%","%"',
        '"0","_rms_norm_kernel","(16, 1, 1)","(128, 1, 1)","{}","12.0","{}","{}"',
    ]
    before, after = tmp_path / "before.csv", tmp_path / "after.csv"
    before.write_text("\n".join([*rows[:2], rows[2].format("9000", "88.0", "88.0")]) + "\n")
    after.write_text("\n".join([*rows[:2], rows[2].format("6000", "91.0", "91.0")]) + "\n")
    edit = next_edit([after], [before], "_rms_norm_kernel")
    assert edit.kernel == "_rms_norm_kernel"
    assert edit.faster == pytest.approx(33.3, abs=0.1)
    assert edit.edit
    assert edit.source
    assert "\n" not in edit.edit


def test_a_hint_holds_one_edit_where_there_are_counters(repo, tmp_path, model):
    from redteam.stage import Stage

    from loop.kernels.hint import KernelHints
    from loop.records import Launch, canonical

    stage = Stage(repo, tmp_path / "stage", {PATH: TRITON})
    bundle, profile = case()
    assert stage.blobs.put(canonical(profile)) == profile.id
    spec = msgspec.structs.replace(stage.spec, workloads=(CHAT,))
    launch = Launch("sglang", str(model), device="cuda")
    without = KernelHints(spec, stage.trees, stage.blobs, launch, tmp_path).hint(bundle, stage.base)
    assert without.kernel.function == "_rms_norm_kernel"
    assert without.edit is None
    assert "no counters" in without.without
    assert "the one next edit" not in without.facts()
    table = tmp_path / "counters.csv"
    table.write_text(
        '"ID","Kernel Name","Grid Size","Block Size","gpu__time_duration.sum","dram__throughput.avg.pct_of_peak_sustained_elapsed"\n'
        '"","","","","nsecond","%"\n"0","_rms_norm_kernel","(16, 1, 1)","(128, 1, 1)","6000","91.0"\n'
    )
    hint = KernelHints(spec, stage.trees, stage.blobs, launch, tmp_path, [table]).hint(bundle, stage.base)
    assert hint.facts()["the one next edit"] == hint.edit.edit
    assert hint.facts()["shapes"][0]["tokens"] == 16
    other = KernelHints(spec, stage.trees, stage.blobs, launch, tmp_path, [tmp_path / "none.csv"]).hint(
        bundle, stage.base
    )
    assert other.edit is None
    cpu = msgspec.structs.replace(profile, clock="cpu")
    stage.blobs.put(canonical(cpu))
    on_cpu = msgspec.structs.replace(bundle, profile=cpu.id)
    assert (
        KernelHints(spec, stage.trees, stage.blobs, launch, tmp_path).hint(on_cpu, stage.base).facts() == {}
    )
