"""The fake engine through the same interface as the real ones: a real server, real load, real traces."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest

from loop.engines import digest as digests
from loop.engines.errors import EngineFailed
from loop.engines.fake import shipped_tree, write_model
from loop.engines.planted import CHEATS, REGRESSION, gain, step_us
from loop.engines.registry import ENGINES, engine_named
from loop.engines.sources_hash import tree_hash
from loop.load.generator import HttpBencher, generate
from loop.records import Launch, Workload

CHAT = Workload("chat", input_len=24, output_len=24, num_prompts=6, concurrency=6)


class Blobs(dict):
    def put(self, raw):
        digest = hashlib.sha256(raw).hexdigest()
        self[digest] = raw
        return digest

    def get(self, digest):
        return self[digest]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    target = tmp_path_factory.mktemp("source") / "tree"
    shutil.copytree(shipped_tree(), target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def launch(model, tree=None, *flags):
    return Launch(
        "fake", str(model), str(tree) if tree else None, tree_hash(tree) if tree else "", flags=flags
    )


@pytest.fixture(scope="module")
def server(model, tree, tmp_path_factory):
    made = engine_named("fake").start(
        launch(model, tree, "--attention-backend", "fused", "--no-such-option", "1"),
        tmp_path_factory.mktemp("run"),
    )
    yield made
    made.stop()


def test_a_build_says_what_the_live_server_runs(server, tree):
    build = server.build()
    assert build.identity.version == "1.0.0"
    assert build.identity.tree == tree_hash(tree) == build.launch.tree
    assert Path(build.identity.source) == (tree / "tinyserve").resolve()
    assert build.rejected_flags == ("--no-such-option 1: fake has no such option",)
    assert build.argv[-2:] == ("--attention-backend", "fused")
    assert "PORT" in build.argv
    assert len(build.help) == 64


def test_rows_are_counted_by_the_generator(server, model):
    rows = HttpBencher(model).run(server.url, str(model), CHAT, 1)
    assert [row.index for row in rows] == list(range(6))
    assert all(row.ok and row.finish == "length" for row in rows)
    assert {(row.input_tokens, row.output_tokens, len(row.chunk_ns)) for row in rows} == {(24, 24, 24)}
    assert all(row.sent_ns < row.first_ns <= row.chunk_ns[-1] == row.done_ns for row in rows)
    assert all(list(row.chunk_ns) == sorted(row.chunk_ns) for row in rows)


def test_the_same_seed_gives_the_same_prompts_and_another_others(server, model):
    bencher = HttpBencher(model)
    texts = []
    for seed in (1, 1, 2):
        bencher.run(server.url, str(model), CHAT, seed)
        texts.append([reply.prompt for reply in bencher.runs[-1].replies])
    assert texts[0] == texts[1]
    assert not set(texts[0]) & set(texts[2])


@pytest.mark.parametrize("stage", ["prefill", "decode"])
def test_a_profile_has_rows_with_places_in_the_tree(server, model, tree, stage, tmp_path):
    traces = server.profile(stage, tmp_path, CHAT, 3)
    blobs = Blobs()
    digest = engine_named("fake").digest(traces, launch(model, tree), stage, blobs)
    assert digest.tree == tree_hash(tree)
    assert digest.clock == "cpu"
    assert abs(sum(row.share for row in digest.rows) - 1) < 0.01
    attention = next(row for row in digest.rows if row.family == "attention")
    path, line = attention.sources[0].split(":")
    assert "flash_attention_fwd" in (tree / path).read_text().splitlines()[int(line) - 1]
    assert attention.symbols[0] == "attention"
    gate, down = (next(r for r in digest.rows if n in r.name) for n in ("gate_up", "down_linear"))
    assert gate.family_share == pytest.approx(gate.share, abs=0.01) or gate.family_share > gate.share
    assert down.share > 0.05
    layers = msgspec.json.decode(blobs[digest.layers])
    assert {row["stage"] for row in layers[0]["layers"]} == {stage}
    assert max(row["layer"] for row in layers[0]["layers"]) == 7


def test_options_that_cannot_stand_together_end_the_server_with_a_reason(model, tmp_path):
    with pytest.raises(EngineFailed, match="supports pages of at most 32 tokens"):
        engine_named("fake").start(
            launch(model, None, "--attention-backend", "fused", "--page-size", "64"), tmp_path
        )


def test_a_source_without_the_package_is_said_to_lack_it(model, tmp_path):
    assert "holds no" in engine_named("fake").missing(
        launch(model, tmp_path)
    ) or "not installed" in engine_named("fake").missing(launch(model, tmp_path))


def test_an_absent_engine_is_missing_and_nothing_stands_in_for_it(model, tmp_path):
    for name in ("trtllm", "vllm", "sglang"):
        engine = engine_named(name)
        cuda = Launch(name, str(model), device="cuda")
        reason = engine.missing(cuda)
        if reason is None:
            continue  # it is installed here
        assert name in reason
        with pytest.raises(EngineFailed):
            engine.start(cuda, tmp_path)
    assert "NVIDIA" in engine_named("trtllm").missing(Launch("trtllm", str(model)))
    other = Launch("trtllm", str(model), device="cuda", flags=("--backend", "tensorrt"))
    assert "pytorch only" in engine_named("trtllm").missing(other)
    with pytest.raises(EngineFailed, match="there are sglang, vllm, trtllm, fake"):
        engine_named("llamacpp")
    assert set(ENGINES) == {"sglang", "vllm", "trtllm", "fake"}


def answers(model, tree, tmp_path, prompts=("w1 w2 w3 w4", "w5 w6 w7"), tokens=16):
    """Greedy answers of a tree, one request at a time."""
    server = engine_named("fake").start(launch(model, tree), tmp_path)
    try:
        spec = msgspec.structs.replace(
            HttpBencher(model).spec(server.url, str(model), CHAT, 1),
            prompts=prompts,
            output_len=tokens,
            concurrency=1,
        )
        return generate(spec)
    finally:
        server.stop()


def patched(tree, planted, tmp_path):
    copy = tmp_path / "patched"
    shutil.copytree(tree, copy)
    planted.apply(copy)
    return copy


@pytest.fixture(scope="module")
def honest(model, tree, tmp_path_factory):
    return answers(model, tree, tmp_path_factory.mktemp("honest"))


def test_an_honest_tree_serves_in_full(honest):
    assert all(row.ok for row in honest.rows)


@pytest.mark.parametrize("cheat", CHEATS, ids=[cheat.name for cheat in CHEATS])
def test_every_cheat_applies_and_is_seen_where_it_says(cheat, model, tree, honest, tmp_path):
    copy = patched(tree, cheat, tmp_path)
    if cheat.caught_by not in ("length", "answers"):
        return  # seeds, clocks and pauses are the campaign's to try; that the patch applies is what is held here
    cheated = answers(model, copy, tmp_path / "run")
    if cheat.caught_by == "length":
        assert not any(row.ok for row in cheated.rows)
        if "false count" in cheat.name:
            assert all(reply.claimed_tokens >= 16 for reply in cheated.replies)
    else:
        assert [r.text for r in honest.rows] != [r.text for r in cheated.rows]


def test_a_regression_and_a_gain_leave_the_answers_alone(model, tree, honest, tmp_path):
    copy = patched(tree, REGRESSION, tmp_path)
    gain(3).apply(copy)
    after = answers(model, copy, tmp_path / "run")
    assert [r.text for r in after.rows] == [r.text for r in honest.rows]


def test_a_gain_is_worth_what_it_says(tree, tmp_path):
    copy = patched(tree, gain(3), tmp_path)
    line = next(x for x in (copy / "tinyserve/tuning.py").read_text().splitlines() if '"mlp"' in x)
    saved = 16 * (30.0 - float(line.split(":")[1].strip(" ,")))
    assert step_us() / (step_us() - saved) == pytest.approx(1.03)


def test_a_change_for_another_tree_is_refused(tmp_path):
    (tmp_path / "tinyserve").mkdir()
    with pytest.raises(EngineFailed, match="does not apply"):
        REGRESSION.apply(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "engine", "folder", "stage", "kernel", "place"),
    [
        ("sglang-cpu-qwen3-small-decode", "sglang", "python", "decode", "aten::mm", "python/sglang/srt/layers/logits_processor.py"),
        ("sglang-cpu-qwen3-small-extend", "sglang", "python", "prefill", "aten::_scaled_dot_product_flash_attention_for_cpu",
         "python/sglang/srt/layers/attention/torch_native_backend.py"),
        ("vllm-cpu-qwen3-small-decode-stack", "vllm", "", "decode", "_C::onednn_mm", "vllm/model_executor/layers/utils.py"),
    ],
)  # fmt: skip
def test_real_traces_give_rows_with_places_in_the_repository(name, engine, folder, stage, kernel, place):
    trace = Path(__file__).resolve().parents[2] / "shared" / "traces" / "cpu" / f"{name}.trace.json.gz"
    if not trace.is_file():
        pytest.skip("no such trace beside the checkout")
    blobs = Blobs()
    digest = digests.digest(engine, folder, [trace], Launch(engine, "m"), stage, blobs)
    row = next(row for row in digest.rows if row.name == kernel)
    assert any(source.startswith(place + ":") for source in row.sources)
    assert row.share == max(r.share for r in digest.rows if r.family == row.family)
    assert {layer["stage"] for layer in msgspec.json.decode(blobs[digest.layers])[0]["layers"]} == {stage}
