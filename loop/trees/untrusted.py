"""What a coding agent left in its folder, read without running or believing anything in it.

No git command runs in the folder: its configuration, hooks, attributes and index are the agent's. Files are opened
without following links, hashed here, and only what differs from the tree it began with is stored, byte for byte. What the
base's own `.gitignore` files leave out is left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loop.trees.store import EXECUTABLE, FILE, SUBMODULE, SYMLINK, Entry, TreeError, TreeStore

_MOST_FILES = 200_000
_LARGEST_FILE = 64 << 20
_LARGEST_CHANGE = 256 << 20  # bytes of all changed files together


class SnapshotRefused(TreeError):
    """A folder that holds more than a patch could mean."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder as a tree.

    Attributes:
        tree: with every regular file and symbolic link of the folder that is not ignored.
        odd: what can't be in a tree: sockets, pipes, devices, repositories within, files too large.
        ignored: how many new files the base's own rules leave out.
    """

    tree: str
    odd: tuple[str, ...]
    ignored: int


def checkout(trees: TreeStore, tree: str, folder: Path) -> None:
    """Write a tree's files into an empty folder, byte for byte; submodules stay empty."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise TreeError(f"{folder} is not empty: a checkout goes into a folder of its own")
    with trees.index(tree) as variables:
        trees.repository.run("checkout-index", "--all", variables={**variables, "GIT_WORK_TREE": str(folder)})


def clone(trees: TreeStore, tree: str, folder: Path) -> None:
    """A repository of its own with one commit: the tree, without remote, history or any object that came later."""
    checkout(trees, tree, folder)
    own = folder / ".git"
    here = {"GIT_WORK_TREE": str(folder)}
    date = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "prlore"), ("EMAIL", "prlore@localhost"), ("DATE", "1735689600 +0000"))}  # fmt: skip
    run = trees.repository.run
    run(
        "init",
        "--quiet",
        "--initial-branch=work",
        f"--object-format={trees.object_format}",
        git_dir=own,
        variables=here,
    )
    (own / "info").mkdir(exist_ok=True)
    run("add", "--all", "--force", git_dir=own, variables=here)
    run("commit", "--quiet", "--no-verify", "-m", "Start", git_dir=own, variables=here | date)


def snapshot(trees: TreeStore, base: str, folder: Path) -> Snapshot:
    """Read a folder that began as `base`.

    Raises:
        SnapshotRefused: it holds too many files or changes.
    """
    held = trees.entries(base)
    found: dict[str, Entry] = {}
    fresh: dict[str, tuple[str, bytes]] = {}
    odd: list[str] = []
    size = 0
    for path, mode, content in _files(folder, held, odd):
        blob = _name_of(trees.object_format, content)
        found[path] = Entry(mode, blob)
        if held.get(path) != found[path]:
            fresh[path] = (mode, content)
            size += len(content)
            if size > _LARGEST_CHANGE:
                raise SnapshotRefused(f"{folder}: over {_LARGEST_CHANGE >> 20} MiB of changed files")
    ignored = _ignored(trees, held, [path for path in fresh if path not in held])
    kept = {path: value for path, value in fresh.items() if path not in ignored}
    names = trees.add_blobs([content for _, content in kept.values()]) if kept else []
    changes: dict[str, Entry | None] = {
        path: Entry(mode, name) for (path, (mode, _)), name in zip(kept.items(), names, strict=True)
    }
    for path, entry in held.items():
        if path not in found and entry.mode != SUBMODULE:
            changes[path] = None
    return Snapshot(
        trees.with_entries(base, changes) if changes else trees.tree_of(base), tuple(odd), len(ignored)
    )


def _files(folder: Path, held: Mapping[str, Entry], odd: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """(path, mode, content) of files and links below a folder; what is neither goes to `odd`."""
    top = os.fspath(folder)
    seen = 0
    for here, folders, files, handle in os.fwalk(top, follow_symlinks=False):
        inside = os.path.relpath(here, top)
        prefix = "" if inside == "." else f"{inside}/"
        for name in list(folders):
            path = prefix + name
            if stat.S_ISLNK(os.lstat(name, dir_fd=handle).st_mode):
                files.append(name)
            elif name.lower() != ".git" and held.get(path, Entry("", "")).mode != SUBMODULE:
                continue
            elif path != ".git" and name.lower() == ".git":
                odd.append(f"{path}: a repository within")
            folders.remove(name)
        for name in files:
            seen += 1
            if seen > _MOST_FILES:
                raise SnapshotRefused(f"{folder}: over {_MOST_FILES} files")
            if name.lower() in (".git", "git~1") or "\\" in name:  # git takes none of these
                odd.append(f"{prefix}{name}: a name git does not take")
                continue
            read = _read(name, handle, prefix + name, odd)
            if read:
                yield prefix + name, *read


def _read(name: str, handle: int, path: str, odd: list[str]) -> tuple[str, bytes] | None:
    """Mode and content of one file, opened without following a link or waiting for a pipe."""
    if stat.S_ISLNK(os.lstat(name, dir_fd=handle).st_mode):
        return SYMLINK, os.fsencode(os.readlink(name, dir_fd=handle))
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    except OSError as exc:
        odd.append(f"{path}: {exc.strerror}")
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            odd.append(f"{path}: neither a file nor a link")
            return None
        if facts.st_size > _LARGEST_FILE:
            odd.append(f"{path}: over {_LARGEST_FILE >> 20} MiB")
            return None
        return EXECUTABLE if facts.st_mode & stat.S_IXUSR else FILE, file.read(_LARGEST_FILE)


def _name_of(form: str, content: bytes) -> str:
    """The name git gives a blob."""
    digest = hashlib.new(form, usedforsecurity=False)
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()


def _ignored(trees: TreeStore, held: Mapping[str, Entry], paths: list[str]) -> frozenset[str]:
    """New paths that the rules of the base leave out; the folder's own rules may be anybody's."""
    rules = {path: entry for path, entry in held.items() if path.rpartition("/")[2] == ".gitignore"}
    if not paths or not rules:
        return frozenset()
    with tempfile.TemporaryDirectory(prefix="rules-", dir=trees.repository.attributes.parent) as scratch:
        for path, entry in rules.items():
            target = Path(scratch) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.mode in (FILE, EXECUTABLE):
                target.write_bytes(trees.blob(entry.blob))
        asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
        raw = trees.repository.run(
            "check-ignore", "--no-index", "-z", "--stdin",
            stdin=asked, variables={"GIT_WORK_TREE": scratch}, accept=(0, 1),
        )  # fmt: skip
    return frozenset(os.fsdecode(path) for path in raw.split(b"\0") if path)
