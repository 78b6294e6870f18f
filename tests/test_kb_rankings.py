"""Rankings by name on a store that a real history filled, parts taken out of ours, and the command and the bench over both."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from ingest.git import open_repository
from kb.ablation import GROUPS, UnknownSignal, without
from kb.build import Options, build
from kb.card_index import CardIndex
from kb.evaluate import JudgedQuery, evaluate
from kb.families import load_families
from kb.filters import Filter
from kb.fusion import load_weights
from kb.rankings import MIXED, RANKINGS, Listing, RankingError, Rankings, ReciprocalRanks
from kb.store import Store
from loop.cli import cli

SGLANG = "sgl-project/sglang"
FAMILIES = load_families()
ANYWHERE = Filter()


def load(name: str) -> ModuleType:
    """A module of tests/bench."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "bench" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


small_history, baselines = load("small_history"), load("retrieval_baselines")


def ingest(uri: Path, history: Path, encoder: str) -> Store:
    with open_repository(history) as repository, Store.create(str(uri), {"created_by": "tests"}) as store:
        build(store, repository, Options(SGLANG, workers=1, encoder=encoder), lambda done, total: None)
    return Store.open(str(uri))


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    return small_history.write(tmp_path_factory.mktemp("engine") / "sglang.git")


@pytest.fixture(scope="module")
def store(tmp_path_factory, history) -> Store:
    return ingest(tmp_path_factory.mktemp("static") / "kb", history, "static")


@pytest.fixture(scope="module")
def rankings(store) -> Rankings:
    return Rankings(store, FAMILIES)


@pytest.fixture
def questions(tmp_path) -> Path:
    rows = [
        {"id": "1", "class": "known", "query": "HiRadixCache", "relevant": {"sglang#102": 2}},
        {"id": "2", "class": "known", "query": "gather rotary pairs", "filters": {"repo": "sglang"}, "relevant": {"sglang#110": 2}},
        {"id": "3", "class": "family", "query": "rotary of Ernie4.5", "filters": {"model": "ernie45"}, "relevant": {"sglang#106": 1}},
        {"id": "4", "class": "none", "query": "protein structure prediction with triangle multiplication"},
    ]  # fmt: skip
    path = tmp_path / "dev.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    return path


# rankings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize(("text", "number"), [("gather_rotary_pairs", 110), ("remove the old sampler", 118)])
def test_every_ranking_finds_what_the_words_say(rankings, name, text, number):
    ranker = rankings.make(name)
    ranker.warm()
    found = ranker.rank(text, ANYWHERE, 10)
    assert f"{SGLANG}#{number}" in found.ids[:3]
    assert found.confidence > 0
    assert found == ranker.rank(text, ANYWHERE, 10)
    assert len(set(found.ids)) == len(found.ids) <= 10


@pytest.mark.parametrize("name", RANKINGS)
def test_every_ranking_keeps_filters_and_limits(rankings, store, name):
    ranker = rankings.make(name)
    ranker.warm()
    assert ranker.rank("rotary cache", Filter(repos=("vllm-project/vllm",)), 10).ids == ()
    whole = ranker.rank("rotary cache eviction", ANYWHERE, 10).ids
    assert ranker.rank("rotary cache eviction", ANYWHERE, 2).ids == whole[:2]
    rows = store.scan("cards", ["id", "families"]).to_pylist()
    tags = {r["id"]: r["families"] for r in rows}
    family = ranker.rank("rotary cache", Filter(families=("ernie45",)), 10).ids
    assert family
    assert all("ernie45" in tags[i] for i in family)


@pytest.mark.parametrize("name", ["bm25", "fts"])
@pytest.mark.parametrize("text", ["", "the of and", "zzzyx qqqwv"])
def test_words_that_nothing_holds_find_nothing(rankings, name, text):
    ranker = rankings.make(name)
    ranker.warm()
    assert ranker.rank(text, ANYWHERE, 10) == Listing((), 0.0)


def test_one_field_of_bm25_agrees_with_the_store_s_full_text_search(store, rankings):
    """Two implementations of BM25: the same cards, the same order up to ties."""
    index = rankings.index
    for word in ("rotary", "cache", "sampler", "evict"):
        found = store.search_cards(word, {"diff_words": 1.0}, 100, None, ["id"])
        theirs = dict(zip(found["id"].to_pylist(), found["_score"].to_pylist(), strict=True))
        scores = index.postings.fields["diff_words"].scores({word: 1.0})
        ours = {index.ids[i]: float(scores[i]) for i in np.flatnonzero(scores)}
        assert ours.keys() == theirs.keys()
        order = sorted(ours, key=lambda i: -ours[i])
        for first, second in pairwise(order):
            assert ours[first] - ours[second] < 1e-4 or theirs[first] > theirs[second]


def test_all_fields_are_the_sum_of_each(rankings):
    index = rankings.index
    total = sum(p.scores({"rotary": 1.0}) for name, p in index.postings.fields.items() if name != "any")
    found = rankings.make("bm25").rank("rotary", ANYWHERE, 10)
    assert found.confidence == pytest.approx(float(total.max()))
    assert found.ids[0] == index.ids[int(total.argmax())]


def test_reciprocal_ranks_are_summed():
    class Fixed:
        name = "fixed"

        def __init__(self, *ids: str) -> None:
            self._ids = ids

        def warm(self) -> None:
            pass

        def rank(self, text, where, limit):
            return Listing(self._ids[:limit], 1.0)

    found = ReciprocalRanks([Fixed("a", "b", "c"), Fixed("c", "d")]).rank("x", ANYWHERE, 3)
    assert found.ids == ("c", "a", "b")  # b and d have the same: by id
    assert found.confidence == pytest.approx(1 / 63 + 1 / 61)


def test_light_ranks_as_a_store_without_tuned_vectors(rankings):
    searcher = rankings.make("light")._searcher
    assert searcher.signals_of == "light"
    assert rankings.make("ours")._searcher.signals_of == "tuned"


def test_a_store_without_vectors_says_so(tmp_path, history):
    words_only = Rankings(ingest(tmp_path / "kb", history, "none"), FAMILIES)
    for name in ("static", "tuned"):
        with pytest.raises(RankingError, match=f"has no {name} vectors"):
            words_only.make(name)
    assert words_only.make("rrf").rank("rotary", ANYWHERE, 5).ids


def test_a_ranking_that_is_none_is_refused(rankings):
    with pytest.raises(RankingError, match="no ranking 'best': name one of ours, no-rerank"):
        rankings.make("best")
    with pytest.raises(RankingError, match="bm25 mixes no signals"):
        rankings.make("bm25", ["size"])


# parts taken out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_takes_out_its_weights_and_no_other(group):
    whole, left = load_weights(), without(load_weights(), [group])
    gone = set(GROUPS[group])
    for before, after in ((whole.tuned, left.tuned), (whole.light, left.light), *((whole.answer[k], left.answer[k]) for k in whole.answer)):  # fmt: skip
        assert after == {n: 0.0 if n in gone else w for n, w in before.items()}
    assert left.rerank.cards == (0 if group == "reranker" else whole.rerank.cards)
    assert group == "aliases" or any(n in gone for n in (*whole.tuned, *whole.light))


def test_every_learned_signal_belongs_to_one_group_or_is_a_reference():
    weights = load_weights()
    for name in {*weights.tuned, *weights.light} - {"reference"}:
        assert sum(name in group for group in GROUPS.values()) == 1, name


def test_a_single_signal_can_be_taken_out_and_an_unknown_one_not():
    assert without(load_weights(), ["diff share", "size"]).tuned["diff share"] == 0.0
    with pytest.raises(UnknownSignal, match="no signal 'luck'"):
        without(load_weights(), ["luck"])


def test_what_is_taken_out_gives_nothing_to_a_score(rankings):
    searcher = rankings.make("ours", ["fields", "reranker"])._searcher
    why = {c.signal: c.worth for h in searcher.search("rotary cache kernel").hits for c in h.why}
    assert all(why.get(n, 0.0) == 0.0 for n in GROUPS["fields"])
    assert "reranker" not in why
    assert why["coverage"] > 0


def test_without_aliases_chinese_and_other_names_mean_nothing(rankings):
    plain = rankings.make("ours", ["aliases"])._searcher.gather("前缀缓存").question
    assert (plain.words, plain.other_names) == ((), {})
    assert rankings.make("ours")._searcher.gather("前缀缓存").question.words
    assert rankings.make("ours", ["aliases"]).name == "ours without aliases"


# the command and the bench ------------------------------------------------------------------------


def run(*args: str):
    return CliRunner().invoke(cli, ["eval", "retrieval", *args])


def test_the_command_compares_two_rankings(store, questions):
    done = run(
        str(questions),
        "--kb",
        store.uri,
        "--ranking",
        "no-rerank",
        "--without",
        "size",
        "--against",
        "bm25",
        "--json",
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["ranking"] == "no-rerank without size"
    assert found["against"]["ranking"] == "bm25"
    assert found["classes"]["known"]["n"] == 2
    low, high = found["classes"]["known"]["interval"]["recall@10"]
    assert low <= found["classes"]["known"]["recall@10"] <= high
    difference = found["against"]["difference"]["macro"]["ndcg@10"]
    assert difference["value"] == pytest.approx(
        found["macro"]["ndcg@10"] - found["against"]["macro"]["ndcg@10"], abs=2e-4
    )
    assert 0 <= difference["favours"] <= 1
    assert set(found["against"]["difference"]["none"]) == {"auroc", "answered_at_95"}


def test_the_command_prints_intervals(store, questions):
    done = run(str(questions), "--kb", store.uri, "--ranking", "bm25")
    assert done.exit_code == 0, done.output
    assert "known          2  1.00 [1.00, 1.00]" in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ranking", "best"], "no ranking 'best'"),
        (["--against", "best"], "no ranking 'best'"),
        (["--without", "luck"], "no signal 'luck'"),
        (["--ranking", "fts", "--without", "size"], "mixes no signals"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(store, questions, options, said):
    done = run(str(questions), "--kb", store.uri, *options)
    assert done.exit_code != 0
    assert said in (done.output + str(done.exception))


def test_the_help_names_every_ranking_and_group():
    text = " ".join(run("--help").output.split())
    assert all(name in text for name in (*RANKINGS, *GROUPS, *MIXED))


def test_the_bench_writes_tables_and_a_plot(store, questions, tmp_path, monkeypatch, capsys):
    tables, plot = tmp_path / "tables.md", tmp_path / "ranking.svg"
    argv = ["bench", "--kb", store.uri, "--queries", str(questions), "--tables", str(tables), "--plot", str(plot), "--part", "size", "--part", "reranker"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", argv)
    baselines.main()
    text = tables.read_text("utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    names = [line.split(" | ")[0][2:] for line in text.splitlines() if line.startswith("| ")]
    assert names.count("**ours**") == 2
    assert {"BM25 title+files+symbols, plain words", "LanceDB FTS, best field", "static vectors", "tuned vectors", "size", "reranker"} <= set(names)  # fmt: skip
    widths = {block.splitlines()[0].count("|"): {line.count("|") for line in block.splitlines()} for block in text.split("\n\n") if block.startswith("|")}  # fmt: skip
    assert all(lines == {width} for width, lines in widths.items())
    drawn = plot.read_text("utf-8")
    assert "<svg" in drawn
    assert "LanceDB FTS, best field" in drawn


def test_one_text_of_the_bench_is_ranked_by_its_own_words(rankings, store):
    index = CardIndex(store)
    texts = {i: "alpha beta" if i.endswith("#104") else "beta" for i in index.ids}
    ranker = baselines.OneField("one", index, texts, baselines.lower_words)
    assert ranker.rank("Alpha", ANYWHERE, 5).ids == (f"{SGLANG}#104",)
    assert ranker.rank("beta", ANYWHERE, 3).ids[0] != f"{SGLANG}#104"  # the longer text has the lower score
    found = evaluate(ranker, [JudgedQuery("1", "alpha", "known", {}, {"sglang#104": 1})], FAMILIES)
    assert found.macro.mrr10 == 1.0
