"""Real histories into a real store: rows, ledger, second runs, slices, forks, losses, and stores that are none of ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import lancedb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from bench import kill_resume, small_history

from ingest.git import open_repository
from ingest.records import Facts, Link
from kb.build import Duplicate, Options, Report, build, retag
from kb.cards import CardFile, CardSymbol, Coverage, decode_card
from kb.encoders.base import EncoderError
from kb.families import load_families
from kb.filters import Filter
from kb.location import StoreError
from kb.starter import load_starter_cards
from kb.starter_build import Added, add_starter
from kb.store import Store
from kb.stored_postings import cards_holding
from kb.tables import STORE_SCHEMA

SGLANG, VLLM = "sgl-project/sglang", "vllm-project/vllm"
S = "python/sglang/srt"
CARDS, COMMITS = 23, 27  # numbered commits but for the duplicate, and all


def create(uri: Path) -> Store:
    return Store.create(str(uri), {"created_by": "tests"})


def ingest(uri: Path, history: Path, repo: str = SGLANG, **options: object) -> Report:
    with open_repository(history) as repository, create(uri) as store:
        return build(store, repository, Options(repo, workers=1, **options), lambda done, total: None)


def embed(uri: Path) -> Added:
    with create(uri) as store:
        return add_starter(store)


def tables(uri: Path) -> dict[str, pa.Table]:
    return kill_resume.tables_of(Store.open(str(uri)))


def differences(uri: Path, wanted: Path, *, batches: bool = False) -> list[str]:
    """What differs between two stores. How work fell into batches is no content."""
    found, other = tables(uri), tables(wanted)
    if not batches:
        for part in (found, other):
            part["meta"] = part["meta"].filter(pa.compute.field("key") != "finished")
    return kill_resume.differences(found, other, () if batches else ("batch",))


def card(uri: Path, number: int, repo: str = SGLANG):
    (row,) = Store.open(str(uri)).cards_by_id([f"{repo}#{number}"], ["card"])["card"].to_pylist()
    return decode_card(row)


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    return small_history.write(tmp_path_factory.mktemp("engine") / "repo.git")


@pytest.fixture(scope="module")
def shas(history) -> list[str]:
    with open_repository(history) as repository:
        return repository.run("rev-list", "--reverse", repository.resolve("main")).decode().split()


@pytest.fixture(scope="module")
def clean(tmp_path_factory, history) -> tuple[Path, Report]:
    """One clean run over the whole history."""
    uri = tmp_path_factory.mktemp("clean") / "kb"
    return uri, ingest(uri, history)


@pytest.fixture
def kb(tmp_path) -> Path:
    return tmp_path / "kb"


# what a run leaves --------------------------------------------------------------------------------


def test_a_run_reports_what_it_did(clean, shas):
    report = Report(SGLANG, walked=COMMITS, cards=CARDS, unnumbered=3, files=CARDS, fallbacks=1)
    report.duplicates = [Duplicate(103, shas[14], shas[3], "[fork] A number used before (#103)")]
    assert clean[1] == report


def test_every_commit_stands_in_the_ledger(clean, shas):
    rows = tables(clean[0])["commits"].to_pylist()
    outcomes = {r["sha"]: (r["number"], r["outcome"]) for r in rows}
    assert len(rows) == COMMITS
    assert {s for s in shas if outcomes[s][1] == "no-number"} == {shas[0], shas[12], shas[24]}
    assert outcomes[shas[3]] == (103, "card")
    assert outcomes[shas[14]] == (103, "duplicate")
    assert rows[[r["sha"] for r in rows].index(shas[14])] == {
        "repo": SGLANG, "sha": shas[14], "number": 103, "outcome": "duplicate", "committed_at": "2025-01-01T14:00:00Z",
        "subject": "[fork] A number used before (#103)", "problem": "", "batch": 1,
    }  # fmt: skip


def test_every_pull_request_has_one_card(clean):
    rows = tables(clean[0])["cards"].to_pylist()
    kinds = {r["number"]: r["kind"] for r in rows}
    assert sorted(kinds) == [*range(101, 123), 18856]
    assert {n: kinds[n] for n in (104, 107, 108, 116, 117)} == {
        104: "perf",
        107: "docs",
        108: "revert",
        116: "ci",
        117: "test",
    }
    assert {(r["repo"], r["status"], r["origin"]) for r in rows} == {(SGLANG, "extracted", "git")}
    (merged,) = [r["merged_at"] for r in rows if r["number"] == 101]
    assert merged == "2025-01-01T01:00:00Z"


def test_a_card_holds_the_facts_of_its_diff(clean, shas):
    found = card(clean[0], 103)
    assert (found.title, found.sha, found.parent) == (
        "Separate attention backends of prefill and decode",
        shas[3],
        shas[2],
    )
    assert (found.additions, found.deletions) == (6, 0)
    assert found.coverage == Coverage(lines_total=6, lines_indexed=6, files_total=1, files_read=1)
    assert found.files == (
        CardFile(path=f"{S}/server_args.py", group="runtime", status="modified", added=6, removed=0, symbol_source="tree-sitter"),
    )  # fmt: skip
    assert found.facts == Facts(flags_added=("--prefill-attention-backend",))
    assert found.blast_radius == ("server arguments",)
    assert [(s.name, s.change, s.path) for s in found.symbols] == [
        ("add_cli_args", "changed", f"{S}/server_args.py")
    ]
    (excerpt,) = found.excerpts
    assert '+        "--prefill-attention-backend",' in excerpt.text.split("\n")


@pytest.mark.parametrize(
    ("number", "symbols"),
    [
        (102, [("HiRadixCache", "class", "introduced"), ("HiRadixCache.__init__", "method", "introduced"), ("HiRadixCache.evict", "method", "introduced")]),
        (104, [("HiRadixCache.evict", "method", "changed")]),
        (106, [("rotary_inplace_kernel", "kernel", "introduced")]),
        (118, [("draw", "function", "removed")]),
        (111, []),
    ],
)  # fmt: skip
def test_symbols_are_introduced_changed_or_removed(clean, number, symbols):
    assert [(s.name, s.kind, s.change) for s in card(clean[0], number).symbols] == symbols


def test_a_symbol_has_its_lines(clean):
    (symbol,) = card(clean[0], 118).symbols
    assert symbol == CardSymbol(
        name="draw", kind="function", change="removed", path=f"{S}/sampling/old_sampler.py", start=1, end=2
    )


@pytest.mark.parametrize(
    ("number", "file"),
    [
        (111, CardFile(path=f"{S}/layers/rotary/gather.py", group="runtime", status="renamed", added=0, removed=0, old_path=f"{S}/layers/rotary_gather.py")),
        (121, CardFile(path="assets/logo.png", group="docs", status="added")),
        (118, CardFile(path=f"{S}/sampling/old_sampler.py", group="runtime", status="deleted", added=0, removed=2, symbol_source="tree-sitter")),
        (106, CardFile(path="sgl-kernel/csrc/rotary.cu", group="kernel", status="added", added=9, removed=0, symbol_source="tree-sitter")),
    ],
)  # fmt: skip
def test_files_keep_their_status(clean, number, file):
    assert card(clean[0], number).files == (file,)


def test_names_in_the_diff_become_facts(clean):
    assert card(clean[0], 112).facts == Facts(env_added=("SGLANG_HICACHE_OVERLAP",))
    assert card(clean[0], 107).facts == Facts(flags_used=("--enable-hierarchical-cache",))
    assert card(clean[0], 117).facts == Facts(flags_used=("--tp-size",))


@pytest.mark.parametrize(
    ("number", "family"),
    [(101, "ernie45"), (117, "ernie45"), (18856, "ernie45"), (114, "moss-vl"), (115, "qwen3-core")],
)
def test_cards_are_tagged_with_families(clean, number, family):
    assert family in card(clean[0], number).families


def test_relations_between_pull_requests_become_links(clean):
    rows = tables(clean[0])["links"].select(["source", "kind", "target"]).to_pylist()
    assert [(r["source"], r["kind"], r["target"]) for r in rows] == [
        (f"{SGLANG}#108", "reverts", f"{SGLANG}#104"),
        (f"{SGLANG}#109", "relands", f"{SGLANG}#104"),
        (f"{SGLANG}#113", "follows", f"{SGLANG}#106"),
    ]
    assert card(clean[0], 113).links == (Link("follows", f"{SGLANG}#106"),)


def test_chunks_hold_the_diffs(clean):
    rows = tables(clean[0])["chunks"].to_pylist()
    assert {r["card_id"] for r in rows} == {f"{SGLANG}#{n}" for n in (*range(101, 123), 18856)} - {
        f"{SGLANG}#111",
        f"{SGLANG}#121",
    }
    (chunk,) = [r for r in rows if r["card_id"] == f"{SGLANG}#104"]
    assert (chunk["ordinal"], chunk["path"]) == (0, f"{S}/mem_cache/hiradix_cache.py")
    assert chunk["text"].split("\n")[0] == chunk["hunk"]
    assert "heapq" in chunk["words"].split()


def test_vectors_and_counted_words_cover_the_cards(clean):
    store = Store.open(str(clean[0]))
    ids, vectors = store.vectors("static")
    assert sorted(ids) == sorted(store.scan("cards", ["id"])["id"].to_pylist())
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    assert np.all((np.abs(lengths - 1) < 0.01) | (lengths == 0))
    columns = [f for f in tables(clean[0])["cards"].column_names if f.endswith("_words")]
    rows = store.scan("cards", columns).to_pylist()
    held = [{w for c in columns for w in row[c].split()} for row in rows]
    assert cards_holding(store, ["radix", "nosuchword"]) == {"radix": sum("radix" in words for words in held)}
    counts = {w: sum(w in words for words in held) for w in set().union(*held)}
    assert cards_holding(store, [*counts, "nosuchword"]) == counts
    assert store.is_finished()


def test_the_store_says_where_it_comes_from(clean):
    assert Store.open(str(clean[0])).meta() == {
        "schema": STORE_SCHEMA, "created_by": "tests", "encoder": "static", "dimensions": "256",
        "families": load_families().digest, "finished": f"1:{CARDS}",
    }  # fmt: skip


# second runs and slices ---------------------------------------------------------------------------


def test_a_second_run_reads_nothing(history, clean, kb):
    ingest(kb, history)
    assert ingest(kb, history) == Report(SGLANG, walked=COMMITS, known=COMMITS)
    assert differences(kb, clean[0], batches=True) == []


def test_a_later_run_reads_only_what_is_new(history, clean, kb):
    first = ingest(kb, history, rev="main~5")
    second = ingest(kb, history)
    assert (first.walked, first.cards, first.unnumbered) == (22, 19, 2)
    assert (second.walked, second.known, second.cards, second.files) == (COMMITS, 22, 4, 4)
    assert differences(kb, clean[0]) == []


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 5},
        {"limit": 12},
        {"since": "2025-01-01T13:00:00Z"},
        {"since": "2025-01-01T20:00:00Z", "limit": 2},
    ],
)
def test_a_full_run_fills_in_what_a_slice_left_out(history, clean, kb, options):
    first = ingest(kb, history, **options)
    assert 0 < first.cards < CARDS
    second = ingest(kb, history)
    assert first.cards + second.cards == CARDS
    assert differences(kb, clean[0]) == []


def test_a_limit_takes_the_newest(history, kb):
    report = ingest(kb, history, limit=4)
    numbers = Store.open(str(kb)).scan("cards", ["number"])["number"].to_pylist()
    assert (sorted(numbers), report.unnumbered) == ([120, 121, 122, 18856], 1)


def test_a_day_takes_what_came_after_it(history, kb):
    ingest(kb, history, since="2025-01-01T23:00:00Z")
    numbers = Store.open(str(kb)).scan("cards", ["number"])["number"].to_pylist()
    assert sorted(numbers) == [121, 122, 18856]


@pytest.mark.parametrize("at", [0, 100, 255, 256, 257, 300, 511, 512, 600, 623])
def test_a_run_that_was_broken_off_goes_on_to_the_same_tables(long_history, long_clean, kb, at):
    with pytest.raises(Broken):
        break_off(kb, long_history, at)
    report = ingest(kb, long_history)
    assert report.known == max(0, at - 1) // 256 * 256  # whole batches that were written
    assert differences(kb, long_clean, batches=True) == []


def test_a_slice_that_was_broken_off_goes_on_to_the_same_tables(long_history, kb, tmp_path):
    ingest(tmp_path / "whole", long_history, limit=300)
    with pytest.raises(Broken):
        break_off(kb, long_history, 280, limit=300)
    ingest(kb, long_history, limit=300)
    assert differences(kb, tmp_path / "whole", batches=True) == []


class Broken(Exception):
    """Somebody pressed a key."""


def break_off(uri: Path, history: Path, at: int, **options: object) -> None:
    def progress(done: int, total: int) -> None:
        if done >= at:
            raise Broken

    with open_repository(history) as repository, create(uri) as store:
        build(store, repository, Options(SGLANG, workers=1, **options), progress)


@pytest.fixture(scope="module")
def long_history(tmp_path_factory) -> Path:
    """A history that takes three batches."""
    return small_history.write(tmp_path_factory.mktemp("long") / "repo.git", fillers=600)


@pytest.fixture(scope="module")
def long_clean(tmp_path_factory, long_history) -> Path:
    uri = tmp_path_factory.mktemp("long") / "kb"
    report = ingest(uri, long_history)
    assert (report.cards, report.out_of_sequence[:3]) == (623, [101, 102, 103])
    return uri


def test_rows_that_a_killed_run_left_are_taken_out(history, clean, kb):
    ingest(kb, history, rev="main~5")
    with create(kb) as store:
        for name in ("chunks", "links", "vectors", "cards"):
            rows = tables(clean[0])[name]
            last = rows.slice(rows.num_rows - 2)
            at = last.schema.get_field_index("batch")
            store.append(name, last.set_column(at, last.schema.field(at), pa.array([2, 2], pa.int64())))
    assert ingest(kb, history).discarded == 8
    assert differences(kb, clean[0]) == []


@pytest.mark.parametrize("name", ["cards", "chunks", "commits", "links", "postings", "meta"])
def test_a_store_that_was_killed_while_it_was_made_is_made_again(history, clean, kb, name):
    # LanceDB makes a table's folder before the manifest that makes it a table
    (kb / f"{name}.lance" / "_transactions").mkdir(parents=True)
    ingest(kb, history)
    assert differences(kb, clean[0]) == []


def test_a_table_of_vectors_that_was_killed_while_it_was_made_is_made_again(history, clean, kb):
    create(kb).close()
    (kb / "vectors.lance" / "_transactions").mkdir(parents=True)
    ingest(kb, history)
    assert differences(kb, clean[0]) == []


# several histories --------------------------------------------------------------------------------


def test_two_repositories_with_the_same_numbers_stay_apart(history, clean, kb, tmp_path):
    other = small_history.write(tmp_path / "other.git", small_history.OTHER)
    ingest(kb, history)
    report = ingest(kb, other, VLLM)
    assert (report.walked, report.known, report.cards, report.duplicates) == (3, 0, 3, [])
    store = Store.open(str(kb))
    assert store.cards_of_number(103) == [f"{SGLANG}#103", f"{VLLM}#103"]
    assert store.cards_of_number(103, VLLM) == [f"{VLLM}#103"]
    assert store.count("cards", Filter(repos=(VLLM,))) == 3
    assert card(kb, 104, VLLM).title == "[Bugfix] Block pool counts"
    ours = kill_resume.differences(
        {
            n: t.filter(pa.compute.field("repo") == SGLANG)
            for n, t in tables(kb).items()
            if "repo" in t.column_names
        },
        {n: t for n, t in tables(clean[0]).items() if "repo" in t.column_names},
    )
    assert ours == []


@pytest.fixture
def forked(make_repo):
    """Two branches that use number 5: `old` at the second hour, `young` at the third."""
    repo = make_repo("forked")
    repo.commit("Base (#1)", {"a.py": b"a = 1\n"})
    repo.git("branch", "young")
    repo.commit("The older use (#5)", {"old.py": b"def older():\n    pass\n"})
    repo.git("checkout", "--quiet", "young")
    repo.commit("The younger use (#5)", {"young.py": b"def younger():\n    pass\n"})
    repo.git("checkout", "--quiet", "main")
    return repo.path


def test_the_first_merged_takes_a_number_over_whatever_came_first_into_the_store(forked, kb, tmp_path):
    first = ingest(kb, forked, rev="young")
    assert (first.cards, card(kb, 5).title) == (2, "The younger use")
    second = ingest(kb, forked, rev="main")
    assert (second.cards, second.duplicates) == (1, [])
    assert card(kb, 5).title == "The older use"
    ingest(tmp_path / "other", forked, rev="main")
    third = ingest(tmp_path / "other", forked, rev="young")
    assert (third.cards, [d.number for d in third.duplicates]) == (0, [5])
    assert differences(kb, tmp_path / "other") == []
    assert ingest(kb, forked, rev="young").known == 2
    assert differences(kb, tmp_path / "other") == []


# losses -------------------------------------------------------------------------------------------


def test_a_missing_object_costs_one_pull_request_its_diff(make_repo, kb):
    repo = make_repo("damaged")
    shas = [
        repo.commit(f"Change {i} (#{i})", {f"f{i}.py": b"def f():\n    return %d\n" % i}) for i in range(1, 5)
    ]
    blob = repo.blob(f"{shas[1]}:f2.py")
    repo.object_file(blob).unlink()
    report = ingest(kb, repo.path)
    assert (report.cards, [(p.number, p.sha) for p in report.problems]) == (4, [(2, shas[1])])
    assert blob in report.problems[0].what
    assert card(kb, 2).coverage == Coverage(state="missing", files_total=1)
    assert [f.path for f in card(kb, 2).files] == ["f2.py"]
    assert [card(kb, n).coverage.state for n in (1, 3, 4)] == ["complete"] * 3
    ledger = {r["sha"]: r["problem"] for r in tables(kb)["commits"].to_pylist()}
    assert [bool(ledger[s]) for s in shas] == [False, True, False, False]
    assert ingest(kb, repo.path).problems == []


def test_a_history_without_numbers_makes_a_store_without_cards(make_repo, kb):
    repo = make_repo("plain")
    repo.commit("no number", {"a": b"1\n"})
    report = ingest(kb, repo.path)
    assert (report.cards, report.unnumbered) == (0, 1)
    store = Store.open(str(kb))
    assert (store.count("cards"), store.is_finished()) == (0, True)


# embedded cards -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def starter_kb(tmp_path_factory) -> Path:
    uri = tmp_path_factory.mktemp("starter") / "kb"
    assert embed(uri) == Added(len(load_starter_cards()), 0, 0)
    return uri


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def test_embedded_cards_come_once(starter_kb, kb):
    copy(starter_kb, kb)
    assert embed(kb) == Added(0, 0, len(load_starter_cards()))
    assert differences(kb, starter_kb, batches=True) == []
    assert Store.open(str(kb)).is_finished()


def test_a_history_that_is_read_later_keeps_the_prose_and_brings_the_facts(
    starter_kb, clean, history, kb, shas
):
    ingest(copy(starter_kb, kb), history)
    found, written, read = card(kb, 18856), card(starter_kb, 18856), card(clean[0], 18856)
    assert found == msgspec.structs.replace(
        read, status="reviewed", claims=written.claims, written_by=written.written_by, numbers=written.numbers, anchors=written.anchors,
        families=tuple(sorted({*read.families, *written.families})), links=(*read.links, *written.links), sources=written.sources,
    )  # fmt: skip
    assert (found.origin, found.sha) == ("git", shas[25])
    store = Store.open(str(kb))
    assert store.count("cards") == len(load_starter_cards()) + CARDS - 1
    assert store.ids_of_origin("starter") == [
        i for i in store.ids_of_origin("starter") if i != f"{SGLANG}#18856"
    ]
    assert len(store.ids_of_origin("starter")) == len(load_starter_cards()) - 1


def test_prose_outlives_a_run_that_was_killed_between_taking_the_card_out_and_putting_it_back(
    starter_kb, history, kb, tmp_path
):
    ingest(copy(starter_kb, tmp_path / "whole"), history)
    copy(starter_kb, kb)
    with create(kb) as store:
        store.remove_cards([f"{SGLANG}#18856"])
    ingest(kb, history)
    assert differences(kb, tmp_path / "whole", batches=True) == []


def test_embedded_cards_that_were_killed_halfway_are_completed(starter_kb, kb):
    copy(starter_kb, kb)
    lancedb.connect(kb).open_table("cards").delete("true")  # links and vectors were written, cards were not
    assert embed(kb) == Added(len(load_starter_cards()), 0, 0)
    assert differences(kb, starter_kb, batches=True) == []


def test_the_order_of_embedded_cards_and_history_makes_no_difference(starter_kb, history, kb, tmp_path):
    ingest(copy(starter_kb, tmp_path / "whole"), history)
    ingest(kb, history)
    assert embed(kb) == Added(len(load_starter_cards()) - 1, 1, 0)
    assert differences(kb, tmp_path / "whole") == []


# families -----------------------------------------------------------------------------------------


def test_a_changed_table_of_families_tags_all_cards_anew(history, clean, kb, tmp_path):
    ingest(kb, history)
    table = tmp_path / "families.yaml"
    table.write_text(
        "families: [{slug: radix, name: Radix, aliases: [no-title-has-this], paths: ['**/mem_cache/**']}]"
    )
    with create(kb) as store:
        assert retag(store, load_families(table)) == 10
    assert card(kb, 104).families == ("radix",)
    assert card(kb, 101).families == ()
    assert Store.open(str(kb)).count("cards", Filter(families=("radix",))) == 5
    report = ingest(kb, history)  # the table is the shipped one again
    assert (report.retagged, report.cards) == (10, 0)
    assert differences(kb, clean[0], batches=True) == []
    assert Store.open(str(kb)).is_finished()


def test_tags_stay_as_they_are_when_cards_are_tagged_anew_by_the_same_table(kb, tmp_path):
    # a diff of more words than its card keeps, an architecture's name among the last
    files = {f"part_{i}.py": "".join(f"name_{i}x{j} = {j}\n" for j in range(590)) for i in range(14)}
    files["zz_last.py"] = "architectures = ['MossVLForConditionalGeneration']\n"
    ingest(kb, small_history.write(tmp_path / "wide.git", [("Many names (#1)", files)]))
    before = card(kb, 1).families
    with create(kb) as store:
        store.set_meta({"families": "older"})
        retag(store, load_families())
    assert card(kb, 1).families == before


# encoders -----------------------------------------------------------------------------------------


def test_a_store_can_do_without_vectors(history, kb):
    ingest(kb, history, encoder="none")
    store = Store.open(str(kb))
    assert (store.has_vectors(), store.meta()["encoder"], store.is_finished()) == (False, "none", True)
    assert ingest(kb, history).known == COMMITS


def test_a_store_keeps_its_encoder(history, clean):
    with pytest.raises(
        StoreError,
        match=r"was built with encoder 'static': leave --encoder out, or ingest into a new --kb with 'none'$",
    ):
        ingest(clean[0], history, encoder="none")


def test_an_encoder_that_can_not_be_had_is_named(history, kb):
    with pytest.raises(EncoderError, match=r"no-such-model"):
        ingest(kb, history, encoder="no-such-model-anywhere")


# opening ------------------------------------------------------------------------------------------


def refused(make) -> str:
    with pytest.raises(StoreError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_not_there_is_no_store(tmp_path):
    said = refused(lambda: Store.open(str(tmp_path / "none")))
    assert (
        said
        == f"no knowledge base at {tmp_path / 'none'}: fill one with `prlore ingest git`, or name it with --kb or PRLORE_KB"
    )
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("x")
    for make in (Store.open, lambda uri: Store.create(uri, {})):
        assert refused(lambda make=make: make(str(tmp_path / "file"))).endswith(
            "is a file, a knowledge base is a folder: name another with --kb"
        )


def test_an_empty_folder_is_no_store_until_one_is_made(tmp_path):
    assert "holds no knowledge base" in refused(lambda: Store.open(str(tmp_path)))
    with create(tmp_path) as store:
        assert store.count("cards") == 0
    assert Store.open(str(tmp_path)).count("cards") == 0


@pytest.mark.parametrize("name", ["books", "cards", "meta"])
def test_a_foreign_database_is_refused_and_left_alone(tmp_path, name):
    lancedb.connect(tmp_path).create_table(name, [{"title": "x"}])
    refused(lambda: Store.open(str(tmp_path)))
    refused(lambda: create(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.lance"]


def test_an_older_store_is_refused(clean, kb):
    copy(clean[0], kb)
    with create(kb) as store:
        store.set_meta({"schema": "0"})
    for make in (lambda: Store.open(str(kb)), lambda: create(kb)):
        assert refused(make) == (
            f"{kb} has store schema 0, this prlore reads {STORE_SCHEMA}: ingest into a new --kb, or use the prlore that wrote it"
        )


@pytest.mark.parametrize("name", ["cards", "chunks", "commits", "links", "postings"])
def test_a_store_that_lacks_a_table_is_refused(clean, kb, name):
    copy(clean[0], kb)
    shutil.rmtree(kb / f"{name}.lance")
    assert f"{kb} lacks its table {name!r}" in refused(lambda: Store.open(str(kb)).count(name))


def test_two_processes_do_not_write_at_once(kb):
    with create(kb):
        assert refused(lambda: create(kb)) == f"another prlore is writing to {kb}: wait for it to end"
        assert Store.open(str(kb)).count("cards") == 0
    create(kb).close()


@pytest.mark.parametrize("uri", ["nonsense://x", "db://x"])
def test_an_address_that_lancedb_does_not_take_is_refused(uri):
    refused(lambda: Store.open(uri))
