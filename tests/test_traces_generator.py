"""The generator of traces is held to its own account before anything is judged by it."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traces.generator import Pass, Spec, generate
from traces.kineto import Layout
from traces.specs import specs
from traces.truth import overlap_of


def events(raw: bytes) -> list[dict]:
    return json.loads(raw, parse_float=Decimal)["traceEvents"]


def in_ns(raw: bytes, cat: str) -> list[tuple[int, int, str]]:
    """(start, duration, name) in ns from the first event."""
    rows = events(raw)
    first = min(e["ts"] for e in rows)
    return [(int((e["ts"] - first) * 1000), int(e["dur"] * 1000), e["name"]) for e in rows if e["cat"] == cat]


@given(
    specs(),
    st.sampled_from(["torch", "compact", "spaced"]),
    st.booleans(),
    st.sampled_from(["file", "shuffled"]),
)
def test_the_file_holds_what_the_truth_says(spec, style, absolute, order):
    made = generate(spec)
    for rank in range(spec.ranks):
        raw = made.json(rank, Layout(style, absolute, order))
        told = sorted((k.ts_ns, k.dur_ns, k.name) for k in made.truth.kernels if k.rank == rank)
        assert sorted(in_ns(raw, "kernel")) == told


@settings(max_examples=30)
@given(specs())
def test_kernels_of_a_stream_follow_each_other_and_stay_in_their_layer(spec):
    truth = generate(spec).truth
    ends: dict[tuple[int, int], int] = defaultdict(int)
    for k in truth.kernels:
        assert k.ts_ns >= ends[k.rank, k.stream]
        ends[k.rank, k.stream] = k.end_ns
    spans = {(x.rank, x.step, x.index): x for x in truth.layers}
    for k in truth.kernels:
        if k.layer is not None:
            layer = spans[k.rank, k.step, k.layer]
            assert layer.start_ns <= k.ts_ns
            assert k.end_ns <= layer.end_ns
    assert len(truth.layers) == spec.ranks * len(spec.passes) * len(spec.layers)


@settings(max_examples=30)
@given(specs())
def test_overlap_adds_up(spec):
    truth = generate(spec).truth
    for rank in range(spec.ranks):
        mine = [k for k in truth.kernels if k.rank == rank]
        overlap = overlap_of(mine)
        # streams run one kernel at a time: what both streams are busy with counts twice in the sum of durations
        both = sum(k.dur_ns for k in mine) - overlap.busy
        assert both >= 0
        assert (both > 0) == bool(overlap.hidden)
        assert overlap.hidden.get("communication", 0) + overlap.exposed_communication == sum(
            k.dur_ns for k in mine if k.family == "communication"
        )


def test_three_passes_of_four_layers_take_what_was_asked():
    spec = Spec(
        layers=("dense", "moe") * 2,
        passes=(Pass("decode", 8),) * 3,
        layer_ns={"dense": 311_000, "moe": 560_000},
        idle_ns=1_000_000,
    )
    truth = generate(spec).truth
    assert [p.wall_ns for p in truth.passes] == [1_745_000] * 3  # four layers and three gaps of 1 us
    assert [layer.wall_ns for layer in truth.layers_of(2)] == [311_000, 560_000] * 2


@pytest.mark.parametrize("all_reduce", ["nccl", "custom", "fused"])
def test_two_ranks_reduce_twice_a_layer(all_reduce):
    truth = generate(Spec(ranks=2, all_reduce=all_reduce)).truth
    reduces = [k for k in truth.kernels if k.family == "communication" and k.rank == 1]
    assert len(reduces) == 2 * 4 * 3
    assert any(p.what == "fused_allreduce" and not p.found for p in truth.planted) == (all_reduce == "fused")
    assert any(p.what == "allreduce+norm" and p.found for p in truth.planted) == (all_reduce != "fused")


def test_what_lies_far_apart_is_a_decoy():
    planted = generate(Spec(far_apart=True)).truth.planted
    assert {(p.what, p.found, p.times) for p in planted} == {("far_apart", False, 1), ("far_apart", False, 2)}


def test_the_cpu_is_ahead_of_the_gpu():
    spec = Spec(passes=(Pass("decode", 8),) * 4, lead_ns=2_000_000)
    made = generate(spec)
    windows = in_ns(made.json(), "user_annotation")
    inside = [
        k
        for k in made.truth.kernels
        if any(s <= k.ts_ns < s + d for i, (s, d, _) in enumerate(windows) if i != k.step)
    ]
    outside = [k for k in made.truth.kernels if not any(s <= k.ts_ns < s + d for s, d, _ in windows)]
    assert inside or outside  # a window in time does not tell whose a kernel is
