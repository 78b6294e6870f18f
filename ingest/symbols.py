"""Symbols a change introduced, changed and removed, file by file along a history.

Parsing every version of every file costs about 4 ms a file and version. A history changes the same files again
and again, so the tracker keeps the last version of recently changed files with its outline, applies the hunks to
it, proves the result by its blob name, and has only what lies around the changes parsed anew.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.edits import Edit, apply_edits, edits_of, line_starts
from ingest.git import Repository
from ingest.outline import Definition, Outline, outline_of
from ingest.paths import language_of
from ingest.records import RawEntry, Symbol, SymbolSource
from ingest.splice import Version, splice

_KEPT = 32 << 20  # bytes of versions a process keeps
_LARGEST_SOURCE = 2 << 20
_NO_BLOB = "0" * 40
_LONGEST_RUN = 2000  # lines
# lines that hold a comment or a backslash alone
_IDLE_RUN = re.compile(rb"^(?:[ \t\f]*(?:#[^\n]*|\\\r?)?\n)+", re.MULTILINE)


_EMPTY = Version(b"", line_starts(b""), outline_of("python", b""))


class SymbolTracker:
    """Finds the symbols of changed files. Give it the changes of a path in the order of the history.

    Not safe for threads: one tracker a process.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._kept: OrderedDict[tuple[str, str], Version] = OrderedDict()
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
        versions = self._versions(language, language_of(entry.old_path) or language, entry, edits)
        if versions is None:
            return _from_sections(sections)
        old, new = versions
        before = _touched(old, [(e.old_row, e.taken) for e in edits])
        after = _touched(new, [(e.new_row, e.inserted) for e in edits])
        if before is None or after is None:
            return _from_sections(sections)
        return _compare(before, after, new), "tree-sitter"

    def _versions(
        self, language: str, was: str, entry: RawEntry, edits: Sequence[Edit]
    ) -> tuple[Outline | None, Outline | None] | None:
        """Outlines before and after the change; None as a whole when a version can't be had."""
        old: Version | None = None
        if entry.old_blob != _NO_BLOB and entry.status != "added":
            old = self._take(was, entry.old_blob)
            if old is None:
                source = self._read(entry.old_blob)
                if source is None or _is_slow(source):
                    return None
                old = Version(source, line_starts(source), outline_of(was, source))
        if entry.new_blob == _NO_BLOB or entry.status == "deleted":
            return (old.outline if old else None), None
        before = old.outline if old is not None else None
        start = old or _EMPTY
        source = apply_edits(start.source, start.starts, edits)
        if source is None or _blob_name(source, len(entry.new_blob)) != entry.new_blob:
            source, old = self._read(entry.new_blob), None  # a type change, or bytes a patch does not show
        if source is None or len(source) > _LARGEST_SOURCE or _is_slow(source):
            return None
        starts = line_starts(source)
        outline = splice(old, edits, source, starts) if old is not None and was == language else None
        new = Version(source, starts, outline or outline_of(language, source))
        self._keep(language, entry.new_blob, new)
        return before, new.outline

    def _take(self, language: str, blob: str) -> Version | None:
        version = self._kept.pop((language, blob), None)
        if version is not None:
            self._kept_bytes -= version.size
        return version

    def _keep(self, language: str, blob: str, version: Version) -> None:
        self._take(language, blob)
        self._kept[language, blob] = version
        self._kept_bytes += version.size
        while self._kept_bytes > _KEPT and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.size

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


def symbols_between(
    language: str, old: bytes | None, new: bytes | None, patch: bytes
) -> tuple[Symbol, ...] | None:
    """The symbols that a patch touches between two whole versions of a file.

    Args:
        language: of both.
        old: the version before, None for a new file.
        new: the version behind it, None for a deleted one.
        patch: what turns one into the other.

    Returns:
        None where a changed line lies in a part that does not parse, or parsing would take seconds.
    """
    if any(s is not None and (len(s) > _LARGEST_SOURCE or _is_slow(s)) for s in (old, new)):
        return None
    edits = edits_of(patch)
    outlines = [outline_of(language, text) if text is not None else None for text in (old, new)]
    before = _touched(outlines[0], [(e.old_row, e.taken) for e in edits])
    after = _touched(outlines[1], [(e.new_row, e.inserted) for e in edits])
    return None if before is None or after is None else _compare(before, after, outlines[1])


def _is_slow(source: bytes) -> bool:
    """Whether the Python grammar would take seconds: its time is quadratic in a run of comments or joined lines."""
    if source.count(b"#") + source.count(b"\\") <= _LONGEST_RUN:
        return False
    runs = (m[0].split(b"\n") for m in _IDLE_RUN.finditer(source))
    return any(sum(not line.isspace() and line != b"" for line in run) > _LONGEST_RUN for run in runs)


def _blob_name(source: bytes, hex_length: int) -> str:
    """Git's name for a blob: SHA-1, or SHA-256 where names are 64 digits long."""
    digest = hashlib.sha256 if hex_length == 64 else hashlib.sha1
    return digest(b"blob %d\0" % len(source) + source).hexdigest()


@dataclass(slots=True)
class _Touched:
    """Definitions whose header line changed, and the innermost definitions of the other changed lines."""

    headers: dict[str, Definition]
    enclosing: dict[str, Definition]


def _touched(outline: Outline | None, runs: Sequence[tuple[int, Sequence[bytes]]]) -> _Touched | None:
    """Definitions a side's changed lines touch; None where a changed line lies in a part that did not parse."""
    result = _Touched({}, {})
    if outline is None:
        return result
    for first, lines in runs:
        if not lines:
            continue
        last = first + len(lines) - 1
        definitions, parsed = outline.touching(first, last)
        if not parsed:
            return None
        # blank lines between definitions belong to none of them
        rows = {first + i for i, line in enumerate(lines) if not line.isspace()}
        for definition in definitions:
            if first <= definition.header <= last:
                result.headers.setdefault(definition.name, definition)
                rows.difference_update(range(max(first, definition.first), min(last, definition.last) + 1))
        others = [d for d in definitions if not first <= d.header <= last]
        for definition in sorted(others, key=lambda d: (d.first, -d.last), reverse=True):  # innermost first
            inside = rows.intersection(range(max(first, definition.first), min(last, definition.last) + 1))
            if inside:
                rows -= inside
                result.enclosing.setdefault(definition.name, definition)
    return result


def _compare(before: _Touched, after: _Touched, new: Outline | None) -> tuple[Symbol, ...]:
    symbols: dict[str, Symbol] = {}
    for name, d in after.headers.items():
        change = "changed" if name in before.headers or name in before.enclosing else "introduced"
        symbols[name] = Symbol(name, d.kind, change, d.first + 1, d.last + 1)  # type: ignore[arg-type]
    for name, d in before.headers.items():
        if name not in symbols and name not in after.enclosing:
            left = new.find(name) if new is not None else None  # an overload may go while its function stays
            change, at = ("changed", left) if left is not None else ("removed", d)
            symbols[name] = Symbol(name, at.kind, change, at.first + 1, at.last + 1)  # type: ignore[arg-type]
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
        name = section_name(section)
        if name:
            kind = next((k for word, k in _HEADER_KINDS if word in f"{section} "), "function")
            found.setdefault(name, Symbol(name, kind, "changed", line, line))
    return tuple(found.values()), "hunk-header"


def section_name(section: str) -> str | None:
    """The definition that a hunk header names, None where it names none."""
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
