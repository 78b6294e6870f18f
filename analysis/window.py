"""What the tables are made of: kernels of a stretch of time, with all that was found out about each.

On a trace without a GPU the rows are operators with their self time: time on the thread that no inner operator took.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from analysis.mapped import scratch, windows
from analysis.sources import Sources, Texts, sites_of_ops
from analysis.steps import Staged
from analysis.taxonomy import FamilyCodes
from analysis.trace import Bools, Ints, Numbers, Ops, Trace

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

    Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Window:
    """Kernels (or operators) by start; arrays by row, times in ns.

    Attributes:
        row: in `Trace.kernels` (or `Trace.ops`).
        stage: place in `ORDER`; `family` in `family_names()`.
        step: number of the step, `launch` row of the launch, -1 without.
        site, op: numbers of texts, -1 without; `how` the site was found as place in `HOW`.
    """

    row: Ints
    ts: Ints
    dur: Ints
    name: Numbers
    device: Numbers
    stream: Numbers
    is_kernel: Bools
    stage: Codes
    family: Codes
    step: Numbers
    launch: Ints
    replayed: Bools
    site: Numbers
    op: Numbers
    how: Codes

    def __len__(self) -> int:
        return len(self.row)

    @property
    def end(self) -> Ints:
        """Ends in ns."""
        return self.ts + self.dur

    def part(self, rows: Ints | Bools) -> Window:
        """Some of the rows."""
        return Window(*(getattr(self, field.name)[rows] for field in fields(self)))

    def behind(self, before: Window) -> Window:
        """The rows of another window and then those of this one."""
        pairs = ((getattr(before, field.name), getattr(self, field.name)) for field in fields(self))
        return Window(*(np.concatenate(pair) for pair in pairs))


def kernel_windows(staged: Staged, sources: Sources) -> Iterator[Window]:
    """All kernels of a trace, by start."""
    kernels, family = staged.trace.kernels, FamilyCodes(staged.trace)
    for at in windows(len(kernels)):
        some = kernels.part(at)
        yield Window(
            row=np.arange(at.start, at.stop),
            ts=some.ts,
            dur=some.dur,
            name=some.name,
            device=some.device,
            stream=some.stream,
            is_kernel=some.is_kernel,
            stage=staged.stages(staged.kernel_step[at]),
            family=family.of_kernels(some),
            step=staged.kernel_step[at],
            launch=sources.launch[at],
            replayed=sources.replayed[at],
            site=sources.site[at],
            op=sources.op[at],
            how=sources.how[at],
        )


def operator_windows(staged: Staged) -> tuple[Texts, Iterator[Window]]:
    """All operators of a trace, by start, with self times, and what the numbers of their sites stand for."""
    texts, site = sites_of_ops(staged.trace)
    return texts, _operators(staged, site)


def _operators(staged: Staged, site: Numbers) -> Iterator[Window]:
    ops, family, own = staged.trace.ops, FamilyCodes(staged.trace), self_time(staged.trace)
    for at in windows(len(ops)):
        none = np.full(at.stop - at.start, -1, np.int32)
        no = np.zeros(len(none), np.bool_)
        yield Window(
            row=np.arange(at.start, at.stop),
            ts=ops.ts[at],
            dur=own[at],
            name=ops.name[at],
            device=none,
            stream=ops.track[at],
            is_kernel=no,
            stage=staged.stages(staged.op_step[at]),
            family=family.of(ops.name[at]),
            step=staged.op_step[at],
            launch=none.astype(np.int64),
            replayed=no,
            site=site[at],
            op=none,
            how=np.where(site[at] >= 0, 2, 0).astype(np.int8),
        )


def self_time(trace: Trace) -> Ints:
    """Duration of each operator less those of the operators it calls on the same thread, in ns."""
    ops = trace.ops
    own: Ints = scratch(trace.disk, len(ops), "<i8")
    open_at: dict[int, list[list[int]]] = {}  # thread -> row, end and time left of the operators that run
    for rows in ties_together(ops):
        order = rows[np.lexsort((-ops.dur[rows], ops.ts[rows]))]
        some = zip(*(column[order].tolist() for column in (ops.track, ops.ts, ops.dur)), strict=True)
        done: list[list[int]] = []
        for row, (track, start, dur) in zip(order.tolist(), some, strict=True):
            stack = open_at.setdefault(track, [])
            while stack and stack[-1][1] <= start:
                done.append(stack.pop())
            if stack:
                stack[-1][2] -= min(dur, stack[-1][1] - start)
            stack.append([row, start + dur, dur])
        _put(own, done)
    for stack in open_at.values():
        _put(own, stack)
    return own


def ties_together(ops: Ops) -> Iterator[Ints]:
    """Rows a window at a time, those with one start in one of them."""
    first = 0
    for at in windows(len(ops)):
        if at.stop == len(ops):
            yield np.arange(first, at.stop)
            return
        last = int(np.searchsorted(ops.ts, ops.ts[at.stop], side="left"))
        if last > first:
            yield np.arange(first, last)
            first = last


def _put(own: Ints, done: list[list[int]]) -> None:
    if done:
        rows = np.array(done, np.int64)
        own[rows[:, 0]] = np.maximum(rows[:, 2], 0)
