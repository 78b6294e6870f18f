"""What launched a kernel: the runtime call, the operator, and the Python function around it.

Everything is joined by the ids that the profiler writes. Frames need no scan: the last function that started before a
call, or one of its callers, is the one that was running. Whoever asks for all kernels does so window by window.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analysis.finding import ByThread, Index, symbols_at
from analysis.mapped import scratch, windows
from analysis.trace import Bools, Ints, Numbers, Trace

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

# frames that pass a call on and say nothing about who wanted it
_THROUGH = (
    r"(?:^|/)(?:torch|triton|threading|contextlib|functools|concurrent|multiprocessing|asyncio|runpy|importlib|enum"
    r"|typing|logging|abc|_weakrefset|weakref|cuda|tqdm|numpy|tvm_ffi|cutlass|jinja2|pluggy)(?:/|\.py\()"
    r"|aiter/jit/|^<|^nn\.Module: |^\S+ object at "
)
_FRAME = r"(?s)(?P<path>.+)\((?P<line>\d+)\): (?P<function>.+)"
_ADDRESS = r" at 0x[0-9a-f]+"


def launch_of_kernels(trace: Trace) -> Ints:
    """Row of the launch of each kernel, -1 when it isn't in the trace.

    Correlation ids count per process: where processes were merged into one file and share ids, a device belongs to
    the process that launched most of its kernels with ids that occur once.
    """
    kernels = trace.kernels
    found: Ints = scratch(trace.disk, len(kernels), "<i8")
    index = Index(trace.disk, trace.launches.correlation)
    owners = _owners(trace, index) if index.repeats and _launching_processes(trace) > 1 else {}
    for at in windows(len(kernels)):
        found[at] = index.rows(kernels.correlation[at])
    for process in set(owners.values()):
        own = Index(trace.disk, _ids_of_process(trace, process))
        mine = np.array([device for device, owner in owners.items() if owner == process])
        for at in windows(len(kernels)):
            here = np.isin(kernels.device[at], mine)
            found[at] = np.where(here, own.rows(kernels.correlation[at]), found[at])
    return found


def _processes(trace: Trace) -> Numbers:
    """Number of the process of each track."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(pid, len(numbers)) for pid, _ in trace.tracks], np.int32)


def _launching_processes(trace: Trace) -> int:
    """How many processes launched something."""
    launches, processes = trace.launches, _processes(trace)
    found: set[int] = set()
    for at in windows(len(launches)):
        found.update(np.unique(processes[launches.track[at][launches.correlation[at] >= 0]]).tolist())
    return len(found)


def _owners(trace: Trace, index: Index) -> dict[int, int]:
    """Device -> process that launched on it, -1 where no id tells."""
    kernels, process = trace.kernels, _processes(trace)
    votes: dict[int, NDArray[np.int64]] = {}
    for at in windows(len(kernels)):
        rows = index.rows(kernels.correlation[at], alone=True)
        for device in np.unique(kernels.device[at]).tolist():
            mine = rows[(kernels.device[at] == device) & (rows >= 0)]
            more = np.bincount(process[trace.launches.track[mine]], minlength=len(process))
            votes[device] = votes.get(device, 0) + more
    return {device: int(found.argmax()) if found.any() else -1 for device, found in votes.items()}


def _ids_of_process(trace: Trace, process: int) -> Ints:
    """Correlation ids of the launches of one process, -1 for those of others."""
    launches, processes = trace.launches, _processes(trace)
    ids: Ints = scratch(trace.disk, len(launches), "<i8")
    for at in windows(len(launches)):
        ids[at] = np.where(processes[launches.track[at]] == process, launches.correlation[at], -1)
    return ids


class Operators:
    """Finds the innermost operator of kernels."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._index = Index(trace.disk, trace.ops.external)

    def of_kernels(self, at: slice, launch: Ints) -> Ints:
        """Row of the operator of each kernel by External id, its own or its launch's; -1 without."""
        external = self._trace.kernels.external[at]
        other = np.flatnonzero((external < 0) & (launch >= 0))
        external = external.copy()
        external[other] = self._trace.launches.external[launch[other]]
        return self._index.rows(external)

    def of_launches(self, launch: Ints) -> Ints:
        """The same for launches."""
        return self._index.rows(self._trace.launches.external[launch])


class Replays:
    """Tells kernels of a graph replay (cudaGraphLaunch, hipGraphLaunch)."""

    def __init__(self, trace: Trace) -> None:
        self._names = trace.launches.name
        self._is_graph = np.array(["GraphLaunch" in text for text in trace.symbols], np.bool_)

    def __call__(self, launch: Ints) -> Bools:
        """Whether each kernel ran as part of one, by its launch."""
        found = launch >= 0
        found[found] = self._is_graph[self._names[launch[found]]]
        return found


@dataclass(frozen=True)
class Site:
    """A place in Python source."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}"


def read_site(frame: str) -> Site | None:
    """The place that a frame's name tells; None for built-in functions and modules."""
    match = re.fullmatch(_FRAME, frame)
    if not match:
        return None
    function = re.sub(_ADDRESS, "", match["function"])
    return Site(_short(match["path"]), int(match["line"]), function)


def _short(path: str) -> str:
    """A path from the package on, without the folders of an installation."""
    for mark in ("/site-packages/", "/dist-packages/"):
        if mark in path:
            return path.rsplit(mark, 1)[1]
    found = re.fullmatch(r".*/((?:sglang|vllm|tensorrt_llm|sgl_kernel|flashinfer|aiter)/.+)", path, re.DOTALL)
    return found[1] if found else path


class FrameIndex:
    """Finds the function that was running on a thread at a time."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._processes = _processes(trace).astype(np.int64)
        self._through = np.full(len(trace.symbols), -1, np.int8)

    def innermost(self, track: Numbers, ts: Ints) -> Ints:
        """Row of the innermost frame on each track at each time; -1 without."""
        frames = self._trace.frames
        found = self._threads.last(track, ts)
        return self._climb(found, lambda row, at: frames.ts[row] + frames.dur[row] < ts[at])

    def sites(self, rows: Ints) -> Numbers:
        """Symbol of the innermost frame that is no machinery, from each frame up; -1 without."""
        names = self._trace.frames.name
        top = self._climb(rows, lambda row, at: self._passes_on(names[row]))
        return symbols_at(names, top)

    def _passes_on(self, names: Numbers) -> Bools:
        """Whether each name is one of machinery; looked at once a name."""
        for name in np.unique(names[self._through[names] < 0]).tolist():
            text = self._trace.text(name)
            self._through[name] = re.fullmatch(_FRAME, text) is None or re.search(_THROUGH, text) is not None
        return self._through[names] > 0

    def _climb(self, rows: Ints, on: Callable[[Ints, Ints], Bools]) -> Ints:
        """Go to the caller while `on(frame, place)` holds."""
        found = rows.copy()
        left = np.flatnonzero(found >= 0)
        for _ in range(2000):  # deeper than Python's own limit
            left = left[on(found[left], left)]
            if not len(left):
                break
            found[left] = self._parents(found[left])
            left = left[found[left] >= 0]
        return found

    def _parents(self, rows: Ints) -> Ints:
        frames = self._trace.frames
        wanted = frames.parent[rows]
        offset = self._processes[frames.track[rows]] * self._stride
        return self._ids.rows(np.where(wanted >= 0, wanted + offset, -1))

    @cached_property
    def _threads(self) -> ByThread:
        return ByThread(self._trace.disk, self._trace.frames.track, self._trace.frames.ts)

    @cached_property
    def _stride(self) -> int:
        """What sets the ids of processes apart; 0 when there is one."""
        ids = self._trace.frames.python_id
        if len(np.unique(self._processes)) < 2:
            return 0
        return max((int(ids[at].max()) for at in windows(len(ids))), default=0) + 2

    @cached_property
    def _ids(self) -> Index:
        """Frames by Python id, set apart by process."""
        frames = self._trace.frames
        keys = frames.python_id
        if self._stride:
            keys = scratch(self._trace.disk, len(frames), "<i8")
            for at in windows(len(frames)):
                keys[at] = frames.python_id[at] + self._processes[frames.track[at]] * self._stride
        return Index(self._trace.disk, keys)
