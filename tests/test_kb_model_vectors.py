"""Vectors of the shipped transformer: the cache, what it lacks, and the model itself."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.errors import PrloreError
from kb.encoders.base import EncoderError
from kb.encoders.load import load_encoder
from kb.encoders.mini import load_mini
from kb.location import StoreError
from kb.model_vectors import embed, lacking, load_cache, save_cache
from kb.reranker import load_reranker
from kb.starter_build import add_starter
from kb.store import Store

CARD = "Add hierarchical cache . mem cache hiradix py hi radix evict host"
OTHER = "Fix typo in docs . readme md"


def test_a_cache_finds_the_very_text_it_was_made_from(tmp_path):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3, 256)).astype(np.float32)
    save_cache(tmp_path / "cards.npz", ["one", "two", "three"], vectors)
    held = load_cache(tmp_path / "cards.npz")
    assert held.find("one ") == held.find("") == -1
    for i, text in enumerate(("one", "two", "three")):
        mine = held.vectors[held.find(text)].astype(np.float32)
        assert mine @ vectors[i] / np.linalg.norm(mine) / np.linalg.norm(vectors[i]) > 0.999


def test_a_damaged_cache_is_refused_in_one_line(tmp_path):
    (tmp_path / "cards.npz").write_bytes(b"no archive")
    with pytest.raises(EncoderError, match="reinstall prlore"):
        load_cache(tmp_path / "cards.npz")


def test_the_model_tells_what_fits_a_question():
    asked, card, other = load_mini().encode(["host memory tier for the prefix tree", CARD, OTHER])
    assert asked @ card > asked @ other
    assert np.linalg.norm(card) == pytest.approx(1.0, abs=1e-4)


def test_a_batch_is_encoded_as_its_texts_alone():
    model = load_mini()
    alone = np.concatenate([model.encode([t]) for t in (CARD, OTHER)])
    # int8 activations are scaled over a batch, so that its texts touch each other a little
    assert np.all((model.encode([CARD, OTHER]) * alone).sum(axis=1) > 0.98)
    assert model.encode([]).shape == (0, 256)


def test_the_reranker_prefers_what_fits():
    reranker = load_reranker()
    assert reranker is not None
    fits, misses = reranker.scores("keep evicted prefix pages in host memory", [CARD, OTHER])
    assert fits > misses
    assert reranker.scores("anything", []).shape == (0,)


def test_models_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(EncoderError, match="reinstall prlore"):
        load_mini(tmp_path)
    assert load_reranker(tmp_path) is None
    with pytest.raises(EncoderError, match="runs on the CPU"):
        load_encoder("mini", "cuda")


def test_a_store_of_few_cards_is_embedded_without_being_asked(tmp_path):
    with Store.create(str(tmp_path / "kb"), {}) as store:
        add_starter(store)
        assert lacking(store, "mini") == []
        ids, vectors = store.vectors("mini")
        assert embed(store, load_mini(), ids[:3]) == 3
        again = dict(zip(*store.vectors("mini"), strict=True))
        assert sorted(again) == sorted(ids)
        for i, vector in list(zip(ids, vectors, strict=True))[:3]:
            assert float(again[i].astype(np.float32) @ vector.astype(np.float32)) > 0.9


def test_words_only_needs_no_vectors(tmp_path):
    with Store.create(str(tmp_path / "kb"), {}) as store:
        add_starter(store, "none")
        assert store.vector_tables() == []
    with (
        Store.create(str(tmp_path / "kb"), {}) as store,
        pytest.raises(StoreError, match="built with encoder"),
    ):
        add_starter(store, "static")
    assert issubclass(StoreError, PrloreError)
