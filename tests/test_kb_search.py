"""Questions to a store that real histories filled: the right card first, reasons, filters, and declining."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest
from bench import small_history
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.git import open_repository
from kb.build import Options, build
from kb.evaluate import JudgedQuery, evaluate
from kb.families import load_families
from kb.family_views import FamilyCount, family_counts, family_view, unmatched_files
from kb.filters import Filter
from kb.rankings import Mixed
from kb.reports.answers import answer_json, answer_text
from kb.search import Searcher
from kb.starter_build import add_starter
from kb.status import listed_commits, store_status
from kb.store import Store

SGLANG, VLLM = "sgl-project/sglang", "vllm-project/vllm"
NONSENSE = "protein structure prediction with triangle multiplication"
S = "python/sglang/srt"


def ingest(uri: Path, history: Path, repo: str, encoder: str = "static") -> None:
    with open_repository(history) as repository, Store.create(str(uri), {"created_by": "tests"}) as store:
        build(store, repository, Options(repo, workers=1, encoder=encoder), lambda done, total: None)


@pytest.fixture(scope="module")
def histories(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("engines")
    return {
        SGLANG: small_history.write(folder / "sglang.git"),
        VLLM: small_history.write(folder / "vllm.git", small_history.OTHER),
    }


@pytest.fixture(scope="module", params=["static", "none"])
def store(request, tmp_path_factory, histories) -> Store:
    """Two histories and the embedded cards, with vectors and without."""
    uri = tmp_path_factory.mktemp(request.param) / "kb"
    for repo, history in histories.items():
        ingest(uri, history, repo, request.param)
    with Store.create(str(uri), {}) as writing:
        add_starter(writing)
    return Store.open(str(uri))


@pytest.fixture(scope="module")
def searcher(store) -> Searcher:
    return Searcher(store)


@pytest.fixture(scope="module")
def ours(tmp_path_factory, histories) -> Searcher:
    """The small history alone."""
    uri = tmp_path_factory.mktemp("ours") / "kb"
    ingest(uri, histories[SGLANG], SGLANG)
    return Searcher(Store.open(str(uri)))


def first(searcher: Searcher, text: str, where: Filter | None = None) -> str:
    hits = searcher.search(text, where).hits
    return hits[0].card.id if hits else ""


def ids(searcher: Searcher, text: str, where: Filter | None = None, limit: int = 50) -> list[str]:
    return [h.card.id for h in searcher.search(text, where, limit).hits]


def signals(searcher: Searcher, text: str) -> dict[str, float]:
    return {c.signal: c.value for c in searcher.search(text).hits[0].why}


# the right card first -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("#114", f"{SGLANG}#114"),
        ("sglang#103", f"{SGLANG}#103"),
        ("vllm#103", f"{VLLM}#103"),
        ("vllm-project/vllm#104", f"{VLLM}#104"),
        ("https://github.com/sgl-project/sglang/pull/112", f"{SGLANG}#112"),
        ("PR 117", f"{SGLANG}#117"),
        ("what did sglang#118 remove", f"{SGLANG}#118"),
        ("sglang#18856", f"{SGLANG}#18856"),
    ],
)
def test_a_reference_finds_its_card(searcher, text, card):
    answer = searcher.search(text)
    assert (answer.hits[0].card.id, answer.answered, answer.confidence) == (card, True, 1.0)
    assert answer.hits[0].why[0].signal == "reference"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (f"{S}/mem_cache/host_pool.py", 112),
        ("host_pool.py", 112),
        ("hiradix_cache.py", 102),
        (f"{S}/layers/rotary_gather.py", 110),
        ("sgl-kernel/csrc/rotary.cu", 106),
        ("HiRadixCache", 102),
        ("class HiRadixCache", 102),
        ("HiRadixCache.evict", 102),
        ("MossVLForCausalLM", 114),
        ("rotary_inplace_kernel", 106),
        ("gather_rotary_pairs", 110),
        ("--prefill-attention-backend", 103),
        ("what does --prefill-attention-backend do", 103),
        ("SGLANG_HICACHE_OVERLAP", 112),
    ],
)
def test_a_name_finds_the_change_that_brought_it(ours, text, number):
    answer = ours.search(text)
    assert (answer.hits[0].card.id, answer.answered) == (f"{SGLANG}#{number}", True)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("revert of the eviction heap", 108),
        ("bf16 cos_sin in the rotary kernel", 113),
        ("remove old sampler", 118),
        ("disable the radix cache for embedding models", 122),
        ("moss-vl flashinfer prefill", 114),
    ],
)
def test_words_find_a_change(ours, text, number):
    assert first(ours, text) == f"{SGLANG}#{number}"


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        (f"{S}/mem_cache/host_pool.py", "adds path"),
        ("HiRadixCache", "introduces symbol"),
        ("--prefill-attention-backend", "introduces name"),
        ("Ernie4.5", "family"),
        ("remove the old sampler", "title share"),
    ],
)
def test_a_hit_says_why_it_was_found(ours, text, signal):
    assert signals(ours, text)[signal] == pytest.approx(1.0)


def test_the_parts_of_a_score_add_up(ours):
    for hit in ours.search("eviction of the radix cache").hits:
        assert hit.score == pytest.approx(sum(c.worth for c in hit.why))


def test_hits_are_ranked_by_score_each_once(searcher):
    hits = searcher.search("rotary kernel of ernie", limit=100).hits
    assert [h.rank for h in hits] == list(range(1, len(hits) + 1))
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert len({h.card.id for h in hits}) == len(hits)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_limit_is_kept(searcher, limit):
    assert len(searcher.search("cache", limit=limit).hits) <= limit


def test_an_excerpt_shows_lines_of_the_hunk_it_names(ours):
    for text in ("HiRadixCache write_back", "--prefill-attention-backend", "rotary kernel"):
        for hit in ours.search(text).hits:
            for excerpt in hit.excerpts:
                assert excerpt.path in hit.card.paths()
                assert excerpt.hunk.startswith("@@ -")
                assert excerpt.hunk.endswith(" @@")
                assert len(excerpt.text.split("\n")) <= 12


def test_the_excerpt_is_chosen_for_the_question(ours):
    (hit,) = [h for h in ours.search("host_pool write_back of nodes").hits if h.card.number == 102]
    assert "+            self.host_pool.write_back(node.value)" in hit.excerpts[0].text.split("\n")


def test_an_excerpt_names_the_hunk_its_lines_stand_in(tmp_path):
    lines = [f"x{i} = {i}" for i in range(90)]
    new = [
        *lines[:5],
        "import os",
        *lines[5:70],
        "def telling_name(alpha, beta):",
        "    return compute(alpha, beta)",
        *lines[70:],
    ]
    commits = [
        ("Add (#1)", {"a.py": "\n".join(lines) + "\n"}),
        ("Change (#2)", {"a.py": "\n".join(new) + "\n"}),
    ]
    ingest(tmp_path / "kb", small_history.write(tmp_path / "r.git", commits), SGLANG)
    searcher = Searcher(Store.open(str(tmp_path / "kb")))
    (hit,) = [h for h in searcher.search("telling_name").hits if h.card.number == 2]
    for excerpt in (hit.excerpts[0], hit.card.excerpts[0]):
        assert "+def telling_name(alpha, beta):" in excerpt.text.split("\n")
        assert excerpt.hunk == "@@ -68,6 +69,8 @@"


# filters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        (Filter(repos=(VLLM,)), lambda c: c.repo == VLLM),
        (Filter(families=("ernie45",)), lambda c: "ernie45" in c.families),
        (Filter(kinds=("perf", "revert")), lambda c: c.kind in ("perf", "revert")),
        (Filter(paths=("mem_cache",)), lambda c: any("mem_cache" in p for p in c.paths())),
        (Filter(paths=("sgl-kernel/*.cu",)), lambda c: any(p.endswith(".cu") for p in c.paths())),
        (Filter(symbols=("HiRadix",)), lambda c: any("HiRadix" in s.name for s in c.symbols)),
        (Filter(symbols=("--prefill-attention",)), lambda c: any("--prefill" in f for f in c.facts.flags_added)),
        (Filter(after="2025-01-01T10:00:00Z", before="2025-01-01T20:00:00Z"), lambda c: "2025-01-01T10" <= c.merged_at < "2025-01-01T20"),
        (Filter(repos=(SGLANG,), families=("ernie45",), kinds=("test",)), lambda c: c.kind == "test" and "ernie45" in c.families),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "text", ["rotary cache kernel eviction prefill", "Ernie4.5 rotary", "HiRadixCache", "#103 and #104 cache"]
)
def test_only_cards_that_pass_a_filter_are_found(searcher, where, holds, text):
    hits = searcher.search(text, where, 100).hits
    assert all(holds(h.card) for h in hits)


@pytest.mark.parametrize(
    ("text", "where", "cards"),
    [
        ("block pool", Filter(repos=(VLLM,)), {f"{VLLM}#102", f"{VLLM}#104"}),
        ("eviction", Filter(kinds=("revert",), repos=(SGLANG,), before="2025-02-01T00:00:00Z"), {f"{SGLANG}#108"}),
        ("speed up eviction heap", Filter(paths=("mem_cache/hiradix",), before="2025-02-01T00:00:00Z"), {f"{SGLANG}#{n}" for n in (104, 108, 109)}),
    ],
)  # fmt: skip
def test_a_filter_keeps_what_fits(searcher, text, where, cards):
    assert cards <= set(ids(searcher, text, where))


def test_of_cards_of_one_number_the_change_of_the_engine_comes_first(tmp_path, make_repo):
    docs, code = make_repo("docs"), make_repo("code")
    docs.commit("[docs] Mend a link (#5)", {"docs/a.md": b"a\n"})
    code.commit("Evict pages (#5)", {"vllm/a.py": b"def evict():\n    return 1\n"})
    ingest(tmp_path / "kb", docs.path, SGLANG, "none")
    ingest(tmp_path / "kb", code.path, VLLM, "none")
    found = Searcher(Store.open(str(tmp_path / "kb"))).search("#5")
    assert [h.card.id for h in found.hits] == [f"{VLLM}#5", f"{SGLANG}#5"]
    assert (found.answered, found.confidence) == (True, 1.0)


def test_a_reference_obeys_every_filter(searcher):
    assert first(searcher, "#103", Filter(repos=(VLLM,))) == f"{VLLM}#103"
    assert ids(searcher, "#103", Filter(kinds=("revert",))) == []
    assert ids(searcher, "sglang#103", Filter(repos=(VLLM,))) == []


def test_a_reference_that_a_filter_takes_away_is_no_answer(searcher):
    for where in (Filter(kinds=("revert",)), Filter(after="2030-01-01T00:00:00Z"), Filter(repos=("a/b",))):
        answer = searcher.search("#103", where)
        assert (answer.hits, answer.answered, answer.confidence) == ((), False, 0.0)


# declining ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [NONSENSE, "how do I bake sourdough bread", "zxqvbn", "quarterly tax return of a cooperative"]
)
def test_what_nothing_fits_is_declined(searcher, text):
    answer = searcher.search(text)
    assert not answer.answered
    assert answer.confidence < 0.5


def test_a_pull_request_that_is_not_there_is_missing(searcher):
    for text, name in (("#999999", "#999999"), ("vllm#118", f"{VLLM}#118"), ("a/b#103", "a/b#103")):
        answer = searcher.search(text)
        assert (answer.hits, answer.answered, answer.confidence, answer.missing) == ((), False, 0.0, (name,))


def test_words_that_no_card_holds_are_named(ours):
    assert ours.search("zxqvbn eviction of qwertz").unknown_words == ("zxqvbn", "qwertz")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "?",
        "the of and",
        "'",
        '"',
        "\0",
        "\\",
        "%",
        "' OR 1=1 --",
        "*",
        "()",
        "a:b^2~",
        "+-&|!",
        "@@ -1 +1 @@",
        "\ud800",
    ],
)
def test_any_text_is_answered_without_an_error(searcher, text):
    answer = searcher.search(text)
    assert 0 <= answer.confidence <= 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.text(st.sampled_from("ab%_\\'\"*\0\n"), max_size=6))
def test_any_question_with_any_filter_is_answered(ours, text, part):
    for where in (None, Filter(paths=(part,)), Filter(repos=(part,), symbols=(part,))):
        answer = ours.search(text, where, 5)
        json.dumps(answer_json(answer, 1.0))
        answer_text(answer)


@pytest.mark.parametrize("words", [500, 3000])
def test_a_long_question_is_answered(ours, words):
    ours.search(" ".join(["eviction", "heap"] + [f"word{i}" for i in range(words)]))


# stores that are not whole ------------------------------------------------------------------------


def test_an_empty_store_declines(tmp_path):
    with Store.create(str(tmp_path), {}):
        pass
    searcher = Searcher(Store.open(str(tmp_path)))
    for text in ("HiRadixCache", "#5", "a/b.py", "--flag", NONSENSE):
        assert not searcher.search(text).answered
    searcher.warm()


def unwhole(source: Store, target: Path, change) -> Searcher:
    """A copy of a store's tables without their indexes, after a change to them."""
    database = lancedb.connect(target)
    for name in ("cards", "chunks", "links", "commits", "postings", "vectors", "meta"):
        rows = source._table(name).search().limit(None).to_arrow()
        database.create_table(name, data=change(name, rows))
    return Searcher(Store.open(str(target)))


def test_a_store_that_is_not_indexed_yet_is_searched_or_refused_in_one_line(ours, tmp_path):
    # what a run leaves that is killed before it indexes
    searcher = unwhole(
        ours._store, tmp_path, lambda name, rows: rows.slice(0, 0) if name == "postings" else rows
    )
    for text in ("#114", "HiRadixCache", "hiradix_cache.py", "speed up eviction"):
        searcher.search(text)


def test_rows_whose_card_is_not_written_yet_are_not_found(ours, tmp_path):
    # chunks, links and vectors are written before their cards
    def change(name: str, rows: pa.Table) -> pa.Table:
        return rows.filter(pa.compute.field("number") != 104) if name == "cards" else rows

    unwhole(ours._store, tmp_path, change)
    with Store.create(str(tmp_path), {}) as store:
        store.finish()
    searcher = Searcher(Store.open(str(tmp_path)))
    found = [h.card.number for h in searcher.search("eviction with a heap, heapq nsmallest", limit=50).hits]
    assert found
    assert 104 not in found


# reports ------------------------------------------------------------------------------------------


def test_the_contract_of_an_answer(ours):
    found = answer_json(ours.search("sglang#103", limit=1), 12.3456)
    (hit,) = found.pop("hits")
    assert found == {
        "query": "sglang#103", "answered": True, "confidence": 1.0, "elapsed_ms": 12.3, "missing": [], "unknown_words": [],
    }  # fmt: skip
    (excerpt,) = hit.pop("excerpts")
    assert list(excerpt) == ["path", "hunk", "text"]
    assert hit.pop("why") == [{"signal": "reference", "value": 1.0}]
    assert hit.pop("score") > 0
    assert hit == {
        "rank": 1,
        "id": f"{SGLANG}#103",
        "repo": SGLANG,
        "number": 103,
        "title": "Separate attention backends of prefill and decode",
        "url": "https://github.com/sgl-project/sglang/pull/103",
        "merged_at": "2025-01-01T03:00:00Z",
        "families": [],
        "kind": "other",
        "status": "extracted",
        "anchors": [],
    }


def test_every_answer_keeps_the_contract(searcher):
    for text in ("HiRadixCache", NONSENSE, "#999999", "Ernie4.5 cos/sin cache", ""):
        found = json.loads(json.dumps(answer_json(searcher.search(text), 1.0)))
        assert list(found) == [
            "query",
            "answered",
            "confidence",
            "elapsed_ms",
            "hits",
            "missing",
            "unknown_words",
        ]
        for hit in found["hits"]:
            assert list(hit) == [
                "rank", "id", "repo", "number", "title", "url", "merged_at", "families", "kind", "status", "score", "why",
                "excerpts", "anchors",
            ]  # fmt: skip
            assert hit["why"]
            assert all(list(w) == ["signal", "value"] for w in hit["why"])
            assert all(list(e) == ["path", "hunk", "text"] for e in hit["excerpts"])


@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("text", ["sglang#119", "owned img evil.example", NONSENSE, "Title with red"])
def test_hostile_titles_and_paths_are_shown_inertly(ours, text, explain):
    shown = answer_text(ours.search(text), explain=explain)
    assert [
        c for c in shown if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ] == []


def test_a_declined_answer_says_so_first(ours):
    lines = answer_text(ours.search(NONSENSE)).split("\n")
    assert lines[0].startswith("Nothing here answers this (confidence 0.")
    assert answer_text(ours.search("#999999")).split("\n")[0] == "#999999 is not in the knowledge base."


def test_an_answer_for_people(ours):
    lines = answer_text(ours.search("sglang#103", limit=1)).split("\n")
    assert lines[:4] == [
        f" 1. {SGLANG}#103  2025-01-01  Separate attention backends of prefill and decode",
        "    https://github.com/sgl-project/sglang/pull/103  [extracted; other; +6 -0 in 1 files]",
        "    why: reference 1.00",
        f"    {S}/server_args.py @@ -8,3 +8,9 @@",
    ]
    assert lines[4:] == ["      " + line for line in lines[4:] for line in [line[6:]]]


# other views of the store -------------------------------------------------------------------------


def test_families_are_counted_most_first(ours):
    counts = family_counts(ours._store)
    held = {c.slug: c.cards for c in counts if c.cards}
    assert (held["ernie45"], held["moss-vl"], held["qwen3-core"]) == (3, 1, 1)
    assert counts == sorted(counts, key=lambda c: (-c.cards, c.slug))
    assert len(counts) == len(load_families().entries)
    assert family_counts(ours._store, VLLM) == [
        FamilyCount(f.slug, f.name, 0) for f in load_families().entries
    ]


def test_a_family_shows_its_files_and_latest_changes(ours):
    view = family_view(ours._store, "Ernie4.5")
    assert [f.slug for f in view.entries] == ["ernie45"]
    assert (view.cards, view.by_engine, dict(view.by_kind)) == (
        3,
        (("sglang", 3),),
        {"feature": 1, "test": 1, "other": 1},
    )
    assert view.hot_files == ((f"{S}/models/ernie45.py", 2), ("test/srt/test_ernie45.py", 1))
    assert [i for i, _, _ in view.latest] == [f"{SGLANG}#{n}" for n in (18856, 117, 101)]


def test_model_files_of_no_family_are_listed(tmp_path):
    path = f"{S}/models/zzunheard.py"
    commits = [
        ("Add (#1)", {path: "class A:\n    pass\n", f"{S}/models/utils.py": "a = 1\n"}),
        ("Fix (#2)", {path: "class B:\n    pass\n"}),
    ]
    ingest(tmp_path / "kb", small_history.write(tmp_path / "r.git", commits), SGLANG)
    (found,) = unmatched_files(Store.open(str(tmp_path / "kb")))
    assert (found.repo, found.path, found.cards) == (SGLANG, path, 2)


def test_the_state_of_a_store_is_counted(ours):
    found = store_status(ours._store)
    (repository,) = found.repositories
    assert (found.cards, found.links, found.by_status, found.indexed, found.encoder) == (
        23,
        3,
        (("extracted", 23),),
        True,
        "static",
    )
    assert (repository.repo, repository.cards, repository.starter_cards, repository.commits) == (
        SGLANG,
        23,
        0,
        27,
    )
    assert (repository.duplicates, repository.without_number, repository.problems) == (1, 3, 0)
    assert (repository.first_merged, repository.last_merged) == (
        "2025-01-01T01:00:00Z",
        "2025-01-02T02:00:00Z",
    )


def test_commits_of_the_ledger_are_listed(ours):
    assert [c.number for c in listed_commits(ours._store, "duplicates")] == [103]
    assert {c.subject for c in listed_commits(ours._store, "no-number")} == {
        "Initial commit",
        "typo",
        "fix #12 at last",
    }
    assert listed_commits(ours._store, "problems") == []


def test_judged_questions_are_scored_on_the_store(ours):
    queries = [
        JudgedQuery("1", "HiRadixCache", "known", {"repo": "sglang"}, {"sglang#102": 2}),
        JudgedQuery("2", "speed up eviction with a heap", "known", {}, {"sglang#104": 2, "sglang#109": 1}),
        JudgedQuery(
            "3",
            "HiRadixCache",
            "known",
            {},
            {"sglang#104": 1, "sglang#108": 1, "sglang#109": 1},
            ["sglang#102"],
        ),
        JudgedQuery("4", "rotary", "family", {"repo": "vllm", "model": "ernie45"}, {"sglang#106": 1}),
        JudgedQuery("5", NONSENSE, "none"),
    ]
    found = evaluate(Mixed(ours), queries, load_families())
    assert {n: c.n for n, c in found.classes.items()} == {"family": 1, "known": 3}
    assert (found.classes["known"].recall5, found.classes["known"].recall10) == (1.0, 1.0)
    assert found.classes["family"].recall10 == 0.0  # the repository filter is applied
    assert found.macro.recall10 == pytest.approx(0.5)
    assert found.auroc == 0.875  # the family question finds as little as the one without an answer
    assert 0 < found.p50_ms <= found.p95_ms
    assert f"{SGLANG}#102" not in found.outcomes[2].ranking
