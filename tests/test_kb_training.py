"""What models and weights are learned from; learning itself where torch is installed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.datafiles import data_file
from kb.evaluate import JudgedQuery
from kb.training.data import AskedQuestion, Document, TrainingDataError, read_training_set, write_training_set
from kb.training.questions import (
    MODEL_FILES,
    RANKING_FILE,
    UNANSWERABLE_FILE,
    QuestionFileError,
    read_written,
    unseen_questions,
)

texts = st.text(max_size=40)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), texts)
def test_a_training_set_comes_back_as_it_was_written(tmp_path_factory, cards, question):
    path = tmp_path_factory.mktemp("set") / "set.xz"
    documents = [Document(f"o/r#{n}", title, code) for n, (title, code) in enumerate(cards)]
    asked = [AskedQuestion(question, "o/r#0", ("o/r#1", "o/r#2"), True)]
    write_training_set(path, documents, asked)
    first = path.read_bytes()
    found = read_training_set(path)
    assert (list(found.documents), list(found.questions)) == (documents, asked)
    write_training_set(path, documents, asked)
    assert path.read_bytes() == first


def test_a_damaged_set_is_refused(tmp_path):
    path = tmp_path / "set.xz"
    for content in (b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(TrainingDataError, match="prlore train data"):
            read_training_set(path)
    write_training_set(path, [Document("o/r#1", "t", "c")], [AskedQuestion("q", "o/r#9", (), False)])
    with pytest.raises(TrainingDataError, match="no document o/r#9"):
        read_training_set(path)


def test_the_written_questions_are_whole():
    model = [q for name in MODEL_FILES for q in read_written(name)]
    ranking, nothing = read_written(RANKING_FILE), read_written(UNANSWERABLE_FILE)
    assert len(model) > 5000
    assert len(ranking) > 600
    assert len(nothing) > 300
    assert all(q.id and q.style in ("a", "b", "c", "d", "e", "zh") for q in (*model, *ranking))
    assert all(not q.id and q.style == "none" for q in nothing)
    counts = Counter((q.id, q.query) for q in (*model, *ranking))
    assert counts.most_common(1)[0][1] == 1
    assert not {q.id for q in model} & {q.id for q in ranking}, (
        "the fusion learns from cards no model saw questions of"
    )
    assert 0.08 < sum(q.held_out for q in model) / len(model) < 0.12
    assert {q.id for q in unseen_questions()} >= {q.id for q in ranking}


def test_a_line_that_is_no_question_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"id": "a/b#1", "style": "a", "query": "q"}\n{"id": 3}\n')
    with pytest.raises(QuestionFileError, match=r"x\.jsonl:2"):
        read_written("x.jsonl", tmp_path)
    with pytest.raises(QuestionFileError, match="can't read"):
        read_written("y.jsonl", tmp_path)


def test_what_ships_stays_within_its_size():
    shipped = [
        data_file("encoders", "static.npz"),
        *data_file("encoders", "mini").iterdir(),
        *data_file("reranker").iterdir(),
    ]
    assert sum(p.stat().st_size for p in shipped) <= 64 << 20


def test_judged_questions_name_whole_ids():
    from kb.training.fusion import judged_example

    query = JudgedQuery(
        id="x",
        query="q",
        cls="known",
        filters={"repo": "sglang"},
        relevant={"sglang#5": 2},
        ignore=["vllm#7"],
    )
    example = judged_example(query)
    assert example.repo == "sgl-project/sglang"
    assert example.answers == {"sgl-project/sglang#5"}
    assert example.ignored == {"vllm-project/vllm#7"}


def test_learning_finds_the_signal_that_tells():
    pytest.importorskip("torch")
    from kb.question import Question
    from kb.search import AskedWords, Candidate, Gathered, Ranked
    from kb.training.fusion import Example, Seen, learn_ranking

    seen = []
    for n in range(40):
        rows = [
            Candidate(
                f"o/r#{i}",
                {"diff": float(i == n % 5), "noise": (i * 7 + n) % 3 / 2, "title": -0.1 * (i == n % 5)},
            )
            for i in range(5)
        ]
        found = Gathered(Question(""), AskedWords({}, {}), (), tuple(rows))
        seen.append(
            Seen(Example("", "o/r", frozenset((f"o/r#{n % 5}",))), found, [Ranked(c, 0.0, ()) for c in rows])
        )
    learned = learn_ranking(seen, {"reference": 100.0})
    assert learned["reference"] == 100.0
    assert learned["diff"] > 2 * abs(learned.get("noise", 0.0))
    assert learned.get("title", 0.0) >= 0.0
