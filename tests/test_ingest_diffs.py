"""Rows and hunks of real commits, against what git says when it is asked in another way."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.diffs import parse_hunks
from ingest.edits import Edit, apply_edits, edits_of, line_starts
from ingest.errors import DiffMismatch, GitFailed
from ingest.records import Hunk, RawEntry

NOISE = b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n"
NUMBERED = b"".join(b"line %d\n" % i for i in range(200))


def row(entry: RawEntry) -> tuple:
    blobs = (entry.old_mode, entry.new_mode, entry.old_blob, entry.new_blob)
    return (entry.status, entry.old_path, entry.path, *blobs, entry.added, entry.removed)


def checked(repo, sha: str) -> dict[str, tuple[Hunk, ...]]:
    """The hunks of a commit by path, after everything about them was held against git and the two versions."""
    (commit,) = repo.read(sha)
    assert (commit.sha, commit.problem) == (sha, None)
    assert [row(f.entry) for f in commit.files] == repo.rows(sha)
    result = {}
    for file in commit.files:
        entry = file.entry
        hunks = parse_hunks(file.patch, entry.added, entry.removed)
        counted = (sum(h.added for h in hunks), sum(h.removed for h in hunks))
        assert counted == (entry.added or 0, entry.removed or 0)
        for hunk in hunks:
            marks = [line[:1] for line in hunk.text.split("\n")[:-1]]
            assert (marks.count("+"), marks.count("-")) == (hunk.added, hunk.removed)
            assert hunk.old_lines == marks.count("-") + marks.count(" ")
            assert hunk.new_lines == marks.count("+") + marks.count(" ")
        submodule = "160000" in (entry.old_mode, entry.new_mode)
        if entry.added is not None and entry.status != "type-changed" and not submodule:
            old = b"" if entry.status == "added" else repo.bytes_of(entry.old_blob)
            new = b"" if entry.status == "deleted" else repo.bytes_of(entry.new_blob)
            assert apply_edits(old, line_starts(old), edits_of(file.patch)) == new
        result[entry.path] = hunks
    return result


def changes(repo, sha: str) -> list[tuple]:
    return [
        (f.entry.status, f.entry.old_path, f.entry.path, f.entry.added, f.entry.removed)
        for f in repo.read(sha)[0].files
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {"a.py": b"x\ny\n"}, [("added", "a.py", "a.py", 2, 0)], id="added"),
        pytest.param({"a.py": b"x\ny\n"}, {"a.py": None}, [("deleted", "a.py", "a.py", 0, 2)], id="deleted"),
        pytest.param({"a.py": b"x\ny\n"}, {"a.py": b"x\nz\nw\n"}, [("modified", "a.py", "a.py", 2, 1)], id="modified"),
        pytest.param({"a.py": NUMBERED}, {"a.py": None, "d/b.py": NUMBERED},
                     [("renamed", "a.py", "d/b.py", 0, 0)], id="renamed"),
        pytest.param({"a.py": NUMBERED}, {"a.py": None, "b.py": b"new\n" + NUMBERED},
                     [("renamed", "a.py", "b.py", 1, 0)], id="renamed and edited"),
        pytest.param({"a": NUMBERED}, {"a": NUMBERED.replace(b"line 7\n", b"").replace(b"line 150\n", b"x\ny\n")},
                     [("modified", "a", "a", 2, 2)], id="two hunks"),
        pytest.param({"a": NUMBERED, "b": NOISE}, {"a": NOISE, "b": NUMBERED},
                     [("modified", "a", "a", 8, 200), ("modified", "b", "b", 200, 8)], id="two files swapped"),
        pytest.param({"a": b"x\n"}, {"a": None, "a/b": b"y\n" * 9},
                     [("deleted", "a", "a", 0, 1), ("added", "a/b", "a/b", 9, 0)], id="file becomes folder"),
        pytest.param({}, {"a": b""}, [("added", "a", "a", 0, 0)], id="empty file added"),
        pytest.param({"a": b""}, {"a": None}, [("deleted", "a", "a", 0, 0)], id="empty file deleted"),
        pytest.param({"a": b""}, {"a": b"x\n"}, [("modified", "a", "a", 1, 0)], id="empty file filled"),
        pytest.param({"a": b"x\n"}, {"a": b""}, [("modified", "a", "a", 0, 1)], id="file emptied"),
        pytest.param({}, {"a": b"\0\1"}, [("added", "a", "a", None, None)], id="binary added"),
        pytest.param({"a": b"\0\1"}, {"a": b"\0\2"}, [("modified", "a", "a", None, None)], id="binary modified"),
        pytest.param({"a": b"\0\1"}, {"a": None}, [("deleted", "a", "a", None, None)], id="binary deleted"),
        pytest.param({"a": b"\0\1"}, {"a": b"text\n"}, [("modified", "a", "a", None, None)], id="binary becomes text"),
        pytest.param({"a": b"x" * 9000 + b"\n\0\n"}, {"a": b"x" * 9000 + b"\n\0\ny\0z\n"},
                     [("modified", "a", "a", 1, 0)], id="NUL behind the first 8000 bytes"),
        pytest.param({"a": b"x\n"}, {"a": b"x"}, [("modified", "a", "a", 1, 1)], id="last newline removed"),
        pytest.param({"a": b"x"}, {"a": b"x\n"}, [("modified", "a", "a", 1, 1)], id="last newline added"),
        pytest.param({"a": b"x\ny"}, {"a": b"x\nz"}, [("modified", "a", "a", 1, 1)], id="no last newline on both sides"),
        pytest.param({"a": b"x\ny"}, {"a": b"w\ny"}, [("modified", "a", "a", 1, 1)], id="no last newline in the context"),
        pytest.param({"a": b"x"}, {"a": b"x\ny"}, [("modified", "a", "a", 2, 1)], id="a line behind the open end"),
        pytest.param({}, {"a": b"x"}, [("added", "a", "a", 1, 0)], id="added without newline"),
        pytest.param({"a": b"x"}, {"a": None}, [("deleted", "a", "a", 0, 1)], id="deleted without newline"),
        pytest.param({"a": b"a\r\nb\r\n"}, {"a": b"a\nb\r\n"}, [("modified", "a", "a", 1, 1)], id="CRLF"),
        pytest.param({"a": b"a\rb\rc\n"}, {"a": b"a\rB\rc\n+\r-\r\n"}, [("modified", "a", "a", 2, 1)], id="lone CR"),
        pytest.param({"a": b"a\x0cb\x0bc\x1cd\n"}, {"a": b"a\x0c+b\x0b-c\x1d \x1ed\n"},
                     [("modified", "a", "a", 1, 1)], id="form feed and separators"),
        pytest.param({"a": "a\x85b\u2028c\u2029\n".encode()}, {"a": "a\x85+b\u2028-c\u2029\n\u2028+x\n".encode()},
                     [("modified", "a", "a", 2, 1)], id="NEL and line separators"),
        pytest.param({"a": "é\n".encode("latin-1")}, {"a": "é\n".encode()}, [("modified", "a", "a", 1, 1)], id="latin-1"),
        pytest.param({"a": "修复调度器\n".encode("gbk")}, {"a": "修复\n调度器\n".encode("gbk")},
                     [("modified", "a", "a", 2, 1)], id="GBK"),
        pytest.param({"a": b"\x85\n\xa0\n"}, {"a": b"\x85\n\xa0\x85\n"}, [("modified", "a", "a", 1, 1)], id="bare NEL bytes"),
        pytest.param({}, {"a": NOISE}, [("added", "a", "a", 8, 0)], id="a diff is added"),
        pytest.param({"a": NOISE}, {"a": None}, [("deleted", "a", "a", 0, 8)], id="a diff is deleted"),
        pytest.param({"a": NOISE * 3}, {"a": NOISE + b"@@ -1,9 +1,9 @@ def f():\n--- x\n+++ y\n" + NOISE},
                     [("modified", "a", "a", 3, 8)], id="a diff is modified"),
        pytest.param({"a": b"-- a/x\n++ b/x\n-- a/y\n"}, {"a": b"-- b\n"}, [("modified", "a", "a", 1, 3)], id="SQL comments"),
    ],
)  # fmt: skip
def test_a_change_is_read_as_git_counts_it(repo, before, after, expected):
    repo.commit("before", before)
    sha = repo.commit("after", after)
    checked(repo, sha)
    assert changes(repo, sha) == expected


@pytest.mark.parametrize(
    "path",
    [
        "with space.py", " leading", "trailing ", "x b/y.py", "a/x b/a/x", 'quo"te.py', "back\\slash.py", "tab\t.py",
        "new\nline.py", "\ndiff --git a/x b/x\n@@ -1 +1 @@\n", ":colon", "-dash", "a => b", "{a => b}/c", "\x01\x1b[31m",
        "修复/调度器.py", "e\u0301.py", "\u2028.py", b"caf\xe9.py", "调度器.py".encode("gbk"), b"\xff\xfe", "*?[x]",
    ],
)  # fmt: skip
def test_any_path_is_read(repo, path):
    one = repo.commit("add", {path: NUMBERED, "other": b"1\n"})
    two = repo.commit("edit", {path: b"new\n" + NUMBERED, "other": b"2\n"})
    three = repo.commit(
        "move", {path: None, b"moved/" + os.fsencode(path): b"newer\n" + NUMBERED, "other": None}
    )
    name = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
    for sha in (one, two, three):
        checked(repo, sha)
    assert ("added", name, name, 200, 0) in changes(repo, one)
    assert ("modified", name, name, 1, 0) in changes(repo, two)
    assert ("renamed", name, f"moved/{name}", 1, 1) in changes(repo, three)


def test_two_paths_that_read_alike_stay_two_files(repo):
    sha = repo.commit("add", {b"\xff.py": b"1\n", b"\xfe.py": b"1\n2\n"})
    checked(repo, sha)
    assert [c[3] for c in changes(repo, sha)] == [2, 1]


def test_a_mode_change_has_no_hunk(repo):
    repo.commit("add", {"run.sh": b"x\n"})
    (repo.path / "run.sh").chmod(0o755)
    sha = repo.commit("chmod", {"other": b"y\n"})
    assert checked(repo, sha)["run.sh"] == ()
    entry = next(f.entry for f in repo.read(sha)[0].files if f.entry.path == "run.sh")
    assert (entry.old_mode, entry.new_mode, entry.added, entry.removed) == ("100644", "100755", 0, 0)


def test_a_mode_change_with_an_edit_keeps_both(repo):
    repo.commit("add", {"run.sh": b"x\n"})
    (repo.path / "run.sh").chmod(0o755)
    sha = repo.commit("chmod", {"run.sh": b"y\n"})
    assert [h.text for h in checked(repo, sha)["run.sh"]] == ["-x\n+y\n"]


def link(repo, name: str, target: str) -> None:
    path = repo.path / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_a_symbolic_link_is_read_as_its_target(repo):
    link(repo, "l", "one")
    added = repo.commit("add", {"a": b"x\n"})
    link(repo, "l", "two")
    changed = repo.commit("change", {"a": b"y\n"})
    deleted = repo.commit("delete", {"l": None})
    assert [checked(repo, sha)["l"][0].text for sha in (added, changed, deleted)] == [
        "+one\n\\ No newline at end of file\n",
        "-one\n\\ No newline at end of file\n+two\n\\ No newline at end of file\n",
        "-two\n\\ No newline at end of file\n",
    ]


def test_a_file_that_becomes_a_link_keeps_both_sections(repo):
    repo.commit("add", {"a": b"0\n", "m": b"x\ny\n", "z": b"0\n"})
    link(repo, "m", "a")
    linked = repo.commit("link", {"a": b"1\n", "z": b"1\n"})
    hunks = checked(repo, linked)
    assert [h.text for h in hunks["m"]] == ["-x\n-y\n", "+a\n\\ No newline at end of file\n"]
    assert [h.text for h in hunks["z"]] == ["-0\n+1\n"]
    back = repo.commit("back", {"m": b"x\ny\n", "z": b"2\n"})
    assert [h.text for h in checked(repo, back)["m"]] == ["-a\n\\ No newline at end of file\n", "+x\n+y\n"]
    assert changes(repo, back) == [("type-changed", "m", "m", 2, 1), ("modified", "z", "z", 1, 1)]


def test_a_binary_file_that_becomes_a_link_has_no_hunk(repo):
    repo.commit("add", {"m": b"\0", "z": b"0\n"})
    link(repo, "m", "z")
    sha = repo.commit("link", {"z": b"1\n"})
    assert list(checked(repo, sha)) == ["m", "z"]


def test_a_submodule_is_read_as_its_commit(repo):
    def point(name: str) -> str:
        repo.git("update-index", "--add", "--cacheinfo", f"160000,{name},3rdparty/x")
        return repo.commit("point")

    repo.commit("start")
    first, second = point("1" * 40), point("2" * 40)
    repo.git("rm", "--quiet", "--cached", "3rdparty/x")
    gone = repo.commit("gone")
    texts = [[h.text for h in checked(repo, sha)["3rdparty/x"]] for sha in (first, second, gone)]
    one, two = "Subproject commit " + "1" * 40 + "\n", "Subproject commit " + "2" * 40 + "\n"
    assert texts == [["+" + one], ["-" + one + "+" + two], ["-" + two]]


def test_a_file_that_becomes_a_submodule_keeps_both_sections(repo):
    repo.commit("add", {"x": b"1\n"})
    repo.git("rm", "--quiet", "x")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    sha = repo.commit("submodule")
    assert [(h.added, h.removed) for h in checked(repo, sha)["x"]] == [(0, 1), (1, 0)]


def test_a_single_line_of_five_megabytes_is_read(repo):
    repo.commit("add", {"data": b"x" * 5_000_000})
    sha = repo.commit("change", {"data": b"x" * 5_000_000 + b"y"})
    (hunk,) = checked(repo, sha)["data"]
    open_end = "\n\\ No newline at end of file\n"
    assert hunk.text == f"-{'x' * 5_000_000}{open_end}+{'x' * 5_000_000}y{open_end}"


def test_many_commits_come_in_the_order_they_are_asked_for(repo):
    shas = [repo.commit(f"c{i}", {f"f{i}": b"%d\n" % i}) for i in range(12)]
    asked = [*shas[6:], *reversed(shas[:6])]
    assert [c.sha for c in repo.read(*asked)] == asked
    assert repo.read() == []


def test_the_root_commit_adds_everything(repo):
    sha = repo.commit("root", {"a": b"1\n", "b": b"2\n"})
    checked(repo, sha)
    assert changes(repo, sha) == [("added", "a", "a", 1, 0), ("added", "b", "b", 1, 0)]


def test_an_empty_commit_has_no_file(repo):
    first = repo.commit("root, empty as well")
    second = repo.commit("add", {"a": b"1\n"})
    third = repo.commit("empty")
    assert [len(c.files) for c in repo.read(first, second, third)] == [0, 1, 0]
    assert repo.read(third)[0].problem is None


def test_a_merge_is_read_against_its_first_parent(repo):
    repo.commit("base", {"a": NUMBERED})
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("side", {"a": NUMBERED + b"side\n", "s": b"1\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("main", {"a": b"main\n" + NUMBERED, "m": b"1\n"})
    sha = repo.merge("merge", "side")
    assert [h.text for h in checked(repo, sha)["a"]] == [" line 197\n line 198\n line 199\n+side\n"]
    assert changes(repo, sha) == [("modified", "a", "a", 1, 0), ("added", "s", "s", 1, 0)]


def test_a_merge_with_edits_of_its_own_has_no_combined_diff(repo):
    repo.commit("base", {"a": b"0\n"})
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("side", {"a": b"side\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("main", {"a": b"main\n"})
    repo.git("merge", "--quiet", "--no-ff", "--strategy=ours", "--no-commit", "side")
    sha = repo.commit("merge", {"a": b"both\n"})
    assert [h.text for h in checked(repo, sha)["a"]] == ["-main\n+both\n"]
    combined = repo.git("show", "--format=", "--cc", sha).lstrip(b"\n")
    assert combined.startswith(b"diff --cc a\n")
    with pytest.raises(DiffMismatch, match="combined diff"):
        parse_hunks(combined, 1, 1)


def test_a_repository_with_sha256_names_is_read(make_repo):
    repo = make_repo("sha256", "--object-format=sha256")
    repo.commit("add", {"a.py": b"def f():\n    return 1\n"})
    sha = repo.commit("change", {"a.py": b"def f():\n    return 2\n", "b": b"x\n"})
    checked(repo, sha)
    assert changes(repo, sha) == [("modified", "a.py", "a.py", 1, 1), ("added", "b", "b", 1, 0)]


def test_a_hunk_keeps_its_ranges_and_the_name_of_its_function(repo):
    body = b"".join(b"        x%d = %d\n" % (i, i) for i in range(12))
    repo.commit("add", {"a.py": b"class A:\n    async def f(self):\n" + body})
    sha = repo.commit(
        "change", {"a.py": b"class A:\n    async def f(self):\n" + body + b"        return 1\n"}
    )
    assert checked(repo, sha)["a.py"] == (
        Hunk(
            old_start=12, old_lines=3, new_start=12, new_lines=4, section="async def f(self):",
            text="         x9 = 9\n         x10 = 10\n         x11 = 11\n+        return 1\n", added=1, removed=0,
        ),
    )  # fmt: skip


def test_a_kernel_file_gets_the_section_names_of_the_cpp_driver(repo):
    body = b"".join(b"  x%d = %d;\n" % (i, i) for i in range(12))
    repo.commit("add", {"k.cu": b"__global__ void scale(float* x) {\n" + body + b"}\n"})
    sha = repo.commit("change", {"k.cu": b"__global__ void scale(float* x) {\n" + body + b"  y = 1;\n}\n"})
    assert [h.section for h in checked(repo, sha)["k.cu"]] == ["__global__ void scale(float* x) {"]


PATCH = b"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n x\n-y\n+z\n"


@pytest.mark.parametrize(
    ("patch", "added", "removed"),
    [
        (PATCH, 2, 1),
        (PATCH, 1, 0),
        (PATCH, 0, 0),
        (PATCH.split(b"@@")[0], 1, 0),
        (PATCH.removesuffix(b"+z\n"), 1, 1),
        (PATCH.replace(b"-1,2 +1,2", b"-1,3 +1,3"), 1, 1),
        (PATCH.replace(b" x\n", b"x\n"), 1, 1),
        (b"", 1, 1),
    ],
)
def test_a_patch_that_disagrees_with_numstat_is_refused(patch: bytes, added: int, removed: int):
    with pytest.raises(DiffMismatch):
        parse_hunks(patch, added, removed)


def test_a_patch_that_agrees_is_read():
    assert parse_hunks(PATCH, 1, 1) == (Hunk(1, 2, 1, 2, "", " x\n-y\n+z\n", 1, 1),)
    assert parse_hunks(b"", 0, 0) == parse_hunks(b"", None, None) == ()


@given(patch=st.one_of(st.binary(), st.lists(st.sampled_from(
    [b"@@ -1 +1 @@\n", b"@@ -1,2 +3,4 @@ f\n", b"@@ -", b"+a\n", b"-b\n", b" c\n", b"\\ No newline at end of file\n",
     b"\ndiff --git a b\n", b"diff --cc a\n", b"\n", b"--- a\n", b"+++ b\n", b"\x85", b"\r"]), max_size=10).map(b"".join)),
    added=st.one_of(st.none(), st.integers(0, 3)), removed=st.one_of(st.none(), st.integers(0, 3)))  # fmt: skip
def test_any_bytes_are_read_or_refused(patch: bytes, added: int | None, removed: int | None):
    try:
        hunks = parse_hunks(patch, added, removed)
    except DiffMismatch:
        return
    assert (sum(h.added for h in hunks), sum(h.removed for h in hunks)) == (added or 0, removed or 0)


def test_edits_are_the_runs_of_changed_lines():
    patch = (
        b"--- a/a\n+++ b/a\n@@ -1,4 +1,4 @@\n-a\n b\n-c\n+C\n+D\n d\n@@ -9,0 +10,2 @@ f\n+x\n+y\n"
        b"@@ -20,2 +22 @@\n z\n-end\n\\ No newline at end of file\n+END\n\\ No newline at end of file\n"
    )
    assert edits_of(patch) == [
        Edit(0, 0, (b"a\n",), ()),
        Edit(2, 1, (b"c\n",), (b"C\n", b"D\n")),
        Edit(9, 9, (), (b"x\n", b"y\n")),
        Edit(20, 22, (b"end",), (b"END",)),
    ]
    assert [edit.removed for edit in edits_of(patch)] == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("hunk", "expected"),
    [
        (b"@@ -1 +1 @@\n-x\n+x\n\\ No newline at end of file\n", Edit(0, 0, (b"x\n",), (b"x",))),
        (b"@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+x\n", Edit(0, 0, (b"x",), (b"x\n",))),
        (b"@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n", Edit(0, 0, (), (b"x",))),
        (b"@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n", Edit(0, 0, (b"x",), ())),
        (b"@@ -1,2 +1,2 @@\n-x\n+w\n y\n\\ No newline at end of file\n", Edit(0, 0, (b"x\n",), (b"w\n",))),
        (
            b"@@ -1 +1,2 @@\n-x\n\\ No newline at end of file\n+x\n+y\n\\ No newline at end of file\n",
            Edit(0, 0, (b"x",), (b"x\n", b"y")),
        ),
    ],
)
def test_a_missing_last_newline_belongs_to_the_line_above(hunk: bytes, expected: Edit):
    assert edits_of(b"--- a/a\n+++ b/a\n" + hunk) == [expected]


LINE = st.sampled_from(
    [b"a", b"b", b"", b"+", b"-", b" ", b"\\", b"@@ -1 +1 @@", b"-- a", b"++ b", b"diff --git a/x b/x", b"\r", b"a\r",
     b"\x0c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe9", b"\x85", b"\\ No newline at end of file", b"def f():", b"    x"]
)  # fmt: skip
TEXT = st.builds(
    lambda lines, end: b"\n".join(lines) + (b"\n" if end and lines else b""),
    st.lists(LINE, max_size=14),
    st.booleans(),
)


@settings(max_examples=20)
@given(versions=st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=2, max_size=4))
@example(versions=[[b"", b"x", b"x\n"], [b"x", b"", b"x"], [b"x\ny", b"y", b"x\ny"]])
def test_hunks_turn_any_old_version_into_the_new_one(scratch, versions: list[list[bytes]]):
    """Three files a commit, a few versions each: counts by git, bytes by applying the hunks."""
    for texts in versions:
        sha = scratch.commit("v", {f"f{i}.py": text for i, text in enumerate(texts)})
        checked(scratch, sha)


def test_a_fault_that_is_no_missing_object_is_raised(repo):
    sha = repo.commit("add", {"a": b"1\n"})
    with (repo.git_dir / "config").open("a") as config:
        config.write("[broken\n")
    with pytest.raises(GitFailed, match="bad config"):
        repo.read(sha)
