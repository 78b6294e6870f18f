"""Scores of retrieval against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.evaluate import (
    ClassScore,
    Evaluation,
    JudgedQuery,
    Outcome,
    QueryFileError,
    auroc,
    false_answers,
    full_id,
    ndcg,
    read_queries,
    recall,
    score,
)
from kb.reports.evaluation import evaluation_json, evaluation_text

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


# reports ------------------------------------------------------------------------------------------

FOUND = Evaluation(
    {"known": ClassScore(2, 0.5, 0.75, 0.25, 0.33333)}, ClassScore(2, 0.5, 0.75, 0.25, 0.33333), 0.9, 0.25, 3.0, 7.123456,
    (outcome(["a/b#1", "a/b#0"], {"a/b#0": 1}),),
)  # fmt: skip


def test_the_contract_of_the_evaluation():
    known = {"n": 2, "recall@5": 0.5, "recall@10": 0.75, "mrr@10": 0.25, "ndcg@10": 0.3333}
    assert evaluation_json(FOUND) == {
        "macro": known,
        "classes": {"known": known},
        "none": {"auroc": 0.9, "answered_at_95": 0.25},
        "latency_ms": {"p50": 3.0, "p95": 7.12},
    }


def test_the_table_of_the_evaluation():
    assert evaluation_text(FOUND, per_query=True).split("\n") == [
        "class           n     R@5    R@10  MRR@10  nDCG@10",
        "known           2   0.500   0.750   0.250    0.333",
        "macro           2   0.500   0.750   0.250    0.333",
        "none: AUROC 0.900, answered when 95% of the others are kept 25.0%",
        "latency: p50 3.0 ms, p95 7.1 ms",
        "q     1.0 ms  confidence 0.50  found at [2]  text",
    ]
