"""Postings: exact BM25 of every card, whatever the words."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.postings import build_postings, card_order, read_postings, word_counts
from kb.tables import CARD_FIELDS

words = st.lists(
    st.sampled_from(["moe", "fp8", "radix", "cache", "+hiradixcache", "缓存", "a/b.py"]), max_size=8
)
corpora = st.lists(st.tuples(words, words), min_size=1, max_size=9)


def postings_of(texts):
    ids = [f"o/r#{n}" for n in range(len(texts), 0, -1)]
    columns = {f: [""] * len(ids) for f in CARD_FIELDS}
    columns["title_words"] = [" ".join(title) for title, _ in texts]
    columns["diff_words"] = [" ".join(diff) for _, diff in texts]
    table = build_postings(ids, lambda name: pa.chunked_array([pa.array(columns[name])]))
    return ids, read_postings(table)


def bm25(texts, asked):
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        counts, total = Counter(text), 0.0
        for word, weight in asked.items():
            df = sum(word in t for t in texts)
            if counts[word]:
                idf = math.log1p((len(texts) - df + 0.5) / (df + 0.5))
                total += (
                    weight
                    * idf
                    * counts[word]
                    * 2.2
                    / (counts[word] + 1.2 * (0.25 + 0.75 * len(text) / mean))
                )
        scores.append(total)
    return scores


@given(corpora, st.dictionaries(st.sampled_from(["moe", "cache", "缓存", "nowhere"]), st.floats(0.1, 1.0)))
def test_scores_are_those_of_the_formula(texts, asked):
    ids, postings = postings_of(texts)
    for field, side in (("title_words", 0), ("diff_words", 1)):
        wanted = dict(zip(ids, bm25([t[side] for t in texts], asked), strict=True))
        found = postings.fields[field].scores(asked)
        assert found == pytest.approx([wanted[i] for i in postings.ids], rel=1e-4, abs=1e-5)


@given(corpora)
def test_a_word_is_counted_in_every_card_that_holds_it_anywhere(texts):
    ids, postings = postings_of(texts)
    held = {i: {*title, *diff} for i, (title, diff) in zip(ids, texts, strict=True)}
    everything = set().union(*held.values())
    assert word_counts(postings, [*everything, "nowhere"]) == {
        w: sum(w in found for found in held.values()) for w in everything
    }
    for word in everything:
        assert {postings.ids[p] for p in postings.any.holding(word)} == {i for i in ids if word in held[i]}
        assert [postings.any.holds(word, p) for p in range(len(ids))] == [
            word in held[i] for i in postings.ids
        ]


def test_cards_stand_by_repository_and_number():
    assert card_order(["b/b#2", "a/a#10", "b/b#1", "a/a#9"]) == [3, 1, 2, 0]


def test_a_store_without_postings_scores_nothing():
    empty = read_postings(build_postings([], lambda name: pa.chunked_array([pa.array([], pa.string())])))
    assert empty.ids == []
    assert np.array_equal(empty.fields["diff_words"].scores({"moe": 1.0}), np.zeros(0, np.float32))
    assert word_counts(empty, ["moe"]) == {}
