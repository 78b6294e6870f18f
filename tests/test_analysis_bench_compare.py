"""Comparisons say what the numbers carry: every way known to crown the wrong candidate is a case here."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.bench.compare import Settings, compare
from analysis.bench.intervals import bootstrap, difference, estimate, pooled_cv
from analysis.bench.read import read_files
from analysis.bench.sla import parse_limit
from analysis.errors import AnalysisError


def row(name: str, requests: float | None = 10.0, **changes: object) -> dict:
    """A candidates.jsonl row; `ttft=…`, `gpus=…` and so on change what they say, other words a field of the row."""
    metrics = {
        "request_throughput": requests,
        "output_token_throughput": None if requests is None else requests * 128,
        "p50_ttft_ms": changes.pop("ttft", 200.0),
        "p50_tpot_ms": changes.pop("tpot", 8.0),
        "success_rate": changes.pop("success", 1.0),
        **changes.pop("metrics", {}),
    }
    workload = {
        "scenario": "chat",
        "input_len": 1000,
        "output_len": 128,
        "num_prompts": 80,
        "max_concurrency": 16,
    }
    made = {
        "framework": "sglang",
        "candidate_id": name,
        "model": "Qwen/Qwen3-8B",
        "tokenizer": "Qwen/Qwen3-8B",
        "status": "ok",
        "hardware": {"gpu_model": "H200", "gpu_count": changes.pop("gpus", 1)},
        "workload": {**workload, **changes.pop("workload", {})},
        "sla": {"max_p50_ttft_ms": 2000, "max_p50_tpot_ms": 80, "min_success_rate": 0.99, "passed": True},
        "metrics": metrics,
    }
    return {**made, **changes}


@pytest.fixture
def judge(tmp_path):
    """Compares rows by way of a file, as a user does."""

    def run(*rows: dict, **settings: object):
        path = tmp_path / "candidates.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        found = read_files([str(path)])
        return compare(found.runs, Settings(**settings), found.warnings)

    return run


def only(comparison):
    assert len(comparison.tables) == 1, [t.label for t in comparison.tables]
    return comparison.tables[0]


def against(table, name: str) -> str:
    return "; ".join(next(r for r in table.rows if r.candidate.name == name).against)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row("bad", 99.0, ttft=9000.0), "p50_ttft_ms 9000 against p50_ttft_ms<=2000"),
        (row("bad", 99.0, tpot=81.0), "p50_tpot_ms 81 against"),
        (row("bad", 99.0, success=0.10), "success_rate 0.1 against"),
        (row("bad", float("nan")), "no valid request_throughput"),
        (row("bad", None), "no valid request_throughput"),
        (row("bad", 0.0), "no valid request_throughput"),
        (row("bad", -5.0), "no valid request_throughput"),
        (row("bad", float("inf")), "no valid request_throughput"),
        (row("bad", 99.0, ttft=0), "p50_ttft_ms is not recorded"),
        (row("bad", 99.0, ttft=None, metrics={"mean_ttft_ms": 5.0}), "p50_ttft_ms is not recorded"),
        (
            row("bad", 99.0, status="oom", failure_reason="CUDA out of memory at 0.92"),
            "oom: CUDA out of memory at 0.92",
        ),
        (row("bad", 99.0, status="timeout"), "timeout"),
        (row("bad", 99.0, status="fine"), "unknown status 'fine'"),
        (row("bad", 99.0, status=None), "the row has no status"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_was_not_measured_or_breaks_a_limit_never_wins(judge, bad, why, first):
    rows = [bad, row("good")] if first else [row("good"), bad]
    table = only(judge(*rows))
    assert table.outcome.names == ("good",)
    assert table.outcome.kind == "only"
    assert why in against(table, "bad")
    assert [r.rank for r in table.rows] == [1, None]


def test_a_claim_to_have_passed_that_the_numbers_deny_is_reported(judge):
    table = only(judge(row("liar", 99.0, ttft=9000.0), row("good")))
    liar = next(r for r in table.rows if r.candidate.name == "liar")
    assert "its row claims to meet its limits; its numbers don't" in liar.notes


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (row("b", 20.1, gpus=8), "GPU count 1 against 8"),
        (row("b", 20.1, model="Qwen/Qwen3-4B"), "model Qwen/Qwen3-8B against Qwen/Qwen3-4B"),
        (row("b", 20.1, tokenizer="gpt2"), "tokenizer Qwen/Qwen3-8B against gpt2"),
        (row("b", 20.1, workload={"output_len": 1000}), "output length 128 against 1000"),
        (row("b", 20.1, workload={"input_len": 900}), "input length 1000 against 900"),
        (row("b", 20.1, workload={"num_prompts": 20}), "number of prompts 80 against 20"),
        (row("b", 20.1, workload={"max_concurrency": 64}), "concurrency 16 against 64"),
        (row("b", 20.1, workload={"scenario": "summarization"}), "scenario chat against summarization"),
        (row("b", 20.1, hardware={"gpu_model": "H100", "gpu_count": 1}), "GPU H200 against H100"),
        (
            row("b", 20.1, normalization={"same_model_weights": False, "notes": "fp8"}),
            "b: its own row says that the model weights is not the same (fp8)",
        ),
    ],
)
def test_what_is_not_comparable_is_refused_with_the_reason(judge, other, why):
    comparison = judge(row("a", 20.0), other)
    assert len(comparison.tables) == 2
    assert why in comparison.refusals[0].reasons
    assert not comparison.compared


def test_what_is_not_recorded_is_taken_for_equal_and_said(judge):
    table = only(judge(row("a"), row("b", hardware={})))
    assert "GPU count is not recorded for b: taken as equal" in table.caveats
    assert any("written" in c for c in only(judge(row("a"), row("b", model="models/qwen3-8b"))).caveats)


def test_a_silent_row_does_not_bring_together_what_differs(judge):
    comparison = judge(row("silent", hardware={}), row("one", gpus=1), row("eight", gpus=8))
    assert sorted(len(t.rows) for t in comparison.tables) == [1, 2]


def test_the_best_of_several_repeats_is_not_the_result(judge):
    lucky = [row("lucky", v) for v in (12.0, 9.5, 9.4)]
    steady = [row("steady", v) for v in (11.2, 11.3, 11.1)]
    table = only(judge(*lucky, *steady))
    made = {r.candidate.name: r.estimates["request_throughput"] for r in table.rows}
    assert made["lucky"].value == pytest.approx(10.3)
    assert made["lucky"].runs == 3
    assert table.outcome.names[0] == "steady"
    assert table.outcome.kind == "tie"  # 12, 9.5, 9.4 says little


def test_one_lucky_run_against_three_is_not_confirmed(judge):
    table = only(judge(row("once", 12.0), *[row("thrice", v) for v in (10.2, 10.4, 10.3)]))
    assert table.outcome.kind == "ahead"
    assert "not confirmed" in table.outcome.text


def test_a_difference_inside_the_noise_is_a_tie(judge):
    assert only(judge(row("a", 10.001), row("b", 10.0))).outcome.kind == "tie"
    table = only(
        judge(*[row("a", v) for v in (10.1, 9.9, 10.0)], *[row("b", v) for v in (10.05, 9.95, 10.1)])
    )
    assert table.outcome.kind == "tie"
    assert [r.rank for r in table.rows] == [1, 1]
    # repeats that agree to the digit don't make a hair's breadth a win
    assert only(judge(*[row("a", 10.001)] * 1, *[row("b", 10.0)] * 1)).outcome.kind == "tie"


def test_repeats_that_are_apart_have_a_winner(judge):
    table = only(judge(*[row("a", v) for v in (12.0, 12.1, 11.9)], *[row("b", v) for v in (10.0, 10.1, 9.9)]))
    assert table.outcome.kind == "winner"
    assert table.outcome.names == ("a",)
    assert table.outcome.metric == "request_throughput"
    assert table.rows[1].to_best.value == pytest.approx(-1 / 6)


def test_equal_throughput_is_decided_by_latency(judge):
    slow = [row("slow", 10.0 + d, ttft=400.0 + d) for d in (0.01, 0.02, 0.03)]
    fast = [row("fast", 10.0 + d, ttft=200.0 + d) for d in (0.02, 0.01, 0.04)]
    table = only(judge(*slow, *fast))
    assert table.outcome.names == ("fast",)
    assert table.outcome.metric == "p50_ttft_ms"


def test_a_median_is_not_compared_with_a_mean(judge):
    rows = [row("a", 10.0), row("b", 10.0, ttft=None, metrics={"mean_ttft_ms": 1.0}, sla={})]
    rows[0]["sla"] = {}
    table = only(judge(*rows))
    assert table.outcome.metric not in ("p50_ttft_ms", "mean_ttft_ms")


def test_a_candidate_with_a_failed_repeat_may_not_win(judge):
    rows = [row("a", 20.0), row("a", 20.1), row("a", None, status="failed", failure_reason="server died")]
    table = only(judge(*rows, row("b", 10.0)))
    assert table.outcome.names == ("b",)
    assert against(table, "a") == "1 of 3 runs failed: failed: server died"


def test_limits_of_the_command_line_override_those_of_the_rows(judge):
    table = only(judge(row("a", ttft=2500.0), row("b", 5.0), limits=(parse_limit("p50_ttft_ms<=3000"),)))
    assert not against(table, "a")
    table = only(judge(row("a", ttft=2500.0), row("b", 5.0), limits=(parse_limit("p99_e2e_ms<=1"),)))
    assert "p99_e2e_ms is not recorded" in against(table, "b")


@pytest.mark.parametrize("text", ["", "ttft<=1", "p50_ttft_ms=1", "p50_ttft_ms<=1e", "p50_ttft_ms<=<=3"])
def test_a_limit_that_is_none_is_said(text):
    with pytest.raises(AnalysisError):
        parse_limit(text)


def test_each_load_has_a_table_of_its_own_and_each_engine_its_best(judge):
    rows = [row(f"{e}{i}", 10.0 + 3 * i, framework=e) for e in ("sglang", "vllm") for i in range(2)]
    table = only(judge(*rows))
    assert {e: o.names for e, o in table.by_framework.items()} == {"sglang": ("sglang1",), "vllm": ("vllm1",)}


# --- statistics -------------------------------------------------------------------------------------------------


def test_intervals_agree_with_the_tables_of_students_t():
    made = estimate([10.0, 12.0, 11.0])
    assert made.value == 11
    assert made.high - made.value == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert estimate([3.0]).low is None
    # Welch's own figures: means 10 and 12, sd 1 each, n 3: t(4) = 2.776445
    d = difference([11.0, 12.0, 13.0], [9.0, 10.0, 11.0])
    assert d.high - d.value == pytest.approx(2.776445 * (2 / 3) ** 0.5 / 10, rel=1e-6)


positive = st.floats(1e-3, 1e6, allow_nan=False)


@given(
    st.lists(positive, min_size=1, max_size=6),
    st.lists(positive, min_size=1, max_size=6),
    st.floats(0.5, 100),
)
def test_a_difference_is_antisymmetric_in_sign_and_free_of_units(a, b, unit):
    borrowed = pooled_cv([a, b])
    one, other = difference(a, b, borrowed=borrowed), difference(b, a, borrowed=borrowed)
    if abs(one.value) > 1e-9:
        assert (one.value > 0) == (other.value < 0)
    assert one.low <= one.value <= one.high
    scaled = difference([x * unit for x in a], [x * unit for x in b], borrowed=borrowed)
    assert scaled.value == pytest.approx(one.value, rel=1e-6, abs=1e-9)


@given(st.lists(positive, min_size=1, max_size=5))
def test_nothing_differs_from_itself(values):
    assert not difference(values, values, borrowed=pooled_cv([values])).real


def test_a_bootstrap_is_repeatable_and_covers_its_statistic():
    import numpy as np

    samples = np.random.default_rng(1).gamma(2.0, 50.0, 400)
    low, high = bootstrap(samples, "p50")
    assert (low, high) == bootstrap(samples, "p50")
    assert low < np.median(samples) < high


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), positive), min_size=1, max_size=9), st.randoms())
def test_the_order_of_rows_changes_nothing(rows, shuffler):
    def outcome(order):
        from analysis.bench.clients.rows import read
        from analysis.bench.result import Run

        runs = [
            Run(read(row(n, v), None)[0].result, "candidates", "c.jsonl", i, str(i))
            for i, (n, v) in enumerate(order)
        ]
        table = compare(runs).tables[0]
        return table.outcome.kind, sorted(table.outcome.names)

    mixed = list(rows)
    shuffler.shuffle(mixed)
    assert outcome(rows) == outcome(mixed)
