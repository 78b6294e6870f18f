"""Diffs of many commits from one git process, read as a stream.

`git log --no-walk=unsorted --stdin` prints the commits it is given, in that order, and dies at the first
object it cannot read (partial clones, damaged mirrors). The stream then goes on behind that commit, which
keeps its paths where its trees can be read and loses its hunks.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.diffs import decode
from ingest.errors import GitFailed
from ingest.git import Repository, batch_lines
from ingest.records import FileStatus, RawEntry

_CHUNK = 1 << 20
_STATUS: dict[str, FileStatus] = {
    "A": "added", "D": "deleted", "M": "modified", "R": "renamed", "C": "copied", "T": "type-changed",
}  # fmt: skip
_UNREADABLE = re.compile(
    r"unable to read|could not (?:read|get|parse)|cannot read|bad (?:object|tree|blob)|missing (?:blob|tree|object)|"
    r"corrupt|not a (?:valid )?(?:object|tree)|failed to (?:read object|unpack)|promisor|inflate|is missing|hash mismatch",
    re.IGNORECASE,
)
_FULL = ("--raw", "--numstat", "--patch", "--find-renames", "--unified=3", "--no-ext-diff", "--no-textconv",
         "--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers", f"-O{os.devnull}")  # fmt: skip
_PATHS_ONLY = ("--raw", "--no-renames", f"-O{os.devnull}")


@dataclass(frozen=True, slots=True)
class RawFile:
    """A changed file as the stream holds it: its row and its patch, undecoded (empty when unread)."""

    entry: RawEntry
    patch: bytes


@dataclass(frozen=True, slots=True)
class RawCommit:
    """A commit of the stream. `problem` says in one line why its diff is missing, None when it is whole."""

    sha: str
    files: tuple[RawFile, ...]
    problem: str | None = None


Damaged = dict[str, tuple[str, tuple[RawFile, ...]]]  # commit -> what it lacks, and its files as far as known


def stream_commits(repository: Repository, shas: Sequence[str]) -> Iterator[RawCommit]:
    """Yield every commit once, in the given order.

    Memory holds one commit's diff at a time. A commit that lacks objects is yielded with its problem.

    Raises:
        GitFailed: git died for another reason than an unreadable object.
    """
    cut = repository.shallow() & set(shas)
    if cut:
        whole = stream_commits(repository, [sha for sha in shas if sha not in cut])
        for sha in shas:
            yield RawCommit(sha, (), "its parent is not in this shallow clone") if sha in cut else next(whole)
        return
    damaged: Damaged = {}
    checked = False
    position = 0
    while position < len(shas):
        problem: str | None = None
        for sha, payload in _Stream(repository, _FULL, [s for s in shas[position:] if s not in damaged]):
            while shas[position] != sha:
                yield _lost(shas[position], damaged)
                position += 1
            if isinstance(payload, GitFailed):
                problem = payload.stderr
                break
            yield RawCommit(sha, _parse(payload))
            position += 1
        if problem is None:
            for sha in shas[position:]:
                yield _lost(sha, damaged)
            return
        if not repository.is_there():
            raise GitFailed(f"{repository.source} has gone while it was read", problem)
        if not checked:
            # One object was unreadable. A second process that reads trees only tells which commits lack objects,
            # so that a clone that lacks many does not cost a restart for each of them.
            damaged = _damaged(repository, shas[position:])
            checked = True
        first = shas[position]
        if first not in damaged:  # a fault the check cannot see, an object that is there but corrupt
            damaged[first] = (problem, _paths_of(repository, first))
        yield _lost(first, damaged)
        position += 1


def _lost(sha: str, damaged: Damaged) -> RawCommit:
    problem, files = damaged[sha]
    return RawCommit(sha, files, problem)


def changes_between(repository: Repository, base: str, head: str) -> tuple[RawFile, ...]:
    """The diff from one commit or tree to another, file by file.

    Raises:
        GitFailed: git can't make it; an object may be missing.
    """
    payload = repository.run(
        "diff", "--no-color", "--no-abbrev", "-z", *_FULL, "--end-of-options", base, head
    )
    return _parse(payload) if payload else ()


def _damaged(repository: Repository, shas: Sequence[str]) -> Damaged:
    """Commits among `shas` whose diff needs an object that is not there: the reason and the paths."""
    blobs: dict[str, tuple[RawFile, ...]] = {}
    result: Damaged = {}
    position = 0
    while position < len(shas):
        failed: GitFailed | None = None
        for sha, payload in _Stream(repository, _PATHS_ONLY, shas[position:]):
            if isinstance(payload, GitFailed):
                failed = payload
                break
            blobs[sha] = _parse(payload)
            position += 1
        if failed is None:
            break
        result[shas[position]] = (failed.stderr, ())
        position += 1
    names = {b for files in blobs.values() for f in files for b in _blob_names(f.entry)}
    lines = (
        repository.run("cat-file", "--batch-check", stdin=batch_lines(sorted(names))).decode().splitlines()
    )
    missing = {line.split()[0] for line in lines if line.endswith(" missing")}
    for sha, files in blobs.items():
        absent = sorted({b for f in files for b in _blob_names(f.entry)} & missing)
        if absent:
            result[sha] = (f"{len(absent)} missing objects, the first is {absent[0]}", files)
    return result


def _paths_of(repository: Repository, sha: str) -> tuple[RawFile, ...]:
    for _, payload in _Stream(repository, _PATHS_ONLY, [sha]):
        return () if isinstance(payload, GitFailed) else _parse(payload)
    return ()


def _blob_names(entry: RawEntry) -> list[str]:
    """Object names of an entry that must be in this repository (a submodule's commit need not)."""
    sides = ((entry.old_mode, entry.old_blob), (entry.new_mode, entry.new_blob))
    return [blob for mode, blob in sides if mode not in ("000000", "160000")]


class _Stream:
    """One git process: yields (sha, payload), and ends with (sha, GitFailed) when git died at that commit."""

    def __init__(self, repository: Repository, options: Sequence[str], shas: Sequence[str]) -> None:
        self._repository = repository
        self._options = options
        self._shas = shas

    def __iter__(self) -> Iterator[tuple[str, bytes | GitFailed]]:
        if not self._shas:  # git would print HEAD
            return
        # a name that no diff can contain, since nobody knew it when the diff was written
        marker = f"prlore-{secrets.token_hex(16)}-commit ".encode()
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
            stdin.write(batch_lines(self._shas))
            stdin.seek(0)
            process = self._repository.spawn(
                "log", "--no-walk=unsorted", "--stdin", "--no-color", "--no-abbrev", "-z", "--diff-merges=first-parent",
                f"--format=tformat:{marker.decode()}%H", *self._options,
                stdin=stdin, stderr=stderr,
            )  # fmt: skip
            try:
                last: tuple[str, bytes] | None = None
                done = 0
                for item in _split(process, marker):
                    if last is not None:
                        yield last
                        done += 1
                    last = item
                code = process.wait()
                if code == 0:
                    if last is not None:
                        yield last
                        done += 1
                    if done != len(self._shas):
                        raise GitFailed(f"git log printed {done} of {len(self._shas)} commits")
                    return
                stderr.seek(0)
                said = stderr.read().decode("utf-8", "replace").strip().splitlines()
                reason = said[-1] if said else f"exit status {code}"
                if code < 0 or not _UNREADABLE.search(reason):
                    raise GitFailed(f"git log failed: {reason}", reason)
                failed = GitFailed(f"git log failed: {reason}", reason)
                if last is None:
                    yield self._shas[done], failed
                elif done + 1 < len(self._shas) and self._is_whole(last[0]):
                    yield last  # git died before it began to print the next commit
                    yield self._shas[done + 1], failed
                else:
                    yield last[0], failed
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    def _is_whole(self, sha: str) -> bool:
        """Whether git can print this commit on its own."""
        try:
            self._repository.run("log", "-1", "--diff-merges=first-parent", "--format=", *self._options, sha)
        except GitFailed:
            return False
        return True


def _split(process: subprocess.Popen[bytes], marker: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut the output at the markers; holds the bytes of one commit and one chunk."""
    stdout = process.stdout
    assert stdout is not None
    buffer = bytearray()
    start = -1  # where the commit begun last stands in the buffer, behind its marker
    searched = 0
    while chunk := os.read(stdout.fileno(), _CHUNK):
        buffer += chunk
        while (found := buffer.find(marker, searched)) >= 0:
            if start >= 0:
                yield _item(bytes(memoryview(buffer)[start:found]))
            start = searched = found + len(marker)
        if start > 0:
            del buffer[:start]
            start = 0
        searched = max(0, len(buffer) - len(marker))
    if start >= 0:
        yield _item(bytes(buffer))


def _item(block: bytes) -> tuple[str, bytes]:
    end = len(block) if (cut := block.find(b"\0")) < 0 else cut
    return block[:end].decode("ascii", "replace").strip(), block[end + 1 :]


def _parse(payload: bytes) -> tuple[RawFile, ...]:
    """Raw rows, numstat rows, patches: in that order, each list as long as the first."""
    position = 1 if payload.startswith(b"\n") else 0
    rows: list[tuple[str, str, str, str, str, bytes, bytes]] = []
    while payload.startswith(b":", position):
        end = payload.index(b"\0", position)
        old_mode, new_mode, old_blob, new_blob, status = (
            payload[position + 1 : end].decode("ascii").split(" ")
        )
        path, position = _field(payload, end + 1)
        old_path = path
        if status[0] in "RC":
            path, position = _field(payload, position)
        rows.append((old_mode, new_mode, old_blob, new_blob, status[0], old_path, path))
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    while position < len(payload) and payload[position] != 0:
        added, removed, rest = payload[position : payload.index(b"\0", position) + 1].split(b"\t", 2)
        position += len(added) + len(removed) + 2 + len(rest)
        path = rest[:-1]
        if not path:  # a rename: "added TAB removed TAB NUL old NUL new NUL"
            _, position = _field(payload, position)
            path, position = _field(payload, position)
        counts[path] = (None, None) if added == b"-" else (int(added), int(removed))
    patches = _patches(payload[position + 1 :].rstrip(b"\0"), rows)
    return tuple(
        RawFile(
            RawEntry(
                path=decode(path), old_path=decode(old_path), status=_STATUS.get(status, "modified"),
                old_mode=old_mode, new_mode=new_mode, old_blob=old_blob, new_blob=new_blob,
                added=counts.get(path, (None, None))[0], removed=counts.get(path, (None, None))[1],
            ),
            patch,
        )
        for (old_mode, new_mode, old_blob, new_blob, status, old_path, path), patch in zip(rows, patches, strict=True)
    )  # fmt: skip


def _field(payload: bytes, start: int) -> tuple[bytes, int]:
    end = payload.index(b"\0", start)
    return payload[start:end], end + 1


def _patches(text: bytes, rows: list[tuple[str, str, str, str, str, bytes, bytes]]) -> list[bytes]:
    """Cut the patch text into one piece a row. A type change is printed as two, a removal and an addition."""
    if not text:
        return [b""] * len(rows)
    # every line of a hunk begins with a blank, '+', '-' or '\', so a line that begins with "diff --git" is a header
    starts = [0, *(m.start() + 1 for m in re.finditer(rb"\ndiff --git ", text))]
    pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    wanted = len(rows) + sum(row[4] == "T" for row in rows)
    if len(pieces) != wanted:
        raise GitFailed(f"git printed {len(pieces)} patches for {wanted} changed files")
    result = []
    taken = iter(pieces)
    for row in rows:
        piece = next(taken)
        result.append(piece + next(taken) if row[4] == "T" else piece)
    return result
