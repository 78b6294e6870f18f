"""The files of one revision, where names are defined in them, and what became of a path that is not among them.

Everything is asked of git at the revision itself, so an answer is as old as the revision and no older.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ingest.errors import GitFailed
from ingest.git import Repository
from ingest.paths import language_of

FateKind = Literal["moved", "removed", "older-name", "not-yet", "unknown"]

_HOPS = 8  # renames followed one after another
_RENAME_LIMIT = 5000  # the largest move so far renames 600 files
_HEIRS = 3
_SHIMS = 4  # versions looked back for the last one that defined anything
_NAMES_ASKED = 24


@dataclass(frozen=True, slots=True)
class Place:
    """A definition: 1-based line of `path`, 0 when only the file is known."""

    name: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a path that a tree lacks.

    Attributes:
        kind: `moved` (paths in `to` hold it now), `removed`, `older-name` (the path is a later name of what `to` holds),
            `not-yet` (a later commit brings it), `unknown` (no commit of the history has it).
        to: paths of the tree, the nearest first. After `removed` and `not-yet`: files that define its names.
        day: of the commit that moved, removed or brought it.
        subject: of that commit.
        names: names that were defined in it and that the files in `to` define.
    """

    kind: FateKind
    to: tuple[str, ...] = ()
    day: str = ""
    subject: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """The tree of one commit. Create it with `read_tree`."""

    repository: Repository
    sha: str
    committed_at: str
    paths: tuple[str, ...]

    @cached_property
    def entries(self) -> frozenset[str]:
        """All files and all folders, folders without a slash at the end."""
        return frozenset(with_folders(self.paths))

    def has(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return path.rstrip("/") in self.entries

    def read(self, path: str) -> bytes:
        """A file's content, empty when it can't be read.

        Args:
            path: a path of this tree.
        """
        return _blob(self.repository, self.sha, path)


def with_folders(paths: Iterable[str]) -> set[str]:
    """Paths and every folder above them."""
    found: set[str] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def read_tree(repository: Repository, rev: str) -> Tree:
    """The tree of a revision.

    Raises:
        RepositoryError: there is no such commit.
    """
    sha = repository.resolve(rev)
    raw = repository.run("ls-tree", "-r", "-z", "--name-only", "--end-of-options", sha)
    at = repository.run("show", "-s", "--format=%cI", "--end-of-options", sha).decode().strip()
    names = tuple(n.decode("utf-8", "replace") for n in raw.split(b"\0") if n)
    return Tree(repository, sha, at, names)


def definitions(tree: Tree, names: Sequence[str], under: Sequence[str] = ()) -> list[Place]:
    """Where names are defined: classes, functions, methods, structs, kernels, constants.

    Args:
        tree: where to look.
        names: plain names, without the class around a method.
        under: files or folders to look in, everywhere when empty.
    """
    wanted = [n for n in dict.fromkeys(names) if re.fullmatch(r"\w{3,}", n)]
    if not wanted:
        return []
    args = ["grep", "-n", "-z", "-I", "-w", "-F", *(part for n in wanted for part in ("-e", n))]
    pathspecs = [f":(literal){u.rstrip('/')}" for u in under] or ["."]
    try:
        raw = tree.repository.run(*args, tree.sha, "--", *pathspecs)
    except GitFailed:  # status 1: nothing found; a missing object of a partial clone is nothing found too
        return []
    found: list[Place] = []
    defining = definition_pattern(wanted)
    for row in raw.decode("utf-8", "replace").split("\n"):
        where, _, rest = row.partition("\0")
        line, text = _line_and_text(rest)
        match = defining.match(text)
        if match and line.isdigit():
            name = match["py"] or match["cpp"] or match["const"]
            if match["const"] and text[:1].isspace() and not name.isupper():
                continue  # a local variable or a keyword argument
            found.append(Place(name, where.partition(":")[2], int(line)))
    return found


def mentions(tree: Tree, names: Sequence[str], under: Sequence[str] = ()) -> dict[str, int]:
    """How often each of some names stands in the tree; names that stand nowhere are left out.

    Args:
        tree: where to look.
        names: words; flags with their dashes are words too.
        under: files or folders to look in, everywhere when empty.
    """
    wanted = [n for n in dict.fromkeys(names) if re.fullmatch(r"-{0,2}\w[\w-]*", n)]
    if not wanted:
        return {}
    args = ["grep", "-h", "-o", "-I", "-w", "-F", *(part for n in wanted for part in ("-e", n))]
    pathspecs = [f":(literal){u.rstrip('/')}" for u in under] or ["."]
    try:
        raw = tree.repository.run(*args, tree.sha, "--", *pathspecs)
    except GitFailed:
        return {}
    counts = Counter(raw.decode("utf-8", "replace").split("\n"))
    return {n: counts[n] for n in wanted if counts[n]}


def _line_and_text(rest: str) -> tuple[str, str]:
    """Git writes a NUL or a colon behind the line number, depending on its version."""
    digits = re.match(r"\d+", rest)
    return (digits[0], rest[digits.end() + 1 :]) if digits else ("", rest)


def definition_pattern(names: Sequence[str]) -> re.Pattern[str]:
    """Matches a line that defines one of some names (groups `py`, `cpp`, `const`)."""
    either = "|".join(re.escape(n) for n in names)
    return re.compile(
        rf"\s*(?:export\s+)?(?:async\s+)?(?:def|class|struct|enum(?:\s+class)?|union|fn|impl|trait)\s+(?P<py>{either})\b(?!\s*;)"
        rf"|(?!(?:return|throw|else|await|yield|assert|not|in|import|from|new|delete|goto)\b)(?:static |inline |template ?<.*> ?|__global__ |__device__ |extern |constexpr |[\w:<>,&*]+ )+[*&]?(?:\w+::)*(?P<cpp>{either})\s*\((?!.*;\s*$)"
        rf"|\s*(?:#define\s+)?(?P<const>{either})(?:\s*:\s*[\w\[\], .\"']+)?\s*=(?!=)"
    )


def fate(tree: Tree, path: str, tip: str = "") -> Fate:
    """What became of a path that the tree lacks.

    Args:
        tree: the tree.
        path: a file or folder, as an older or newer revision has it.
        tip: a later commit; names that only come after the tree are looked for up to it.
    """
    path = path.strip("/")
    try:
        if not path:
            return Fate("unknown")
        return _backward(tree, path) or _forward(tree, path, tip) or Fate("unknown")
    except GitFailed:
        return Fate("unknown")


def _backward(tree: Tree, path: str) -> Fate | None:
    """The path was there before the tree: follow its renames, or find what took its place."""
    wanted, first, at = path, ("", ""), tree.sha
    for _ in range(_HOPS):
        last = _last_commit(tree.repository, at, wanted)
        if last is None:
            break
        sha, day, subject = last
        first = first if first[0] else (day, subject)
        to = _renamed(tree.repository, sha, wanted)
        if to and tree.has(to):
            return Fate("moved", (to,), *first)
        if not to:
            return _removed(tree, sha, wanted, day, subject)
        wanted = to
    return Fate("removed", (), *first) if first[0] else None


def _forward(tree: Tree, path: str, tip: str) -> Fate | None:
    """The path comes after the tree: what it was called before, or which files define its names now."""
    if not tip or tip == tree.sha:
        return None
    wanted, day, subject = path, "", ""
    for _ in range(_HOPS):
        out = tree.repository.run(
            "log", "--reverse", "--first-parent", "--diff-filter=A", "--format=%H%x00%cs%x00%s",
            f"{tree.sha}..{tip}", "--", f":(literal){wanted}",
        )  # fmt: skip
        rows = out.decode("utf-8", "replace").splitlines()
        if not rows:
            return None
        sha, row_day, row_subject = rows[0].split("\0", 2)
        day, subject = (row_day, row_subject) if not day else (day, subject)
        source = _renamed(tree.repository, sha, wanted, backwards=True)
        if source and tree.has(source):
            return Fate("older-name", (source,), day, subject)
        if not source:
            names = _names_of(tree.repository, sha, wanted)
            to, shared = _heirs(tree, names, wanted)
            return Fate("not-yet", to, row_day, row_subject, shared)
        wanted = source
    return Fate("not-yet", (), day, subject)


def _last_commit(repository: Repository, sha: str, path: str) -> tuple[str, str, str] | None:
    out = repository.run(
        "log", "-1", "--first-parent", "--format=%H%x00%cs%x00%s", sha, "--", f":(literal){path}"
    )
    row = out.decode("utf-8", "replace").strip("\n")
    if not row:
        return None
    name, day, subject = row.split("\0", 2)
    return name, day, subject


def _renamed(repository: Repository, sha: str, path: str, *, backwards: bool = False) -> str:
    """Where a commit moved a path, or where it came from; for a folder, where most of its files went."""
    out = repository.run(
        "diff-tree", "-r", "-z", "--no-commit-id", "--name-status", "-M40%", f"-l{_RENAME_LIMIT}", "--diff-filter=R",
        f"{sha}^1", sha,
    )  # fmt: skip
    fields = out.decode("utf-8", "replace").split("\0")
    pairs = [
        (fields[i + 2], fields[i + 1]) if backwards else (fields[i + 1], fields[i + 2])
        for i in range(0, len(fields) - 2, 3)
    ]
    votes: Counter[str] = Counter()
    for old, new in pairs:
        if old == path:
            return new
        if old.startswith(path + "/"):
            rest = old[len(path) :]
            if new.endswith(rest):
                votes[new[: -len(rest)]] += 1
            else:  # renamed inside as well: the folder of the target
                votes[new.rpartition("/")[0]] += 1
    if not votes:
        return ""
    best, count = votes.most_common(1)[0]
    # files that were gathered from, or scattered over, many folders did not move as a folder
    is_move = 2 * count >= votes.total() and not path.startswith(best + "/")
    return best if is_move and best else ""


def _removed(tree: Tree, sha: str, path: str, day: str, subject: str) -> Fate:
    at = sha
    for _ in range(_SHIMS):
        names = _names_of(tree.repository, f"{at}^1", path)
        if names:
            to, shared = _heirs(tree, names, path)
            return Fate("removed", to, day, subject, shared)
        before = _last_commit(tree.repository, f"{at}^1", path)  # what was left was a file of imports alone
        if before is None:
            break
        at = before[0]
    return Fate("removed", (), day, subject)


def _names_of(repository: Repository, sha: str, path: str) -> list[str]:
    """Plain names of the top-level definitions of a file, or of the largest files of a folder."""
    out = repository.run("ls-tree", "-r", "-z", "--name-only", sha, "--", f":(literal){path}")
    files = [n.decode("utf-8", "replace") for n in out.split(b"\0") if n]
    names: list[str] = []
    for file in files[:8]:
        names += outline(file, _blob(repository, sha, file))
    return names[:_NAMES_ASKED]


def outline(path: str, source: bytes) -> list[str]:
    """Plain names of a file's top-level definitions; empty for files no grammar reads."""
    language = language_of(path)
    if language is None or not source:
        return []
    from ingest.outline import outline_of  # grammars and numpy are loaded for a path that has gone alone

    found = outline_of(language, source)
    return [
        name
        for name, kind in zip(found.names, found.kinds, strict=True)
        if kind != "namespace" and "." not in name and re.fullmatch(r"\w{4,}", name)
    ]


def _heirs(tree: Tree, names: Sequence[str], path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files of the tree that define the most of some names, and the names they define."""
    if not names:
        return (), ()
    top = path.split("/")[0]
    places = [p for p in definitions(tree, names, (top,) if tree.has(top) else ()) if "/test" not in p.path]
    spread = Counter(p.name for p in places)
    rare = [p for p in places if spread[p.name] <= 3]  # `forward` is defined everywhere and tells nothing
    votes = Counter(path for path, _ in {(p.path, p.name) for p in rare})
    asked = len(set(names))
    best = [f for f, n in votes.most_common(_HEIRS) if n >= max(2, asked / 5) or 2 * n >= asked]
    return tuple(best), tuple(dict.fromkeys(p.name for p in rare if p.path in best))


def _blob(repository: Repository, sha: str, path: str) -> bytes:
    try:
        return repository.run("cat-file", "blob", f"{sha}:{path}")
    except (GitFailed, ValueError):
        return b""
