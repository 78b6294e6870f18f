"""Real git repositories for the tests, made by the `git` command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ingest.git import Repository, open_repository
from ingest.logstream import RawCommit, stream_commits

# two shared cores: no deadline, and no complaint about a slow git
settings.register_profile("prlore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("prlore")

_EPOCH = 1_735_689_600  # 2025-01-01T00:00:00Z; each commit comes an hour later than the one before

_STATUS = {"A": "added", "D": "deleted", "M": "modified", "R": "renamed", "T": "type-changed"}


class GitRepo:
    """A repository under construction. Content is bytes, `None` deletes a path."""

    def __init__(self, path: Path, *init: str) -> None:
        self.path = path
        self.commits = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *init)

    @property
    def git_dir(self) -> Path:
        inner = self.path / ".git"
        return inner if inner.exists() else self.path

    def git(self, *args: str | bytes, stdin: bytes | None = None, **env: str) -> bytes:
        """Run git as a user without any configuration would."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        clean |= {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": "C",
            "GIT_COMMITTER_EMAIL": "c@example.com",
            **env,
        }
        options = ("-c", "protocol.file.allow=always", "-c", "core.autocrlf=false")
        done = subprocess.run(
            ["git", *options, *args], cwd=self.path, input=stdin, capture_output=True, env=clean, check=False
        )
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout

    def write(self, files: Mapping[str | bytes, bytes | None]) -> None:
        """Put content into the work tree and the index, as it is."""
        for name, content in files.items():
            path = os.path.join(os.fsencode(self.path), os.fsencode(name))
            if content is None:
                os.unlink(path)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.islink(path):
                os.unlink(path)
            with open(path, "wb") as file:
                file.write(content)
        self.git("add", "--all", "--force", ".")

    def commit(self, message: str | bytes, files: Mapping[str | bytes, bytes | None] | None = None) -> str:
        """Write the files and commit the index; the name of the commit."""
        if files:
            self.write(files)
        date = f"{_EPOCH + 3600 * self.commits} +0000"
        self.commits += 1
        raw = message.encode() if isinstance(message, str) else message
        self.git(
            "commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--no-verify", "-F", "-",
            stdin=raw, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date,
        )  # fmt: skip
        return self.head()

    def merge(self, message: str, branch: str) -> str:
        """Merge a branch with a merge commit; its conflicts are the caller's."""
        date = f"{_EPOCH + 3600 * self.commits} +0000"
        self.commits += 1
        self.git(
            "merge",
            "--quiet",
            "--no-ff",
            "-m",
            message,
            branch,
            GIT_AUTHOR_DATE=date,
            GIT_COMMITTER_DATE=date,
        )
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").decode().strip()

    def blob(self, rev_path: str) -> str:
        """The name of an object, `HEAD:path`."""
        return self.git("rev-parse", rev_path).decode().strip()

    def bytes_of(self, blob: str) -> bytes:
        return self.git("cat-file", "blob", blob)

    def object_file(self, name: str) -> Path:
        """The file of a loose object."""
        return self.git_dir / "objects" / name[:2] / name[2:]

    def rows(self, sha: str) -> list[tuple[object, ...]]:
        """The changes of a commit against its first parent, read with `diff-tree`, each list on its own."""
        parents = self.git("rev-list", "--parents", "-n1", sha).split()[1:]
        base = parents[0] if parents else self.git("hash-object", "-t", "tree", os.devnull).strip()
        diff = ("diff-tree", "-r", "-z", "-M", "--no-abbrev")
        counts: dict[bytes, tuple[int | None, int | None]] = {}
        fields = iter(self.git(*diff, "--numstat", base, sha).split(b"\0"))
        for field in fields:
            if field:
                added, removed, path = field.split(b"\t", 2)
                path = path or (next(fields), next(fields))[1]
                counts[path] = (None, None) if added == b"-" else (int(added), int(removed))
        rows: list[tuple[object, ...]] = []
        fields = iter(self.git(*diff, "--raw", base, sha).split(b"\0"))
        for field in fields:
            if field:
                old_mode, new_mode, old_blob, new_blob, letter = field[1:].decode().split(" ")
                old_path = next(fields)
                path = next(fields) if letter[0] == "R" else old_path
                names = (old_path.decode("utf-8", "replace"), path.decode("utf-8", "replace"))
                rows.append(
                    (_STATUS[letter[0]], *names, old_mode, new_mode, old_blob, new_blob, *counts[path])
                )
        return rows

    def open(self) -> AbstractContextManager[Repository]:
        return open_repository(self.path)

    def read(self, *shas: str) -> list[RawCommit]:
        """The commits as the product streams them."""
        with self.open() as repository:
            return list(stream_commits(repository, shas))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own, for the commands they start as well."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRLORE_CACHE", str(folder))
        yield folder


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[..., GitRepo]:
    """Makes repositories below the test's folder, by name."""
    return lambda name="repo", *init: GitRepo(tmp_path / name, *init)


@pytest.fixture
def repo(make_repo: Callable[..., GitRepo]) -> GitRepo:
    """An empty repository."""
    return make_repo()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitRepo]:
    """One repository for all examples of a property: each adds commits of its own."""
    return GitRepo(tmp_path_factory.mktemp("scratch") / "repo")


# a small history for cards: eviction from a host pool --------------------------------------------------

EVICT = "python/sglang/srt/mem_cache/evict.py"
EVICT_OLD = """# Copyright 2025 The engine team
import heapq

from sglang.srt.environ import envs


class HostPool:
    def __init__(self, leaves):
        self.leaves = leaves
        self.freed = 0

    def evict(self, count):
        ordered = sorted(self.leaves, key=lambda node: node.last_access)
        for node in ordered[:count]:
            self.freed += node.release()
        return self.freed
"""
EVICT_NEW = EVICT_OLD.replace(
    """        ordered = sorted(self.leaves, key=lambda node: node.last_access)
        for node in ordered[:count]:
            self.freed += node.release()
""",
    """        heap = [(node.last_access, node.key, node) for node in self.leaves]
        heapq.heapify(heap)
        while heap and count > 0:
            _, _, node = heapq.heappop(heap)
            self.freed += node.release()
            count -= 1
""",
)
EVICT_MESSAGE = """Evict from a heap (#2)

Sorting every leaf on each eviction was slow when the host pool held many nodes.
The heap orders only the leaves that are popped, so one call costs less.

Co-authored-by: A <a@example.com>
"""


@pytest.fixture(scope="module")
def evict_kb(scratch: GitRepo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of four pull requests: a new file, a change of it with a test, a document, a dropped import."""
    from kb.build import Options, build
    from kb.store import Store

    without = EVICT_NEW.replace("\nfrom sglang.srt.environ import envs\n", "")
    test = b"def test_evict():\n    assert pool.evict(2) == 2\n"
    scratch.commit("Add the host pool (#1)", {EVICT: EVICT_OLD.encode()})
    scratch.commit(EVICT_MESSAGE, {EVICT: EVICT_NEW.encode(), "test/srt/test_evict.py": test})
    scratch.commit(
        "Document eviction (#3)", {"docs/evict.md": b"# Eviction\n\nLeaves are released oldest first.\n"}
    )
    scratch.commit("Drop an import (#4)", {EVICT: without.encode()})
    uri = tmp_path_factory.mktemp("evict") / "kb"
    with scratch.open() as repository, Store.create(str(uri), {"created_by": "tests"}) as store:
        build(
            store,
            repository,
            Options("sgl-project/sglang", encoder="none", workers=1),
            lambda done, total: None,
        )
    return uri
