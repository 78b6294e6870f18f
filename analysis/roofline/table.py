"""The roofline of a trace: one row for each stage, operator and shape, with what is left under the roof."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.links import launch_of_kernels, op_of_kernels
from analysis.roofline.derived import Product
from analysis.roofline.gpus import Gpu, find_gpu
from analysis.roofline.work import Work, work_of
from analysis.steps import ORDER, Stage, Staged
from analysis.taxonomy import family


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
    kernels = trace.kernels
    if gpu is None:
        used = [trace.gpus[d] for d in np.unique(kernels.device).tolist() if d in trace.gpus]
        names = used or list(trace.gpus.values())  # a process may count its devices in two ways
        gpu = next((found for name in names if (found := find_gpu(name))), None)
    if gpu is None:
        return None
    stages = staged.kernel_stage
    op = op_of_kernels(trace, launch_of_kernels(trace))
    groups: dict[tuple[Stage, str, Work], _Group] = defaultdict(_Group)
    untold: dict[Stage, int] = defaultdict(int)
    total: dict[Stage, int] = defaultdict(int)
    works = _Works(staged)
    derived = {row: (i, product) for i, product in enumerate(products) for row in product.rows}
    for row in np.flatnonzero(kernels.is_kernel).tolist():
        stage, dur, at = ORDER[int(stages[row])], int(kernels.dur[row]), int(op[row])
        total[stage] += dur
        work = works.of(at)
        if work is not None:
            groups[stage, trace.text(int(trace.ops.name[at])), work].add(at, int(kernels.name[row]), dur)
        elif row in derived:
            call, product = derived[row]
            name = f"{product.name} (shape from config)"
            groups[stage, name, product.work].add(call, int(kernels.name[row]), dur)
        else:
            untold[stage] += dur
    rows = sorted(_rows(staged, groups, gpu), key=lambda r: -r.headroom_ns)
    place: dict[Stage, int] = defaultdict(int)
    for i, made in enumerate(rows):
        rows[i] = replace(made, ref=f"{trace.ref}/{made.stage}/roofline/{place[made.stage]}")
        place[made.stage] += 1
    return Roofline(gpu, tuple(rows), dict(untold), dict(total))


class _Group:
    """Kernels of calls with the same shapes."""

    def __init__(self) -> None:
        self.calls: set[int] = set()
        self.by_kernel: dict[int, int] = defaultdict(int)

    def add(self, call: int, kernel: int, dur: int) -> None:
        """One more kernel."""
        self.calls.add(call)
        self.by_kernel[kernel] += dur


class _Works:
    """Work by the row of an operator; equal names, shapes and types are read once."""

    def __init__(self, staged: Staged) -> None:
        self._trace = staged.trace
        self._known: dict[tuple[int, int, int], Work | None] = {}

    def of(self, op: int) -> Work | None:
        """Work of an operator; None without one, or where its shapes don't tell."""
        if op < 0:
            return None
        ops = self._trace.ops
        key = int(ops.name[op]), int(ops.dims[op]), int(ops.types[op])
        if key not in self._known:
            self._known[key] = work_of(*(self._trace.text(number) for number in key))
        return self._known[key]


def _rows(staged: Staged, groups: dict[tuple[Stage, str, Work], _Group], gpu: Gpu) -> Iterator[RoofRow]:
    for (stage, name, work), group in groups.items():
        time = sum(group.by_kernel.values())
        if not time or not work.bytes:
            continue
        calls = len(group.calls)
        peak = gpu.peak(work.dtype)
        compute = work.flops / peak if peak and work.flops else 0.0
        memory = work.bytes / gpu.bandwidth
        roof = calls * max(compute, memory) * 1e9
        kernel = staged.trace.text(max(group.by_kernel, key=lambda n: group.by_kernel[n]))
        yield RoofRow(
            "", stage, family(kernel), name, kernel, calls, time, work,
            work.flops / work.bytes, calls * work.flops / time * 1e9, calls * work.bytes / time * 1e9,
            "compute" if compute > memory else "memory", roof / time, time - roof,
        )  # fmt: skip
