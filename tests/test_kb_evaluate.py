"""Scores of retrieval against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.bootstrap import METRICS, ComparisonError, Difference, Interval, compare, intervals
from kb.evaluate import (
    ClassScore,
    Evaluation,
    JudgedQuery,
    Outcome,
    QueryFileError,
    auroc,
    evaluate,
    false_answers,
    full_id,
    ndcg,
    read_queries,
    recall,
    score,
)
from kb.families import load_families
from kb.rankings import Listing
from kb.reports.evaluation import Against, evaluation_json, evaluation_text, share, signed

FAMILIES = load_families()
IDS = [f"a/b#{i}" for i in range(30)]
confidences = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def outcome(ranking: list[str], relevant: dict[str, int]) -> Outcome:
    return Outcome(JudgedQuery("q", "text", "known", relevant=relevant), tuple(ranking), 0.5, 1.0)


@pytest.mark.parametrize(
    ("found", "relevant", "k", "value"),
    [
        ([1, 2, 3], [1], 5, 1.0),
        ([1, 2, 3], [9], 5, 0.0),
        ([1, 2, 3, 4, 5, 6], [1, 6], 5, 0.5),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7, 8], 5, 1.0),  # capped: five places can hold no more
        ([1, 9, 2, 9, 9], [1, 2, 3, 4, 5, 6, 7, 8], 5, 0.4),
        ([], [1], 5, 0.0),
        ([1], [], 5, 0.0),
    ],
)
def test_recall_is_capped(found, relevant, k, value):
    assert recall([f"a#{i}" for i in found], {f"a#{i}": 1 for i in relevant}, k) == value


@pytest.mark.parametrize(
    ("found", "relevant", "value"),
    [
        ("a", {"a": 1}, 1.0),
        ("xa", {"a": 1}, 1 / math.log2(3)),
        ("ab", {"a": 3, "b": 1}, 1.0),
        ("ba", {"a": 3, "b": 1}, (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))),
        ("xxb", {"a": 2, "b": 1}, (1 / 2) / (3 + 1 / math.log2(3))),
        ("x", {"a": 1}, 0.0),
        ("", {"a": 1}, 0.0),
        ("a", {}, 0.0),
        ("xxxxxxxxxxa", {"a": 1}, 0.0),
    ],
)
def test_ndcg_has_exponential_gain(found, relevant, value):
    assert ndcg(list(found), relevant, 10) == pytest.approx(value)


@pytest.mark.parametrize(
    ("positive", "negative", "value"),
    [
        ([0.9, 0.8], [0.1], 1.0),
        ([0.1], [0.9, 0.8], 0.0),
        ([0.5], [0.5], 0.5),
        ([0.9, 0.3], [0.5, 0.3], 0.625),
        ([1, 0], [0.5], 0.5),
    ],
)
def test_auroc_counts_ties_half(positive, negative, value):
    assert auroc(positive, negative) == value


@pytest.mark.parametrize(
    ("positive", "negative", "value"),
    [
        (
            [i / 20 for i in range(1, 21)],
            [0.05, 0.10, 0.5],
            2 / 3,
        ),  # 19 of 20 are kept: the threshold is 0.10
        ([i / 20 for i in range(1, 20)], [0.05, 0.04], 0.5),  # 95% of 19 are all 19
        ([0.9], [0.9, 0.8], 0.5),
        ([0.9, 0.9], [0.1], 0.0),
    ],
)
def test_false_answers_are_counted_where_95_percent_are_kept(positive, negative, value):
    assert false_answers(positive, negative) == pytest.approx(value)


def test_a_question_is_scored_by_all_rules_with_short_and_full_ids():
    ranking = ["a/b#0", "sgl-project/sglang#5", *IDS[1:9], "vllm-project/vllm#7"]
    assert score(outcome(ranking, {"sglang#5": 2, "vllm#7": 1})) == ClassScore(
        n=1,
        recall5=0.5,
        recall10=0.5,
        mrr10=0.5,
        ndcg10=pytest.approx((3 / math.log2(3)) / (3 + 1 / math.log2(3))),
    )


@pytest.mark.parametrize(("rank", "mrr"), [(1, 1.0), (4, 0.25), (10, 0.1), (11, 0.0)])
def test_the_reciprocal_rank_ends_at_ten(rank, mrr):
    assert score(outcome(IDS, {f"a/b#{rank - 1}": 1})).mrr10 == mrr


@given(
    st.permutations(IDS[:12]),
    st.dictionaries(st.sampled_from(IDS), st.integers(1, 3), min_size=1, max_size=12),
)
def test_scores_are_shares_and_the_best_order_has_all(ranking, relevant):
    found = score(outcome(ranking, relevant))
    assert all(0 <= v <= 1 + 1e-9 for v in (found.recall5, found.recall10, found.mrr10, found.ndcg10))
    best = sorted(relevant, key=lambda i: -relevant[i])
    assert score(outcome(best, relevant)) == ClassScore(1, 1.0, 1.0, 1.0, pytest.approx(1.0))


@given(confidences, confidences)
def test_the_other_way_round_the_chance_is_what_is_left(positive, negative):
    assert auroc(positive, negative) + auroc(negative, positive) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("sglang#5", "sgl-project/sglang#5"),
        ("vllm#5", "vllm-project/vllm#5"),
        ("trtllm#5", "NVIDIA/TensorRT-LLM#5"),
        ("a/b#5", "a/b#5"),
    ],
)
def test_short_names_stand_for_whole_ones(name, whole):
    assert full_id(name) == whole


# files --------------------------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes):
        path = tmp_path / "q.jsonl"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_queries(path)

    return read


def test_questions_are_read_with_more_keys_than_are_used(read):
    text = '{"id":"1","class":"known","query":"x","relevant":{"sglang#1":2},"note":"n"}\n\n{"id":"2","class":"none","query":"y"}\n'
    assert read(text) == [
        JudgedQuery("1", "x", "known", {}, {"sglang#1": 2}, []),
        JudgedQuery("2", "y", "none"),
    ]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085", "\x1c", "\u000b"])
def test_only_a_newline_ends_a_line(read, sign):
    # json.dumps(…, ensure_ascii=False) leaves the first three as they are
    sign = sign if sign > "\x1f" else f"\\u{ord(sign):04x}"
    assert len(read(f'{{"id":"1","class":"known","query":"a{sign}b"}}\n')) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no questions"),
        ("\n \n", "holds no questions"),
        ("nonsense", ":1 is no judged question"),
        ('{"id":"1","class":"known","query":"x"}\n{"id":"2"}', ":2 is no judged question"),
        ('{"id":"1","class":"known","query":"x","relevant":["sglang#1"]}', ":1 is no judged question"),
        ('{"id":"1","class":"known","query":"x","relevant":{"sglang#1":"high"}}', ":1 is no judged question"),
        ('{"id":1,"class":"known","query":"x"}', ":1 is no judged question"),
        ("[]", ":1 is no judged question"),
        (b"\xff\xfe", "can't read"),
    ],
)
def test_a_file_that_holds_none_is_refused_with_the_line(read, content, said):
    with pytest.raises(QueryFileError) as caught:
        read(content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(QueryFileError, match="can't read"):
            read_queries(path)


# intervals ----------------------------------------------------------------------------------------


def evaluation(
    ranks: dict[str, list[int]], name: str = "a", confidences: dict[str, list[float]] | None = None
) -> Evaluation:
    """An evaluation whose questions of each class are answered at these ranks, 0 for not at all; scored by the product."""
    confidences = confidences or {}
    known: dict[str, tuple[str, int, float]] = {}
    queries = []
    for cls, places in ranks.items():
        for i, place in enumerate(places):
            sure = confidences.get(cls, [0.5] * len(places))[i]
            text = f"{cls} {i}"
            known[text] = (f"x/y#{i}", place, sure)
            relevant = {} if cls == "none" else {f"x/y#{i}": 1}
            queries.append(JudgedQuery(text, text, cls, relevant=relevant))

    class Fixed:
        def __init__(self) -> None:
            self.name = name

        def warm(self) -> None:
            pass

        def rank(self, text, where, limit):
            card, place, sure = known[text]
            return Listing(tuple(card if r == place else IDS[r] for r in range(1, limit + 1)), sure)

    return evaluate(Fixed(), queries, FAMILIES)


def test_an_interval_covers_the_score_and_what_never_varies_has_none():
    found = evaluation({"known": [1, 0] * 20, "family": [1] * 5})
    spread = intervals(found)
    assert spread["family"]["recall@10"] == Interval(1.0, 1.0)
    known = spread["known"]["recall@10"]
    # the mean of 40 fair coins: 0.5 +- 1.96 * 0.5 / sqrt(40) is .345 to .655
    assert known.low == pytest.approx(0.345, abs=0.03)
    assert known.high == pytest.approx(0.655, abs=0.03)
    # the macro mean has half the spread, since the other class has none
    macro = spread["macro"]["recall@10"]
    assert (macro.low, macro.high) == pytest.approx(((known.low + 1) / 2, (known.high + 1) / 2), abs=1e-9)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    # 200 samples of 60 questions, a third of which are found: 95% of the intervals should hold 1/3
    random = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        found = evaluation({"known": [int(r < 1 / 3) for r in random.random(60)]})
        interval = intervals(found, resamples=300)["known"]["recall@5"]
        held += interval.low <= 1 / 3 <= interval.high
    assert 180 <= held <= 199


def test_the_same_scores_give_the_same_intervals_and_another_seed_others():
    found = evaluation({"known": [1, 2, 3, 0, 0, 1, 7]}, confidences={})
    assert intervals(found) == intervals(found)
    assert intervals(found, seed=1) != intervals(found, seed=2)


def test_more_questions_narrow_the_interval():
    few, many = (intervals(evaluation({"known": [1, 0] * n}))["known"]["ndcg@10"] for n in (5, 80))
    assert few.high - few.low > 2 * (many.high - many.low)


def test_a_ranking_is_no_better_than_itself():
    found = evaluation(
        {"known": [1, 0, 3], "none": [0, 0]}, confidences={"known": [0.9, 0.2, 0.5], "none": [0.3, 0.1]}
    )
    for metrics in compare(found, found).values():
        assert all(d == Difference(0.0, Interval(0.0, 0.0), 0.5) for d in metrics.values())


def test_hard_questions_weigh_on_both_rankings_of_a_pair():
    # each question one rank better: single intervals overlap widely, the paired one is far from 0
    places = [1, 2, 3, 5, 8, 1, 9, 4, 2, 6]
    first, second = (
        evaluation({"known": places}, "first"),
        evaluation({"known": [p + 1 for p in places]}, "second"),
    )
    mine, theirs = intervals(first)["known"]["mrr@10"], intervals(second)["known"]["mrr@10"]
    assert mine.low < theirs.high
    found = compare(first, second)["known"]["mrr@10"]
    assert found.value == pytest.approx(first.macro.mrr10 - second.macro.mrr10)
    assert found.interval.low > 0
    assert found.favours == 1.0
    back = compare(second, first)["known"]["mrr@10"]
    assert (back.value, back.favours) == (pytest.approx(-found.value), 0.0)
    assert (back.interval.low, back.interval.high) == pytest.approx(
        (-found.interval.high, -found.interval.low)
    )


def test_fewer_false_answers_are_better():
    ranks = {"known": [1] * 20, "none": [0] * 20}
    sure = [0.5 + i / 100 for i in range(20)]
    cautious = evaluation(ranks, "cautious", {"known": sure, "none": [0.1] * 20})
    bold = evaluation(ranks, "bold", {"known": sure, "none": [0.9] * 20})
    found = compare(cautious, bold)["none"]
    assert found["answered_at_95"] == Difference(-1.0, Interval(-1.0, -1.0), 1.0)
    assert found["auroc"] == Difference(1.0, Interval(1.0, 1.0), 1.0)


@given(confidences, confidences)
def test_the_decision_is_within_its_interval(others, none):
    ranks = {"known": [1] * len(others), "none": [0] * len(none)}
    found = evaluation(ranks, confidences={"known": others, "none": none})
    spread = intervals(found, resamples=400)["none"]
    assert spread["auroc"].low - 1e-9 <= found.auroc <= spread["auroc"].high + 1e-9
    assert 0 <= spread["answered_at_95"].low <= spread["answered_at_95"].high <= 1


def test_answers_to_other_questions_are_not_compared():
    with pytest.raises(ComparisonError, match="a and b answered different questions"):
        compare(evaluation({"known": [1]}), evaluation({"known": [1, 1]}, "b"))


# reports ------------------------------------------------------------------------------------------

FOUND = Evaluation(
    "ours",
    {"known": ClassScore(2, 0.5, 0.75, 0.25, 0.33333)}, ClassScore(2, 0.5, 0.75, 0.25, 0.33333), 0.9, 0.25, 3.0, 7.123456,
    (outcome(["a/b#1", "a/b#0"], {"a/b#0": 1}),),
)  # fmt: skip
WIDE = {m: Interval(0.125, 1.0) for m in METRICS}
SPREAD = {
    "known": WIDE,
    "macro": WIDE,
    "none": {"auroc": Interval(0.8, 0.95), "answered_at_95": Interval(0.0, 0.5)},
}
AGAINST = Against(FOUND, SPREAD, {"known": {"mrr@10": Difference(-0.03, Interval(-0.1, 0.04), 0.25)}})


def test_the_contract_of_the_evaluation():
    interval = {m: [0.125, 1.0] for m in ("recall@5", "recall@10", "mrr@10", "ndcg@10")}
    known = {
        "n": 2,
        "recall@5": 0.5,
        "recall@10": 0.75,
        "mrr@10": 0.25,
        "ndcg@10": 0.3333,
        "interval": interval,
    }
    one = {
        "ranking": "ours",
        "macro": known,
        "classes": {"known": known},
        "none": {
            "auroc": 0.9,
            "answered_at_95": 0.25,
            "interval": {"auroc": [0.8, 0.95], "answered_at_95": [0.0, 0.5]},
        },
        "latency_ms": {"p50": 3.0, "p95": 7.12},
    }
    assert evaluation_json(FOUND, SPREAD) == one
    difference = {"known": {"mrr@10": {"value": -0.03, "interval": [-0.1, 0.04], "favours": 0.25}}}
    assert evaluation_json(FOUND, SPREAD, AGAINST) == one | {"against": one | {"difference": difference}}


def test_the_table_of_the_evaluation():
    table = [
        "ours",
        "class          n  R@5                R@10               MRR@10             nDCG@10",
        "known          2  .500 [.125, 1.00]  .750 [.125, 1.00]  .250 [.125, 1.00]  .333 [.125, 1.00]",
        "macro          2  .500 [.125, 1.00]  .750 [.125, 1.00]  .250 [.125, 1.00]  .333 [.125, 1.00]",
        "none: AUROC .900 [.800, .950], answered when 95% of the others are kept .250 [.000, .500]",
        "latency: p50 3.0 ms, p95 7.1 ms",
    ]
    question = "q     1.0 ms  confidence 0.50  found at [2]  text"
    assert evaluation_text(FOUND, SPREAD, per_query=True).split("\n") == [*table, question]
    assert evaluation_text(FOUND, SPREAD, AGAINST).split("\n") == [
        *table, "", *table, "",
        "ours minus ours: difference, 95% interval, share of resamples for the first",
        "known       MRR@10   -.030 [-.100, +.040]   25%",
    ]  # fmt: skip


def test_names_in_a_question_file_control_no_terminal():
    query = JudgedQuery("q\x1b[2J", "t", "kn\x1b[31mown", relevant={"a/b#1": 1})
    found = Evaluation(
        "ours", {query.cls: FOUND.macro}, FOUND.macro, None, None, 1.0, 1.0, (Outcome(query, (), 0.5, 1.0),)
    )
    assert "\x1b" not in evaluation_text(found, {}, per_query=True)


@pytest.mark.parametrize(
    ("value", "text", "sign"),
    [
        (0.5, ".500", "+.500"),
        (1.0, "1.00", "+1.00"),
        (0.9996, "1.00", "+1.00"),
        (0.0, ".000", "+.000"),
        (-0.25, "", "-.250"),
        (-0.0001, "", "+.000"),
    ],
)
def test_shares_are_written_without_the_leading_zero(value, text, sign):
    assert not text or share(value) == text
    assert signed(value) == sign
