"""Lines of a `.jsonl` or `.jsonl.gz` from a stranger: streamed, in bounded memory, bombs refused, whatever is whole kept."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.errors import PrloreError

MOST_LINE = 16 << 20  # bytes: a thread of the corpus has 142 comments at most, GitHub allows 64 KiB in each
MOST_TOTAL = 8 << 30
MOST_RATIO = 250  # gzip can reach 1,032; text of reviews stays below 15
_RATIO_FROM = 64 << 20  # a small file may be as dense as it likes
_READ = 1 << 18
_INFLATED = 1 << 20


class CorpusError(PrloreError):
    """A corpus that can't be read at all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its number, from 1. `problem` is set, and `data` empty, where it can't be used."""

    number: int
    data: bytes = b""
    problem: str = ""


def read_lines(path: Path) -> Iterator[Line]:
    """Lines of a file, blank ones left out.

    Raises:
        CorpusError: it is no file, can't be opened, or is built to fill a disk or memory.
    """
    try:
        with _opened(path) as file:
            yield from _split(_blocks(file, path), path)
    except OSError as exc:
        raise CorpusError(
            f"can't read {path}: {exc.strerror or exc}; name a .jsonl or .jsonl.gz file"
        ) from exc


def _opened(path: Path) -> BinaryIO:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise CorpusError(f"{path} is no plain file: name a .jsonl or .jsonl.gz file")
    return os.fdopen(handle, "rb")


class _Broken(Exception):
    """The compressed stream ends early or is damaged; what came before it is good."""


def _blocks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Decompressed blocks of at most a megabyte.

    Raises:
        _Broken: it does not go on.
    """
    first = file.read(_READ)
    if not first.startswith(b"\x1f\x8b"):
        while first:
            yield first
            first = file.read(_READ)
        return
    given = made = 0
    inflate, begun = zlib.decompressobj(wbits=31), False
    raw = first
    while raw:
        given += len(raw)
        while raw:
            begun = True
            try:
                block = inflate.decompress(raw, _INFLATED)
            except zlib.error as exc:
                raise _Broken(f"the compressed data is damaged ({exc})") from exc
            made += len(block)
            if made > MOST_TOTAL or (made > _RATIO_FROM and made > MOST_RATIO * given):
                raise CorpusError(f"{path} unpacks to more than {made >> 20} MiB from {given >> 20} MiB: refused as a bomb")  # fmt: skip
            if block:
                yield block
            raw = inflate.unconsumed_tail
            if inflate.eof:  # another member may follow
                raw = inflate.unused_data.lstrip(b"\0")
                inflate, begun = zlib.decompressobj(wbits=31), False
        raw = file.read(_READ)
    if begun:
        raise _Broken("the compressed data ends in the middle")


def _split(blocks: Iterator[bytes], path: Path) -> Iterator[Line]:
    number, parts, size, skipping = 1, [], 0, False  # type: int, list[bytes], int, bool
    problem = ""
    try:
        for block in blocks:
            start = 0
            while (end := block.find(b"\n", start)) >= 0:
                if skipping or size + end - start > MOST_LINE:
                    yield Line(number, problem=f"longer than {MOST_LINE >> 20} MiB")
                else:
                    data = b"".join((*parts, block[start:end]))
                    if data.strip():
                        yield Line(number, data)
                number, parts, size, skipping, start = number + 1, [], 0, False, end + 1
            rest = block[start:]
            size += len(rest)
            if size > MOST_LINE:
                parts, skipping = [], True
            elif rest:
                parts.append(rest)
    except _Broken as exc:
        problem = str(exc)
    if skipping:
        yield Line(number, problem=f"longer than {MOST_LINE >> 20} MiB")
    elif problem:
        yield Line(number, problem=problem)
    elif (data := b"".join(parts)).strip():
        yield Line(number, data)
