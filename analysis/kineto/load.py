"""A trace file into a folder of columns, on as many processes as help.

Every process streams the whole file, which is cheap (inflating is ten times faster than decoding), and decodes each
n-th run of chunks. So nothing but the finished columns passes between them, and those pass as files, which are put
together in the order of the file: the columns are the same whoever read them.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analysis.errors import UnreadableTrace
from analysis.kineto.chunks import Reading, chunks
from analysis.kineto.columns import ColumnFiles, Part
from analysis.mapped import mapped, order_of, windows
from analysis.tables import SYMBOLIC, TABLES, Loaded, Problem

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from numpy.typing import NDArray

    from analysis.mapped import Ints

_WORTH_A_PROCESS = 1 << 20  # bytes of a compressed file; about 13 MB of JSON
_COMPRESSED_CHUNK = 70 << 10  # a chunk of a typical trace, compressed


@dataclass(frozen=True)
class Share:
    """Which chunks a process reads: of every `of` runs of `run` chunks the one with this number."""

    number: int
    of: int
    run: int


def load(path: Path, folder: Path, processes: int | None = None) -> Loaded:
    """Read a trace into `<folder>/<table>.<column>` files, sorted by start.

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
    run = max(1, min(32, compressed // (_COMPRESSED_CHUNK * 8 * wanted)))
    helpers = []
    for share in range(1, wanted):
        (folder / f"part{share}").mkdir()
        helpers.append(_start(path, folder / f"part{share}", Share(share, wanted, run)))
    files, reading = _read(path, folder, Share(0, wanted, run))
    parts = [files.part()]
    for share, helper in enumerate(helpers, 1):
        helper.join()
        place = folder / f"part{share}"
        if helper.exitcode != 0:  # killed, or out of memory: its share is read here
            files, _ = _read(path, place, Share(share, wanted, run))
            parts.append(files.part())
        else:
            parts.append(msgspec.json.decode((place / "part.json").read_bytes(), type=Part))
    return _join(folder, parts, reading)


def _processes(compressed: int) -> int:
    """Processes worth starting: forking is safe on Linux in a process with one thread of Python."""
    if not sys.platform.startswith("linux") or threading.active_count() > 1 or compressed < _WORTH_A_PROCESS:
        return 1
    return min(len(os.sched_getaffinity(0)), 6)


def _start(path: Path, folder: Path, share: Share) -> BaseProcess:
    import multiprocessing  # a small trace needs none

    context = multiprocessing.get_context("fork")
    process = context.Process(target=_help, args=(path, folder, share), daemon=True)
    with warnings.catch_warnings():
        # numpy's BLAS has threads of its own, idle here, and mends them after a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def _help(path: Path, folder: Path, share: Share) -> None:
    """The work of a helper process; the first process reports what is wrong with the file."""
    try:
        files, _ = _read(path, folder, share)
        (folder / "part.json").write_bytes(msgspec.json.encode(files.part()))
    except OSError:  # a full disk: the first process meets it too, and says so
        os._exit(1)


def _read(path: Path, folder: Path, share: Share) -> tuple[ColumnFiles, Reading]:
    """Decode the chunks of one share of a file."""
    reading = Reading()
    files = ColumnFiles(folder)
    collecting = gc.isenabled()
    gc.disable()  # millions of objects come and go, none in a cycle
    try:
        for number, chunk in enumerate(chunks(path, reading)):
            run, place = divmod(number, share.run)
            if run % share.of == share.number:
                files.add(chunk)
                if place == share.run - 1:
                    files.end_run()
        files.end_run()
    finally:
        files.close()
        if collecting:
            gc.enable()
    return files, reading


def _join(folder: Path, parts: list[Part], reading: Reading) -> Loaded:
    """One folder of columns out of the parts; starts counted from the first event."""
    symbols: dict[str, int] = {}
    tracks: dict[tuple[int | str, ...], int] = {}
    counts: Counter[str] = Counter()
    labels: dict[str, str] = {}
    rows: Counter[str] = Counter()
    maps: list[dict[str, NDArray[np.int32]]] = []
    for part in parts:
        numbers = [symbols.setdefault(text, len(symbols)) for text in part.symbols]
        places = [tracks.setdefault(tuple(track), len(tracks)) for track in part.tracks]
        maps.append(
            {"symbol": np.array([*numbers, -1], np.int32), "track": np.array([*places, -1], np.int32)}
        )
        counts.update(part.counts)
        labels.update(part.labels)
        rows.update(part.rows)
    if len(parts) > 1:
        for table, columns in TABLES.items():
            for column, dtype in columns.items():
                _put_together(
                    folder, f"{table}.{column}", dtype, [[run[table] for run in p.runs] for p in parts], maps
                )
        for share in range(1, len(parts)):
            shutil.rmtree(folder / f"part{share}")
    origin, span = _settle(folder, rows)
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
        span_ns=span,
    )


def _put_together(
    folder: Path, name: str, dtype: str, ends: list[list[int]], maps: list[dict[str, NDArray[np.int32]]]
) -> None:
    """One column out of those of the parts, run by run in turn; `ends` are its rows at the end of each run."""
    column = name.partition(".")[2]
    kind = "symbol" if column in SYMBOLIC else "track" if column == "track" else ""
    places = [folder / name, *(folder / f"part{share}" / name for share in range(1, len(ends)))]
    width, whole = np.dtype(dtype).itemsize, folder / f"{name}.whole"
    with whole.open("wb") as target, contextlib.ExitStack() as stack:
        sources = [stack.enter_context(place.open("rb")) for place in places]
        for run in range(max(map(len, ends))):
            for source, stops, numbers in zip(sources, ends, maps, strict=True):
                if run < len(stops):
                    part = source.read(width * (stops[run] - (stops[run - 1] if run else 0)))
                    target.write(numbers[kind][np.frombuffer(part, dtype)].data if kind else part)
    whole.replace(folder / name)


def _settle(folder: Path, rows: Mapping[str, int]) -> tuple[int, int]:
    """Sort each table by start and count starts from the first event.

    Returns:
        That event's time in ns, and the end of the last one counted from it.
    """
    starts = {t: mapped(folder / f"{t}.ts", "<i8", rows[t]) for t in TABLES if rows[t]}
    origin = min((int(ts[at].min()) for ts in starts.values() for at in windows(len(ts))), default=0)
    return origin, max((_settle_table(folder, t, ts, origin) for t, ts in starts.items()), default=0)


def _settle_table(folder: Path, table: str, ts: Ints, origin: int) -> int:
    """Sort one table, frames that start at once the longer first; the end of its last event is returned."""
    dur: Ints = mapped(folder / f"{table}.dur", "<i8", len(ts))
    # a frame that starts with its caller is what the caller calls
    longer = dur if table == "frames" else None
    order = None if _in_order(ts, longer) else order_of(folder, ts, longer)
    last = 0
    for column, dtype in TABLES[table].items():
        if order is None and column != "ts":
            continue
        values = mapped(folder / f"{table}.{column}", dtype, len(ts))
        with (folder / "sorted").open("wb") as file:
            for at in windows(len(ts)):
                mine = values[at] if order is None else values[order[at]]
                if column == "ts":
                    mine = mine - origin
                    last = max(last, int((mine + (dur[at] if order is None else dur[order[at]])).max()))
                file.write(mine.data)
        (folder / "sorted").replace(folder / f"{table}.{column}")
    return last


def _in_order(ts: Ints, falling: Ints | None) -> bool:
    """Whether rows stand by their starts and, where these are equal, by falling values of the other column."""
    for at in windows(len(ts) - 1):
        behind = slice(at.start + 1, at.stop + 1)
        good = ts[behind] > ts[at] if falling is not None else ts[behind] >= ts[at]
        if falling is not None:
            good |= (ts[behind] == ts[at]) & (falling[behind] <= falling[at])
        if not good.all():
            return False
    return True


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
    if nameless := counts["nameless"]:
        found.append(
            Problem("nameless", nameless, f"{nameless} kernels have no name, so that no family is theirs")
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
