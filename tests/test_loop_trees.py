"""Trees of candidates: exact patches, deterministic commits, three-way merges, and folders that agents leave."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ingest.errors import RepositoryError
from loop.trees import merges, patches, untrusted
from loop.trees.campaign import BEST, CampaignTrees
from loop.trees.store import SYMLINK, DoesNotApply, Entry, RefMoved, TreeError

LINES = [b"line %d\n" % n for n in range(40)]


def changed(*numbers: int, word: bytes = b"changed") -> bytes:
    return b"".join(word + b" %d\n" % n if n in numbers else line for n, line in enumerate(LINES))


@pytest.fixture
def engine(repo):
    repo.commit(
        "Start", {"pkg/a.py": b"".join(LINES), "pkg/b.py": b"b = 1\n", ".gitignore": b"*.pyc\nbuild/\n"}
    )
    return repo


@pytest.fixture
def trees(tmp_path):
    return CampaignTrees(tmp_path / "trees")


def test_a_patch_applies_exactly_and_gives_the_same_commit_anywhere(engine, trees, tmp_path):
    base = engine.head()
    after = engine.commit("Change", {"pkg/a.py": changed(3), "pkg/new.py": b"x\r\n"})
    old, new = trees.resolve(str(engine.path), base), trees.resolve(str(engine.path), after)
    diff = trees.diff(old, new)
    candidate = trees.apply(old, diff)
    assert candidate.tree == new.tree
    again = CampaignTrees(tmp_path / "elsewhere").apply(old, diff)
    assert again == candidate
    assert trees.read(candidate, "pkg/new.py") == b"x\r\n"
    assert trees.read(candidate, "pkg") is None
    assert [(c.path, c.kind) for c in trees.changes(old, candidate)] == [
        ("pkg/a.py", "modified"),
        ("pkg/new.py", "added"),
    ]
    with pytest.raises(DoesNotApply):
        trees.apply(new, diff)
    with pytest.raises(DoesNotApply):
        trees.apply(old, b"no patch")
    assert trees.apply(old, b"").tree == old.tree


def test_the_id_of_a_change_survives_other_lines(engine, trees):
    base = trees.resolve(str(engine.path), engine.head())
    change = trees.resolve(str(engine.path), engine.commit("Change", {"pkg/a.py": changed(20)}))
    engine.git("reset", "--quiet", "--hard", base.commit)
    moved = trees.resolve(
        str(engine.path), engine.commit("More above", {"pkg/a.py": b"above\n" * 3 + b"".join(LINES)})
    )
    both = trees.resolve(
        str(engine.path), engine.commit("The same", {"pkg/a.py": b"above\n" * 3 + changed(20)})
    )
    first, second = trees.diff(base, change), trees.diff(moved, both)
    assert first != second
    assert trees.patch_id(base, first) == trees.patch_id(moved, second) != ""
    assert trees.patch_id(base, b"") == ""


@pytest.mark.parametrize("path", ["../out.py", ".git/config", ".GIT/hooks/post-checkout", "/etc/x"])
def test_a_patch_can_not_leave_the_tree(engine, trees, path):
    base = trees.resolve(str(engine.path), engine.head())
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(DoesNotApply):
        trees.apply(base, patch.encode())


def test_a_merge_brings_a_change_onto_another_tree(engine, trees):
    base = engine.head()
    theirs = engine.commit("Theirs", {"pkg/a.py": changed(5)})
    engine.git("reset", "--quiet", "--hard", base)
    ours = engine.commit("Ours", {"pkg/a.py": changed(30), "pkg/b.py": b"b = 2\n"})
    engine.git("reset", "--quiet", "--hard", base)
    rival = engine.commit("Rival", {"pkg/a.py": changed(5, word=b"rival"), "pkg/b.py": None})
    store = trees.store(str(engine.path))
    clean = merges.three_way(store, base, ours, theirs)
    assert clean.is_clean
    assert store.read(clean.tree, "pkg/a.py") == b"".join(
        b"changed %d\n" % n if n in (5, 30) else line for n, line in enumerate(LINES)
    )
    conflict = merges.three_way(store, base, ours, rival)
    assert [c.path for c in conflict.conflicts] == ["pkg/b.py"]
    assert (conflict.conflicts[0].ours, conflict.conflicts[0].theirs) == (b"b = 2\n", None)
    (one,) = merges.three_way(store, base, rival, theirs).conflicts
    assert (one.path, one.base) == ("pkg/a.py", b"".join(LINES))


def test_files_are_set_and_removed_without_a_work_tree(engine, trees):
    store = trees.store(str(engine.path))
    base = store.tree_of(engine.head())
    tree = store.with_contents(base, {"pkg/a.py": b"short\n", "pkg/deep/c.py": b"c\n", "pkg/b.py": None})
    assert {p: e.mode for p, e in store.entries(tree).items()} == {
        ".gitignore": "100644",
        "pkg/a.py": "100644",
        "pkg/deep/c.py": "100644",
    }
    assert list(store.entries(tree, ["pkg/deep"])) == ["pkg/deep/c.py"]
    with pytest.raises(TreeError):
        store.with_entries(base, {"../x": Entry("100644", store.entries(base)["pkg/b.py"].blob)})


def test_best_is_advanced_once_and_a_moved_ref_is_noticed(engine, trees):
    base = trees.resolve(str(engine.path), engine.head())
    other = trees.apply(
        base,
        trees.diff(
            base, trees.place(base, trees.store(base.repository).with_contents(base.tree, {"x": b"1"}))
        ),
    )
    trees.advance(base)
    trees.advance(base)
    store = trees.store(base.repository)
    assert store.ref(BEST) == base.commit
    with pytest.raises(RefMoved):
        store.set_ref(BEST, other.commit, None)
    trees.advance(other)
    assert store.ref(BEST) == other.commit
    assert engine.git("for-each-ref", "refs/heads/best") == b""  # the user's repository is not written to


def test_names_that_are_not_there_are_one_line(trees, engine, tmp_path):
    with pytest.raises(RepositoryError):
        trees.resolve(str(engine.path), "nowhere")
    with pytest.raises(RepositoryError):
        trees.resolve(str(tmp_path / "none"), "HEAD")
    with pytest.raises(TreeError):
        trees.store(str(engine.path)).tree_of("--help")


# folders of agents ---------------------------------------------------------------------------------------------------


@pytest.fixture
def left(engine, trees, tmp_path):
    """A clone as an agent gets it: (store, tree, folder)."""
    store = trees.store(str(engine.path))
    tree = store.tree_of(engine.head())
    untrusted.clone(store, tree, tmp_path / "clone")
    return store, tree, tmp_path / "clone"


def test_a_clone_holds_one_commit_and_nothing_that_came_later(left, engine):
    store, tree, folder = left
    later = engine.commit("Later", {"pkg/later.py": b"secret\n"})
    git = ["git", "-C", str(folder)]
    assert (
        subprocess.run([*git, "rev-list", "--all", "--count"], capture_output=True, check=True).stdout
        == b"1\n"
    )
    assert subprocess.run([*git, "remote"], capture_output=True, check=True).stdout == b""
    assert subprocess.run([*git, "cat-file", "-e", later], capture_output=True, check=False).returncode != 0
    assert subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout == b""
    assert untrusted.snapshot(store, tree, folder) == untrusted.Snapshot(tree, (), 0)


def test_a_snapshot_reads_what_was_changed_and_ignores_by_the_rules_of_the_base(left):
    store, tree, folder = left
    (folder / "pkg/a.py").write_bytes(changed(7))
    (folder / "pkg/b.py").unlink()
    (folder / "pkg/x.pyc").write_bytes(b"\0")
    (folder / ".gitignore").write_bytes(b"pkg/new.py\n")
    (folder / "pkg/new.py").write_bytes(b"new\n")
    (folder / "pkg/run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "pkg/run.sh").chmod(0o755)
    taken = untrusted.snapshot(store, tree, folder)
    assert {(c.path, c.kind, c.new_mode) for c in patches.changes(store, tree, taken.tree)} == {
        (".gitignore", "modified", "100644"),
        ("pkg/a.py", "modified", "100644"),
        ("pkg/b.py", "deleted", "000000"),
        ("pkg/new.py", "added", "100644"),
        ("pkg/run.sh", "added", "100755"),
    }
    assert taken.ignored == 1


def test_nothing_in_the_folder_is_run_or_followed(left, tmp_path):
    """The escapes that work on a driver which calls git inside: fsmonitor, hooks, filters, links, nested repositories."""
    store, tree, folder = left
    proof = tmp_path / "escaped"
    command = f"touch {proof}"
    git = ["git", "-C", str(folder)]
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.smudge",
        "diff.external",
        "diff.x.textconv",
        "core.sshCommand",
        "core.pager",
    ):
        subprocess.run([*git, "config", key, command], check=True)
    subprocess.run([*git, "config", "core.worktree", str(tmp_path)], check=True)
    (folder / ".gitattributes").write_bytes(b"* filter=x diff=x\n*.py text eol=crlf ident\n")
    (folder / ".git/info/attributes").write_bytes(b"* filter=x\n")
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        path = folder / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)
    (folder / "pkg/a.py").write_bytes(b"$Id$\r\nx\n")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    (folder / "pkg/inner").mkdir()
    subprocess.run(["git", "init", "--quiet", str(folder / "pkg/inner")], check=True)
    (folder / "pkg/inner/y.py").write_bytes(b"y\n")
    taken = untrusted.snapshot(store, tree, folder)
    held = store.entries(taken.tree)
    assert not proof.exists()
    assert store.read(taken.tree, "pkg/a.py") == b"$Id$\r\nx\n"
    assert held["link"].mode == held["folder"].mode == SYMLINK
    assert store.blob(held["link"].blob) == b"/etc/passwd"
    assert not [p for p in held if p.startswith("folder/") or "/.git/" in p]
    assert "pkg/inner/y.py" in held
    assert sorted(taken.odd) == ["pipe: neither a file nor a link", "pkg/inner/.git: a repository within"]
    untrusted.checkout(store, taken.tree, tmp_path / "out")
    assert (tmp_path / "out/pkg/a.py").read_bytes() == b"$Id$\r\nx\n"
    assert not proof.exists()


def test_a_checkout_wants_a_folder_of_its_own(engine, trees, tmp_path):
    base = trees.resolve(str(engine.path), engine.head())
    assert trees.checkout(base, tmp_path / "co") == tmp_path / "co"
    assert not (tmp_path / "co/.git").exists()
    with pytest.raises(TreeError):
        trees.checkout(base, Path(tmp_path / "co"))
