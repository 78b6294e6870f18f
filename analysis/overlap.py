"""Overlap and idle time by interval arithmetic over the streams of each device. One trace is enough.

Definitions, all in ns on one device:

- *hidden* time of a kernel: part of its duration in which another stream runs something; *exclusive*: the rest.
- *exposed communication*: time in which communication runs and no other kernel does.
- *idle*: time between the first and the last kernel of the device in which no kernel runs. A pause belongs to the stage
  of the kernel that ends it: that kernel came late. Its cause:
  *data*, where only copies or fills run; *synchronisation*, when the thread that launched the late kernel came back
  from a waiting call (cudaStreamSynchronize and the like) during the pause and launched it then; *launch-bound*, when
  the launch was made during the pause, or so shortly before that the kernel started as soon as a launch allows;
  *dependency*, when the kernel had been launched long before and still waited (its stream, an event, its graph);
  *unknown*, without a launch in the trace.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analysis.idle_causes import CAUSES, DATA, Causes
from analysis.kernel_table import sums
from analysis.sources import Texts
from analysis.steps import ORDER, Stage, Staged
from analysis.taxonomy import COMMUNICATION, family_names, short_name
from analysis.trace import Bools, Ints
from analysis.window import Window

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

# a kernel this close behind another on its stream may depend on it: the profiler doesn't say
_TIGHT_NS = 5_000


class StageTime(msgspec.Struct, frozen=True):
    """Where the time of a stage went, summed over devices, in ns.

    Attributes:
        kernel_ns: summed durations of kernels, copies and fills.
        busy_ns: time in which a kernel runs.
        idle_ns: cause -> idle time; see the module.
        communication_ns: time in which communication runs; `exposed_ns` of it with nothing beside it.
        devices: how many devices ran the stage.
    """

    stage: Stage
    kernel_ns: int
    busy_ns: int
    idle_ns: dict[str, int]
    communication_ns: int
    exposed_ns: int
    devices: int

    @property
    def idle_total_ns(self) -> int:
        """All idle time."""
        return sum(self.idle_ns.values())


class OverlapRow(msgspec.Struct, frozen=True):
    """Overlap of one kernel of one stage; rows of a stage are numbered by falling exclusive time.

    Attributes:
        exclusive_ns, hidden_ns: see the module; they sum to `time_ns`.
        hidden_by_compute_ns: of communication, the part beside kernels that are none.
        share: of the stage's busy time that is this kernel's exclusive time.
        streams: on how many streams it ran.
        dependency: `high` when half of its launches or more start within 5 us after another kernel of their stream
            ends, so that a dependence can't be excluded; `low` otherwise.
        verdict: `exposed` or `hidden` for communication, `alone` or `overlapped` for the rest, by the larger part.
    """

    ref: str
    stage: Stage
    number: int
    name: str
    short: str
    family: str
    time_ns: int
    launches: int
    exclusive_ns: int
    hidden_ns: int
    hidden_by_compute_ns: int
    share: float
    streams: int
    dependency: str
    verdict: str
    source: str | None


class _Sum:
    """Times of a stage."""

    def __init__(self) -> None:
        self.kernel = self.busy = self.communication = self.exposed = 0
        self.idle = [0] * len(CAUSES)
        self.devices: set[int] = set()


class _Group:
    """Launches of one kernel in one stage."""

    def __init__(self, family: int, site: int) -> None:
        self.family, self.site = family, site
        self.time = self.launches = self.hidden = self.by_compute = self.tight = 0
        self.streams: set[tuple[int, int]] = set()


class _Pieces(NamedTuple):
    """What ran on a device in a stretch of time: kernels, cut where the stretch ends.

    Attributes:
        talks: whether it is communication.
        group: stage and name as one number.
    """

    start: Ints
    end: Ints
    stream: NDArray[np.int32]
    is_kernel: Bools
    talks: Bools
    group: Ints

    def behind(self, before: _Pieces) -> _Pieces:
        """Other pieces and then these."""
        return _Pieces(*(np.concatenate([a, b]) for a, b in zip(before, self, strict=True)))

    def cut(self, time: int) -> tuple[_Pieces, _Pieces]:
        """What lies before a time, and the rest of what runs then."""
        runs = self.end > time
        rest = _Pieces(
            np.maximum(self.start, time)[runs], self.end[runs], self.stream[runs], self.is_kernel[runs],
            self.talks[runs], self.group[runs],
        )  # fmt: skip
        return self._replace(end=np.minimum(self.end, time)), rest

    def kernels(self, mine: Bools) -> tuple[Ints, Ints]:
        """Start and end of some, without copies and fills."""
        some = mine & self.is_kernel
        return self.start[some], self.end[some]


class _Device:
    """What one window hands to the next one of its device.

    Attributes:
        running: the rest of what runs at the end of the window.
        latest: when the last kernel so far ends, None before the first.
        copied: how long copies have run since then.
        until: up to when they were counted.
        ends: end of the last kernel or copy of each stream.
    """

    def __init__(self) -> None:
        none = np.empty(0, np.int64)
        no = np.empty(0, np.bool_)
        self.running = _Pieces(none, none, none.astype(np.int32), no, no, none)
        self.latest: int | None = None
        self.copied = self.until = 0
        self.ends: dict[int, int] = {}


class OverlapTable:
    """Sweeps every device once, window by window. A kernel that runs on behind its window is cut there in two."""

    def __init__(self, staged: Staged, texts: Texts) -> None:
        self._trace, self._texts = staged.trace, texts
        self._causes = Causes(staged.trace, staged.launch)
        self._talk = family_names().index(COMMUNICATION)
        self._width = len(staged.trace.symbols)
        self._groups: dict[int, _Group] = {}
        self._sums: defaultdict[int, _Sum] = defaultdict(_Sum)
        self._devices: defaultdict[int, _Device] = defaultdict(_Device)

    def add(self, window: Window) -> None:
        """Take a window in."""
        groups = window.stage.astype(np.int64) * self._width + window.name
        self._count(window, groups)
        until = int(window.ts[-1])  # nothing of a later window starts before
        for device in np.unique(window.device).tolist():
            mine = window.device == device
            one = window.part(mine) if not mine.all() else window
            self._of_device(one, groups[mine], device, until)

    def _count(self, window: Window, groups: Ints) -> None:
        """What needs no other row."""
        found, first, of, counts = np.unique(
            groups, return_index=True, return_inverse=True, return_counts=True
        )
        times = sums(of, window.dur, len(found)).tolist()
        for key, row, time, count in zip(found.tolist(), first.tolist(), times, counts.tolist(), strict=True):
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(int(window.family[row]), int(window.site[row]))
            group.time += time
            group.launches += count
            self._sums[key // self._width].kernel += time
        places, place = np.unique(
            window.device.astype(np.int64) << 32 | window.stream.astype(np.int64) & 0xFFFFFFFF,
            return_inverse=True,
        )
        for pair in np.unique(of * len(places) + place).tolist():
            at, where = divmod(pair, len(places))
            key = int(found[at])
            device = int(places[where]) >> 32
            self._groups[key].streams.add((device, int(places[where]) & 0xFFFFFFFF))
            self._sums[key // self._width].devices.add(device)

    def _of_device(self, window: Window, groups: Ints, device: int, until: int) -> None:
        state = self._devices[device]
        own = _Pieces(
            window.ts, window.end, window.stream, window.is_kernel,
            window.is_kernel & (window.family == self._talk), groups,
        )  # fmt: skip
        now, state.running = own.behind(state.running).cut(until)
        self._measure(now)
        self._add_up("tight", groups, _tight(window, state).astype(np.int64))
        self._pauses(window, state, now, until)

    def _measure(self, now: _Pieces) -> None:
        """Hidden, busy and exposed time."""
        self._add_up("hidden", now.group, _hidden(now.start, now.end, now.stream))
        stage = now.group // self._width
        codes = np.unique(stage).tolist()
        for code in codes:
            self._sums[code].busy += _length(*now.kernels(stage == code))
        if not now.talks.any():
            return
        compute = union(*now.kernels(~now.talks))
        talk = np.flatnonzero(now.talks)
        self._add_up("by_compute", now.group[talk], _within(now.start[talk], now.end[talk], compute))
        for code in codes:
            mine, total = union(*now.kernels(now.talks & (stage == code))), self._sums[code]
            total.communication += _length(*mine)
            total.exposed += _length(*mine) - int(_within(*mine, compute).sum())

    def _add_up(self, what: str, groups: Ints, values: Ints) -> None:
        some = np.flatnonzero(values)
        if not len(some):
            return
        found, of = np.unique(groups[some], return_inverse=True)
        for key, value in zip(found.tolist(), sums(of, values[some], len(found)).tolist(), strict=True):
            setattr(self._groups[key], what, getattr(self._groups[key], what) + value)

    def _pauses(self, window: Window, state: _Device, now: _Pieces, until: int) -> None:
        """Idle time by stage and cause."""
        copies = union(now.start[~now.is_kernel], now.end[~now.is_kernel])
        work = window.part(window.is_kernel) if not window.is_kernel.all() else window
        if len(work):
            before = work.ts[0] if state.latest is None else state.latest
            latest = np.maximum.accumulate(np.concatenate(([before], work.end)))
            places = np.flatnonzero(work.ts > latest[:-1])
            start, late = latest[:-1][places], work.part(places)
            data = _within(np.maximum(start, state.until), late.ts, copies)
            if len(places) and places[0] == 0:
                data[0] += state.copied
            self._idle(start, late, data)
            state.latest, state.copied = int(latest[-1]), 0
        if state.latest is not None:
            since = np.array([max(state.latest, state.until)])
            state.copied += int(_within(since, np.maximum(since, until), copies)[0])
        state.until = until

    def _idle(self, start: Ints, late: Window, data: Ints) -> None:
        cause = self._causes.of(start, late)
        for code in np.unique(late.stage).tolist():
            mine, idle = late.stage == code, self._sums[code].idle
            times = sums(cause[mine].astype(np.int64), (late.ts - start - data)[mine], len(CAUSES))
            times[DATA] += data[mine].sum()
            for number, time in enumerate(times.tolist()):
                idle[number] += time

    def finish(self) -> None:
        """Count what runs on behind the last window."""
        for state in self._devices.values():
            if len(state.running.start):
                self._measure(state.running)
            state.running = _Device().running

    def stages(self) -> tuple[StageTime, ...]:
        """Times of the stages."""
        return tuple(
            StageTime(
                ORDER[code],
                t.kernel,
                t.busy,
                dict(zip(CAUSES, t.idle, strict=True)),
                t.communication,
                t.exposed,
                len(t.devices),
            )
            for code, t in sorted(self._sums.items())
        )

    def rows(self) -> list[OverlapRow]:
        """Rows of every stage by falling exclusive time. Copies and fills are rows too."""
        busy = {code: total.busy for code, total in self._sums.items()}
        ranked = sorted(
            ((*divmod(key, self._width), group) for key, group in self._groups.items()),
            key=lambda item: (item[0], item[2].hidden - item[2].time, item[1]),
        )
        rows: list[OverlapRow] = []
        last, number = -1, 0
        for code, name, group in ranked:
            last, number = code, number + 1 if code == last else 1
            rows.append(self._row(code, self._trace.text(name), group, number, busy[code]))
        return rows

    def _row(self, code: int, name: str, group: _Group, number: int, busy: int) -> OverlapRow:
        exclusive, talk = group.time - group.hidden, group.family == self._talk
        more_hidden = 2 * (group.by_compute if talk else group.hidden) > group.time
        return OverlapRow(
            ref=f"{self._trace.ref}/{ORDER[code].value}/overlap/{number}",
            stage=ORDER[code],
            number=number,
            name=name,
            short=short_name(name),
            family=family_names()[group.family],
            time_ns=group.time,
            launches=group.launches,
            exclusive_ns=exclusive,
            hidden_ns=group.hidden,
            hidden_by_compute_ns=group.by_compute if talk else 0,
            share=exclusive / busy if busy else 0.0,
            streams=len(group.streams),
            dependency="high" if 2 * group.tight >= group.launches else "low",
            verdict=("hidden" if more_hidden else "exposed")
            if talk
            else ("overlapped" if more_hidden else "alone"),
            source=self._texts[group.site],
        )


def union(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Disjoint intervals that cover the same time, by start."""
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    fresh = np.concatenate(([True], start[1:] > end[:-1]))
    return start[fresh], end[np.concatenate((np.flatnonzero(fresh)[1:] - 1, [len(end) - 1]))]


def _measure(start: Ints, end: Ints, at: Ints) -> Ints:
    """How much of disjoint intervals lies before each time."""
    if not len(start):
        return np.zeros(len(at), np.int64)
    before = np.concatenate(([0], np.cumsum(end - start)))
    place = np.searchsorted(start, at, side="right")
    last = np.maximum(place - 1, 0)
    inside = np.where(place > 0, np.minimum(at, end[last]) - start[last], 0)
    return np.where(place > 0, before[last] + inside, 0)


def _hidden(start: Ints, end: Ints, stream: NDArray[np.int32]) -> Ints:
    """Time of each kernel in which another stream runs something: where two streams or more are busy."""
    names = np.unique(stream)
    if len(names) == 1:
        return np.zeros(len(start), np.int64)
    parts = [union(start[stream == name], end[stream == name]) for name in names]
    times = np.concatenate([np.concatenate(part) for part in parts])
    steps = np.concatenate([np.repeat((1, -1), len(s)) for s, _ in parts])
    order = np.argsort(times, kind="stable")
    times, busy = times[order], np.cumsum(steps[order])
    both = (busy >= 2)[:-1] & (times[1:] > times[:-1])
    begin, finish = times[:-1][both], times[1:][both]
    return _measure(begin, finish, end) - _measure(begin, finish, start)


def _within(start: Ints, end: Ints, intervals: tuple[Ints, Ints]) -> Ints:
    """How much of disjoint intervals lies between each start and end."""
    return _measure(*intervals, end) - _measure(*intervals, start)


def _length(start: Ints, end: Ints) -> int:
    """Time in which something runs."""
    start, end = union(start, end)
    return int((end - start).sum())


def _tight(window: Window, state: _Device) -> Bools:
    """Whether each row starts within 5 us after the row before it on its stream ends."""
    order = np.lexsort((window.ts, window.stream))
    stream, ts, end = window.stream[order], window.ts[order], window.end[order]
    near = np.zeros(len(order), np.bool_)
    near[order[1:]] = (stream[1:] == stream[:-1]) & (ts[1:] - end[:-1] <= _TIGHT_NS)
    edges = np.flatnonzero(np.concatenate(([True], stream[1:] != stream[:-1], [True])))
    for first, behind in pairwise(edges.tolist()):
        before = state.ends.get(int(stream[first]))
        if before is not None:
            near[order[first]] = int(ts[first]) - before <= _TIGHT_NS
        state.ends[int(stream[first])] = int(end[behind - 1])
    return near
