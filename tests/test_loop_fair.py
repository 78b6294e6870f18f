"""The flag search and the terms of a comparison, on real servers of the fake engine."""

from __future__ import annotations

import hashlib
import itertools

import msgspec
import pytest

from loop.engines.fake import write_model
from loop.engines.registry import engine_named
from loop.engines.space import Constraint, Parameter, Space, space_of
from loop.fair.equality import fair_record
from loop.fair.gap import gap_rows
from loop.fair.search import Terms, broken_limits, score_of, search_flags
from loop.fair.trials import FlagSearch, Trial
from loop.load.generator import HttpBencher
from loop.records import ArmMetrics, EngineBuild, Launch, RequestRow, RuntimeIdentity, Sla, Workload
from loop.stats.metrics import decode_rows

CHAT = Workload("chat", input_len=16, output_len=12, num_prompts=4, concurrency=4)
METRICS = ArmMetrics(100.0, 1.0, 1.0, 10.0, 20.0, 1.0, 2.0, 48, 1.0, 0.001)


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


def terms(trials, **sla):
    return Terms((CHAT,), Sla(**sla), "output_throughput", trials, 7)


def small_space():
    return Space(
        "fake",
        (
            Parameter("--attention-backend", "choice", ("plain", "fused")),
            Parameter("--page-size", "int", ("16", "64")),
        ),
    )


def test_a_search_tries_the_defaults_first_and_keeps_failures_with_their_reasons(model, tmp_path):
    blobs = Blobs()
    launch = Launch("fake", str(model))
    found = search_flags(
        engine_named("fake"), launch, small_space(), terms(9), HttpBencher(model), blobs, tmp_path, "1.0.0"
    )
    assert len(found.trials) == 4, "every assignment once, then the space is exhausted"
    assert found.trials[0].flags == ("--attention-backend", "plain", "--page-size", "16")
    ended = {trial.flags: trial for trial in found.trials}
    failed = ended["--attention-backend", "fused", "--page-size", "64"]
    assert failed.ended == "failed"
    assert "supports pages of at most 32 tokens" in failed.reason
    assert b"at most 32 tokens" in blobs[failed.log]
    good = [t for t in found.trials if t.ended == "ok"]
    assert len(good) == 3
    assert found.winner is not None
    assert found.winner.score == max(t.score for t in good)
    rows = decode_rows(blobs[dict(found.winner.rows)["chat"]])
    assert len(rows) == 4
    assert dict(found.winner.metrics)["chat"].cpu_seconds_per_token > 0


def test_a_killed_search_goes_on_behind_its_last_trial(model, tmp_path):
    class Counting(HttpBencher):
        loads = 0

        def run(self, url, name, workload, seed):
            Counting.loads += 1
            return super().run(url, name, workload, seed)

    space = Space("fake", (Parameter("--prefill-batch", "int", ("2", "1", "4")),))
    launch, blobs = Launch("fake", str(model)), Blobs()
    first = search_flags(engine_named("fake"), launch, space, terms(1), Counting(model), blobs, tmp_path)
    second = search_flags(engine_named("fake"), launch, space, terms(2), Counting(model), blobs, tmp_path)
    assert second.trials[0] == first.trials[0]
    assert len(second.trials) == 2
    assert Counting.loads == 2


def test_impossible_assignments_cost_no_server(tmp_path, model):
    class Refusing:
        name = "fake"

        def missing(self, launch):
            return None

        def start(self, launch, directory):
            raise AssertionError("started")

    space = Space(
        "fake",
        (Parameter("--a", "choice", ("1",)),),
        (Constraint((("--a", "1"),), "1 is no good"),),
    )
    found = search_flags(
        Refusing(), Launch("fake", str(model)), space, terms(3), HttpBencher(model), Blobs(), tmp_path
    )
    assert [(t.ended, t.reason) for t in found.trials] == [("infeasible", "1 is no good")]
    assert found.best is None


def test_a_missing_engine_is_recorded_as_missing(tmp_path, model):
    launch = Launch("trtllm", str(model))
    found = search_flags(
        engine_named("trtllm"),
        launch,
        space_of("trtllm", "cpu", {}),
        terms(3),
        HttpBencher(model),
        Blobs(),
        tmp_path,
    )
    assert "NVIDIA" in found.missing
    assert (found.trials, found.best) == ((), None)


def test_limits_are_judged_by_numbers():
    sla = Sla(p50_ttft_ms=9.0, p99_tpot_ms=2.0, success_rate=1.0)
    assert broken_limits(METRICS, sla) == ["p50_ttft_ms 10 above 9"]
    lost = msgspec.structs.replace(METRICS, success_rate=0.75)
    assert broken_limits(lost, Sla()) == ["success rate 0.750 below 1"]


def test_a_score_is_larger_for_the_better_and_none_without_figures():
    faster = msgspec.structs.replace(METRICS, output_throughput=110.0, cpu_seconds_per_token=0.002)
    for metric, better in (("output_throughput", True), ("cpu_seconds_per_token", False)):
        assert (score_of([faster], metric) > score_of([METRICS], metric)) is better
    assert (
        score_of([METRICS, msgspec.structs.replace(METRICS, output_throughput=0.0)], "output_throughput")
        is None
    )
    assert score_of([], "output_throughput") is None


def search(engine, metrics, budget=2):
    trial = Trial(0, (), (), "ok", metrics=(("chat", metrics),), score=1.0)
    return FlagSearch(engine, "1", budget, "output_throughput", Sla(), (trial,) * budget, 0)


def test_gap_rows_name_the_stage_and_lead_with_the_widest():
    rival = msgspec.structs.replace(METRICS, output_throughput=150.0, p50_ttft_ms=5.0, p50_tpot_ms=1.0)
    rows = gap_rows(search("sglang", METRICS), {"vllm": search("vllm", rival)})
    assert [(r.figure, r.stage, round(r.gap, 3)) for r in rows[:2]] == [
        ("p50_ttft_ms", "prefill", 1.0),
        ("output_throughput", "all", 0.5),
    ]
    assert all(r.engine == "vllm" for r in rows)
    assert gap_rows(msgspec.structs.replace(search("sglang", METRICS), best=None), {}) == ()


def build(engine, model, *flags):
    launch = Launch(engine, str(model), flags=flags)
    return EngineBuild(engine, launch, ("serve", "--model", str(model), *flags), RuntimeIdentity("1", "", ""))


def rows(count=4, output=12):
    return tuple(RequestRow(i, 0, 1, 2, 16, output, True) for i in range(count))


def test_equal_terms_are_read_and_what_differs_is_named(model, tmp_path):
    other = write_model(tmp_path / "other", layers=9)
    searches = [search("a", METRICS), search("b", METRICS)]
    same = fair_record(searches, {"a": build("a", model), "b": build("b", model)}, {"a": rows(), "b": rows()})
    assert same.unequal == ()
    assert ("servers in the search", "2") in same.equal
    for builds, loads, what in (
        ({"a": build("a", model), "b": build("b", other)}, {}, "weights and configuration"),
        ({"a": build("a", model), "b": build("b", model, "--tp-size", "2")}, {}, "GPUs"),
        ({}, {"a": rows(), "b": rows(3)}, "requests"),
    ):
        assert any(line.startswith(what) for line in fair_record(searches, builds, loads).unequal)
    budgets = fair_record([search("a", METRICS), search("b", METRICS, 3)], {}, {})
    assert budgets.unequal == ("servers in the search: a 2, b 3",)


def test_every_assignment_of_a_space_is_words_of_its_own():
    space = small_space()
    every = [
        dict(zip(("--attention-backend", "--page-size"), v, strict=True))
        for v in itertools.product(*(p.choices for p in space.parameters))
    ]
    assert len({space.flags(chosen) for chosen in every}) == space.size == 4
