"""A trace file as a stream of chunks of whole events, in bounded memory, whatever wrote the file.

The array of events is never parsed as a whole: the stream is cut where one event ends and the next begins. A cut is
trusted when what follows it reads as an event, so objects inside of `args` don't fool it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from isal import isal_zlib
from isal.igzip_lib import IsalError

from analysis.errors import UnreadableTrace
from analysis.kineto.events import BOUNDARY, is_event

if TYPE_CHECKING:
    from zlib import _Decompress as Inflater

# small enough to stay in a core's cache from inflating to columns: 8 MB takes 40% more time
CHUNK = 1 << 20
_INFLATED = 512 << 10
_DEFLATED = 256 << 10
_LONGEST_HEADER = 64 << 20
_LONGEST_EVENT = 64 << 20
_WINDOW = 16 << 10
_TRIES = 2000
_BOM = b"\xef\xbb\xbf"
_ARRAY = re.compile(rb'"traceEvents"\s*:\s*\[')
_BLANK = re.compile(r"[ \t\r\n]*")
_END = re.compile(rb"\}\s*\](?=\s*(?:[,}]|$))")


@dataclass
class Reading:
    """What is learnt of a file beside its events.

    Attributes:
        header: keys outside of the event array (deviceProperties, distributedInfo, baseTimeNanoseconds, …).
        problems: what was wrong with the file as a whole, in words.
        size: bytes of JSON read.
        bare: whether the file is an array of events and nothing else.
    """

    header: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    size: int = 0
    bare: bool = False


def chunks(path: Path, reading: Reading) -> Iterator[bytes]:
    """Cut a trace into chunks of whole events, each a JSON array.

    Raises:
        UnreadableTrace: the file can't be opened, or holds no array of events.
    """
    blocks = _blocks(path, reading)
    rest = _to_the_array(path, blocks, reading)
    while True:
        parts, held = [b"[", rest], len(rest)
        for block in blocks:
            parts.append(block)
            held += len(block)
            if held >= max(CHUNK, 2 * len(rest)):
                break
        else:
            yield from _last(b"".join(parts[1:]), reading)
            return
        cut = last_boundary(parts[-1])  # the last piece nearly always holds one: the rest isn't copied for it
        if cut is None:
            parts = [b"[", b"".join(parts[1:])]
            cut = last_boundary(parts[-1])
        if cut is not None:
            rest = parts[-1][cut[1] :]
            parts[-1] = parts[-1][: cut[0]]
            yield b"".join([*parts, b"]"])
        elif held > _LONGEST_EVENT:
            reading.problems.append("a stretch of the file holds no event boundary")
            yield b"".join([*parts, b"]"])
            rest = b""
        else:
            rest = parts[-1]


def last_boundary(buffer: bytes) -> tuple[int, int] | None:
    """Where the last event that is known to be whole begins: (end of the one before it, its own start)."""
    window, tried = _WINDOW, 0
    while True:
        base = max(0, len(buffer) - window)
        cuts = [(m.start() + 1, m.end()) for m in BOUNDARY.finditer(buffer, base)]
        for (end, start), (nxt, _) in zip(reversed(cuts[:-1]), reversed(cuts[1:]), strict=True):
            if is_event(buffer[start:nxt]):
                return end, start
            tried += 1
            if (
                tried == _TRIES
            ):  # hardly an event here is sound; a cut between broken ones is as good as another
                return end, start
        if base == 0:
            return None
        window *= 8


def _to_the_array(path: Path, blocks: Iterator[bytes], reading: Reading) -> bytes:
    """Consume the keys before the events; the text after the opening bracket."""
    parts: list[bytes] = []
    held, tail = 0, b""
    for block in blocks:
        parts.append(block)
        held += len(block)
        if held == len(block):  # the first block says which form it is
            text = block.removeprefix(_BOM).lstrip()
            if not text:
                held, parts = 0, []
                continue
            if text.startswith(b"["):
                reading.bare = True
                return text[1:]
            if not text.startswith(b"{"):
                break
        match = _ARRAY.search(tail + block)
        if match:
            whole = b"".join(parts)
            skipped = held - len(tail) - len(block)
            _keys(whole[: skipped + match.start()].removeprefix(_BOM).strip().rstrip(b",") + b"}", reading)
            return whole[skipped + match.end() :]
        tail = (tail + block)[-64:]
        if held > _LONGEST_HEADER:
            break
    why = "; ".join(reading.problems) or "no `traceEvents` array in it"
    raise UnreadableTrace(
        f"{path}: not a trace of the PyTorch profiler ({why}); give a Kineto .json or .json.gz"
    )


def _last(buffer: bytes, reading: Reading) -> Iterator[bytes]:
    """The events up to the end of the array; what follows it goes to the header."""
    cut = last_boundary(buffer + b',{"ph":')
    start = cut[1] if cut else 0
    end = _array_end(buffer, start)
    if end is None:
        reading.problems.append("the file ends inside the array of events")
        yield b"[" + buffer + b"]"
        return
    if buffer[: end[0]].strip():
        yield b"[" + buffer[: end[0]] + b"]"
    rest = buffer[end[1] :].strip()
    if rest or not reading.bare:
        _keys(b"{" + rest.lstrip(b","), reading)


def _array_end(buffer: bytes, start: int) -> tuple[int, int] | None:
    """Where the last event ends and where the text after the closing bracket begins, from a known start of an event."""
    text = buffer[start:].decode("latin-1")  # a character a byte; brackets and quotes are ASCII in UTF-8
    decoder, at = json.JSONDecoder(strict=False), 0
    while True:
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return start + at, start + at + 1
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        after = _skip(text, end)
        if text[after : after + 1] == "]":
            return start + end, start + after + 1
        if text[after : after + 1] != ",":
            break
        at = after + 1
    match = _END.search(buffer, start + at)
    return (match.start() + 1, match.end()) if match else None


def _skip(text: str, at: int) -> int:
    """Past white space."""
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _keys(text: bytes, reading: Reading) -> None:
    """Keys around the events; damaged ones cost the header, not the events."""
    try:
        value = json.loads(text.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        reading.problems.append("the keys around the array of events are damaged")
        found = re.search(rb'"baseTimeNanoseconds"\s*:\s*(\d{1,19})\b', text)
        value = {"baseTimeNanoseconds": int(found[1])} if found else {}
    reading.header.update(value)


def _blocks(path: Path, reading: Reading) -> Iterator[bytes]:
    """The JSON of a file, inflated where it is gzip, with what is wrong with the compression noted."""
    try:
        with path.open("rb") as file:
            magic = file.read(2)
            file.seek(0)
            if magic != b"\x1f\x8b":
                while block := file.read(_INFLATED):
                    reading.size += len(block)
                    yield block
                return
            yield from _inflate(file, reading)
    except OSError as exc:
        raise UnreadableTrace(f"{path}: {exc.strerror or exc}") from exc


def _inflate(file: BinaryIO, reading: Reading) -> Iterator[bytes]:
    """Members of a gzip file one after the other; what could be inflated before damage is kept."""
    inflater = isal_zlib.decompressobj(wbits=31)
    begun = False
    for compressed in iter(lambda: file.read(_DEFLATED), b""):
        data, more = compressed, True
        while data or more:
            if inflater.eof:
                if not data.lstrip(b"\0"):
                    break  # padding after the last member
                inflater, begun = isal_zlib.decompressobj(wbits=31), False
            try:
                block = inflater.decompress(data, _INFLATED)
            except IsalError as exc:  # type: ignore[misc]
                reading.problems.append(f"the compressed data is damaged ({exc})")
                yield from _inflate_again(file, reading)
                return
            begun = True
            reading.size += len(block)
            if block:
                yield block
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            more = len(block) == _INFLATED and not inflater.eof  # it holds input back in its own buffer
    if begun and not inflater.eof:
        reading.problems.append("the compressed data ends early")


def _inflate_again(file: BinaryIO, reading: Reading) -> Iterator[bytes]:
    """Bytes of a damaged file past those that were read, up to the damage: zlib, byte by byte where it stops."""
    file.seek(0)
    inflater, seen = zlib.decompressobj(31), 0
    for piece in iter(lambda: file.read(16 << 10), b""):
        before = inflater.copy()
        try:
            parts = [inflater.decompress(piece)]
        except zlib.error:
            parts = list(_bytewise(before, piece))
        for block in parts:
            new = block[max(0, reading.size - seen) :]
            seen += len(block)
            reading.size += len(new)
            if new:
                yield new
        if len(parts) != 1 or inflater.eof:
            return


def _bytewise(inflater: Inflater, piece: bytes) -> Iterator[bytes]:
    try:
        for at in range(len(piece)):
            yield inflater.decompress(piece[at : at + 1])
    except zlib.error:
        return
