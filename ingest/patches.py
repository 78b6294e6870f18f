"""A patch read without a repository: what `git diff`, `git show`, `git format-patch` and GitHub print.

Lines of a hunk are counted off by its header, as `git apply` does it, so that a diff inside a diff is content and a
signature behind the last hunk is none. Paths come from the extended headers, unquoted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import MessageError
from email.header import decode_header, make_header

from ingest.diffs import decode, parse_hunks
from ingest.errors import PrloreError
from ingest.records import FileStatus, Hunk

LARGEST_PATCH = 64 << 20
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPES = {ord("n"): 10, ord("t"): 9, ord("r"): 13, ord("a"): 7, ord("b"): 8, ord("f"): 12, ord("v"): 11}
_PATCH_TAG = re.compile(r"^\s*\[(?:[^\]]*\s)?PATCH[^\]]*\]\s*")


class PatchError(PrloreError):
    """A text that is no patch, or one that can't be reviewed as one change."""


@dataclass(frozen=True, slots=True)
class PatchedFile:
    """One file of a patch.

    Attributes:
        path: on the new side, on the old side when deleted.
        old_path: on the old side.
        patch: its text from its first header on, as bytes.
        hunks: empty for binary files, mode changes and pure renames.
    """

    path: str
    old_path: str
    status: FileStatus
    patch: bytes
    hunks: tuple[Hunk, ...]
    binary: bool = False
    missing: bool = False  # its lines were not given

    @property
    def added(self) -> int:
        """Lines added."""
        return sum(h.added for h in self.hunks)

    @property
    def removed(self) -> int:
        """Lines removed."""
        return sum(h.removed for h in self.hunks)


@dataclass(frozen=True, slots=True)
class ReadPatch:
    """A patch with what stands above it: title and message of a mail or of `git show`, empty where there is none."""

    files: tuple[PatchedFile, ...]
    title: str = ""
    message: str = ""


@dataclass(slots=True)
class _Pending:
    """A file whose headers are being read."""

    line: bytes = b""
    old: str | None = None
    new: str | None = None
    status: FileStatus = "modified"
    binary: bool = False
    rows: list[bytes] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    hunks: int = 0


def read_patch(raw: bytes) -> ReadPatch:
    """Read a patch.

    Raises:
        PatchError: there is no diff in it, it is a combined diff, a hunk is cut off, or a file comes twice.
    """
    if len(raw) > LARGEST_PATCH:
        raise PatchError(
            f"the patch has {len(raw) >> 20} MiB, more than {LARGEST_PATCH >> 20}: review it in parts"
        )
    lines = raw.split(b"\n")
    head, start = _preamble(lines)
    files = [_finish(p) for p in _files(lines, start)]
    if not files:
        raise PatchError("there is no diff in the patch: give what `git diff` or `git format-patch` prints")
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise PatchError(
                f"{file.path} comes twice in the patch: give the whole change as one diff, `git diff A...B`"
            )
        seen.add(file.path)
    title, message = _title(head)
    return ReadPatch(tuple(files), title, message)


def github_patch(
    path: str, old_path: str, status: str, patch: str, additions: int, deletions: int
) -> PatchedFile:
    """A file of GitHub's files API, whose patch has no headers.

    Raises:
        DiffMismatch: the hunks don't add up to the counts.
    """
    states: dict[str, FileStatus] = {
        "added": "added",
        "removed": "deleted",
        "renamed": "renamed",
        "copied": "copied",
    }
    raw = patch.encode("utf-8", "surrogatepass")
    if raw and not raw.endswith(b"\n"):
        raw += b"\n"
    hunks = parse_hunks(raw, additions, deletions) if raw else ()
    missing = not raw and bool(additions or deletions or status in ("modified", "changed"))
    state = states.get(status, "modified")
    return PatchedFile(path, old_path or path, state, raw, hunks, binary=missing, missing=missing)


def _preamble(lines: list[bytes]) -> tuple[list[str], int]:
    """Lines above the first diff, decoded, and where it begins."""
    for at, line in enumerate(lines):
        plain = line.startswith(b"--- ") and at + 1 < len(lines) and lines[at + 1].startswith(b"+++ ")
        if line.startswith(b"diff --") or plain:
            return [decode(row).rstrip("\r") for row in lines[:at]], at
    return [], len(lines)


def _title(head: list[str]) -> tuple[str, str]:
    """Title and message of a mail (`Subject:`) or of `git show` (indented by four blanks)."""
    subject = next((i for i, row in enumerate(head) if row.lower().startswith("subject:")), None)
    if subject is not None:
        text, at = head[subject][8:], subject + 1
        while at < len(head) and head[at][:1] in (" ", "\t"):
            text, at = text + " " + head[at].strip(), at + 1
        with contextlib.suppress(LookupError, ValueError, MessageError):  # then it stays as it came
            text = str(make_header(decode_header(text.strip())))
        below = head[at:]
        blank = next((i for i, row in enumerate(below) if not row.strip()), len(below))
        body = below[blank + 1 :]
        end = next((i for i, row in enumerate(body) if row == "---"), len(body))
        return _PATCH_TAG.sub("", text).strip(), "\n".join(body[:end]).strip()
    said = [row[4:] for row in head if row.startswith("    ")]
    while said and not said[0].strip():
        said.pop(0)
    return (said[0].strip(), "\n".join(said[1:]).strip()) if said else ("", "")


def _files(lines: list[bytes], start: int) -> Iterator[_Pending]:
    file: _Pending | None = None
    at = start
    while at < len(lines):
        line = lines[at]
        if line.startswith((b"diff --cc ", b"diff --combined ")):
            raise PatchError(
                "a combined diff has no single parent: give the diff against one, `git diff A...B`"
            )
        if line.startswith(b"diff --git "):
            if file is not None:
                yield file
            file = _Pending(line)
        elif line.startswith(b"--- ") and at + 1 < len(lines) and lines[at + 1].startswith(b"+++ "):
            if (
                file is None
                or file.hunks
                or (file.rows[1:2] and any(r.startswith(b"+++ ") for r in file.rows))
            ):
                if file is not None:
                    yield file
                file = _Pending()
            _names(file, line, lines[at + 1])
            file.rows += [line, lines[at + 1]]
            at += 2
            continue
        elif file is not None and (hunk := _HUNK.match(line)):
            at = _hunk(file, lines, at, hunk)
            continue
        elif file is not None and not file.hunks:
            _extended(file, line)
        if file is not None and not file.hunks:
            file.rows.append(line)
        at += 1
    if file is not None:
        yield file


def _names(file: _Pending, old: bytes, new: bytes) -> None:
    before, after = _path(old[4:], b"a/"), _path(new[4:], b"b/")
    if before is None:
        file.status = "added"
    elif file.old is None:
        file.old = before
    if after is None:
        file.status = "deleted"
    elif file.new is None:
        file.new = after


def _extended(file: _Pending, line: bytes) -> None:
    """One of git's extended headers."""
    if line.startswith(b"new file mode"):
        file.status = "added"
    elif line.startswith(b"deleted file mode"):
        file.status = "deleted"
    elif line.startswith((b"rename from ", b"copy from ")):
        file.status = "renamed" if line.startswith(b"rename") else "copied"
        file.old = decode(_unquoted(line.split(b" from ", 1)[1].rstrip(b"\r")))
    elif line.startswith((b"rename to ", b"copy to ")):
        file.new = decode(_unquoted(line.split(b" to ", 1)[1].rstrip(b"\r")))
    elif line.startswith((b"Binary files ", b"GIT binary patch")):
        file.binary = True


def _hunk(file: _Pending, lines: list[bytes], at: int, head: re.Match[bytes]) -> int:
    """Take one hunk; the index of the line behind it."""
    old, new = (int(head[i] if head[i] is not None else 1) for i in (2, 4))
    first = at
    file.hunks += 1
    file.rows.append(lines[at])
    at += 1
    while (old > 0 or new > 0) or (at < len(lines) and lines[at][:1] == b"\\"):
        if at >= len(lines) or (at == len(lines) - 1 and not lines[at]):
            raise PatchError(f"the hunk in line {first + 1} of the patch is cut off: give the whole patch")
        line = lines[at]
        mark = line[:1]
        if mark == b"+":
            new, file.added = new - 1, file.added + 1
        elif mark == b"-":
            old, file.removed = old - 1, file.removed + 1
        elif mark in (b" ", b"", b"\r"):
            old, new = old - 1, new - 1
            line = line if mark == b" " else b" " + line  # an editor took the blank of an empty line away
        elif mark != b"\\":
            raise PatchError(
                f"line {at + 1} of the patch is none of a hunk: the hunk in line {first + 1} wants more lines"
            )
        if old < 0 or new < 0:
            raise PatchError(f"the hunk in line {first + 1} of the patch has more lines than its header says")
        file.rows.append(line)
        at += 1
    return at


def _finish(file: _Pending) -> PatchedFile:
    if file.old is None and file.new is None and file.line:
        file.old = file.new = _both(file.line[len(b"diff --git ") :])
    path = file.new if file.new is not None else file.old
    if not path:
        raise PatchError(f"can't read the paths of {decode(file.line)[:120]!r}: give what `git diff` prints")
    if file.status == "deleted" and file.old:
        path = file.old
    raw = (file.line + b"\n" if file.line else b"") + b"\n".join(file.rows) + b"\n"
    counts = (None, None) if file.binary and not file.hunks else (file.added, file.removed)
    hunks = parse_hunks(raw, *counts) if file.hunks else ()
    return PatchedFile(path, file.old or path, file.status, raw, hunks, file.binary)


def _path(text: bytes, prefix: bytes) -> str | None:
    """The path of a `---` or `+++` line, None for /dev/null."""
    name = _unquoted(text.rstrip(b"\r"))
    if not text.startswith(b'"'):
        name = name.split(b"\t", 1)[0]
    if name == b"/dev/null":
        return None
    return decode(name[len(prefix) :] if name.startswith(prefix) else name)


def _both(text: bytes) -> str:
    """The path of a `diff --git` line whose two sides have one name."""
    text = text.rstrip(b"\r")
    if text.startswith(b'"'):
        end = next(
            (i for i in range(1, len(text)) if text[i : i + 1] == b'"' and text[i - 1 : i] != b"\\"),
            len(text),
        )
        name = _unquoted(text[: end + 1])
    else:
        half = len(text) // 2
        name = text[:half]
        if len(text) % 2 == 0 or text[half : half + 1] != b" " or text[2:half] != text[half + 3 :]:
            return ""
    return decode(name[2:] if name.startswith(b"a/") else name)


def _unquoted(text: bytes) -> bytes:
    """A name as git quotes it, without its quotes and escapes."""
    if not (len(text) >= 2 and text.startswith(b'"') and text.rstrip().endswith(b'"')):
        return text
    body, out, at = text.rstrip()[1:-1], bytearray(), 0
    while at < len(body):
        char = body[at]
        if char != 0x5C or at + 1 >= len(body):
            out.append(char)
            at += 1
        elif re.match(rb"[0-3][0-7]{2}", body[at + 1 : at + 4]):
            out.append(int(body[at + 1 : at + 4], 8))
            at += 4
        else:
            out.append(_ESCAPES.get(body[at + 1], body[at + 1]))
            at += 2
    return bytes(out)
