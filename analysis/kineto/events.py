"""One event of a Kineto trace: decoded with a typed schema, or salvaged from text that is no JSON.

The schema names the fields we keep; the decoder skips the others without building objects, which is where the time
of a general JSON parser goes. Times are microseconds with three decimals. A double is exact to a nanosecond below
2**43 us; the base time that Kineto subtracts keeps `ts` below that, and older traces (since 1970) are read again with
decimals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

# below this many microseconds neighbouring doubles are less than a nanosecond apart
EXACT_BELOW = 2.0**43
_LARGEST_US = Decimal(2**62) / 1000
_NO_RAW = msgspec.Raw()
ABSENT = -(2**62)


class Args(msgspec.Struct, gc=False, frozen=True):
    """The fields of `args` that some table keeps."""

    external: int = msgspec.field(name="External id", default=-1)
    correlation: int = -1
    device: int = ABSENT
    stream: int = ABSENT
    python_id: int = msgspec.field(name="Python id", default=-1)
    parent: int | None = msgspec.field(name="Python parent id", default=None)
    size: int | str = msgspec.field(name="bytes", default=-1)
    node: int = msgspec.field(name="graph node id", default=-1)
    kernel: str | None = None
    grid: tuple[int, ...] | None = None
    block: tuple[int, ...] | None = None
    dims: msgspec.Raw = msgspec.field(name="Input Dims", default=_NO_RAW)
    types: msgspec.Raw = msgspec.field(name="Input type", default=_NO_RAW)
    label: msgspec.Raw = msgspec.field(name="name", default=_NO_RAW)


NO_ARGS = Args()


class Event(msgspec.Struct, gc=False):
    """One event; times in microseconds as written."""

    ph: str
    name: str = ""
    cat: str | None = ""
    pid: int | str = -1
    tid: int | str = -1
    ts: float = math.nan
    dur: float = math.nan
    args: Args = NO_ARGS


class ExactEvent(msgspec.Struct, gc=False):
    """The same with times as decimals, for traces whose times a double can't hold."""

    ph: str
    name: str = ""
    cat: str | None = ""
    pid: int | str = -1
    tid: int | str = -1
    ts: Decimal | None = None
    dur: Decimal | None = None
    args: Args = NO_ARGS


_fast = msgspec.json.Decoder(list[Event])
_exact = msgspec.json.Decoder(list[ExactEvent])
_one = msgspec.json.Decoder(ExactEvent)

# what a decoder may answer to bytes that are no event
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError)

# the first key of an event, whatever wrote it: Kineto `ph`, a re-dump with sorted keys `args` or `cat`
BOUNDARY = re.compile(rb'\}\s*,\s*(?=\{\s*"(?:ph|name|cat|args|bp|dur|id|pid|tid|ts|s)"\s*:)')
_BAD_ESCAPE = re.compile(r'\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})')


def decode(chunk: bytes) -> list[Event]:
    """Events of a chunk, a JSON array; `msgspec.DecodeError` when one of them is broken."""
    return _fast.decode(chunk)


def decode_exact(chunk: bytes) -> list[ExactEvent]:
    """The same with times as decimals."""
    return _exact.decode(chunk)


def pieces(chunk: bytes) -> Iterator[bytes]:
    """The text of each event of a chunk that isn't JSON as a whole."""
    start, end = 1, len(chunk) - 1  # between the brackets
    for match in BOUNDARY.finditer(chunk):
        yield chunk[start : match.start() + 1]
        start = match.end()
    yield chunk[start:end]


def is_event(text: bytes) -> bool:
    """Whether a text is one sound event."""
    try:
        _one.decode(text)
    except UNDECODABLE:
        return False
    return True


def decode_one(text: bytes, repair: bool = True) -> tuple[ExactEvent | None, bool]:
    """One event and whether it had to be repaired; None when it can't be.

    Repaired are control characters inside strings (pytorch#130622), backslashes of Windows paths (pytorch#98432) and
    fields of another type than usual. An unescaped quote (kineto#1459) costs the event.
    """
    try:
        return _one.decode(text), False
    except UNDECODABLE:
        if not repair:
            return None, False
    try:
        value = json.loads(
            _BAD_ESCAPE.sub(r"\\\\", text.decode("utf-8", "replace")), strict=False, parse_float=Decimal
        )
        return _lenient(value), True
    except (ValueError, TypeError, AttributeError, RecursionError, InvalidOperation):
        return None, False


def _lenient(value: dict[str, Any]) -> ExactEvent | None:
    """An event from any JSON object that says what kind it is."""
    if not isinstance(value.get("ph"), str):
        return None
    args = value.get("args") or {}
    if not isinstance(args, dict):
        args = {}
    return ExactEvent(
        ph=value["ph"],
        name=str(value.get("name", "")),
        cat=str(value.get("cat") or ""),
        pid=_track(value.get("pid", -1)),
        tid=_track(value.get("tid", -1)),
        ts=_decimal(value.get("ts")),
        dur=_decimal(value.get("dur")),
        args=Args(
            external=_integer(args.get("External id", args.get("external id"))),
            correlation=_integer(args.get("correlation")),
            device=_integer(args.get("device"), ABSENT),
            stream=_integer(args.get("stream"), ABSENT),
            python_id=_integer(args.get("Python id")),
            parent=_integer(args.get("Python parent id")),
            size=_integer(args.get("bytes")),
            node=_integer(args.get("graph node id")),
            kernel=str(args["kernel"]) if args.get("kernel") else None,
            grid=_sizes(args.get("grid")),
            block=_sizes(args.get("block")),
            dims=_raw(args.get("Input Dims")),
            types=_raw(args.get("Input type")),
            label=_raw(args.get("name")),
        ),
    )


def _track(value: Any) -> int | str:
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _integer(value: Any, absent: int = -1) -> int:
    """An int64 out of a number or of its text."""
    if isinstance(value, Decimal) and not (value.is_finite() and value.adjusted() < 19):
        return absent  # as an int, 1e999999999 would take a billion digits
    if isinstance(value, str) and len(value) > 20:
        return absent
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return absent
    return number if abs(number) < 2**62 else absent


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


def _sizes(value: Any) -> tuple[int, ...] | None:
    good = isinstance(value, list) and all(isinstance(n, int) and abs(n) < 2**62 for n in value)
    return tuple(value) if good else None


def _raw(value: Any) -> msgspec.Raw:
    return _NO_RAW if value is None else msgspec.Raw(json.dumps(value, default=str).encode())


def nanoseconds(value: Decimal | None) -> int | None:
    """Microseconds as whole nanoseconds; None outside what int64 holds."""
    if (
        value is None or not value.is_finite() or (value and value.adjusted() > 16)
    ):  # abs(1e99999999) overflows
        return None
    if abs(value) > _LARGEST_US:
        return None
    return int((value * 1000).to_integral_value())
