"""What layers are searched in: the kernels of each device and step, or operators where there is no kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.layers.segment import MIXERS
from analysis.mapped import scratch, windows
from analysis.steps import Staged
from analysis.taxonomy import family
from analysis.trace import Bools, Ints, Numbers, Trace
from analysis.window import ties_together

CPU = -1


class Rows:
    """Kernels of the devices, or operators where there is no kernel. Rows are those of the trace's own table.

    Attributes:
        table: `Trace.kernels` or `Trace.ops`.
        families: family of each symbol that stands in a row that counts; `texts` its words.
    """

    def __init__(self, staged: Staged, anchor: re.Pattern[str] | None) -> None:
        trace = staged.trace
        self.staged, self.table = staged, trace.kernels
        self._last: tuple[Run, Ints] | None = None
        self._kept = None if _has_kernels(trace) else _outermost(trace)
        if self._kept is not None:
            self.table = trace.ops  # type: ignore[assignment]
        names: set[int] = set()
        for at in windows(len(self.table)):
            names.update(np.unique(self.table.name[at][self.kept(at)]).tolist())
        self.texts = {n: trace.text(n) for n in sorted(names)}
        self.families = {n: family(text) for n, text in self.texts.items()}
        if anchor:
            self.families = {
                n: "attention" if anchor.search(self.texts[n]) else "other" if f in MIXERS else f
                for n, f in self.families.items()
            }

    def family(self, row: int) -> str:
        """The family of a row."""
        return self.families[int(self.table.name[row])]

    def text(self, row: int) -> str:
        """The name of a row."""
        return self.texts[int(self.table.name[row])]

    def talks(self, names: Numbers) -> Bools:
        """Whether names are those of collectives."""
        return np.isin(names, [n for n, f in self.families.items() if f == "communication"])

    def kept(self, at: slice) -> Bools:
        """Whether rows count: kernels, not copies; operators that no other encloses."""
        return self.staged.trace.kernels.part(at).is_kernel if self._kept is None else self._kept[at]

    def device(self, at: slice) -> Numbers:
        """Device of each row, `CPU` for operators."""
        if self._kept is None:
            return self.staged.trace.kernels.device[at]
        return np.full(at.stop - at.start, CPU, np.int32)

    def stream(self, row: int) -> int:
        """Stream of a row, 0 for operators."""
        return int(self.staged.trace.kernels.stream[row]) if self._kept is None else 0

    def step(self, at: slice) -> Numbers:
        """Number of the step of each row, -1 outside of all."""
        return (self.staged.kernel_step if self._kept is None else self.staged.op_step)[at]

    def of(self, run: Run) -> Ints:
        """The rows of a run; those of the last one asked for are remembered."""
        if self._last is None or self._last[0] is not run:
            span = slice(run.first, run.last + 1)
            mine = self.kept(span) & (self.device(span) == run.device) & (self.step(span) == run.step)
            self._last = run, np.flatnonzero(mine) + run.first
        return self._last[1]


def _has_kernels(trace: Trace) -> bool:
    return any(bool(trace.kernels.part(at).is_kernel.any()) for at in windows(len(trace.kernels)))


def _outermost(trace: Trace) -> Bools:
    """Whether no other operator of its thread encloses an operator."""
    ops = trace.ops
    keep: Bools = scratch(trace.disk, len(ops), "|b1")
    reach: dict[int, int] = {}  # where the last one of a thread ends
    for rows in ties_together(ops):
        order = rows[np.lexsort((-ops.dur[rows], ops.ts[rows]))]
        for track in np.unique(ops.track[order]).tolist():
            mine = order[ops.track[order] == track]
            before = [reach.get(track, ops.ts[mine[0]] - 1)]
            far = np.maximum.accumulate(np.concatenate((before, ops.ts[mine] + ops.dur[mine])))
            keep[mine] = ops.ts[mine] + ops.dur[mine] > far[:-1]
            reach[track] = int(far[-1])
    return keep


@dataclass(frozen=True)
class Run:
    """The kernels of one step on one device (of the whole trace where no step is named), by start; `first` and `last` row."""

    rows: Rows
    device: int
    step: int
    first: int
    last: int

    @property
    def all(self) -> Ints:
        """Its rows."""
        return self.rows.of(self)
