"""Source trees from git, from the cards, and the clone that is remembered; `prlore where` over them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bench import small_history

from ingest.errors import RepositoryError
from ingest.git import open_repository
from ingest.trees import Place
from kb.build import Options, build
from kb.filters import Filter
from kb.store import Store
from kb.trees.cards import CardTree
from kb.trees.choose import NoTree, choose_tree
from kb.trees.git import open_git_tree
from kb.trees.held_cards import HeldCardTree
from kb.trees.remembered import remember_checkout, remembered_checkout, remembered_file
from loop.cli import main

REPO = "sgl-project/sglang"
S = "python/sglang/srt"


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    return small_history.write(tmp_path_factory.mktemp("trees") / "sglang.git")


@pytest.fixture(scope="module")
def kb(history) -> str:
    uri = str(history.parent / "kb")
    with open_repository(history) as repository, Store.create(uri, {"created_by": "tests"}) as store:
        build(store, repository, Options(REPO, workers=1, encoder="none"), lambda done, total: None)
    return uri


@pytest.fixture(autouse=True)
def _a_state_folder_of_its_own(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.startswith("PRLORE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def where(capsys):
    """Runs `prlore where`: (exit status, stdout, stderr)."""

    def run(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["where", *args])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


# the cards' tree ----------------------------------------------------------------------------------


def test_the_cards_leave_the_tree_that_git_has_but_for_commits_without_a_number(kb, history):
    cards = CardTree(Store.open(kb), REPO)
    with open_git_tree(REPO, history, "HEAD") as git:
        assert set(git.paths) - set(cards.paths) == {"README.md", "fork.txt"}
        assert set(cards.paths) <= set(git.paths)
    assert cards.authority == "cards"
    assert "no checkout was read" in cards.says
    assert cards.day == "2025-01-02"


def test_the_cards_follow_a_rename_and_know_a_removal(kb):
    tree = CardTree(Store.open(kb), REPO)
    moved = tree.fate(f"{S}/layers/rotary_gather.py")
    assert (moved.kind, moved.to) == ("moved", (f"{S}/layers/rotary/gather.py",))
    assert moved.subject == "Move the rotary gather to its own folder (#111)"
    gone = tree.fate(f"{S}/sampling/old_sampler.py")
    assert (gone.kind, gone.to, gone.subject) == ("removed", (), "Remove the old sampler (#118)")
    assert tree.fate("never/was.py").kind == "unknown"


def test_the_cards_know_files_of_names_but_no_lines(kb):
    tree = CardTree(Store.open(kb), REPO)
    assert tree.definitions(["HiRadixCache", "none_such"]) == [
        Place("HiRadixCache", f"{S}/mem_cache/hiradix_cache.py", 0)
    ]
    assert tree.definitions(["HiRadixCache"], ["docs"]) == []
    assert tree.definitions([]) == []


def test_cards_held_in_memory_say_the_same(kb):
    store = Store.open(kb)
    for until in ("", "2025-01-01T08:30:00Z"):
        asked, held = CardTree(store, REPO, until), HeldCardTree(store, REPO, until)
        cards = asked._cards(Filter(repos=(REPO,)))
        names = sorted({s.name.replace("::", ".").rpartition(".")[2] for c in cards for s in c.symbols})
        assert len(names) > 10
        assert held.definitions([*names, "none_such"]) == asked.definitions([*names, "none_such"])
        for name in names:
            assert held.definitions([name], ["python"]) == asked.definitions([name], ["python"])
        paths = {p for c in cards for p in c.paths()}
        for path in sorted(paths | {p.rpartition("/")[0] for p in paths} | {"never/was.py"}):
            assert held.fate(path) == asked.fate(path), path


def test_the_cards_of_an_earlier_day(kb):
    early = CardTree(Store.open(kb), REPO, until="2025-01-01T08:30:00Z")
    assert early.has(f"{S}/mem_cache/hiradix_cache.py")
    assert not early.has(f"{S}/layers/rotary/gather.py")


# which tree ---------------------------------------------------------------------------------------


def no_store() -> Store:
    raise AssertionError("a clone needs no store")


def test_a_named_clone_is_read_and_remembered(history):
    with choose_tree(REPO, history, "HEAD~1", no_store) as tree:
        assert tree.authority == "git"
    assert remembered_checkout(REPO) == history.resolve()
    with choose_tree(REPO, None, "", no_store) as again:
        assert again.says.startswith(f"{REPO} at ")


def test_the_indexed_commit_is_read_when_the_clone_has_it(history):
    with open_repository(history) as repository:
        second = repository.resolve("HEAD~1")
    with choose_tree(REPO, history, "", no_store, second) as tree:
        assert tree.revision == second
    with choose_tree(REPO, history, "", no_store, "0" * 40) as tree:
        assert tree.revision != second


def test_without_a_clone_the_cards_tell(kb):
    with choose_tree(REPO, None, "", lambda: Store.open(kb)) as tree:
        assert tree.authority == "cards"
    with pytest.raises(NoTree, match="--rev v1 needs a clone"), choose_tree(REPO, None, "v1", no_store):
        pass
    with pytest.raises(NoTree, match="no card of it"), choose_tree("o/n", None, "", lambda: Store.open(kb)):
        pass


def test_a_clone_that_has_gone_is_forgotten_and_a_spoilt_note_is_no_error(tmp_path):
    (tmp_path / "clone").mkdir()
    remember_checkout(REPO, tmp_path / "clone")
    assert remembered_checkout(REPO) == (tmp_path / "clone").resolve()
    (tmp_path / "clone").rmdir()
    assert remembered_checkout(REPO) is None
    remembered_file().write_bytes(b"{not json")
    assert remembered_checkout(REPO) is None


def test_a_state_folder_that_can_not_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    remember_checkout(REPO, tmp_path)
    assert remembered_checkout(REPO) is None


def test_no_repository_is_said(tmp_path):
    with pytest.raises(RepositoryError), choose_tree(REPO, tmp_path, "", no_store):
        pass


# the command --------------------------------------------------------------------------------------


def test_where_answers_from_a_clone_and_then_from_the_remembered_one(where, history):
    status, out, err = where("hierarchical cache", "--checkout", str(history))
    assert (status, err) == (0, "")
    assert f"{S}/mem_cache/hiradix_cache.py: HiRadixCache:10" in out
    assert where("hierarchical cache")[1] == out


def test_where_answers_from_the_cards(where, kb):
    status, out, _ = where("hierarchical cache", "--kb", kb, "--format", "json")
    answer = json.loads(out)
    assert status == 0
    assert "no checkout was read" in answer["tree"]
    assert answer["topics"][0]["anchors"][0]["places"][0]["names"][0]["line"] is None


def test_where_shows_a_moved_path(where, history):
    out = where(f"{S}/layers/rotary_gather.py", "--checkout", str(history), "--format", "md")[1]
    assert "moved to" in out
    assert "\\#111" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "nothing to look for"),
        (("zebra crossing",), "nothing for 'zebra crossing'"),
        (("scheduler", "--rev", "nowhere"), "no commit named 'nowhere'"),
        (("scheduler", "--engine", "tgi"), "Invalid value"),
        (("x", "--checkout", "/nowhere"), "is no git repository"),
    ],
)
def test_what_can_not_be_answered_is_one_line(where, history, args, said):
    remember_checkout(REPO, history)
    status, out, err = where(*args)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_where_lists_its_topics(where):
    assert "attention-registry" in where("--list", "--engine", "vllm")[1]


def test_where_without_clone_and_store_names_both_remedies(where):
    _, _, err = where("scheduler")
    assert "--checkout" in err
    assert "prlore ingest git" in err
