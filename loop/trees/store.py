"""The driver's own git folder: trees, commits and refs of a campaign.

A candidate is a tree. Trees are made in an index of their own, never in a work tree, so nothing that a candidate or a
proposer wrote is run or configures anything. Commits carry a fixed author and date: the same tree, parents and message are
the same commit, on whatever machine and however often a killed campaign makes it again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ingest.errors import GitFailed, PrloreError
from ingest.git import Repository, batch_lines, keep_repository

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "prlore"), ("EMAIL", "prlore@localhost"), ("DATE", "1735689600 +0000"))
}
_TREES_KEPT = 6  # lists of a tree's files that are kept; an engine has some 5,000
FILE, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"


class TreeError(PrloreError):
    """A tree, patch or ref that can't be made or read."""


class DoesNotApply(TreeError):
    """A patch whose context is not in the tree."""


class RefMoved(TreeError):
    """A ref does not stand where it should; someone else moved it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree: mode as git writes it, name of its blob."""

    mode: str
    blob: str


class TreeStore:
    """Trees of one campaign. Create it with `TreeStore.at`.

    Paths are text in which bytes that are no UTF-8 stand as surrogates, as Python has them in file names.

    Args:
        repository: a git folder of our own.
        redact: what contents pass before they are stored; what a proposer made may hold our secrets.
    """

    def __init__(self, repository: Repository, redact: Callable[[bytes], bytes] = bytes) -> None:
        self.repository = repository
        self._redact = redact
        # both are facts about objects that never change
        self._names: dict[str, str] = {}
        self._entries: dict[str, dict[str, Entry]] = {}

    @classmethod
    def at(cls, folder: Path, source: Path, redact: Callable[[bytes], bytes] = bytes) -> TreeStore:
        """The trees kept in `folder`, over the objects of the engine's repository at `source`.

        Raises:
            RepositoryError: there is no git repository at `source`.
        """
        return cls(keep_repository(folder, source), redact)

    @cached_property
    def object_format(self) -> str:
        """`sha1` or `sha256`."""
        return self.repository.run("rev-parse", "--show-object-format").decode().strip()

    def tree_of(self, name: str) -> str:
        """The tree of a commit or tree, by its whole object name.

        Raises:
            TreeError: there is none.
        """
        if name in self._names:
            return self._names[name]
        try:
            out = self.repository.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{tree}}"
            )
        except (GitFailed, ValueError):
            raise TreeError(
                f"no tree named {name!r} in {self.repository.source}: give a whole commit name"
            ) from None
        found = out.decode().strip()
        if len(name) == len(found):  # a whole object name, no name of a ref
            self._names[name] = found
        return found

    @contextmanager
    def index(self, tree: str) -> Iterator[dict[str, str]]:
        """Variables that point git at an index of its own, filled from a tree."""
        with tempfile.TemporaryDirectory(prefix="index-", dir=self.repository.attributes.parent) as scratch:
            variables = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            self.repository.run("read-tree", self.tree_of(tree), variables=variables)
            yield variables

    def entries(self, tree: str, paths: Sequence[str] = ()) -> Mapping[str, Entry]:
        """Files of a tree, all of them or those of some paths; folders are gone through."""
        name = self.tree_of(tree)
        if name not in self._entries:
            if len(self._entries) >= _TREES_KEPT:
                self._entries.pop(next(iter(self._entries)))
            self._entries[name] = self._list(name)
        held = self._entries[name]
        if not paths:
            return held
        wanted = {path: held[path] for path in paths if path in held}
        folders = tuple(f"{path}/" for path in paths if path not in held)
        return wanted | {path: entry for path, entry in held.items() if folders and path.startswith(folders)}

    def _list(self, tree: str) -> dict[str, Entry]:
        found = {}
        for row in self.repository.run("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0"):
            if row:
                head, _, path = row.partition(b"\t")
                mode, _, blob = head.decode().split(" ")
                found[path.decode("utf-8", "surrogateescape")] = Entry(mode, blob)
        return found

    def read(self, tree: str, path: str) -> bytes | None:
        """Content of a regular file of a tree, None where there is none."""
        entry = self.entries(tree, [path]).get(path)
        if entry is None or entry.mode not in (FILE, EXECUTABLE):
            return None
        return self.blob(entry.blob)

    def blob(self, name: str) -> bytes:
        """Content of a blob."""
        return self.repository.run("cat-file", "blob", name)

    def add_blobs(self, contents: Sequence[bytes]) -> list[str]:
        """Store contents byte for byte but for secrets; their names, in order."""
        with tempfile.TemporaryDirectory(prefix="blobs-", dir=self.repository.attributes.parent) as scratch:
            paths = []
            for number, content in enumerate(contents):
                path = Path(scratch) / str(number)
                path.write_bytes(self._redact(content))
                paths.append(str(path))
            raw = self.repository.run(
                "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=batch_lines(paths)
            )
        return raw.decode().split()

    def with_entries(self, tree: str, changes: Mapping[str, Entry | None]) -> str:
        """The tree with some paths set or, where None, removed.

        Raises:
            TreeError: git does not take a path.
        """
        nothing = "0" * (40 if self.object_format == "sha1" else 64)
        rows = b"".join(
            (f"{e.mode} {e.blob}" if e else f"0 {nothing}").encode() + b"\t" + path.encode("utf-8", "surrogateescape") + b"\0"
            for path, e in changes.items()
        )  # fmt: skip
        with self.index(tree) as variables:
            try:
                self.repository.run("update-index", "-z", "--index-info", stdin=rows, variables=variables)
                made = self.repository.run("write-tree", variables=variables).decode().strip()
            except GitFailed as exc:
                raise TreeError(f"git does not take these paths: {exc.stderr[:200]}") from exc
        held = self.entries(made)
        refused = [path for path, entry in changes.items() if held.get(path) != entry]
        if refused:  # git passes over what it finds unsafe and says it succeeded
            raise TreeError(f"git does not take the path {refused[0][:200]!r}")
        return made

    def with_contents(self, tree: str, contents: Mapping[str, bytes | None]) -> str:
        """The tree with some files' contents replaced; modes stay, a new file is not executable, None removes."""
        held = self.entries(tree, list(contents)) if contents else {}
        written = [(path, content) for path, content in contents.items() if content is not None]
        names = self.add_blobs([content for _, content in written]) if written else []
        changes: dict[str, Entry | None] = {
            path: None for path, content in contents.items() if content is None
        }
        for (path, _), name in zip(written, names, strict=True):
            mode = held[path].mode if path in held and held[path].mode in (FILE, EXECUTABLE) else FILE
            changes[path] = Entry(mode, name)
        return self.with_entries(tree, changes)

    def commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A commit of a tree: the same for the same tree, parents and message."""
        flags = [part for parent in parents for part in ("-p", parent)]
        out = self.repository.run("commit-tree", tree, *flags, stdin=message.encode(), variables=_WHO)
        return out.decode().strip()

    def ref(self, name: str) -> str | None:
        """Where a ref of the driver stands, None where there is none."""
        out = (
            self.repository.run("for-each-ref", "--format=%(refname) %(objectname)", name)
            .decode()
            .splitlines()
        )
        return next((row.split()[1] for row in out if row.split()[0] == name), None)

    def set_ref(self, name: str, to: str, expected: str | None) -> None:
        """Move a ref that stands at `expected`, None for one that is not there yet. Already at `to` is fine.

        Raises:
            RefMoved: it stands elsewhere.
        """
        if self.ref(name) == to:
            return
        nothing = "0" * len(to)
        try:
            self.repository.run("update-ref", "--no-deref", name, to, expected or nothing)
        except GitFailed as exc:
            raise RefMoved(f"{name} is not at {expected or 'no commit'}: {exc.stderr[:200]}") from exc
