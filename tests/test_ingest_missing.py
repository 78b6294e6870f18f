"""Histories with objects that are gone or damaged: the rest is read, the loss has a name."""

from __future__ import annotations

import shutil

import pytest

from ingest import logstream
from ingest.errors import GitFailed
from ingest.logstream import stream_commits


def build(repo, count: int = 8) -> list[str]:
    """Commits that each change `shared` and add a file of their own."""
    return [repo.commit(f"c{i}", {"shared": b"%d\n" % i, f"d/f{i}": b"own %d\n" % i}) for i in range(count)]


def seen(repo, shas: list[str]) -> list[tuple[bool, list[str], bool]]:
    """Per commit: whether it is whole, its paths, whether it has patches."""
    commits = repo.read(*shas)
    assert [c.sha for c in commits] == shas
    return [
        (c.problem is None, [f.entry.path for f in c.files], any(f.patch for f in c.files)) for c in commits
    ]


def whole(i: int) -> tuple[bool, list[str], bool]:
    return (True, [f"d/f{i}", "shared"], True)


def damaged(i: int) -> tuple[bool, list[str], bool]:
    return (False, [f"d/f{i}", "shared"], False)


@pytest.mark.parametrize("lost", [0, 3, 7])
def test_a_commit_that_lacks_a_file_keeps_its_paths_and_the_others_are_read(repo, lost):
    shas = build(repo)
    blob = repo.blob(f"{shas[lost]}:d/f{lost}")
    repo.object_file(blob).unlink()
    assert seen(repo, shas) == [damaged(i) if i == lost else whole(i) for i in range(8)]
    problem = repo.read(*shas)[lost].problem
    assert problem is not None
    assert blob in problem


def test_a_version_that_two_commits_need_is_missed_by_both(repo):
    shas = build(repo)
    repo.object_file(repo.blob(f"{shas[4]}:shared")).unlink()
    assert seen(repo, shas) == [damaged(i) if i in (4, 5) else whole(i) for i in range(8)]


@pytest.mark.parametrize("lost", [(0, 1, 2), (0, 7), (2, 3, 5, 6), (5, 6, 7), tuple(range(8))])
def test_several_commits_can_lack_files(repo, lost):
    shas = build(repo)
    for i in lost:
        repo.object_file(repo.blob(f"{shas[i]}:d/f{i}")).unlink()
    assert seen(repo, shas) == [damaged(i) if i in lost else whole(i) for i in range(8)]


def test_commits_asked_for_in_another_order_keep_that_order(repo):
    shas = build(repo)
    repo.object_file(repo.blob(f"{shas[2]}:d/f2")).unlink()
    asked = [shas[i] for i in (5, 2, 7, 0, 3)]
    assert [c.sha for c in repo.read(*asked)] == asked
    assert [c.problem is None for c in repo.read(*asked)] == [True, False, True, True, True]


def test_a_commit_that_lacks_a_tree_has_no_paths(repo):
    shas = build(repo)
    repo.object_file(repo.blob(f"{shas[3]}:d")).unlink()
    rows = seen(repo, shas)
    assert [rows[i] for i in (0, 1, 2, 5, 6, 7)] == [whole(i) for i in (0, 1, 2, 5, 6, 7)]
    assert rows[3] == (False, [], False)
    assert rows[4] == (False, [], False)


def test_a_commit_that_lacks_its_root_tree_has_no_paths(repo):
    shas = build(repo)
    repo.object_file(repo.blob(f"{shas[3]}^{{tree}}")).unlink()
    assert [row[0] for row in seen(repo, shas)] == [True, True, True, False, False, True, True, True]


@pytest.mark.parametrize("content", [b"", b"garbage", b"x\x9c" + b"\0" * 40])
def test_a_corrupt_object_costs_its_commit_only(repo, content):
    shas = build(repo)
    file = repo.object_file(repo.blob(f"{shas[3]}:d/f3"))
    file.chmod(0o644)
    file.write_bytes(content)
    assert seen(repo, shas) == [damaged(i) if i == 3 else whole(i) for i in range(8)]


def test_a_corrupt_tree_costs_the_commits_that_need_it(repo):
    shas = build(repo)
    file = repo.object_file(repo.blob(f"{shas[3]}:d"))
    file.chmod(0o644)
    file.write_bytes(b"garbage")
    rows = seen(repo, shas)
    assert [rows[i] for i in (0, 1, 2, 5, 6, 7)] == [whole(i) for i in (0, 1, 2, 5, 6, 7)]
    assert [rows[i] for i in (3, 4)] == [(False, [], False)] * 2


def test_a_truncated_object_costs_its_commit_only(repo):
    shas = build(repo)
    shas.append(repo.commit("big", {"big": b"".join(b"line %d\n" % i for i in range(4000))}))
    file = repo.object_file(repo.blob("HEAD:big"))
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    rows = seen(repo, shas)
    assert rows[:8] == [whole(i) for i in range(8)]
    assert rows[8] == (False, ["big"], False)


def test_many_corrupt_objects_cost_one_check_of_the_history(repo, monkeypatch):
    shas = build(repo)
    for i in (1, 2, 4, 6):
        file = repo.object_file(repo.blob(f"{shas[i]}:d/f{i}"))
        file.chmod(0o644)
        file.write_bytes(b"garbage")
    checks = []
    check = logstream._damaged
    monkeypatch.setattr(logstream, "_damaged", lambda *args: checks.append(args) or check(*args))
    assert seen(repo, shas) == [damaged(i) if i in (1, 2, 4, 6) else whole(i) for i in range(8)]
    assert len(checks) == 1


def test_corrupt_and_missing_objects_together_cost_their_commits_only(repo):
    shas = build(repo)
    for i in (1, 4, 5):
        repo.object_file(repo.blob(f"{shas[i]}:d/f{i}")).unlink()
    for i in (2, 6):
        file = repo.object_file(repo.blob(f"{shas[i]}:d/f{i}"))
        file.chmod(0o644)
        file.write_bytes(b"garbage")
    assert seen(repo, shas) == [whole(i) if i in (0, 3, 7) else damaged(i) for i in range(8)]


def test_a_clone_without_files_keeps_every_path_and_fetches_nothing(repo, make_repo):
    shas = build(repo, 5)
    repo.git("config", "uploadpack.allowFilter", "true")
    partial = make_repo("partial")
    shutil.rmtree(partial.path)
    repo.git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{repo.path}", str(partial.path))
    objects = sorted(p for p in partial.path.rglob("*") if p.is_file())
    assert seen(partial, shas) == [damaged(i) for i in range(5)]
    assert sorted(p for p in partial.path.rglob("*") if p.is_file()) == objects


def test_a_renamed_file_that_is_missing_keeps_both_paths(repo):
    repo.commit("add", {"old": b"".join(b"%d\n" % i for i in range(50))})
    sha = repo.commit("move", {"old": None, "new": b"".join(b"%d\n" % i for i in range(1, 51))})
    repo.object_file(repo.blob(f"{sha}:new")).unlink()
    assert seen(repo, [sha]) == [(False, ["new", "old"], False)]


def test_a_submodule_commit_need_not_be_there(repo):
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    shas = [repo.commit("submodule"), *build(repo, 3)]
    repo.object_file(repo.blob(f"{shas[2]}:d/f1")).unlink()
    assert [row[0] for row in seen(repo, shas)] == [True, True, False, True]


def test_a_clone_that_ends_early_does_not_show_its_oldest_commit_as_adding_everything(repo, make_repo):
    shas = build(repo, 6)
    shallow = make_repo("shallow")
    shutil.rmtree(shallow.path)
    repo.git("clone", "--quiet", "--bare", "--depth=3", f"file://{repo.path}", str(shallow.path))
    oldest, *newer = shallow.read(*shas[3:])
    assert [(c.problem, [f.entry.path for f in c.files]) for c in newer] == [
        (None, ["d/f4", "shared"]),
        (None, ["d/f5", "shared"]),
    ]
    assert oldest.problem is not None
    assert not any(f.patch for f in oldest.files)


@pytest.mark.parametrize("gone", [".git", ".git/objects"])
def test_a_repository_that_goes_away_is_raised(repo, gone):
    shas = build(repo, 3)
    with repo.open() as repository:
        shutil.rmtree(repo.path / gone)
        with pytest.raises(GitFailed):
            list(stream_commits(repository, shas))


def test_a_stream_that_is_closed_early_leaves_no_process(repo):
    import gc

    repo.commit("big", {f"f{i}": b"".join(b"%d\n" % j for j in range(40_000)) for i in range(6)})
    shas = [repo.head(), *build(repo, 2)]
    before = children()  # other tests leave multiprocessing's resource tracker
    with repo.open() as repository:
        stream = stream_commits(repository, shas)
        assert next(stream).sha == shas[0]
        stream.close()
        del stream
        gc.collect()
    assert children() == before


def children() -> list[str]:
    import os
    from pathlib import Path

    mine = str(os.getpid())
    stats = [p.read_text().rsplit(") ", 1)[1].split() for p in Path("/proc").glob("[0-9]*/stat")]
    return [s[0] for s in stats if s[1] == mine]
