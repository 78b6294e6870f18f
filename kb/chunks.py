"""Chunks: the diff of a pull request cut per file into pieces that can be found and shown.

A chunk holds whole hunks of one file while they fit, and pieces of a hunk that is longer. Each piece begins
with the header of the hunk it stands in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from ingest.records import ChangedFile, Hunk
from kb.cards import Excerpt
from kb.excerpts import Window, best_window, group_weight
from kb.words import capped, code_words, prose_words

_CHUNK_CHARS = 4000
_LINE_CHARS = 400  # longer lines are data; they are cut in the chunk, never in the counts
_CHUNKS_A_FILE = 24
_CHUNKS_OF_DATA = 2
_CHUNKS_RANKED = 6  # pieces of a file looked through for its best lines
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


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a worker makes of one changed file.

    Attributes:
        chunks: pieces in order.
        words: the file's words for the diff field of its card.
        lines_indexed: changed lines that stand in a chunk.
        excerpt: the file's best lines, with their score.
    """

    chunks: tuple[Chunk, ...] = ()
    words: str = ""
    lines_indexed: int = 0
    excerpt: Excerpt | None = None
    score: float = 0.0


def digest_file(file: ChangedFile) -> FileDigest:
    """Chunks, words and the best excerpt of a file. Runs in the ingest workers, so it imports no store."""
    if not file.hunks:
        return FileDigest()
    is_data = file.group == "config" or PurePosixPath(file.path).suffix in _GENERATED
    pieces = _pieces(file.hunks, _CHUNKS_OF_DATA if is_data else _CHUNKS_A_FILE)
    path_words = prose_words(PurePosixPath(file.path).name)
    chunks: list[Chunk] = []
    file_words: list[str] = []
    best = Window(-1.0, "", "")
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
        if len(chunks) <= _CHUNKS_RANKED:
            window = best_window(text)
            if window.score > best.score:
                best = window
    weight = group_weight(file.group)
    return FileDigest(
        chunks=tuple(chunks),
        words=capped(file_words, _REPEATS, _DIFF_WORDS_A_FILE),
        lines_indexed=indexed,
        excerpt=Excerpt(path=file.path, hunk=best.hunk, text=best.text),
        score=max(best.score, 0.01) * weight,
    )


def _pieces(hunks: tuple[Hunk, ...], most: int) -> list[tuple[str, str]]:
    """(header of the first hunk, text) of each chunk."""
    pieces: list[tuple[str, str]] = []
    head, parts, size = "", [], 0  # type: str, list[str], int

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
        if not head:
            head = title
        parts.append(title)
        for raw in hunk.text.rstrip("\n").split("\n"):
            line = raw[:_LINE_CHARS]
            if size + len(line) > _CHUNK_CHARS and size > _CHUNK_CHARS // 4:
                close()
                if len(pieces) >= most:
                    return pieces
                head, parts = title, [title]
            parts.append(line)
            size += len(line) + 1
        if len(pieces) >= most:
            return pieces[:most]
    close()
    return pieces[:most]
