"""Git as the product runs it: nothing around it is executed or changes what is read."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ingest
from ingest.errors import GitFailed, RepositoryError
from ingest.git import is_url, mirror, open_repository
from ingest.history import walk
from ingest.logstream import stream_commits

# What the product reads of a repository, printed by a process of its own: environment and folder are the test's.
READ = """
import sys
from pathlib import Path
from ingest.diffs import parse_hunks
from ingest.git import open_repository
from ingest.history import walk
from ingest.logstream import stream_commits
with open_repository(Path(sys.argv[1])) as repository:
    commits = walk(repository, "HEAD")
    for commit in commits:
        print(commit)
    for commit in stream_commits(repository, [c.head.sha for c in commits]):
        print(commit.sha, commit.problem)
        for file in commit.files:
            print(file.entry, parse_hunks(file.patch, file.entry.added, file.entry.removed))
"""
FUNCTION = b"class A:\n    def f(self):\n" + b"".join(b"        x%d = %d\n" % (i, i) for i in range(12))


def read(path: Path, cwd: Path | None = None, **env: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    clean["PYTHONPATH"] = str(Path(ingest.__file__).parents[1])
    argv = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(argv, cwd=cwd or path, env=clean | env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def built(scratch):
    """A history with something for every setting to change: paths, blank lines, renames, a submodule, a merge."""
    scratch.commit(
        "Add (#1)", {"a.py": FUNCTION, "b b.txt": b"1\n\n2\n3\n\n\n4\n", "é.txt": b"x\n", "data.bin": b"\0\1"}
    )
    (scratch.path / "sub").mkdir()  # or `git add --all` takes the submodule for deleted
    scratch.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    scratch.commit("Add the submodule (#2)")
    scratch.git("update-index", "--add", "--cacheinfo", f"160000,{'2' * 40},sub")
    scratch.commit("Move the submodule (#3)")
    scratch.git("checkout", "--quiet", "-b", "side")
    scratch.commit("Side", {"s.txt": b"s\n"})
    scratch.git("checkout", "--quiet", "main")
    scratch.commit(
        "Change é (#4)",
        {"a.py": FUNCTION + b"        return 1\n", "b b.txt": b"1\n\n2\n5\n\n\n4\n", "data.bin": b"\0\2"},
    )
    scratch.merge("Merge pull request #5 from x/side\n\nSide work", "side")
    scratch.commit("Rename (#6)", {"a.py": None, "c.py": FUNCTION + b"        return 2\n"})
    return scratch


@pytest.fixture(scope="module")
def expected(built, tmp_path_factory) -> str:
    """What a clean bare clone of the history gives."""
    folder = tmp_path_factory.mktemp("clean")
    built.git("clone", "--quiet", "--bare", "--no-local", f"file://{built.path}", str(folder / "clean.git"))
    return read(folder / "clean.git", cwd=folder)


@pytest.fixture
def history(built, tmp_path):
    """A copy of the history that a test may spoil."""
    mine = copy.copy(built)
    mine.path = tmp_path / "repo"
    shutil.copytree(built.path, mine.path)
    return mine


def trap(tmp_path: Path) -> tuple[str, Path]:
    """A program that leaves a file behind when it is run, and that file."""
    sprung = tmp_path / "sprung"
    program = tmp_path / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch '{sprung}'\ncat \"$@\" 2>/dev/null\nexit 0\n")
    program.chmod(0o755)
    return str(program), sprung


def configure(history, *settings: tuple[str, str]) -> None:
    for key, value in settings:
        history.git("config", "--add", key, value)


def test_a_clone_with_a_work_tree_reads_like_a_bare_one(history, expected):
    assert expected.count("WalkedCommit(") == 7
    assert expected.count("Hunk(") == 10
    assert read(history.path) == expected


def test_programs_named_in_the_configuration_never_run(history, expected, tmp_path):
    program, sprung = trap(tmp_path)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in (
        "post-checkout",
        "reference-transaction",
        "post-index-change",
        "fsmonitor-watchman",
        "pre-auto-gc",
    ):
        shutil.copy(program, hooks / hook)
    (history.path / ".gitattributes").write_text("* diff=evil filter=evil\n")
    history.git("add", "--force", ".gitattributes")
    configure(
        history, ("diff.external", program), ("diff.evil.textconv", program), ("diff.evil.command", program),
        ("diff.python.textconv", program), ("diff.python.command", program), ("filter.evil.smudge", program),
        ("filter.evil.clean", program), ("core.hooksPath", str(hooks)), ("core.fsmonitor", program),
        ("core.pager", program), ("pager.log", program), ("gpg.program", program), ("log.showSignature", "true"),
        ("core.sshCommand", program), ("core.editor", program), ("alias.log", f"!{program}"),
        ("core.alternateRefsCommand", program), ("credential.helper", f"!{program}"), ("uploadpack.packObjectsHook", program),
    )  # fmt: skip
    found = read(history.path)
    assert not sprung.exists()
    assert found == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"), ("diff.algorithm", "histogram"),
        ("core.quotePath", "true"), ("diff.context", "0"), ("diff.interHunkContext", "9"), ("diff.renames", "false"),
        ("diff.renames", "copies"), ("diff.renameLimit", "1"), ("diff.suppressBlankEmpty", "true"),
        ("diff.submodule", "log"), ("diff.ignoreSubmodules", "all"), ("diff.orderFile", "order"),
        ("diff.relative", "true"), ("diff.indentHeuristic", "false"), ("diff.wsErrorHighlight", "all"),
        ("color.ui", "always"), ("color.diff", "always"), ("log.showRoot", "false"), ("log.showSignature", "true"),
        ("log.abbrevCommit", "true"), ("log.date", "relative"), ("log.decorate", "full"), ("log.diffMerges", "off"),
        ("log.follow", "true"), ("core.abbrev", "5"), ("core.autocrlf", "true"), ("core.whitespace", "cr-at-eol"),
        ("diff.python.xfuncname", "^(x.*)$"), ("diff.python.binary", "true"), ("diff.cpp.binary", "true"),
        ("i18n.logOutputEncoding", "ISO-8859-1"), ("i18n.commitEncoding", "ISO-8859-1"), ("format.pretty", "oneline"),
        ("diff.dirstat", "lines"), ("diff.wordRegex", "."), ("diff.colorMoved", "zebra"), ("core.commentChar", "x"),
        ("log.mailmap", "true"), ("submodule.sub.ignore", "all"), ("core.bare", "true"), ("core.bigFileThreshold", "1"),
    ],
)  # fmt: skip
def test_a_setting_of_the_repository_changes_nothing(history, expected, key, value):
    (history.path / "order").write_text("*.txt\n")
    configure(history, (key, value))
    assert read(history.path) == expected


@pytest.mark.parametrize(
    "line", ["* -diff", "*.py binary", "*.py diff=other", "*.bin diff", "* text eol=crlf"]
)
def test_attributes_of_the_folder_it_runs_in_change_nothing(history, expected, tmp_path, line):
    configure(history, ("diff.other.xfuncname", "^(x.*)$"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".gitattributes").write_text(line + "\n")
    assert read(history.path, cwd=elsewhere) == expected


@pytest.mark.parametrize("line", ["* -diff", "*.py binary", "*.py diff=other", "*.bin diff"])
def test_attributes_of_the_repository_change_nothing(history, expected, tmp_path, line):
    configure(history, ("diff.other.xfuncname", "^(x.*)$"))
    (history.git_dir / "info").mkdir(exist_ok=True)
    (history.git_dir / "info" / "attributes").write_text(line + "\n")
    assert read(history.path, cwd=tmp_path) == expected


@pytest.mark.parametrize("place", ["work tree", "index"])
def test_a_submodule_that_asks_to_be_ignored_is_read(history, expected, tmp_path, place):
    modules = history.path / ".gitmodules"
    modules.write_text('[submodule "sub"]\n\tpath = sub\n\turl = https://example.com/sub\n\tignore = all\n')
    if place == "index":
        history.git("add", ".gitmodules")
        modules.unlink()
    cwd = history.path if place == "work tree" else tmp_path
    assert read(history.path, cwd=cwd) == expected


def test_a_work_tree_named_in_the_configuration_changes_nothing(history, expected):
    below = history.path / "below"
    below.mkdir()
    configure(history, ("core.worktree", str(history.path)), ("diff.relative", "true"))
    assert read(history.path, cwd=below) == expected


def test_configuration_of_the_user_changes_nothing(history, expected, tmp_path):
    program, sprung = trap(tmp_path)
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    text = (
        f"[diff]\n\texternal = {program}\n\tnoprefix = true\n\tcontext = 0\n[core]\n\tpager = {program}\n"
        f'\tattributesFile = {home}/attributes\n[diff "evil"]\n\ttextconv = {program}\n[i18n]\n\tlogOutputEncoding = latin1\n'
    )
    (home / ".gitconfig").write_text(text)
    (home / ".config" / "git" / "config").write_text(text)
    for file in (home / "attributes", home / ".config" / "git" / "attributes"):
        file.write_text("* diff=evil\n")
    assert read(history.path, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config")) == expected
    assert not sprung.exists()


@pytest.mark.parametrize(
    "env",
    [
        {"GIT_DIR": "/nonexistent", "GIT_WORK_TREE": "/nonexistent", "GIT_COMMON_DIR": "/nonexistent"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "diff.noprefix", "GIT_CONFIG_VALUE_0": "true"},
        {"GIT_CONFIG_PARAMETERS": "'diff.context=0'"},
        {"GIT_DIFF_OPTS": "--unified=0"},
        {"GIT_OBJECT_DIRECTORY": "/nonexistent", "GIT_INDEX_FILE": "/nonexistent"},
        {"GIT_NAMESPACE": "x", "GIT_CEILING_DIRECTORIES": "/", "GIT_GLOB_PATHSPECS": "1"},
        {"GIT_TRACE": "1", "GIT_PAGER": "false", "GIT_FLUSH": "0"},
        {
            "LC_ALL": "de_DE.UTF-8",
            "LANGUAGE": "de",
            "TZ": "Asia/Tokyo",
            "PAGER": "false",
            "LESS": "x",
            "COLUMNS": "20",
        },
    ],
    ids=lambda env: next(iter(env)),
)
def test_the_environment_changes_nothing(history, expected, env):
    assert read(history.path, **env) == expected


def test_programs_named_in_the_environment_never_run(history, expected, tmp_path):
    program, sprung = trap(tmp_path)
    names = (
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "PAGER",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_EDITOR",
    )
    assert read(history.path, **dict.fromkeys(names, program)) == expected
    assert not sprung.exists()


def test_replaced_objects_and_grafts_change_nothing(history, expected):
    head = history.head()
    history.git("replace", head, f"{head}~3")
    assert read(history.path) == expected


def test_reading_writes_nothing_into_the_repository(history):
    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in history.path.rglob("*") if p.is_file()}

    before = files()
    read(history.path)
    assert files() == before


def test_reading_leaves_nothing_in_the_temporary_folder(history, tmp_path):
    (tmp_path / "temporary").mkdir()
    read(history.path, TMPDIR=str(tmp_path / "temporary"))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_messages_in_another_encoding_are_read_as_text(repo):
    repo.git("config", "i18n.commitEncoding", "ISO-8859-1")
    repo.commit("Größe ändern (#1)\n\nÄußerst".encode("latin-1"), {"a": b"1\n"})
    repo.git("config", "--unset", "i18n.commitEncoding")
    with repo.open() as repository:
        (commit,) = walk(repository, "HEAD")
    assert (commit.head.subject, commit.head.body) == ("Größe ändern (#1)", "Äußerst")


def test_the_walk_gives_parents_before_children_with_their_messages(history):
    with history.open() as repository:
        commits = walk(repository, "HEAD")
    assert [(c.head.subject, c.head.body, c.subject.number, c.subject.title) for c in commits] == [
        ("Add (#1)", "", 1, "Add"),
        ("Add the submodule (#2)", "", 2, "Add the submodule"),
        ("Move the submodule (#3)", "", 3, "Move the submodule"),
        ("Change é (#4)", "", 4, "Change é"),
        ("Side", "", None, "Side"),
        ("Merge pull request #5 from x/side", "Side work", 5, "Side work"),
        ("Rename (#6)", "", 6, "Rename"),
    ]
    assert [c.head.is_merge for c in commits] == [False] * 5 + [True, False]
    assert commits[0].head.committed_at == "2025-01-01T00:00:00+00:00"
    assert commits[5].head.parents == (commits[3].head.sha, commits[4].head.sha)


@pytest.mark.parametrize(
    "message",
    ["", "\n\n", "a\nb\nc\n\nd\n\n\ne", "x" * 70_000, "subject\n\nbody with \x01\x1b and \u2028 and 修复", "\ufeffbom (#1)", "s\r\n\r\nb\r\n"],
    ids=range(7),
)  # fmt: skip
def test_any_message_keeps_the_walk_in_step(repo, message):
    first = repo.commit("First (#1)\n\nbody", {"a": b"1\n"})
    second = repo.git(
        "commit-tree",
        "-p",
        "HEAD",
        "HEAD^{tree}",
        stdin=message.encode(),
        GIT_COMMITTER_DATE="1735690000 +0000",
    )
    repo.git("reset", "--quiet", "--soft", second.decode().strip())
    third = repo.commit("Third (#3)")
    with repo.open() as repository:
        commits = walk(repository, "HEAD")
    assert [c.head.sha for c in commits] == [first, second.decode().strip(), third]
    assert [c.head.parents for c in commits] == [(), (first,), (commits[1].head.sha,)]
    assert [c.subject.number for c in commits[::2]] == [1, 3]


def test_a_work_tree_a_bare_folder_and_linked_work_trees_are_opened(history, tmp_path):
    linked = tmp_path / "linked"
    history.git("worktree", "add", "--quiet", "--detach", str(linked), "HEAD~1")
    bare = tmp_path / "bare.git"
    history.git("clone", "--quiet", "--bare", str(history.path), str(bare))
    separate = tmp_path / "separate"
    history.git(
        "clone",
        "--quiet",
        "--separate-git-dir",
        str(tmp_path / "elsewhere.git"),
        str(history.path),
        str(separate),
    )
    heads = []
    for path in (history.path, history.git_dir, linked, bare, separate):
        with open_repository(path) as repository:
            heads.append(repository.resolve("HEAD"))
            assert len(list(stream_commits(repository, [heads[-1]]))) == 1
    assert heads == [history.head()] * 2 + [history.blob("HEAD~1")] + [history.head()] * 2


@pytest.mark.parametrize(
    "name",
    [' "q"', "back\\slash", "new\nline", "#hash", "a:b", "修复", "tab\t", "=x", b"caf\xe9", "$HOME", '"'],
)
def test_a_repository_at_any_path_is_opened(make_repo, name):
    repo = make_repo(os.fsdecode(name))
    sha = repo.commit("Add (#1)", {"a": b"1\n"})
    with repo.open() as repository:
        assert [c.head.sha for c in walk(repository, "HEAD")] == [sha]
        assert [len(c.files) for c in stream_commits(repository, [sha])] == [1]


def test_a_repository_that_borrows_objects_is_opened(history, make_repo):
    borrower = make_repo("borrower")
    shutil.rmtree(borrower.path)
    history.git("clone", "--quiet", "--shared", str(history.path), str(borrower.path))
    sha = borrower.commit("Own (#20)", {"own": b"1\n"})
    with borrower.open() as repository:
        commits = walk(repository, sha)
        streamed = list(stream_commits(repository, [c.head.sha for c in commits]))
    assert (len(commits), [c.problem for c in streamed]) == (8, [None] * 8)


def test_a_relative_path_is_opened(history):
    assert read(Path("repo"), cwd=history.path.parent) == read(history.path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("folder", None), ("absent", None), ("text", b"hello\n"), ("long", b"x" * 10_000), ("nul", b"gitdir: a\0b\n"),
     ("gone", b"gitdir: /nonexistent\n"), ("self", b"gitdir: self\n"), ("bytes", b"\xff\xfe")],
)  # fmt: skip
def test_what_is_no_repository_is_refused_in_one_line(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    elif name == "folder":
        (tmp_path / name).mkdir()
    with pytest.raises(RepositoryError, match="is no git repository"), open_repository(tmp_path / name):
        pass


@pytest.mark.parametrize(
    "rev",
    [
        "nope",
        "",
        "HEAD~99",
        "0" * 40,
        "HEAD..HEAD",
        "HEAD:a.py",
        "--all",
        "--output=x",
        "-h",
        "a b",
        "@{99}",
        "\n",
    ],
)
def test_an_unknown_revision_is_refused_and_nothing_is_written(history, rev, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with history.open() as repository, pytest.raises(RepositoryError, match="no commit named"):
        walk(repository, rev)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("x").exists()


def test_a_branch_a_tag_and_an_abbreviated_name_are_resolved(history):
    history.git("tag", "-a", "-m", "release", "v1", "HEAD~1")
    history.git("branch", "--", "topic", "HEAD~2")
    with history.open() as repository:
        names = [repository.resolve(rev) for rev in ("main", "v1", "topic", history.head()[:8])]
    assert names == [history.head(), history.blob("HEAD~1"), history.blob("HEAD~2"), history.head()]


def test_a_failed_command_carries_what_git_said(repo):
    with repo.open() as repository, pytest.raises(GitFailed, match="git rev-parse failed: fatal: ") as failed:
        repository.run("rev-parse", "--verify", "nope")
    assert failed.value.stderr == "fatal: Needed a single revision"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://github.com/sgl-project/sglang", True),
        ("ssh://git@github.com/a/b", True),
        ("git@github.com:a/b.git", True),
        ("file:///tmp/x", True),
        ("http://example.com/x", True),
        ("ext::sh -c id", True),
        ("/tmp/x", False),
        ("./x", False),
        ("x", False),
        ("~/x", False),
        ("C/D", False),
        ("", False),
    ],
)
def test_an_address_is_told_from_a_folder(source: str, expected: bool):
    assert is_url(source) is expected


@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "git://example.com/x", "ext::sh -c 'touch SPRUNG'", "ftp://x/y", "fd::17/x",
     "--upload-pack=touch SPRUNG", "-c core.x=y", "/tmp/x", "", "data:x", "HTTPS://x/y", "-oProxyCommand=touch@x:y"],
)  # fmt: skip
def test_an_address_that_is_not_https_ssh_or_file_is_refused(tmp_path, url):
    with pytest.raises(RepositoryError, match="can't clone"):
        mirror(url.replace("SPRUNG", str(tmp_path / "sprung")), tmp_path / "mirror")
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_is_cloned_and_brought_up_to_date(history, tmp_path):
    folder = tmp_path / "deep" / "mirror.git"
    heads = []
    for i in range(3):
        mirror(f"file://{history.path}", folder)
        with open_repository(folder) as repository:
            heads.append(repository.resolve("HEAD"))
            assert len(walk(repository, "HEAD")) == 7 + i
        history.commit(f"Later (#{10 + i})", {"a.txt": b"%d\n" % i})
    assert heads == [history.blob(f"HEAD~{3 - i}") for i in range(3)]
    assert [p.name for p in folder.parent.iterdir()] == ["mirror.git"]


def test_a_mirror_follows_a_rewritten_branch_and_runs_no_hook(history, tmp_path):
    program, sprung = trap(tmp_path)
    folder = tmp_path / "mirror.git"
    mirror(f"file://{history.path}", folder)
    (folder / "hooks").mkdir(exist_ok=True)
    for hook in ("reference-transaction", "post-update", "post-merge"):
        shutil.copy(program, folder / "hooks" / hook)
    history.git("reset", "--quiet", "--hard", "HEAD~2")
    rewritten = history.commit("Other (#9)", {"o.txt": b"o\n"})
    mirror(f"file://{history.path}", folder)
    with open_repository(folder) as repository:
        assert repository.resolve("HEAD") == rewritten
    assert not sprung.exists()


def test_a_clone_that_fails_says_why(tmp_path):
    said = "can't read file:///nonexistent: fatal: '/nonexistent' does not appear to be a git repository"
    with pytest.raises(RepositoryError) as failed:
        mirror("file:///nonexistent", tmp_path / "mirrors" / "m.git")
    assert str(failed.value) == said


def test_a_clone_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(RepositoryError):
        mirror("file:///nonexistent", tmp_path / "mirrors" / "m.git")
    assert list((tmp_path / "mirrors").glob("*")) == []


def test_a_mirror_of_a_repository_without_commits_has_no_revision(repo, tmp_path):
    mirror(f"file://{repo.path}", tmp_path / "m.git")
    with (
        open_repository(tmp_path / "m.git") as repository,
        pytest.raises(RepositoryError, match="no commit named"),
    ):
        walk(repository, "HEAD")
