"""A trace file into a folder of columns, on as many processes as help.

Every process streams the whole file, which is cheap (inflating is ten times faster than decoding), and decodes each
n-th chunk of it. So nothing but the finished columns passes between them, and those pass as files.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from analysis.errors import UnreadableTrace
from analysis.kineto.chunks import Reading, chunks
from analysis.kineto.columns import ColumnFiles, Part
from analysis.tables import SYMBOLIC, TABLES, Problem

_WORTH_A_PROCESS = 1 << 20  # bytes of a compressed file; about 13 MB of JSON
_BLOCK = 1 << 20  # rows copied at a time
_PROGRESS = Callable[[int], None]


class Loaded(msgspec.Struct):
    """What a folder of columns stands for; with the columns, everything that is known of a trace."""

    symbols: list[str]
    tracks: list[tuple[int | str, int | str]]
    labels: dict[str, str]
    rows: dict[str, int]
    header: dict[str, object]
    problems: list[Problem]
    events: int
    size: int
    origin_ns: int


def load(path: Path, folder: Path, processes: int | None = None) -> Loaded:
    """Read a trace into `<folder>/<table>.<column>` files, sorted by start (frames by track as well).

    Raises:
        UnreadableTrace: nothing of the file can be read.
    """
    try:
        compressed = path.stat().st_size
        with path.open("rb") as file:
            if file.read(2) != b"\x1f\x8b":
                compressed //= 13
    except OSError as exc:
        raise UnreadableTrace(f"{path}: {exc.strerror or exc}") from exc
    wanted = processes or _processes(compressed)
    helpers = []
    for share in range(1, wanted):
        (folder / f"part{share}").mkdir()
        helpers.append(_start(path, folder / f"part{share}", share, wanted))
    files, reading = _read(path, folder, 0, wanted)
    parts = [files.part()]
    for share, helper in enumerate(helpers, 1):
        helper.join()
        place = folder / f"part{share}"
        if helper.exitcode != 0:  # killed, or out of memory: its share is read here
            files, _ = _read(path, place, share, wanted)
            parts.append(files.part())
        else:
            parts.append(msgspec.json.decode((place / "part.json").read_bytes(), type=Part))
    return _join(folder, parts, reading)


def _processes(compressed: int) -> int:
    """Processes worth starting: forking is safe on Linux in a process with one thread of Python."""
    if not sys.platform.startswith("linux") or threading.active_count() > 1 or compressed < _WORTH_A_PROCESS:
        return 1
    return min(len(os.sched_getaffinity(0)), 6)


def _start(path: Path, folder: Path, share: int, of: int) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_help, args=(path, folder, share, of), daemon=True)
    with warnings.catch_warnings():
        # numpy's BLAS has threads of its own, idle here, and mends them after a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def _help(path: Path, folder: Path, share: int, of: int) -> None:
    """The work of a helper process; the first process reports what is wrong with the file."""
    files, _ = _read(path, folder, share, of)
    (folder / "part.json").write_bytes(msgspec.json.encode(files.part()))


def _read(path: Path, folder: Path, share: int, of: int) -> tuple[ColumnFiles, Reading]:
    """Decode the chunks of one share of a file."""
    reading = Reading()
    files = ColumnFiles(folder)
    collecting = gc.isenabled()
    gc.disable()  # millions of objects come and go, none in a cycle
    try:
        for number, chunk in enumerate(chunks(path, reading)):
            if number % of == share:
                files.add(chunk)
    finally:
        files.close()
        if collecting:
            gc.enable()
    return files, reading


def _join(folder: Path, parts: list[Part], reading: Reading) -> Loaded:
    """One folder of columns out of the parts; starts counted from the first event."""
    first = parts[0]
    symbols = {text: number for number, text in enumerate(first.symbols)}
    tracks = {tuple(track): number for number, track in enumerate(first.tracks)}
    counts = Counter(first.counts)
    labels = dict(first.labels)
    rows = Counter(first.rows)
    for share, part in enumerate(parts[1:], 1):
        maps = {
            "symbol": np.array(
                [symbols.setdefault(text, len(symbols)) for text in part.symbols] + [-1], np.int32
            ),
            "track": np.array(
                [tracks.setdefault(tuple(t), len(tracks)) for t in part.tracks] + [-1], np.int32
            ),
        }
        place = folder / f"part{share}"
        for table, columns in TABLES.items():
            for column, dtype in columns.items():
                mapped = (
                    maps["symbol" if column in SYMBOLIC else "track"]
                    if column in SYMBOLIC | {"track"}
                    else None
                )
                source = place / f"{table}.{column}"
                with (folder / source.name).open("ab") as target:
                    for block in _blocks(source, dtype):
                        target.write((block if mapped is None else mapped[block]).tobytes())
                source.unlink()
        counts.update(part.counts)
        labels.update(part.labels)
        rows.update(part.rows)
        (place / "part.json").unlink(missing_ok=True)
        place.rmdir()
    origin = _settle(folder)
    return Loaded(
        symbols=list(symbols),
        tracks=list(tracks),  # type: ignore[arg-type]
        labels=labels,
        rows=dict(rows),
        header=reading.header,
        problems=_problems(counts, reading),
        events=counts["events"],
        size=reading.size,
        origin_ns=origin,
    )


def _blocks(path: Path, dtype: str) -> Iterator[np.ndarray[tuple[int], np.dtype[np.generic]]]:
    """A column in pieces."""
    with path.open("rb") as file:
        while len(block := np.fromfile(file, dtype, _BLOCK)):
            yield block


def _settle(folder: Path) -> int:
    """Sort each table by start and count starts from the first event; that event's time in ns is returned.

    Frames keep the order of the file: there are many, and only those that launched something are looked at.
    """
    starts = {}
    for table in TABLES:
        path = folder / f"{table}.ts"
        if path.stat().st_size:
            starts[table] = np.memmap(path, "<i8", "r+")
    origin = int(min((int(column.min()) for column in starts.values()), default=0))
    for table, ts in starts.items():
        ts -= origin
        ts.flush()
        if table == "frames" or bool((ts[1:] >= ts[:-1]).all()):
            continue
        order = np.argsort(ts, kind="stable")
        for column, dtype in TABLES[table].items():
            values = np.fromfile(folder / f"{table}.{column}", dtype)
            values[order].tofile(folder / f"{table}.{column}")
    return origin


def _problems(counts: Counter[str], reading: Reading) -> list[Problem]:
    """What is wrong with a file, in the words of a report."""
    found = [
        Problem("damaged", 0, f"{text}: what stands before that is analysed") for text in reading.problems
    ]
    broken, repaired, untimed, pairs = (counts[key] for key in ("broken", "repaired", "untimed", "pairs"))
    if broken:
        found.append(
            Problem("broken", broken, f"{broken} events can't be decoded and are left out of every total")
        )
    if repaired:
        found.append(Problem("repaired", repaired, f"{repaired} events were malformed and could be repaired"))
    if untimed:
        found.append(
            Problem("untimed", untimed, f"{untimed} events lack a usable start or duration and are left out")
        )
    if pairs:
        found.append(
            Problem("unpaired", pairs, f"{pairs} begin/end events (ph B, E) aren't read; Kineto writes none")
        )
    for key, count in sorted(counts.items()):
        if key.startswith("category:"):
            name = key.removeprefix("category:")
            text = f"{count} events have a category that isn't known ({name!r}) and are left out"
            found.append(Problem("unknown_category", count, text))
    return found
