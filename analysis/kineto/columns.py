"""Events into columns: a chunk at a time, appended to a file a column, so that memory doesn't grow with the trace."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import numpy as np

from analysis.kineto import events as ev
from analysis.tables import CATEGORIES, KINDS, TABLES, UNUSED

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

AnyEvent = ev.Event | ev.ExactEvent
_SMALL = 2**31
_HOPELESS = 2000  # broken events without one that could be repaired
_OTHER_PHASES = frozenset("ifstMCbenNODIPvRcSTFp(,)")


class Numbering(dict[str, int]):
    """Texts numbered in the order they are met."""

    def __missing__(self, key: str) -> int:
        self[key] = number = len(self)
        return number


class Tracks(dict[tuple[int | str, int | str], int]):
    """(process, thread) pairs numbered in the order they are met."""

    def __missing__(self, key: tuple[int | str, int | str]) -> int:
        self[key] = number = len(self)
        return number


class Part(msgspec.Struct):
    """What one reader leaves beside its column files. `runs`: rows by table at the end of each run of chunks."""

    symbols: list[str]
    tracks: list[tuple[int | str, int | str]]
    labels: dict[str, str]
    counts: dict[str, int]
    rows: dict[str, int]
    runs: list[dict[str, int]]


class ColumnFiles:
    """Appends chunks of events to `<folder>/<table>.<column>`.

    Counts kept: `events`, `broken`, `repaired`, `untimed`, `nameless`, `pairs` (begin/end events, which aren't read) and
    `category:<name>` for complete events of a category that isn't known.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.symbols = Numbering()
        self.tracks = Tracks()
        self.labels: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.rows = dict.fromkeys(TABLES, 0)
        self.runs: list[dict[str, int]] = []
        self._known_sizes: dict[tuple[int, ...] | None, int] = {}
        self._exact = False
        self._files: dict[str, BinaryIO] = {}
        for table, columns in TABLES.items():
            for column in columns:
                self._files[f"{table}.{column}"] = (folder / f"{table}.{column}").open(
                    "wb", buffering=1 << 17
                )

    def close(self) -> None:
        """Flush and close every file."""
        for file in self._files.values():
            file.close()

    def end_run(self) -> None:
        """Note how far the tables have come; parts of several readers are put together run by run."""
        self.runs.append(dict(self.rows))

    def part(self) -> Part:
        """What the columns' numbers stand for."""
        return Part(
            list(self.symbols), list(self.tracks), self.labels, dict(self.counts), self.rows, self.runs
        )

    def add(self, chunk: bytes) -> None:
        """Decode a chunk and append it; what is broken in it costs one event each."""
        if not self._exact:
            try:
                if self._put(ev.decode(chunk)):
                    return
                self._exact = True  # times since 1970: the rest of the file needs decimals as well
            except ev.UNDECODABLE:
                self._exact = False
        try:
            if self._put(ev.decode_exact(chunk)):
                return
        except ev.UNDECODABLE:
            pass
        self._salvage(chunk)

    def _salvage(self, chunk: bytes) -> None:
        """A chunk that isn't JSON, event by event."""
        kept: list[AnyEvent] = []
        for text in ev.pieces(chunk):
            if not text.strip(b" \t\r\n,"):
                continue
            # a file in which nothing can be repaired is read no slower for trying
            hopeful = self.counts["broken"] < _HOPELESS or self.counts["repaired"] > 0
            event, repaired = ev.decode_one(text.strip(b" \t\r\n,"), hopeful)
            if event is None or not _fits(event):
                self.counts["broken"] += 1
                continue
            self.counts["repaired"] += repaired
            kept.append(event)
        self._put(kept)

    def _put(self, events: Sequence[AnyEvent]) -> bool:
        """Append events; False, and nothing appended, when a time needs decimals."""
        complete: defaultdict[str | None, list[AnyEvent]] = defaultdict(list)
        others: list[AnyEvent] = []
        for event in events:
            if event.ph == "X":
                complete[event.cat].append(event)
            else:
                others.append(event)
        ready: list[tuple[str, dict[str, NDArray[np.generic]]]] = []
        counts: Counter[str] = Counter({"events": len(events)})
        for category, rows in complete.items():
            table = CATEGORIES.get(category or "")
            if table is None:
                if category not in UNUSED:
                    counts[f"category:{category or ''}"] += len(rows)
                continue
            times = _times(rows)
            if times is None:
                return False
            ts, dur, good = times
            if not good.all():
                counts["untimed"] += int((~good).sum())
                rows = [row for row, keep in zip(rows, good.tolist(), strict=True) if keep]
                ts, dur = ts[good], dur[good]
            ready.append((table, self._columns(table, category or "", rows, ts, dur)))
        for table, columns in ready:
            self._append(table, columns)
        self._other(others, counts)
        self.counts.update(counts)
        return True

    def _other(self, others: list[AnyEvent], counts: Counter[str]) -> None:
        """Events that are no span of time: names of processes and threads are kept, flows repeat `correlation`."""
        for event in others:
            if event.ph == "M" and event.name in ("process_name", "thread_name"):
                text = bytes(event.args.label)
                if text:
                    self.labels[f"{event.name[:-5]}:{event.pid}:{event.tid}"] = str(
                        msgspec.json.decode(text)
                    )[:200]
            elif event.ph in ("B", "E"):
                counts["pairs"] += 1
            elif event.ph not in _OTHER_PHASES:
                counts["broken"] += 1

    def _columns(
        self, table: str, category: str, rows: list[AnyEvent], ts: Ints, dur: Ints
    ) -> dict[str, NDArray[np.generic]]:
        """The columns of one table for events of one category."""
        number = self.symbols
        names = [number[row.name] for row in rows]
        if table == "kernels" and "" in number:
            self.counts["nameless"] += names.count(number[""])
        found: dict[str, object] = {"ts": ts, "dur": dur, "name": names}
        args = [row.args for row in rows]
        if table in ("launches", "ops", "annotations", "frames"):
            found["track"] = self._tracks([row.pid for row in rows], [row.tid for row in rows])
        if table in ("kernels", "launches", "ops", "annotations"):
            found["external"] = [a.external for a in args]
        if table in ("kernels", "launches"):
            found["correlation"] = [a.correlation for a in args]
        if table == "launches":
            found["kernel"] = [number[a.kernel] if a.kernel else -1 for a in args]
        if table == "frames":
            found["python_id"] = [a.python_id for a in args]
            found["parent"] = [-1 if a.parent is None else a.parent for a in args]
        elif table == "ops":
            found["dims"] = self._texts([a.dims for a in args])
            found["types"] = self._texts([a.types for a in args])
        elif table == "kernels":
            found["kind"] = [KINDS[category]] * len(rows)
            found["size"] = [a.size if isinstance(a.size, int) else -1 for a in args]
            found["node"] = [a.node for a in args]
            found["grid"] = self._sizes([a.grid for a in args])
            found["block"] = self._sizes([a.block for a in args])
        if table == "kernels" or category == "gpu_user_annotation":
            found["device"] = [_place(a.device, row.pid) for a, row in zip(args, rows, strict=True)]
            found["stream"] = [_place(a.stream, row.tid) for a, row in zip(args, rows, strict=True)]
        elif table == "annotations":
            found["device"] = found["stream"] = [-1] * len(rows)
        return {column: np.asarray(found[column], dtype) for column, dtype in TABLES[table].items()}

    def _tracks(self, pids: list[int | str], tids: list[int | str]) -> Sequence[int] | Ints:
        if len(set(pids)) == 1 and len(set(tids)) == 1:
            return np.full(len(pids), self.tracks[pids[0], tids[0]])
        tracks = self.tracks
        return [tracks[pair] for pair in zip(pids, tids, strict=True)]

    def _sizes(self, sizes: list[tuple[int, ...] | None]) -> list[int]:
        """Numbers of texts such as `[132, 1, 1]`; -1 where there is none."""
        known, number = self._known_sizes, self.symbols
        for size in set(sizes):
            if size not in known:
                known[size] = -1 if size is None else number[str(list(size))]
        return [known[size] for size in sizes]

    def _texts(self, raws: list[msgspec.Raw]) -> list[int]:
        """Numbers of short JSON texts (shapes, types); -1 where there is none."""
        number = self.symbols
        return [number[bytes(raw).decode("utf-8", "replace")] if raw else -1 for raw in raws]

    def _append(self, table: str, columns: dict[str, NDArray[np.generic]]) -> None:
        for column, values in columns.items():
            self._files[f"{table}.{column}"].write(values.data)
        self.rows[table] += len(columns["ts"])


def _place(given: int, track: int | str) -> int:
    """A device or a stream: from `args`, else the event's process or thread, which Kineto sets to them."""
    if given != ev.ABSENT:
        return given
    return track if isinstance(track, int) and abs(track) < _SMALL else -1


def _times(rows: Sequence[AnyEvent]) -> tuple[Ints, Ints, NDArray[np.bool_]] | None:
    """Starts and durations in ns and which of them are usable; None when doubles can't hold the starts."""
    if rows and isinstance(rows[0], ev.ExactEvent):
        return _exact_times(rows)
    starts = np.array([row.ts for row in rows], np.float64)
    lengths = np.array([row.dur for row in rows], np.float64)
    with np.errstate(invalid="ignore"):
        if (np.abs(starts) >= ev.EXACT_BELOW).any() or (np.abs(lengths) >= ev.EXACT_BELOW).any():
            return None
        good = np.isfinite(starts) & (lengths >= 0)
    if not good.all():
        starts, lengths = np.where(good, starts, 0.0), np.where(good, lengths, 0.0)
    return _to_ns(starts), _to_ns(lengths), good


def _to_ns(us: NDArray[np.float64]) -> Ints:
    """Nearest nanosecond; whole and broken microseconds apart, because us * 1000 as a double would round again."""
    whole = np.floor(us)
    return whole.astype(np.int64) * 1000 + np.rint((us - whole) * 1000).astype(np.int64)


def _exact_times(rows: Sequence[AnyEvent]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    pairs = [(_ns(row.ts), _ns(row.dur)) for row in rows]
    good = np.array([ts is not None and dur is not None and dur >= 0 for ts, dur in pairs], np.bool_)
    starts = np.array([ts or 0 for ts, _ in pairs], np.int64)
    return starts, np.array([dur or 0 for _, dur in pairs], np.int64), good


def _ns(value: float | Decimal | None) -> int | None:
    return ev.nanoseconds(value if isinstance(value, Decimal) or value is None else Decimal(value))


def _fits(event: ev.ExactEvent) -> bool:
    """Whether every number of an event fits its column."""
    args = event.args
    long = (args.external, args.correlation, args.node, args.python_id, args.parent or 0)
    sizes = (args.size if isinstance(args.size, int) else 0, *long)
    places = [p for p in (args.device, args.stream) if p != ev.ABSENT]
    return all(abs(n) < 2**62 for n in sizes) and all(abs(p) < _SMALL for p in places)
