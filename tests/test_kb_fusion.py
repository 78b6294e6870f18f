"""The rule that mixes signals, and the file of its weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import PrloreError
from kb.fusion import Contribution, Rerank, Weights, load_weights, logistic, mix

signals = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1, allow_nan=False))
weights = st.dictionaries(st.sampled_from("abcdef"), st.floats(-5, 5, allow_nan=False))


def test_a_score_is_the_weighted_sum_with_its_parts_largest_first():
    assert mix(
        {"title": 0.5, "path": 1.0, "side": 1.0, "none": 0.0, "new": 1.0},
        {"title": 4.0, "path": 1.0, "side": -0.5},
    ) == (
        2.5,
        (
            Contribution("title", 0.5, 2.0),
            Contribution("path", 1.0, 1.0),
            Contribution("new", 1.0, 0.0),
            Contribution("side", 1.0, -0.5),
        ),
    )


@given(signals, weights)
def test_the_parts_add_up_to_the_score(values, by):
    total, parts = mix(values, by)
    assert total == pytest.approx(sum(p.value * by.get(p.signal, 0.0) for p in parts))
    assert [p.worth for p in parts] == sorted((p.worth for p in parts), reverse=True)


@pytest.mark.parametrize("kind", ["tuned", "light"])
def test_the_shipped_weights_are_whole(kind):
    weights = load_weights()
    assert 0 < weights.threshold < 1
    assert "bias" in weights.answer[kind]
    assert weights.rerank.cards > 0
    signals = weights.of(kind)
    assert signals["reference"] > sum(w for n, w in signals.items() if n != "reference" and w > 0)


def test_only_a_store_with_the_tuned_model_uses_its_signals():
    weights = load_weights()
    assert "tuned" in weights.tuned
    assert not {"tuned", "tuned share"} & weights.light.keys()


def test_confidence_is_a_logistic_rule():
    assert logistic({}, {}) == 0.5
    assert logistic({"a": 2.0, "b": 9.0}, {"a": 1.0, "bias": -2.0}) == 0.5
    assert logistic({"a": 1e9}, {"a": 1.0}) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Input data was truncated"),
        ("{}", "missing required field `tuned`"),
        (
            '{"tuned": {"a": "high"}, "light": {}, "rerank": {}, "answer": {}, "threshold": 0.5}',
            "Expected `float`",
        ),
        (
            '{"tuned": {}, "light": {}, "rerank": {}, "answer": {}, "threshold": 0.5, "more": 1}',
            "unknown field `more`",
        ),
    ],
)
def test_a_file_of_weights_that_is_none_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "fusion.json"
    path.write_text(text)
    with pytest.raises(PrloreError) as caught:
        load_weights(path)
    assert str(caught.value).startswith(f"can't read {path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(PrloreError, match="can't read"):
        load_weights(tmp_path / "none.json")


def test_weights_are_read(tmp_path):
    path = tmp_path / "fusion.json"
    path.write_text(
        '{"tuned": {"a": 1}, "light": {}, "rerank": {"cards": 3}, "answer": {"light": {"bias": -1}}, "threshold": 0.5}'
    )
    assert load_weights(path) == Weights({"a": 1.0}, {}, Rerank(3), {"light": {"bias": -1.0}}, 0.5)
