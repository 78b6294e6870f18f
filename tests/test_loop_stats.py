"""Decisions from pairs: no false gain however often one looks, gains found, noise refused, invalid blocks by rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from loop.records import ArmMetrics, ArmRun, BenchBlock, HostState, Policy, RequestRow, Sla
from loop.stats.compare import (
    Noise,
    Question,
    compare,
    detectable,
    noise_refusal,
    sla_breach,
    threshold_of,
)
from loop.stats.decide import Pair, Rule, look
from loop.stats.eprocess import e_value, largest_e_value, log_e_value
from loop.stats.intervals import bca
from loop.stats.metrics import arm_metrics, decode_rows, encode_rows, quantile
from loop.stats.stored import RULES, Series
from loop.stats.validity import invalid_reason

QUIET = HostState(load=0.1)


def metrics(throughput, ttft=10.0, cpu=None):
    return ArmMetrics(throughput, throughput / 64, 1.0, ttft, ttft, 1.0, 1.0, 64, 1.0, cpu)


def block(index, a, b, *, restart=None, valid=True, ttft=(10.0, 10.0), cpu=(None, None)):
    runs = tuple(
        ArmRun(arm, "chat", arm, f"{index}", "", metrics(value, t, c), QUIET, QUIET)
        for arm, value, t, c in zip("AB", (a, b), ttft, cpu, strict=True)
    )
    start = index // 2 if restart is None else restart
    return BenchBlock("c", "k", index, "AB", start, runs, valid, "" if valid else "LOAD")


def blocks_of(ratios, **options):
    return [block(i, 100.0, 100.0 * math.exp(r), **options) for i, r in enumerate(ratios)]


def simulated(rng, gain, pairs=40, sd=0.014, start=0.004, per=2):
    lucks = np.repeat(rng.normal(0, start, pairs // per), per)
    return [Pair(float(v), i // per) for i, v in enumerate(gain + rng.normal(0, sd, pairs) + lucks)]


def play(pairs, rule):
    for n in range(1, len(pairs) + 1):
        seen = look(pairs[:n], rule)
        if seen.word is not None:
            return seen
    raise AssertionError("it never ended")


# ------------------------------------------------------------------------------------------------- e-process


def test_looking_as_often_as_one_likes_seldom_finds_what_is_not_there():
    rng = np.random.default_rng(5)
    crossed = 0
    for _ in range(600):
        values = list(rng.normal(0.0, 1.0, 40))
        crossed += any(e_value(values[:n]) >= 20 for n in range(2, 41))
    assert crossed / 600 <= 0.05


def test_its_mean_is_one_where_there_is_no_gain():
    rng = np.random.default_rng(6)
    values = [e_value(list(rng.normal(0.0, 3.0, 4)), c2=2.0) for _ in range(5000)]
    assert np.mean(values) == pytest.approx(1.0, abs=0.08)


@given(
    st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=12),
    st.floats(0.001, 0.5),
    st.floats(0.1, 10),
)
@settings(max_examples=150, deadline=None)
def test_it_grows_with_every_shift_and_knows_no_unit(values, shift, unit):
    if len(set(values)) < 2:
        return
    base = log_e_value(values)
    assert log_e_value([v + shift for v in values]) >= base - 1e-9
    assert log_e_value([v * unit for v in values]) == pytest.approx(base, abs=1e-6)


def test_nothing_measured_is_no_evidence():
    assert e_value([]) == e_value([0.5]) == e_value([0.0, 0.0]) == 1.0
    assert 1e50 < e_value([1.0] * 60) < e_value([1.0] * 2000) <= 1e300


# -------------------------------------------------------------------------------------------------- deciding

RULE = Rule(level=0.0025, threshold=0.01, max_pairs=40)


def test_three_percent_is_found_two_nearly_always_and_nothing_is_not():
    rng = np.random.default_rng(7)
    shares = {
        gain: np.mean([play(simulated(rng, gain), RULE).word == "FASTER" for _ in range(150)])
        for gain in (0.0, 0.02, 0.03)
    }
    assert shares[0.0] <= 0.01
    assert shares[0.02] >= 0.85
    assert shares[0.03] >= 0.97


def test_nothing_is_given_up_soon_and_a_loss_is_named():
    rng = np.random.default_rng(8)
    looks = [play(simulated(rng, 0.0), RULE) for _ in range(100)]
    assert np.mean([seen.n for seen in looks]) < 9
    assert {seen.word for seen in looks} <= {"TIED", "UNDECIDED"}
    strict = Rule(level=0.05, threshold=0.01, max_pairs=12, fixed=True)
    assert play([Pair(-0.05 + 0.001 * (i % 3), i) for i in range(12)], strict).word == "SLOWER"


def test_an_equal_candidate_measured_long_enough_is_tied():
    rule = Rule(level=0.05, threshold=0.01, max_pairs=12, fixed=True, per_restart=1)
    seen = play([Pair(0.001 * (-1) ** i, i) for i in range(12)], rule)
    assert (seen.word, seen.reason) == ("TIED", "FUTILE")


def test_a_gain_is_accepted_on_whole_restarts_only():
    rule = Rule(level=0.05, threshold=0.01, max_pairs=40, per_restart=4)
    pairs = [Pair(0.05 + 0.0001 * (i % 7), i // 4) for i in range(40)]
    ends = [n for n in range(1, 41) if look(pairs[:n], rule).word == "FASTER"]
    assert ends
    assert all(n % 4 == 0 for n in ends)


def test_one_lucky_restart_is_no_gain():
    """Twenty pairs of one start agree to the digit; they are one piece of luck."""
    rule = Rule(level=0.05, threshold=0.01, max_pairs=40, per_restart=20)
    assert look([Pair(0.05, 0)] * 20, rule).word is None


def test_a_gap_is_told_by_pairs_since_it_accepts_nothing():
    series = blocks_of([0.3 + 0.01 * (i % 3) for i in range(8)], restart=0)
    policy = Policy(pairs_per_restart=8)
    assert compare(Question("gap", "k", "a", "b", 0.05, 8), policy, None, series).verdict == "FASTER"
    assert compare(Question("measure", "k", "a", "b", 0.05, 8), policy, None, series).verdict == "UNDECIDED"


def test_no_values_give_more_evidence_than_equal_ones():
    rng = np.random.default_rng(15)
    for n in (2, 4, 7):
        assert largest_e_value(n) >= max(e_value(list(1 + rng.normal(0, 0.1, n))) for _ in range(20))


def test_too_many_invalid_blocks_end_it_undecided():
    pairs = [Pair(0.0, i // 2, valid=i % 2 == 0) for i in range(20)]
    seen = look(pairs, Rule(level=0.05, threshold=0.01, max_pairs=40))
    assert (seen.word, seen.reason) == ("UNDECIDED", "TOO_MANY_INVALID")


def test_the_value_of_an_invalid_pair_is_never_looked_at():
    rng = np.random.default_rng(9)
    pairs = simulated(rng, 0.0, 8)
    wild = [*pairs[:2], Pair(9.9, 0, valid=False), *pairs[2:]]
    calm = [*pairs[:2], Pair(-9.9, 0, valid=False), *pairs[2:]]
    assert look(wild, RULE) == look(calm, RULE)


# ----------------------------------------------------------------------------------------------- comparisons


def test_a_comparison_says_all_that_it_was_decided_on():
    rng = np.random.default_rng(10)
    policy = Policy(aa_pairs=8)
    series = blocks_of(0.03 + rng.normal(0, 0.004, 16))
    question = Question("measure", "k", "a", "b", 0.05, 16)
    noise = Noise(0.01, {"p99_ttft_ms@chat": 0.02})
    found = compare(question, policy, noise, series)
    assert found.verdict == "FASTER"
    assert found.low < found.mean < found.high
    assert found.policy == policy.id
    assert found.blocks == tuple(b.id for b in series)
    assert compare(question, policy, noise, series) == found
    assert {side.name for side in found.side} == {
        f"{name}@chat" for name in ("p50_ttft_ms", "p99_ttft_ms", "p50_tpot_ms", "p99_tpot_ms")
    }


def test_the_threshold_is_what_the_noise_lets_be_seen():
    policy = Policy(max_pairs=40)
    assert threshold_of(policy, Noise(0.005, {})) == 0.01
    assert threshold_of(policy, Noise(0.05, {})) == pytest.approx(detectable(0.05, 40))
    assert detectable(0.05, 40) == pytest.approx(2.8 * 0.05 / math.sqrt(40))


def test_a_noisy_machine_is_refused_and_a_lopsided_harness_too():
    policy = Policy()
    question = Question("aa", "k", "a", "a", 0.05, 8, fixed=True, threshold=0.01)
    rng = np.random.default_rng(11)
    noisy = compare(question, policy, None, blocks_of(rng.normal(0, 0.18, 8)))
    assert "would take" in noise_refusal(noisy, policy)
    lopsided = compare(question, policy, None, blocks_of(0.05 + rng.normal(0, 0.002, 8)))
    assert "not alike" in noise_refusal(lopsided, policy)
    good = compare(question, policy, None, blocks_of(rng.normal(0, 0.01, 8)))
    assert noise_refusal(good, policy) == ""


def test_a_worse_latency_does_not_hold_and_an_equal_one_does():
    rng = np.random.default_rng(12)
    noise = Noise(0.005, {"p50_ttft_ms@chat": 0.01, "p99_ttft_ms@chat": 0.01})
    jitter = [1 + float(x) for x in rng.normal(0, 0.005, 12)]
    worse = [block(i, 100.0, 104.0 + 0.1 * (i % 3), ttft=(10.0, 12.0 * j)) for i, j in enumerate(jitter)]
    same = [block(i, 100.0, 104.0 + 0.1 * (i % 3), ttft=(10.0, 10.0 * j)) for i, j in enumerate(jitter)]
    question = Question("measure", "k", "a", "b", 0.05, 12)
    held = {side.name: side.holds for side in compare(question, Policy(), noise, worse).side}
    assert not held["p50_ttft_ms@chat"]
    assert all(side.holds for side in compare(question, Policy(), noise, same).side)


def test_cpu_seconds_decide_where_the_policy_says_so_and_wall_time_is_held():
    policy = Policy(metric="cpu_seconds_per_token")
    series = [block(i, 100.0, 99.9, cpu=(0.010, 0.0095 + 0.00001 * (i % 3))) for i in range(12)]
    found = compare(Question("measure", "k", "a", "b", 0.05, 12), policy, None, series)
    assert found.verdict == "FASTER"
    assert found.mean == pytest.approx(math.log(0.010 / 0.00951), rel=0.01)
    assert "output_throughput@chat" in {side.name for side in found.side}


def test_an_arm_that_produced_nothing_has_lost():
    found = compare(
        Question("measure", "k", "a", "b", 0.05, 4), Policy(), None, [block(i, 100.0, 0.0) for i in range(4)]
    )
    assert found.mean == -5.0


def test_limits_are_judged_from_the_numbers():
    series = [block(i, 100.0, 100.0, ttft=(10.0, 30.0)) for i in range(4)]
    assert sla_breach(series, Sla(p50_ttft_ms=20.0)) == "p50_ttft_ms@chat 30.0 over 20"
    assert sla_breach(series, Sla(p50_ttft_ms=20.0), "A") == ""
    lost = [
        replace(
            series[0],
            runs=tuple(replace(r, metrics=replace(r.metrics, success_rate=0.5)) for r in series[0].runs),
        )
    ]
    assert sla_breach(lost, Sla()).startswith("success_rate")


def test_the_interval_describes_restarts():
    rng = np.random.default_rng(13)
    groups = [list(0.02 + rng.normal(0, 0.01) + rng.normal(0, 0.001, 4)) for _ in range(10)]
    low, high = bca(groups)
    means = [sum(g) / 4 for g in groups]
    assert low < sum(means) / 10 < high
    assert high - low > 2 * np.std(means) / math.sqrt(10)
    assert bca(groups) == (low, high)
    assert bca([]) == (0.0, 0.0)
    assert bca([[0.5]]) == (0.5, 0.5)


# ------------------------------------------------------------------------------------------- rows and validity


def test_figures_come_from_raw_rows():
    ms = 1_000_000
    rows = (
        RequestRow(0, 0, 100 * ms, 1100 * ms, 8, 11, True),
        RequestRow(1, 50 * ms, 250 * ms, 1250 * ms, 8, 11, True),
        RequestRow(2, 60 * ms, 0, 61 * ms, 8, 0, False, error="refused"),
    )
    found = arm_metrics(rows, 0.5)
    assert found.output_throughput == pytest.approx(22 / 1.25)
    assert found.success_rate == pytest.approx(2 / 3)
    assert found.p50_ttft_ms == pytest.approx(150)
    assert found.p50_tpot_ms == pytest.approx(100)
    assert found.cpu_seconds_per_token == pytest.approx(0.5 / 22)
    assert decode_rows(encode_rows(rows)) == rows
    assert arm_metrics(()).output_throughput == 0.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0, 1))
@settings(deadline=None)
def test_quantiles_are_those_of_numpy(values, q):
    assert quantile(sorted(values), q) == pytest.approx(float(np.quantile(values, q)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("after", "word"),
    [
        (HostState(), ""),
        (HostState(wall_ns=10**10, mono_ns=10**10), ""),
        (HostState(wall_ns=-(10**10), mono_ns=10**9), "CLOCK"),
        (HostState(foreign_gpu=1), "GPU"),
        (HostState(foreign_cpu=0.9), "CPU"),
        (HostState(throttled=True), "THROTTLED"),
    ],
)
def test_a_block_is_invalid_by_the_machine_alone(after, word):
    assert invalid_reason([(HostState(), after)], Policy()).partition(" ")[0] == word
    assert invalid_reason([(HostState(load=9.0), HostState())], Policy()).startswith("LOAD")


def test_stored_numbers_fool_the_rules_that_trust_them():
    rng = np.random.default_rng(14)
    drift = np.cumsum(rng.normal(0, 0.004, 20 * 8)).reshape(20, 8)
    series = [
        Series(list(100 * np.exp(d + rng.normal(0, 0.01, 8))), list(100 * np.exp(d + rng.normal(0, 0.01, 8))))
        for d in drift
    ]
    claims = {name: rule(series, 100.0) for name, rule in RULES.items()}
    assert sum(bool(claim.accepted) for claim in claims.values()) >= 4
    assert all(claim.gain >= 0 for claim in claims.values())
