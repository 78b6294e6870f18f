"""Symbols a change introduced, changed and removed, file by file along a history.

Parsing every version of every file from scratch costs about 4 ms a file. A history changes the same files
again and again, so the tracker keeps the last version of recently changed files with its syntax tree, applies
the hunks to it, proves the result by its blob name, and lets tree-sitter re-parse only what changed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import tree_sitter

from ingest.git import Repository
from ingest.outline import Definition, definitions_in, parse
from ingest.paths import language_of
from ingest.records import RawEntry, Symbol, SymbolSource

# A tree-sitter tree takes about 23 bytes a byte of source (measured on 1,500 files of SGLang).
_KEPT_SOURCE = 5 << 20
_LARGEST_SOURCE = 2 << 20
_NO_BLOB = "0" * 40
_COMMENT_RUN = 2000
_COMMENTS = re.compile(rb"(?:^[ \t]*#[^\n]*\n){%d}" % _COMMENT_RUN, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Edit:
    """One run of changed lines: 0-based first rows, lines taken out and lines put in, with newlines."""

    old_row: int
    new_row: int
    taken: tuple[bytes, ...]
    inserted: tuple[bytes, ...]

    @property
    def removed(self) -> int:
        """How many lines are taken out."""
        return len(self.taken)


def edits_of(patch: bytes) -> list[Edit]:
    """The runs of changed lines of one file's patch, top to bottom."""
    edits: list[Edit] = []
    old = new = 0
    taken: list[bytes] = []
    put: list[bytes] = []
    start = (0, 0)
    in_hunk = False

    def close() -> None:
        nonlocal taken, put
        if taken or put:
            edits.append(Edit(start[0], start[1], tuple(taken), tuple(put)))
        taken, put = [], []

    last = b""
    for line in patch.split(b"\n"):
        mark = line[:1]
        if mark == b"@" and line.startswith(b"@@ -"):
            close()
            in_hunk = True
            ranges = line.split(b" ", 3)
            old = _start(ranges[1])
            new = _start(ranges[2])
        elif not in_hunk:
            continue
        elif mark == b"+":
            if not taken and not put:
                start = (old, new)
            put.append(line[1:] + b"\n")
            new += 1
        elif mark == b"-":
            if not taken and not put:
                start = (old, new)
            taken.append(line[1:] + b"\n")
            old += 1
        elif mark == b"\\":  # "No newline at end of file" speaks of the line above
            if last == b"+" and put:
                put[-1] = put[-1][:-1]
            elif last == b"-" and taken:
                taken[-1] = taken[-1][:-1]
        elif mark == b" ":
            close()
            old += 1
            new += 1
        last = mark
    close()
    return edits


def _start(side: bytes) -> int:
    """0-based first row of one side of a hunk header; `-0,0` and `-5,0` stand behind the named line."""
    numbers = side[1:].split(b",")
    first = int(numbers[0])
    return first if len(numbers) > 1 and numbers[1] == b"0" else first - 1


@dataclass(slots=True)
class _Version:
    source: bytes
    tree: tree_sitter.Tree


class SymbolTracker:
    """Finds the symbols of changed files. Give it the changes of a path in the order of the history.

    Not safe for threads: one tracker a process.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._kept: OrderedDict[tuple[str, str], _Version] = OrderedDict()
        self._kept_bytes = 0
        self._reader: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the object reader."""
        if self._reader is not None:
            self._reader.kill()
            self._reader.wait()
            for pipe in (self._reader.stdin, self._reader.stdout):
                if pipe is not None:
                    pipe.close()
            self._reader = None

    def symbols(
        self, entry: RawEntry, patch: bytes, sections: Sequence[tuple[int, str]]
    ) -> tuple[tuple[Symbol, ...], SymbolSource]:
        """The symbols one changed file touches, and what told them.

        Args:
            entry: the file's row.
            patch: its patch, with hunks.
            sections: (first new line, section text) of each hunk, used when the file does not parse.
        """
        language = language_of(entry.path)
        if (
            language is None
            or entry.added is None
            or b"\n@@ -" not in patch
            or entry.new_mode in ("120000", "160000")
        ):
            return (), "none"
        edits = edits_of(patch)
        was = language_of(entry.old_path) or language
        versions = self._versions(language, was, entry, edits)
        if versions is None:
            return _from_sections(sections)
        old, new = versions
        before = _touched(was, old, [(e.old_row, e.taken) for e in edits])
        after = _touched(language, new, [(e.new_row, e.inserted) for e in edits])
        if before is None or after is None:
            return _from_sections(sections)
        return _compare(before, after), "tree-sitter"

    def _versions(
        self, language: str, was: str, entry: RawEntry, edits: Sequence[Edit]
    ) -> tuple[tree_sitter.Tree | None, tree_sitter.Tree | None] | None:
        """Trees before and after the change; None as a whole when a version can't be had."""
        old: _Version | None = None
        if entry.old_blob != _NO_BLOB and entry.status != "added":
            old = self._take(was, entry.old_blob)
            if old is None:
                source = self._read(entry.old_blob)
                if source is None or _is_slow(source):
                    return None
                old = _Version(source, parse(was, source))
        if entry.new_blob == _NO_BLOB or entry.status == "deleted":
            return (old.tree if old else None), None
        source = _apply(old.source if old else b"", edits)
        if _blob_name(source, len(entry.new_blob)) != entry.new_blob:
            read = self._read(entry.new_blob)  # a type change, or bytes a patch does not show
            if read is None or _is_slow(read):
                return None
            new = _Version(read, parse(language, read))
        elif len(source) > _LARGEST_SOURCE or _is_slow(source):
            return None
        elif old is None or was != language:
            new = _Version(source, parse(language, source))
        else:
            new = _Version(source, parse(language, source, _edited(old, edits)))
        self._keep(language, entry.new_blob, new)
        return (old.tree if old else None), new.tree

    def _take(self, language: str, blob: str) -> _Version | None:
        version = self._kept.pop((language, blob), None)
        if version is not None:
            self._kept_bytes -= len(version.source)
        return version

    def _keep(self, language: str, blob: str, version: _Version) -> None:
        self._take(language, blob)
        self._kept[language, blob] = version
        self._kept_bytes += len(version.source)
        while self._kept_bytes > _KEPT_SOURCE and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped.source)

    def _read(self, blob: str) -> bytes | None:
        """A blob's bytes; None when it is missing or larger than what is parsed."""
        if self._reader is None or self._reader.poll() is not None:
            self.close()
            self._reader = self._repository.spawn("cat-file", "--batch", stdin=subprocess.PIPE)
        stdin, stdout = self._reader.stdin, self._reader.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{blob}\n".encode())
            stdin.flush()
            head = stdout.readline().split()
            if len(head) != 3 or head[1] != b"blob":
                return None
            source = stdout.read(int(head[2]) + 1)[:-1]
        except BrokenPipeError:  # git dies at a corrupt object; the next read starts another
            return None
        return source if len(source) == int(head[2]) <= _LARGEST_SOURCE else None


def _is_slow(source: bytes) -> bool:
    """Whether the Python grammar would take seconds: its time is quadratic in a run of comment lines."""
    return source.count(b"#") > _COMMENT_RUN and _COMMENTS.search(source) is not None


def _blob_name(source: bytes, hex_length: int) -> str:
    """Git's name for a blob: SHA-1, or SHA-256 where names are 64 digits long."""
    digest = hashlib.sha256 if hex_length == 64 else hashlib.sha1
    return digest(b"blob %d\0" % len(source) + source).hexdigest()


def _lines(source: bytes) -> list[bytes]:
    lines = source.split(b"\n")
    kept = [line + b"\n" for line in lines[:-1]]
    if lines[-1]:
        kept.append(lines[-1])
    return kept


def _apply(source: bytes, edits: Sequence[Edit]) -> bytes:
    lines = _lines(source)
    parts: list[bytes] = []
    row = 0
    for edit in edits:
        parts += lines[row : edit.old_row]
        parts += edit.inserted
        row = edit.old_row + edit.removed
    parts += lines[row:]
    return b"".join(parts)


def _edited(old: _Version, edits: Sequence[Edit]) -> tree_sitter.Tree:
    """A copy of the old tree that knows where lines came and went, bottom to top so that rows stay true."""
    tree = old.tree.copy()
    lines = _lines(old.source)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    total = len(lines)
    ends_open = bool(lines) and not lines[-1].endswith(b"\n")
    for edit in reversed(edits):
        first, last = min(edit.old_row, total), min(edit.old_row + edit.removed, total)
        start, old_end = offsets[first], offsets[last]
        inserted = b"".join(edit.inserted)
        rows = inserted.count(b"\n")
        tail = inserted.rfind(b"\n") + 1
        old_point = (last, 0)
        if last == total and ends_open:
            old_point = (total - 1, len(lines[-1]))
        start_point = (first, 0) if not (first == total and ends_open) else old_point
        new_point = (start_point[0] + rows, len(inserted) - tail if rows else start_point[1] + len(inserted))
        tree.edit(start, old_end, start + len(inserted), start_point, old_point, new_point)
    return tree


@dataclass(slots=True)
class _Touched:
    """Definitions whose header line changed, and the innermost definitions of the other changed lines."""

    headers: dict[str, Definition]
    enclosing: dict[str, Definition]


def _touched(
    language: str, tree: tree_sitter.Tree | None, runs: Sequence[tuple[int, Sequence[bytes]]]
) -> _Touched | None:
    """Definitions a side's changed lines touch; None where a changed line lies in a part that did not parse."""
    result = _Touched({}, {})
    if tree is None:
        return result
    for first, lines in runs:
        if not lines:
            continue
        last = first + len(lines) - 1
        region = definitions_in(language, tree, first, last)
        if not region.parsed:
            return None
        # blank lines between definitions belong to none of them
        rows = {first + i for i, line in enumerate(lines) if not line.isspace()}
        for definition in region.definitions:
            if first <= definition.header <= last:
                result.headers.setdefault(definition.name, definition)
                rows.difference_update(range(max(first, definition.first), min(last, definition.last) + 1))
        others = [d for d in region.definitions if not first <= d.header <= last]
        for definition in sorted(others, key=lambda d: (d.first, -d.last), reverse=True):  # innermost first
            inside = rows.intersection(range(max(first, definition.first), min(last, definition.last) + 1))
            if inside:
                rows -= inside
                result.enclosing.setdefault(definition.name, definition)
    return result


def _compare(before: _Touched, after: _Touched) -> tuple[Symbol, ...]:
    symbols: dict[str, Symbol] = {}
    for name, d in after.headers.items():
        change = "changed" if name in before.headers or name in before.enclosing else "introduced"
        symbols[name] = Symbol(name, d.kind, change, d.first + 1, d.last + 1)  # type: ignore[arg-type]
    for name, d in before.headers.items():
        if name not in symbols and name not in after.enclosing:
            symbols[name] = Symbol(name, d.kind, "removed", d.first + 1, d.last + 1)
    for name, d in (*after.enclosing.items(), *before.enclosing.items()):
        symbols.setdefault(name, Symbol(name, d.kind, "changed", d.first + 1, d.last + 1))
    return tuple(sorted(symbols.values(), key=lambda s: (s.start, s.name)))


_HEADER_KINDS = (
    ("class ", "class"),
    ("struct ", "struct"),
    ("def ", "function"),
    ("fn ", "function"),
    ("impl", "impl"),
)


def _from_sections(sections: Sequence[tuple[int, str]]) -> tuple[tuple[Symbol, ...], SymbolSource]:
    """Symbols named by hunk headers: all of them `changed`, without an end line."""
    found: dict[str, Symbol] = {}
    for line, section in sections:
        name = _section_name(section)
        if name:
            kind = next((k for word, k in _HEADER_KINDS if word in f"{section} "), "function")
            found.setdefault(name, Symbol(name, kind, "changed", line, line))
    return tuple(found.values()), "hunk-header"


def _section_name(section: str) -> str | None:
    text = section.strip()
    if text.startswith("template") and text.endswith(">"):
        return None
    for word in ("class ", "struct ", "def ", "fn ", "impl ", "enum ", "trait "):
        if word in text:
            text = text.split(word, 1)[1]
            break
    head = (
        text.split("(", 1)[0].split(":", 1)[0].split("{", 1)[0].strip()
        if "::" not in text
        else text.split("(", 1)[0]
    )
    words = head.replace("*", " ").replace("&", " ").split()
    return words[-1][:200] if words and any(c.isalpha() for c in words[-1]) else None
