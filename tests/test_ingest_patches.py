"""Patches read without a repository say what git says of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.patches import PatchError, github_patch, read_patch

NAMES = [
    b"a.py",
    b"with space.txt",
    b"b/b/deep.py",
    "übung.md".encode(),
    b'quo"te.py',
    b"tab\there.py",
    b"x b/x.py",
    b"new\nline.py",
]
LINES = st.lists(
    st.sampled_from(
        [
            b"one",
            b"--- a/x",
            b"+++ b/x",
            b"@@ -1 +1 @@",
            b"diff --git a/x b/x",
            b"-- ",
            b"",
            b"\xe4\xf6",
            b"\\ No newline",
            b"end\r",
        ]
    ),
    max_size=12,
)


def numstat(repo, *args):
    fields = iter(repo.git("diff", "-M", "--numstat", "-z", *args).split(b"\0"))
    found = {}
    for field in fields:
        if field:
            added, removed, path = field.split(b"\t", 2)
            path = path or (next(fields), next(fields))[1]
            found[path.decode("utf-8", "replace")] = (0, 0) if added == b"-" else (int(added), int(removed))
    return found


@settings(max_examples=25)
@given(
    old=st.dictionaries(st.sampled_from(NAMES), LINES, max_size=4),
    new=st.dictionaries(st.sampled_from(NAMES), LINES, max_size=4),
)
def test_paths_and_counts_are_those_of_git(scratch, old, new):
    def tree(files):
        entries = []
        for name, lines in files.items():
            blob = scratch.git("hash-object", "-w", "--stdin", stdin=b"\n".join(lines)).strip()
            entries.append(b"100644 " + blob + b" 0\t" + name + b"\0")
        scratch.git("read-tree", "--empty")
        scratch.git("update-index", "-z", "--index-info", stdin=b"".join(entries))
        return scratch.git("write-tree").decode().strip()

    try:
        a, b = tree(old), tree(new)
    except AssertionError:  # a name that is a file and a folder at once
        return
    raw = scratch.git("diff", "-M", "--no-color", a, b)
    if not raw.strip():
        with pytest.raises(PatchError, match="no diff"):
            read_patch(raw)
        return
    found = {f.path: (f.added, f.removed) for f in read_patch(raw).files}
    assert found == numstat(scratch, a, b)


def test_renames_modes_and_binaries(repo):
    repo.commit(
        "one", {"a.py": b"x = 1\n" * 30, "tool.sh": b"#!/bin/sh\n", "p.bin": b"\0\1", "gone.py": b"y\n"}
    )
    repo.commit(
        "two",
        {
            "a.py": None,
            "sub/b.py": b"x = 1\n" * 29 + b"x = 2\n",
            "p.bin": b"\0\2",
            "gone.py": None,
            "empty.py": b"",
        },
    )
    repo.git("update-index", "--chmod=+x", "tool.sh")
    repo.commit("three")
    files = {f.path: f for f in read_patch(repo.git("diff", "-M", "HEAD~2", "HEAD")).files}
    assert (files["sub/b.py"].status, files["sub/b.py"].old_path) == ("renamed", "a.py")
    assert files["p.bin"].binary
    assert not files["p.bin"].hunks
    assert files["gone.py"].status == "deleted"
    assert files["empty.py"].status == "added"
    assert files["tool.sh"].hunks == ()


def test_a_mail_and_a_shown_commit_have_titles(repo):
    repo.commit("first", {"a.py": b"1\n"})
    repo.commit(
        "[Fix] Zähler of the pool, a title that is long enough to be folded by the mail (#7)\n\nIt leaked.\n",
        {"a.py": b"2\n"},
    )
    mail = read_patch(repo.git("format-patch", "-1", "--stdout"))
    assert mail.title == "[Fix] Zähler of the pool, a title that is long enough to be folded by the mail (#7)"
    assert mail.message == "It leaked."
    assert read_patch(repo.git("show", "HEAD")).title.startswith("[Fix] Zähler")


def test_github_gives_hunks_without_headers():
    file = github_patch("a.py", "", "modified", "@@ -1 +1,2 @@\n-x\n+y\n+z", 2, 1)
    assert (file.added, file.removed, file.hunks[0].new_lines) == (2, 1, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no diff"),
        (b"hello\nworld\n", "no diff"),
        (b"diff --cc a.py\nindex 1,2..3\n--- a/a.py\n+++ b/a.py\n@@@ -1,1 -1,1 +1,1 @@@\n", "combined"),
        (b"--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n x\n", "cut off"),
        (b"--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x\nnothing of a hunk\n y\n", "none of a hunk"),
        (b"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x\n+y\n", "twice"),
        (b"diff --git a/x\n", "paths"),
    ],
)  # fmt: skip
def test_what_is_no_patch_is_refused_in_one_line(text, said):
    with pytest.raises(PatchError, match=said) as caught:
        read_patch(text)
    assert "\n" not in str(caught.value)
