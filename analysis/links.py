"""What launched a kernel: the runtime call, the operator, and the Python function around it.

Everything is joined by the ids that the profiler writes. Frames need no scan: the last function that started before a
call, or one of its callers, is the one that was running.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.trace import Bools, Frames, Ints, Numbers, Trace

# frames that pass a call on and say nothing about who wanted it
_THROUGH = re.compile(
    r"(?:^|/)(?:torch|triton|threading|contextlib|functools|concurrent|multiprocessing|asyncio|runpy|importlib|enum"
    r"|typing|logging|abc|_weakrefset|weakref|cuda|tqdm|numpy|tvm_ffi|cutlass|jinja2|pluggy)(?:/|\.py\()"
    r"|aiter/jit/|^<|^nn\.Module: |^\S+ object at "
)
_BLOCK = 1 << 22  # frames looked at at a time
_FRAME = re.compile(r"(?P<path>.+)\((?P<line>\d+)\): (?P<function>.+)", re.DOTALL)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def launch_of_kernels(trace: Trace) -> Ints:
    """Row of the launch of each kernel, -1 when it isn't in the trace.

    Correlation ids count per process: where processes were merged into one file and share ids, a device belongs to
    the process that launched most of its kernels with ids that occur once.
    """
    kernels, launches = trace.kernels, trace.launches
    with_id = np.flatnonzero(launches.correlation >= 0)
    if not len(with_id) or not len(kernels):
        return np.full(len(kernels), -1, np.int64)
    ids = launches.correlation[with_id]
    _, counts = np.unique(ids, return_counts=True)
    if not (counts > 1).any():
        return _lookup(ids, with_id, kernels.correlation)
    process = _processes(trace)[launches.track[with_id]]
    if len(np.unique(process)) == 1:
        return _lookup(ids, with_id, kernels.correlation)
    return _lookup_by_process(trace, with_id, process)


def _lookup(ids: Ints, rows: Ints, wanted: Ints) -> Ints:
    """Row of each wanted id, the last of equal ones; -1 without."""
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids[order], wanted, side="right") - 1
    hit = (place >= 0) & (ids[order][np.maximum(place, 0)] == wanted) & (wanted >= 0)
    return np.where(hit, rows[order][np.maximum(place, 0)], -1)


def _processes(trace: Trace) -> Numbers:
    """Number of the process of each track."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(pid, len(numbers)) for pid, _ in trace.tracks], np.int32)


def _lookup_by_process(trace: Trace, with_id: Ints, process: Numbers) -> Ints:
    kernels, launches = trace.kernels, trace.launches
    ids = launches.correlation[with_id]
    _, first, counts = np.unique(ids, return_index=True, return_counts=True)
    alone = first[counts == 1]
    sure = _lookup(ids[alone], alone.astype(np.int64), kernels.correlation)
    found = np.full(len(kernels), -1, np.int64)
    for device in np.unique(kernels.device).tolist():
        mine = kernels.device == device
        votes = process[sure[mine & (sure >= 0)]]
        if not len(votes):
            continue
        owner = int(np.bincount(votes).argmax())
        own = process == owner
        found[mine] = _lookup(ids[own], with_id[own], kernels.correlation[mine])
    return found


def op_of_kernels(trace: Trace, launch: Ints) -> Ints:
    """Row of the innermost operator of each kernel by External id, its own or its launch's; -1 without."""
    ops, kernels = trace.ops, trace.kernels
    if not len(ops):
        return np.full(len(kernels), -1, np.int64)
    external = kernels.external
    if len(trace.launches):
        external = np.where((external < 0) & (launch >= 0), trace.launches.external[launch], external)
    return _lookup(ops.external, np.arange(len(ops)), external)


def is_replay(trace: Trace, launch: Ints) -> Bools:
    """Whether each kernel ran as part of a graph replay (cudaGraphLaunch, hipGraphLaunch)."""
    if not len(trace.launches):
        return np.zeros(len(launch), np.bool_)
    graph = np.array([n for n in np.unique(trace.launches.name).tolist() if "GraphLaunch" in trace.text(n)])
    return (launch >= 0) & np.isin(trace.launches.name, graph)[launch]


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
    match = _FRAME.fullmatch(frame)
    if not match:
        return None
    function = _ADDRESS.sub("", match["function"])
    return Site(_short(match["path"]), int(match["line"]), function)


def _short(path: str) -> str:
    """A path from the package on, without the folders of an installation."""
    for mark in ("/site-packages/", "/dist-packages/"):
        if mark in path:
            return path.rsplit(mark, 1)[1]
    found = re.fullmatch(r".*/((?:sglang|vllm|tensorrt_llm|sgl_kernel|flashinfer|aiter)/.+)", path, re.DOTALL)
    return found[1] if found else path


class FrameIndex:
    """Finds the function that was running on a thread at a time.

    Frames are looked at in blocks, so that a trace with more of them than fits the memory is no problem; Kineto writes
    them by start and by id, which then needs no sorting.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def innermost(self, track: Numbers, ts: Ints) -> Ints:
        """Row of the innermost frame on each track at each time; -1 without."""
        frames = self._trace.frames
        found = np.full(len(ts), -1, np.int64)
        queries = {number: np.flatnonzero(track == number) for number in np.unique(track).tolist()}
        for start in range(0, len(frames), _BLOCK):
            rows = _by_start(frames, start, min(start + _BLOCK, len(frames)))
            tracks = frames.track[rows]
            for number, mine in queries.items():
                here = rows[tracks == number]
                if not len(here):
                    continue
                place = np.searchsorted(frames.ts[here], ts[mine], side="right") - 1
                other = np.where(place >= 0, here[np.maximum(place, 0)], -1)
                later = (other >= 0) & ((found[mine] < 0) | (frames.ts[other] >= frames.ts[found[mine]]))
                found[mine] = np.where(later, other, found[mine])
        return self._climb(found, lambda row, at: frames.ts[row] + frames.dur[row] < ts[at])

    def sites(self, rows: Ints) -> Numbers:
        """Symbol of the innermost frame that is no machinery, from each frame up; -1 without."""
        frames = self._trace.frames
        names = np.unique(frames.name)
        through = np.zeros(int(names.max()) + 1 if len(names) else 1, np.bool_)
        for name in names.tolist():
            text = self._trace.text(name)
            through[name] = _FRAME.fullmatch(text) is None or _THROUGH.search(text) is not None
        top = self._climb(rows, lambda row, at: through[frames.name[row]])
        return np.where(top >= 0, frames.name[np.maximum(top, 0)], -1).astype(np.int32)

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
        keys, order = self._ids
        wanted = frames.parent[rows]
        offset = self._process[frames.track[rows]] * self._stride
        place = np.minimum(np.searchsorted(keys, wanted + offset), len(keys) - 1)
        hit = (wanted >= 0) & (keys[place] == wanted + offset)
        return np.where(hit, place if order is None else order[place], -1)

    @cached_property
    def _process(self) -> Ints:
        return _processes(self._trace).astype(np.int64)

    @cached_property
    def _stride(self) -> int:
        """What sets the ids of processes apart; 0 when there is one."""
        many = len(np.unique(self._process)) > 1
        return int(self._trace.frames.python_id.max(initial=0)) + 2 if many else 0

    @cached_property
    def _ids(self) -> tuple[Ints, Ints | None]:
        """Python ids, set apart by process, in order, and their rows; None for the rows of the file as they are."""
        frames = self._trace.frames
        keys = frames.python_id
        if self._stride:
            keys = keys + self._process[frames.track] * self._stride
        if _ascends(keys):
            return keys, None
        order = np.argsort(keys, kind="stable")
        return keys[order], order


def _ascends(values: Ints) -> bool:
    """Whether no value is smaller than the one before it."""
    return all(
        bool((np.diff(values[at : at + _BLOCK + 1]) >= 0).all()) for at in range(0, len(values), _BLOCK)
    )


def _by_start(frames: Frames, first: int, last: int) -> Ints:
    """Rows of a block by start, a caller before what it calls at once."""
    ts, dur = frames.ts[first:last], frames.dur[first:last]
    later = np.diff(ts)
    if bool(((later > 0) | ((later == 0) & (np.diff(dur) <= 0))).all()):
        return np.arange(first, last)
    return np.lexsort((-dur, ts)) + first
