"""Why a device paused: the cause of each pause in front of a kernel, by when and after what the kernel was launched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.finding import ByThread
from analysis.mapped import order_of, scratch, smallest, taken, windows
from analysis.trace import Ints, Trace
from analysis.window import Window

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

DATA, SYNC, LAUNCH, DEPENDENCY, UNKNOWN = range(5)
CAUSES = ("data", "synchronisation", "launch-bound", "dependency", "unknown")
_WAITS = ("Synchronize", "cudaMemcpy", "hipMemcpyWithStream", "cuMemcpyDtoH_v2", "EventQuery", "WaitValue")
_SOONEST = 0.02  # of all kernels start no later behind their launch


class Causes:
    """Tells the causes of pauses of one trace (see `analysis.overlap`)."""

    def __init__(self, trace: Trace, launch: Ints) -> None:
        self._launches = trace.launches
        self._soonest = _soonest(trace, launch)
        self._ends, self._waits = _waits(trace)

    def of(self, start: Ints, late: Window) -> NDArray[np.int8]:
        """Why each pause ended no sooner, apart from copies.

        Args:
            start: when the pauses began.
            late: the kernels that ended them.
        """
        cause = np.full(len(late), UNKNOWN, np.int8)
        known = np.flatnonzero(late.launch >= 0)
        if not len(known):
            return cause
        calls, start = late.launch[known], start[known]
        at = self._launches.ts[calls]
        made_late = (at >= start) | (late.ts[known] - at <= 2 * self._soonest)
        cause[known] = np.where(made_late, LAUNCH, DEPENDENCY)
        waited = self._waits.last(self._launches.track[calls], at)
        came_back = (waited >= 0) & made_late
        came_back[came_back] = self._ends[waited[came_back]] > start[came_back]
        cause[known[came_back]] = SYNC
        return cause


def _soonest(trace: Trace, launch: Ints) -> int:
    """How soon after its launch a kernel may start, in ns."""
    kernels, launches = trace.kernels, trace.launches
    took: Ints = scratch(trace.disk, len(kernels), "<i8")
    count = 0
    for at in windows(len(kernels)):
        known = np.flatnonzero(launch[at] >= 0)
        latency = kernels.ts[at][known] - launches.ts[launch[at][known]]
        latency = latency[latency > 0]
        took[count : count + len(latency)] = latency
        count += len(latency)
    if not count:
        return 0
    # the quantile by its two neighbours in order, as numpy interpolates it
    place = (count - 1) * _SOONEST
    pair = [smallest(took[:count], min(int(place) + more, count - 1)) for more in (0, 1)]
    return int(np.quantile(pair, place - int(place)))


def _waits(trace: Trace) -> tuple[Ints, ByThread]:
    """Ends of the calls that wait for the device, in order, and where those of a thread are."""
    launches = trace.launches
    waits = np.array(
        [any(word in text for word in _WAITS) and "Async" not in text for text in trace.symbols], np.bool_
    )
    count = sum(int(waits[launches.name[at]].sum()) for at in windows(len(launches)))
    ends: Ints = scratch(trace.disk, count, "<i8")
    tracks = scratch(trace.disk, count, "<i4")
    place = 0
    for at in windows(len(launches)):
        rows = np.flatnonzero(waits[launches.name[at]]) + at.start
        ends[place : place + len(rows)] = launches.ts[rows] + launches.dur[rows]
        tracks[place : place + len(rows)] = launches.track[rows]
        place += len(rows)
    order = order_of(trace.disk, ends)
    ends = taken(trace.disk, ends, order)
    return ends, ByThread(trace.disk, taken(trace.disk, tracks, order), ends)
