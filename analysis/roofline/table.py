"""The roofline of a trace: one row for each stage, operator and shape, with what is left under the roof."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.kernel_table import sums
from analysis.links import Operators
from analysis.mapped import scratch, windows
from analysis.roofline.derived import Product
from analysis.roofline.gpus import Gpu, find_gpu
from analysis.roofline.work import Work, work_of
from analysis.steps import ORDER, Stage, Staged
from analysis.taxonomy import family
from analysis.trace import Ints, Numbers, Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RoofRow:
    """Calls of one operator with the same shapes in one stage.

    Attributes:
        ref: `trace:<hash>/<stage>/roofline/<number>`.
        family: of the kernel that takes most of their time; `kernel` is its name.
        calls: how many.
        time_ns: kernel time of all calls together.
        work: of one call.
        intensity: FLOP per byte.
        bound: `memory` or `compute`: which roof is lower at this intensity.
        share: time at the roof relative to the time taken, 0..1; above 1 the data didn't come from device memory.
        headroom_ns: time taken beyond the roof.
    """

    ref: str
    stage: Stage
    family: str
    op: str
    kernel: str
    calls: int
    time_ns: int
    work: Work
    intensity: float
    flops_per_s: float
    bytes_per_s: float
    bound: str
    share: float
    headroom_ns: float


@dataclass(frozen=True)
class Roofline:
    """A trace's roofline.

    Attributes:
        gpu: whose peaks were taken.
        rows: by headroom, the largest first.
        untold_ns: kernel time per stage whose operators' shapes don't tell the work (graph replays among it).
        total_ns: all kernel time per stage.
    """

    gpu: Gpu
    rows: tuple[RoofRow, ...]
    untold_ns: dict[Stage, int]
    total_ns: dict[Stage, int]


def roofline_of(staged: Staged, gpu: Gpu | None = None, products: Iterable[Product] = ()) -> Roofline | None:
    """The roofline; None when the device is not known and none was named.

    `products` are projections with derived shapes; they count where nothing was recorded.
    """
    trace = staged.trace
    gpu = gpu or _own_gpu(trace)
    if gpu is None:
        return None
    found = _Calls(staged, products)
    for at in windows(len(trace.kernels)):
        found.add(at)
    rows = sorted(_rows(trace, found.groups, gpu), key=lambda r: -r.headroom_ns)
    place: dict[Stage, int] = defaultdict(int)
    for i, made in enumerate(rows):
        rows[i] = replace(made, ref=f"{trace.ref}/{made.stage}/roofline/{place[made.stage]}")
        place[made.stage] += 1
    return Roofline(gpu, tuple(rows), dict(found.untold), dict(found.total))


def _own_gpu(trace: Trace) -> Gpu | None:
    """The first known device of those that ran something, else of all: a process may count its devices in two ways."""
    kernels = trace.kernels
    devices = {device for at in windows(len(kernels)) for device in np.unique(kernels.device[at]).tolist()}
    names = [trace.gpus[d] for d in sorted(devices) if d in trace.gpus] or list(trace.gpus.values())
    return next((found for name in names if (found := find_gpu(name))), None)


class _Group:
    """Kernels of calls with the same shapes."""

    def __init__(self) -> None:
        self.calls = 0
        self.by_kernel: dict[int, int] = defaultdict(int)  # time


class _Kinds:
    """What calls do: (operator, work) by number."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._numbers: dict[tuple[str, Work], int] = {}
        self._of_symbols: dict[tuple[int, int, int], int] = {}
        self.known: list[tuple[str, Work]] = []

    def number(self, name: str, work: Work) -> int:
        """The number of a kind."""
        number = self._numbers.setdefault((name, work), len(self.known))
        if number == len(self.known):
            self.known.append((name, work))
        return number

    def of_ops(self, ops: Ints) -> Ints:
        """Numbers of operators by row; -1 without one, or where its shapes don't tell. Equal shapes are read once."""
        found, table = np.full(len(ops), -1, np.int64), self._trace.ops
        there = np.flatnonzero(ops >= 0)
        rows, of = np.unique(ops[there], return_inverse=True)
        kinds = [
            self._of_symbols[key] if key in self._of_symbols else self._of_text(key)
            for key in zip(*(c[rows].tolist() for c in (table.name, table.dims, table.types)), strict=True)
        ]
        found[there] = np.array(kinds, np.int64)[of]
        return found

    def _of_text(self, key: tuple[int, int, int]) -> int:
        name, dims, types = (self._trace.text(number) for number in key)
        work = work_of(name, dims, types)
        self._of_symbols[key] = -1 if work is None else self.number(name, work)
        return self._of_symbols[key]


class _Calls:
    """Kernel time by stage, operator and work, a window after the other.

    Attributes:
        groups: in the order in which they first ran.
        untold, total: kernel time per stage.
    """

    def __init__(self, staged: Staged, products: Iterable[Product]) -> None:
        trace = staged.trace
        self._staged, self._operators, self._kinds = staged, Operators(trace), _Kinds(trace)
        size = len(trace.kernels)
        # of a kernel with a derived shape: its kind and, as what tells calls apart, the call's first kernel; both + 1
        self._derived, self._call = scratch(trace.disk, size, "<i4"), scratch(trace.disk, size, "<i8")
        for product in products:
            rows = list(product.rows)
            self._derived[rows] = self._kinds.number(f"{product.name} (shape from config)", product.work) + 1
            self._call[rows] = rows[0] + 1
        # a bit a stage: whether a call was counted in it
        self._counted = [scratch(trace.disk, length, "|u1") for length in (len(trace.ops), size + 1)]
        self.groups: dict[tuple[Stage, str, Work], _Group] = defaultdict(_Group)
        self.untold: dict[Stage, int] = defaultdict(int)
        self.total: dict[Stage, int] = defaultdict(int)

    def add(self, at: slice) -> None:
        """Take the kernels of a window in."""
        kernels = self._staged.trace.kernels.part(at)
        mine = np.flatnonzero(kernels.is_kernel)
        stage = self._staged.stages(self._staged.kernel_step[at])[mine]
        op = self._operators.of_kernels(at, self._staged.launch[at])[mine]
        kind = self._kinds.of_ops(op)
        derived = np.where(kind < 0, self._derived[at][mine] - 1, -1)
        dur, name = kernels.dur[mine], kernels.name[mine]
        untold = (kind < 0) & (derived < 0)
        _by_stage(self.total, stage, dur)
        _by_stage(self.untold, stage[untold], dur[untold])
        for code in np.unique(stage).tolist():
            here = stage == code
            for kinds, calls, counted in zip(
                (kind, derived), (op, self._call[at][mine]), self._counted, strict=True
            ):
                some = np.flatnonzero(here & (kinds >= 0))
                self._times(code, kinds[some], name[some], dur[some])
                self._count(code, kinds[some], calls[some], counted)

    def _times(self, code: int, kinds: Ints, names: Numbers, dur: Ints) -> None:
        """Add times up by kind and kernel."""
        width = len(self._staged.trace.symbols)
        keys, first, of = np.unique(kinds * width + names, return_index=True, return_inverse=True)
        times = sums(of, dur, len(keys))
        for at in np.argsort(first).tolist():
            kind, name = divmod(int(keys[at]), width)
            self.groups[ORDER[code], *self._kinds.known[kind]].by_kernel[name] += int(times[at])

    def _count(self, code: int, kinds: Ints, calls: Ints, counted: NDArray[np.uint8]) -> None:
        """Count calls that weren't seen in this stage."""
        found, first = np.unique(calls, return_index=True)
        fresh = (counted[found] >> code & 1) == 0
        counted[found[fresh]] |= 1 << code
        for kind, count in enumerate(np.bincount(kinds[first[fresh]]).tolist()):
            if count:
                self.groups[ORDER[code], *self._kinds.known[kind]].calls += count


def _by_stage(total: dict[Stage, int], stage: NDArray[np.int8], dur: Ints) -> None:
    """Add time up by stage; stages in the order in which they first ran."""
    codes, first = np.unique(stage, return_index=True)
    for code in codes[np.argsort(first)].tolist():
        total[ORDER[code]] += int(dur[stage == code].sum())


def _rows(trace: Trace, groups: dict[tuple[Stage, str, Work], _Group], gpu: Gpu) -> Iterator[RoofRow]:
    for (stage, name, work), group in groups.items():
        time = sum(group.by_kernel.values())
        if not time or not work.bytes:
            continue
        calls = group.calls
        peak = gpu.peak(work.dtype)
        compute = work.flops / peak if peak and work.flops else 0.0
        memory = work.bytes / gpu.bandwidth
        roof = calls * max(compute, memory) * 1e9
        kernel = trace.text(max(group.by_kernel, key=lambda n: group.by_kernel[n]))
        yield RoofRow(
            "", stage, family(kernel), name, kernel, calls, time, work,
            work.flops / work.bytes, calls * work.flops / time * 1e9, calls * work.bytes / time * 1e9,
            "compute" if compute > memory else "memory", roof / time, time - roof,
        )  # fmt: skip
