"""Chunks: the diff of a pull request cut per file into pieces that can be found and shown.

A chunk holds whole hunks of one file while they fit, and pieces of a hunk that is longer. Each piece begins
with the header of the hunk it stands in; lines longer than 400 characters are data and cut. So a file's hunks can be
put together again from its chunks (see kb/stored_diff.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from ingest.records import ChangedFile, Hunk
from kb.comments import Comment, best_comment
from kb.diff_lines import LONGEST_LINE, LineKind
from kb.excerpts import RankedLines, Window, file_windows
from kb.words import capped, code_words, prose_words

_CHUNK_CHARS = 4000
_CHUNKS_A_FILE = 24
_CHUNKS_OF_DATA = 2
_WORDS_A_CHUNK = 400
_DIFF_WORDS_A_FILE = 600
_REPEATS = 3
_GENERATED = (".lock", ".csv", ".svg", ".ipynb", ".jsonl", ".txt", ".pb", ".snap")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one file's diff, with the words it is found by."""

    hunk: str
    text: str
    words: str


class KindCount(NamedTuple):
    """Changed lines of one kind in a file: how many, and the first of them."""

    kind: LineKind
    lines: int
    line: str


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a worker makes of one changed file.

    Attributes:
        chunks: pieces in order.
        words: the file's words for the diff field of its card.
        lines_indexed: changed lines that stand in a chunk.
        windows: its best lines, best first; all of them stand in the chunks.
        kinds: what its changed lines are.
        comment: what its author wrote beside the code.
    """

    chunks: tuple[Chunk, ...] = ()
    words: str = ""
    lines_indexed: int = 0
    windows: tuple[Window, ...] = ()
    kinds: tuple[KindCount, ...] = ()
    comment: Comment | None = None


def digest_file(file: ChangedFile) -> FileDigest:
    """Chunks, words and the best lines of a file. Runs in the ingest workers, so it imports no store."""
    if not file.hunks:
        return FileDigest()
    is_data = file.group == "config" or PurePosixPath(file.path).suffix in _GENERATED
    pieces, covered = _pieces(file.hunks, _CHUNKS_OF_DATA if is_data else _CHUNKS_A_FILE)
    path_words = prose_words(PurePosixPath(file.path).name)
    chunks: list[Chunk] = []
    file_words: list[str] = []
    indexed = 0
    for hunk, text in pieces:
        lines = [line for line in text.split("\n") if line[:1] in ("+", "-")]
        indexed += len(lines)
        words = code_words("\n".join(lines))
        file_words += words
        chunks.append(
            Chunk(
                hunk,
                text,
                capped(
                    [*path_words, *code_words(hunk.partition(" @@")[2]), *words], _REPEATS, _WORDS_A_CHUNK
                ),
            )
        )
    windows, ranked = file_windows(file.path, file.hunks, covered)
    return FileDigest(
        chunks=tuple(chunks),
        words=capped(file_words, _REPEATS, _DIFF_WORDS_A_FILE),
        lines_indexed=indexed,
        windows=tuple(windows),
        kinds=_kinds(ranked),
        comment=best_comment(ranked) if file.group in ("runtime", "kernel") else None,
    )


def _kinds(hunks: Sequence[tuple[Hunk, RankedLines]]) -> tuple[KindCount, ...]:
    counts: Counter[LineKind] = Counter()
    first: dict[LineKind, str] = {}
    for _, ranked in hunks:
        for line, kind in zip(ranked.lines, ranked.kinds, strict=True):
            if kind not in ("context", "mark"):
                counts[kind] += 1
                if kind not in first:
                    first[kind] = line[:LONGEST_LINE]
    return tuple(KindCount(kind, count, first[kind]) for kind, count in counts.items())


def _pieces(hunks: tuple[Hunk, ...], most: int) -> tuple[list[tuple[str, str]], int]:
    """(header of the first hunk, text) of each chunk, and how many lines of the hunks they hold, from the first on."""
    pieces: list[tuple[str, str]] = []
    head, parts, size = "", [], 0  # type: str, list[str], int
    covered = 0

    def close() -> None:
        nonlocal head, parts, size
        if parts:
            pieces.append((head, "\n".join(parts)))
        head, parts, size = "", [], 0

    for hunk in hunks:
        title = f"{hunk.header} {hunk.section}".rstrip()
        length = len(hunk.text)
        if size and size + length > _CHUNK_CHARS:
            close()
        if len(pieces) >= most:
            return pieces, covered
        if not head:
            head = title
        parts.append(title)
        for raw in hunk.text.rstrip("\n").split("\n"):
            line = raw[:LONGEST_LINE]
            if size + len(line) > _CHUNK_CHARS and size > _CHUNK_CHARS // 4:
                if parts[-1] is title:  # no piece ends with a header
                    parts.pop()
                close()
                if len(pieces) >= most:
                    return pieces, covered
                head, parts = title, [title]
            parts.append(line)
            size += len(line) + 1
            covered += 1
    close()
    return pieces, covered
