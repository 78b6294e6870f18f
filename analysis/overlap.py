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

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.kernel_table import _sums
from analysis.sources import Sources
from analysis.steps import ORDER, Stage, Staged
from analysis.taxonomy import COMMUNICATION, family_names, family_of_kernels, short_name
from analysis.trace import Bools, Ints, Trace

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

DATA, SYNC, LAUNCH, DEPENDENCY, UNKNOWN = range(5)
CAUSES = ("data", "synchronisation", "launch-bound", "dependency", "unknown")
_WAITS = ("Synchronize", "cudaMemcpy", "hipMemcpyWithStream", "cuMemcpyDtoH_v2", "EventQuery", "WaitValue")
# a kernel this close behind another on its stream may depend on it: the profiler doesn't say
_TIGHT_NS = 5_000


@dataclass(frozen=True)
class StageTime:
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


@dataclass(frozen=True)
class OverlapRow:
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


@dataclass(frozen=True)
class Overlaps:
    """Per kernel of a trace: hidden and hidden-by-compute time, whether it follows tightly; and the stages' times."""

    hidden: Ints
    by_compute: Ints
    tight: Bools
    stages: tuple[StageTime, ...]


def overlaps(staged: Staged, sources: Sources) -> Overlaps:
    """Sweep every device once."""
    trace = staged.trace
    kernels = trace.kernels
    family = family_of_kernels(trace)
    communication = family == family_names().index(COMMUNICATION)
    hidden = np.zeros(len(kernels), np.int64)
    by_compute = np.zeros(len(kernels), np.int64)
    tight = np.zeros(len(kernels), np.bool_)
    stage = staged.kernel_stage
    sums = {int(code): _Sum() for code in np.unique(stage)}
    for device in np.unique(kernels.device).tolist():
        rows = np.flatnonzero(kernels.device == device)
        hidden[rows] = _hidden(kernels.ts[rows], kernels.end[rows], kernels.stream[rows])
        by_compute[rows] = _covered(trace, rows, rows[kernels.is_kernel[rows] & ~communication[rows]])
        tight[rows] = _tight(trace, rows)
        for code, idle in _idle(trace, rows, stage, sources).items():
            for cause, time in enumerate(idle.tolist()):
                sums[code].idle[cause] += time
        for code in np.unique(stage[rows]).tolist():
            mine = rows[stage[rows] == code]
            total = sums[code]
            total.devices += 1
            total.kernel += int(kernels.dur[mine].sum())
            total.busy += _length(trace, mine[kernels.is_kernel[mine]])
            talk = mine[communication[mine]]
            total.communication += _length(trace, talk)
            total.exposed += _uncovered(trace, talk, rows[kernels.is_kernel[rows] & ~communication[rows]])
    times = tuple(
        StageTime(
            ORDER[code],
            t.kernel,
            t.busy,
            dict(zip(CAUSES, t.idle, strict=True)),
            t.communication,
            t.exposed,
            t.devices,
        )
        for code, t in sorted(sums.items())
    )
    return Overlaps(hidden, by_compute, tight, times)


class _Sum:
    def __init__(self) -> None:
        self.kernel = self.busy = self.communication = self.exposed = self.devices = 0
        self.idle = [0] * len(CAUSES)


def overlap_rows(staged: Staged, sources: Sources, found: Overlaps) -> list[OverlapRow]:
    """Rows of every stage by falling exclusive time. Copies and fills are rows too."""
    trace = staged.trace
    kernels = trace.kernels
    if not len(kernels):
        return []
    stage, family, names = staged.kernel_stage, family_of_kernels(trace), family_names()
    width = int(kernels.name.max()) + 1
    _, first, groups, counts = np.unique(
        stage.astype(np.int64) * width + kernels.name,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    size = len(first)
    time, hidden = _sums(groups, kernels.dur, size), _sums(groups, found.hidden, size)
    compute, tight = _sums(groups, found.by_compute, size), _sums(groups, found.tight.astype(np.int64), size)
    place = np.unique(
        kernels.device.astype(np.int64) << 32 | kernels.stream.astype(np.int64), return_inverse=True
    )[1]
    pairs = np.unique(groups * (int(place.max()) + 1) + place)
    streams = np.bincount(pairs // (int(place.max()) + 1), minlength=size)
    busy = {t.stage: t.busy_ns for t in found.stages}
    rows: list[OverlapRow] = []
    last, number = -1, 0
    for group in np.lexsort((kernels.name[first], hidden - time, stage[first])).tolist():
        row = int(first[group])
        code = int(stage[row])
        last, number = code, number + 1 if code == last else 1
        name, word = trace.text(int(kernels.name[row])), names[int(family[row])]
        exclusive, talk = int(time[group] - hidden[group]), word == COMMUNICATION
        more_hidden = 2 * int(compute[group] if talk else hidden[group]) > int(time[group])
        rows.append(
            OverlapRow(
                ref=f"{trace.ref}/{ORDER[code].value}/overlap/{number}",
                stage=ORDER[code],
                number=number,
                name=name,
                short=short_name(name),
                family=word,
                time_ns=int(time[group]),
                launches=int(counts[group]),
                exclusive_ns=exclusive,
                hidden_ns=int(hidden[group]),
                hidden_by_compute_ns=int(compute[group]) if talk else 0,
                share=exclusive / busy[ORDER[code]] if busy[ORDER[code]] else 0.0,
                streams=int(streams[group]),
                dependency="high" if 2 * int(tight[group]) >= int(counts[group]) else "low",
                verdict=("hidden" if more_hidden else "exposed")
                if talk
                else ("overlapped" if more_hidden else "alone"),
                source=sources.texts[int(sources.site[row])],
            )
        )
    return rows


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


def _covered(trace: Trace, rows: Ints, by: Ints) -> Ints:
    """Time of each row in which kernels of `by` run."""
    begin, finish = union(trace.kernels.ts[by], trace.kernels.end[by])
    return _measure(begin, finish, trace.kernels.end[rows]) - _measure(begin, finish, trace.kernels.ts[rows])


def _length(trace: Trace, rows: Ints) -> int:
    start, end = union(trace.kernels.ts[rows], trace.kernels.end[rows])
    return int((end - start).sum())


def _uncovered(trace: Trace, rows: Ints, by: Ints) -> int:
    """Time in which kernels of `rows` run and none of `by`."""
    start, end = union(trace.kernels.ts[rows], trace.kernels.end[rows])
    begin, finish = union(trace.kernels.ts[by], trace.kernels.end[by])
    return int((end - start).sum() - (_measure(begin, finish, end) - _measure(begin, finish, start)).sum())


def _tight(trace: Trace, rows: Ints) -> Bools:
    """Whether each row starts within 5 us after the row before it on its stream ends."""
    kernels = trace.kernels
    order = np.lexsort((kernels.ts[rows], kernels.stream[rows]))
    ordered = rows[order]
    near = np.zeros(len(rows), np.bool_)
    same = kernels.stream[ordered][1:] == kernels.stream[ordered][:-1]
    near[order[1:]] = same & (kernels.ts[ordered][1:] - kernels.end[ordered][:-1] <= _TIGHT_NS)
    return near


def _idle(trace: Trace, rows: Ints, stage: NDArray[np.int8], sources: Sources) -> dict[int, Ints]:
    """Stage -> idle time by cause, of one device."""
    kernels = trace.kernels
    work = rows[kernels.is_kernel[rows]]
    if not len(work):
        return {}
    latest = np.maximum.accumulate(kernels.end[work])
    pauses = np.flatnonzero(kernels.ts[work][1:] > latest[:-1])
    start, late = latest[:-1][pauses], work[1:][pauses]
    end = kernels.ts[late]
    other = rows[~kernels.is_kernel[rows]]
    begin, finish = union(kernels.ts[other], kernels.end[other])
    data = _measure(begin, finish, end) - _measure(begin, finish, start)
    cause = _causes(trace, start, late, sources)
    found: dict[int, Ints] = {}
    for code in np.unique(stage[late]).tolist():
        mine = stage[late] == code
        times = _sums(cause[mine].astype(np.int64), (end - start - data)[mine], len(CAUSES))
        times[DATA] += int(data[mine].sum())
        found[code] = times
    return found


def _causes(trace: Trace, start: Ints, late: Ints, sources: Sources) -> NDArray[np.int8]:
    """Why each pause ended no sooner, apart from copies."""
    launch = sources.launch[late]
    known = launch >= 0
    cause = np.full(len(late), UNKNOWN, np.int8)
    if not known.any():
        return cause
    launches = trace.launches
    at = np.where(known, launches.ts[launch], 0)
    everyone = np.flatnonzero(sources.launch >= 0)
    latency = trace.kernels.ts[everyone] - launches.ts[sources.launch[everyone]]
    soonest = int(np.quantile(latency[latency > 0], 0.02)) if (latency > 0).any() else 0
    made_late = (at >= start) | (trace.kernels.ts[late] - at <= 2 * soonest)
    cause[known] = np.where(made_late[known], LAUNCH, DEPENDENCY)
    names = {n for n in np.unique(launches.name).tolist() if _waits(trace.text(n))}
    waits = np.flatnonzero(np.isin(launches.name, list(names)))
    for track in np.unique(launches.track[waits]).tolist():
        ends = np.sort(launches.end[waits[launches.track[waits] == track]])
        mine = np.flatnonzero(known & made_late & (launches.track[launch] == track))
        place = np.searchsorted(ends, at[mine], side="right") - 1
        came_back = (place >= 0) & (ends[np.maximum(place, 0)] > start[mine])
        cause[mine[came_back]] = SYNC
    return cause


def _waits(name: str) -> bool:
    """Whether a runtime call waits for the device."""
    return any(word in name for word in _WAITS) and "Async" not in name
