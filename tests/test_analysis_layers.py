"""Layers against traces of known truth: every pass, every layer, to the nanosecond."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from traces import vocabulary as v
from traces.generator import Made, Pass, Spec, generate
from traces.kineto import Layout
from traces.specs import specs

from analysis.errors import AnalysisError
from analysis.layers.find import Layered, find_layers
from analysis.layers.model import Model, read_model
from analysis.layers.segment import Kernel, find_passes
from analysis.layers.summary import hot_kernels, kinds_of, outliers_of, timeline_of
from analysis.layers.track import link, write_track
from analysis.steps import Stage, stage
from analysis.taxonomy import family
from analysis.trace import Trace
from loop.cli import cli

TRACES = Path(__file__).resolve().parent.parent.parent / "shared" / "traces"
DECODES = (Pass("decode", 8),) * 3


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Layers of generated traces, by way of their files."""
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))
    count = iter(range(1000))

    def run(
        made: Made, *, merged: bool = False, rank: int = 0, layout: Layout | None = None, **options: object
    ) -> Layered:
        path = tmp_path / f"t{next(count)}.json"
        path.write_bytes(made.merged(layout) if merged else made.json(rank, layout))
        return find_layers(stage(Trace.open(path)), **options)

    return run


def told(layered: Layered, device: int) -> list[list[tuple[int, int]]]:
    """(start, end) of each layer of each pass of a device."""
    return [[(la.start_ns, la.end_ns) for la in p.layers] for p in layered.passes if p.device == device]


def true(made: Made, rank: int) -> list[list[tuple[int, int]]]:
    steps = range(len(made.spec.passes))
    return [[(la.start_ns, la.end_ns) for la in made.truth.layers_of(step, rank)] for step in steps]


@settings(max_examples=60)
@given(specs())
def test_passes_and_layers_are_exact_with_steps_and_without(spec):
    made = generate(spec)
    for rank in range(spec.ranks):
        kernels = sorted((k for k in made.truth.kernels if k.rank == rank), key=lambda k: k.ts_ns)
        for parts in ([kernels], [[k for k in kernels if k.step == i] for i in range(len(spec.passes))]):
            found = [
                [
                    (min(k.ts_ns for k in own), max(k.end_ns for k in own))
                    for own in (part[s.first : s.last] for s in one)
                ]
                for part in parts
                for one in find_passes([Kernel(family(k.name), k.name) for k in part])
            ]
            assert found == true(made, rank)


@pytest.mark.parametrize("engine", [v.SGLANG, v.VLLM, v.TRTLLM])
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("annotate", [True, False])
def test_a_file_is_searched_like_its_kernels(search, engine, ranks, annotate):
    spec = Spec(
        engine, ("dense", "moe", "mla_moe"), (Pass("prefill", 2, 2048), Pass("mixed", 8, 512), *DECODES),
        ranks, overlap=0.5, jitter=0.03, annotate=annotate,
    )  # fmt: skip
    made = generate(spec)
    for rank in range(ranks):
        found = search(made, rank=rank, layout=Layout("torch", absolute=rank == 1, order="shuffled"))
        assert told(found, rank) == true(made, rank)
        stages = ["prefill", "mixed", *["decode"] * 3] if annotate else ["unknown"] * 5
        assert [str(p.stage) for p in found.passes] == stages
        assert all(p.whole for p in found.passes)
        if annotate:  # without steps, where head and embedding part is not told by the layers
            assert [(p.first_ns, p.last_ns) for p in found.passes] == [
                (p.first_ns, p.last_ns) for p in made.truth.passes if p.rank == rank
            ]


# --- the cases that public tools get wrong (three passes of four layers, 1.745 ms each) --------------------------

KNOWN = Spec(
    layers=("dense", "moe") * 2,
    passes=DECODES,
    layer_ns={"dense": 311_000, "moe": 560_000},
    idle_ns=1_000_000,
)


def test_three_passes_of_four_layers_take_1745_us_each(search):
    found = search(generate(KNOWN))
    assert [(len(p.layers), p.wall_ns, p.whole) for p in found.passes] == [(4, 1_745_000, True)] * 3
    for p in found.passes:
        assert [la.wall_ns for la in p.layers] == [311_000, 560_000, 311_000, 560_000]
        assert [la.kind for la in p.layers] == ["attention+dense", "attention+moe"] * 2
    kinds = {k.kind: k for k in kinds_of(found)}
    assert {k: (x.median_ns, x.per_pass) for k, x in kinds.items()} == {
        "attention+dense": (311_000, 2), "attention+moe": (560_000, 2)
    }  # fmt: skip
    assert sum(k.share for k in kinds.values()) == pytest.approx(1)


def test_a_single_pass_is_found_whole(search):
    found = search(generate(Spec(layers=KNOWN.layers, passes=DECODES[:1], layer_ns=KNOWN.layer_ns)))
    assert [(len(p.layers), p.wall_ns) for p in found.passes] == [(4, 1_745_000)]


@pytest.mark.parametrize("all_reduce", ["nccl", "custom", "fused"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_all_reduces_split_no_pass(search, ranks, all_reduce):
    made = generate(Spec(passes=DECODES, ranks=ranks, all_reduce=all_reduce))
    for rank in range(ranks):
        found = search(made, rank=rank)
        assert told(found, rank) == true(made, rank)
        per_layer = {
            sum(family(found.rows.text(r)) == "communication" for r in la.rows)
            for p in found.passes
            for la in p.layers
        }
        assert per_layer == {2 if ranks > 1 else 0}


@pytest.mark.parametrize("annotate", [True, False])
def test_ranks_merged_into_one_file_stay_apart(search, annotate):
    made = generate(Spec(passes=DECODES, ranks=2, annotate=annotate))
    found = search(made, merged=True)
    assert {p.device for p in found.passes} == {0, 1}
    for rank in (0, 1):
        assert told(found, rank) == true(made, rank)


@pytest.mark.parametrize("mla", [v.CUTLASS_MLA, v.FLASH_MLA])
def test_mla_of_cutlass_and_of_flashmla(search, mla):
    made = generate(Spec(layers=("mla_dense",) * 2 + ("mla_moe",) * 4, passes=DECODES, attention_mla=mla))
    found = search(made)
    assert told(found, 0) == true(made, 0)
    assert [la.kind for la in found.passes[0].layers] == ["mla+dense"] * 2 + ["mla+moe"] * 4


def test_a_hybrid_of_linear_and_full_attention(search):
    made = generate(Spec(layers=("linear_moe", "linear_moe", "linear_moe", "moe") * 2, passes=DECODES))
    found = search(made)
    assert told(found, 0) == true(made, 0)
    assert [la.kind for la in found.passes[1].layers] == (["linear+moe"] * 3 + ["attention+moe"]) * 2


def test_a_trace_that_starts_and_ends_in_the_middle_of_a_pass_says_so(search, tmp_path):
    made = generate(Spec(passes=DECODES, layers=("dense",) * 6, annotate=False))
    kept = [e for e in made.events[0] if e["cat"] != "kernel"]
    kernels = [e for e in made.events[0] if e["cat"] == "kernel"]
    cut = Made(made.spec, (tuple(kept + kernels[15:-20]),), made.truth)
    found = search(cut)
    assert [(len(p.layers), p.whole) for p in found.passes] == [(4, False), (6, True), (4, False)]


# --- a configuration ------------------------------------------------------------------------------------------------


def config(tmp_path: Path, **keys: object) -> Model:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(keys))
    return read_model(path)


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        ({"num_hidden_layers": 2}, ["attention+dense"] * 2),
        ({"text_config": {"num_hidden_layers": 2}}, ["attention+dense"] * 2),
        ({"num_hidden_layers": 3, "kv_lora_rank": 512, "n_routed_experts": 256, "first_k_dense_replace": 1, "moe_layer_freq": 1},
         ["mla+dense", "mla+moe", "mla+moe"]),
        ({"num_hidden_layers": 4, "num_experts": 8, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
         ["attention+dense", "attention+moe", "attention+dense", "attention+dense"]),
        ({"num_hidden_layers": 4, "full_attention_interval": 4, "num_experts": 8},
         ["linear+moe"] * 3 + ["attention+moe"]),
        ({"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"], "num_local_experts": 32},
         ["sliding+moe", "attention+moe"]),
        ({"num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 2, "num_experts": 4, "expert_layer_period": 2,
          "expert_layer_offset": 1}, ["linear+dense", "linear+moe", "attention+dense", "linear+moe"]),
        ({"num_hidden_layers": 3, "kv_lora_rank": 512, "linear_attn_config": {"full_attn_layers": [3]}},
         ["linear+dense", "linear+dense", "mla+dense"]),
        ({"num_hidden_layers": 5, "hybrid_override_pattern": "M-M*-"}, ["linear+dense", "linear", "attention+dense"]),
        ({"num_hidden_layers": 2, "moe_layer_freq": [0, 1], "n_routed_experts": 4}, ["attention+dense", "attention+moe"]),
    ],
)  # fmt: skip
def test_configurations(tmp_path, keys, kinds):
    assert list(config(tmp_path, **keys).kinds) == kinds


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"num_hidden_layers": "x"}', b'{"num_hidden_layers": 1e99}', b"\xff"]
)
def test_what_is_no_configuration_is_one_line(tmp_path, raw):
    (tmp_path / "config.json").write_bytes(raw)
    with pytest.raises(AnalysisError, match=r"config\.json"):
        read_model(tmp_path)


def test_a_configuration_names_types_and_finds_what_differs(search, tmp_path):
    made = generate(Spec(layers=("moe",) * 4, passes=DECODES))
    model = config(
        tmp_path, num_hidden_layers=4, num_experts=8, layer_types=["sliding_attention", "full_attention"] * 2
    )
    found = search(made, model=model)
    assert [la.kind for la in found.passes[0].layers] == ["sliding+moe", "attention+moe"] * 2
    assert not found.warnings
    found = search(made, model=config(tmp_path, num_hidden_layers=4))
    assert "the kernels of layers 0, 1, 2, 3 are not those of" in found.warnings[0]
    found = search(made, model=config(tmp_path, num_hidden_layers=5, num_experts=8))
    assert "pass 0 on device 0 has 4 layers, the configuration says 5" in found.warnings[0]
    assert not any(p.whole for p in found.passes)


# --- what stands out ---------------------------------------------------------------------------------------------


def test_a_slow_layer_is_an_outlier_with_its_reason(search):
    slow = {(i, 5): 2.0 for i in range(3)} | {(1, 2): 1.5}
    found = search(generate(Spec(layers=("dense",) * 8, passes=DECODES, slow=slow, jitter=0.01)))
    outliers = outliers_of(found)
    assert [(o.index, o.passes, o.of) for o in outliers] == [(5, 3, 3), (2, 1, 3)]
    assert outliers[0].factor == pytest.approx(1.9, abs=0.1)
    assert "nvjet_sm90_tst_192x16" in outliers[0].because  # the largest kernel grows most
    assert outliers[0].because_ns == pytest.approx(26_000, rel=0.05)


def test_layers_alike_have_no_outliers(search):
    assert not outliers_of(search(generate(Spec(layers=("dense",) * 8, passes=DECODES, jitter=0.05))))


def test_hot_kernels_and_a_timeline_add_up(search):
    found = search(generate(Spec(passes=DECODES, ranks=2, overlap=0.5)))
    hot = hot_kernels(found, top=1000)
    assert sum(h.share for h in hot) == pytest.approx(1)
    assert {h.half for h in hot if "cross" in h.name or "AllReduce" in h.name} == {"attention", "mlp"}
    layer = found.passes[1].layers[2]
    events = timeline_of(found, layer)
    assert sum(e.dur_ns for e in events) == layer.kernel_ns
    assert max(e.at_ns + e.dur_ns for e in events) == layer.wall_ns
    halves = [e.half for e in events]
    assert halves.index("mlp") == 7  # norm, qkv, rope, store, attention, o, all-reduce
    assert events[7].family == "norm"


def test_an_anchor_stands_in_for_names_that_nobody_knows(search):
    made = generate(Spec(passes=DECODES))
    secret = {k.name: f"kernel_{i}" for i, k in enumerate(made.truth.kernels)}
    events = tuple(
        {**e, "name": secret.get(e["name"], e["name"])} if e["cat"] == "kernel" else e for e in made.events[0]
    )
    hidden = Made(made.spec, (events,), made.truth)
    # by period alone the layers are counted, though not where they start; the first differs by its norm
    found = search(hidden)
    assert {len(p.layers) for p in found.passes} <= {3, 4}
    assert {la.kind for p in found.passes for la in p.layers} == {"repeated"}
    attention = next(k.name for k in made.truth.kernels if k.role == "attention")
    with pytest.raises(AnalysisError, match="matches no kernel"):
        search(made, anchor="no_such_kernel")
    with pytest.raises(AnalysisError, match="regular expression"):
        search(made, anchor="(")
    assert told(search(made, anchor=attention[5:60].split("<")[0]), 0) == true(made, 0)


# --- Perfetto --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [Layout("compact"), Layout("torch"), Layout("spaced", absolute=True)])
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_track_keeps_every_original_byte(search, tmp_path, layout, suffix):
    made = generate(Spec(passes=DECODES, ranks=2, overlap=0.9))
    found = search(made, layout=layout)
    copy = tmp_path / f"copy{suffix}"
    added = write_track(found, copy)
    raw = copy.read_bytes()
    raw = gzip.decompress(raw) if suffix.endswith(".gz") else raw
    original = made.json(0, layout)
    events = json.loads(raw, parse_float=Decimal)["traceEvents"]
    assert len(events) == len(json.loads(original)["traceEvents"]) + added
    at = original.index(b'"traceEvents"')
    assert raw.startswith(original[:at])
    assert raw.endswith(original[original.index(b"{", at) :])
    layers = [e for e in events if e.get("cat") == "prlore_layer" and e["tid"] == 1]
    assert [e["args"]["layer"] for e in layers] == [0, 1, 2, 3] * 3
    for a, b in pairwise(layers):  # neighbours on a track don't overlap
        assert a["ts"] + a["dur"] <= b["ts"]
    first = found.passes[0].layers[0]
    assert f'"ts":{(found.trace.origin_ns + first.start_ns) // 1000}.' in raw.decode()
    with pytest.raises(AnalysisError, match="exists"):
        write_track(found, copy)


def test_a_copy_is_itself_a_trace_with_the_same_layers(search, tmp_path):
    made = generate(Spec(passes=DECODES))
    found = search(made)
    write_track(found, tmp_path / "copy.json")
    again = find_layers(stage(Trace.open(tmp_path / "copy.json")))
    assert told(again, 0) == true(made, 0)


def test_a_link_opens_at_the_range(search):
    found = search(generate(Spec()))
    made = link(found, 10, 20, "http://localhost:9001/a b.json")
    start = found.trace.origin_ns + 10
    assert made == (
        f"https://ui.perfetto.dev/#!/?url=http%3A%2F%2Flocalhost%3A9001%2Fa%20b.json&visStart={start}&visEnd={start + 10}"
    )


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))
    made = generate(Spec(passes=(Pass("prefill", 1, 1024), *DECODES), layers=("dense",) * 5, ranks=2))
    for rank in range(2):
        (tmp_path / f"r{rank}.json").write_bytes(made.json(rank))
    files = [str(tmp_path / f"r{rank}.json") for rank in range(2)]

    def run(*args: str):
        return CliRunner().invoke(cli, ["layers", *args])

    out = run(*files)
    assert out.exit_code == 0, out.exception
    assert out.output.count("4 passes of 5 layers") == 2
    assert "rank 1" in out.output
    data = json.loads(run(files[0], "--format", "json", "--stage", "decode").output)
    assert len(data[0]["passes"]) == 3
    assert len(data[0]["layers"]) == 15
    assert data[0]["layers"][0]["ref"].startswith(f"{data[0]['ref']}/decode/GPU0/pass/1/0")
    assert run(*files, "--format", "csv").output.count("\n") == 1 + 2 * 4 * 5
    assert "## r0" in run(*files, "--format", "md", "--timeline").output
    assert "== timeline" in run(files[0], "--layer", "1.4").output
    track = tmp_path / "track.json.gz"
    assert "events added" in run(files[0], "--track", str(track)).output
    assert track.exists()
    for bad in (["--layer", "9.9"], ["--layer", "x"], ["--config", str(tmp_path)]):
        assert isinstance(run(files[0], *bad).exception, AnalysisError), bad
    assert isinstance(run(*files, "--track", "x").exception, AnalysisError)


def test_a_trace_without_layers_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))
    made = generate(Spec(passes=DECODES[:1], layers=("dense",)))
    kernels = [e for e in made.events[0] if e["cat"] == "kernel"][:2]
    path = tmp_path / "t.json"
    path.write_bytes(Made(made.spec, (tuple(kernels),), made.truth).json())
    out = CliRunner().invoke(cli, ["layers", str(path)])
    assert out.exit_code in (0, 1)
    assert "no layers found" in out.output


# --- real traces ----------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not TRACES.is_dir(), reason="no traces beside the checkout")
@pytest.mark.parametrize(
    ("name", "passes", "layers"),
    [
        ("h200/sglang-0.5.17-h200-qwen3-8b-decode.trace.json.gz", 5, 36),
        ("h200/sglang-0.5.17-h200-qwen3-8b-extend.trace.json.gz", 3, 36),
        ("h200/vllm-0.26-h200-qwen3-8b-decode16.trace.json.gz", 6, 36),
        ("h200/vllm-0.26-h200-qwen3-8b-prefill2000.trace.json.gz", 5, 36),
        ("tracelens/sglang_decode/sglang_Qwen3-8B_decode.json.gz", 1, 36),
        ("tracelens/sglang_prefilldecode/sglang_Qwen3-8B_prefilldecode.json.gz", 1, 36),
        ("tracelens/vllm_prefilldecode_piecewise/graph_execution.json.gz", 1, 24),
        ("cpu/vllm-cpu-qwen3-small-prefill-512-1.trace.json.gz", 3, 8),
        ("cpu/sglang-cpu-qwen3-small-decode.trace.json.gz", 4, 8),
    ],
)
def test_layers_of_real_traces(tmp_path, name, passes, layers):
    found = find_layers(stage(Trace.open(TRACES / name, cache=tmp_path)))
    assert [len(p.layers) for p in found.passes] == [layers] * passes
    assert Stage.UNKNOWN not in {p.stage for p in found.passes}
    for p in found.passes:
        for a, b in pairwise(p.layers):  # kernels of one stream may overlap a little: dependent launches
            assert a.start_ns < b.start_ns
            assert a.end_ns <= b.start_ns + 2_000
