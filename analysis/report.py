"""All of a trace's rows in one object: what `prlore trace` prints, and what other packages read.

found = analyse(Trace.open(path), captures=[Trace.open(capture)])
found.kernels[0].ref        # trace:<hash>/decode/kernel/1
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analysis.capture import with_capture
from analysis.fuse import FuseRow, FuseTable, engine_of
from analysis.kernel_table import KernelRow, KernelTable
from analysis.overlap import OverlapRow, OverlapTable, StageTime
from analysis.sources import Sources, sources_of_kernels
from analysis.steps import ORDER, Stage, Staged, stage
from analysis.trace import Trace
from analysis.window import Window, kernel_windows, operator_windows

if TYPE_CHECKING:
    from concurrent.futures import Executor

_WORTH_THREADS = 100_000  # kernels


class StageRow(msgspec.Struct, frozen=True):
    """A stage as a whole.

    Attributes:
        steps: how many steps were named.
        requests, tokens: smallest and largest of a step, None where no name says it.
        step_ns: median time of a step on the device, first kernel's start to last kernel's end; of its range on the
            CPU on a trace without kernels.
        kernel_ns: summed durations of its kernels, copies and fills (self times of operators without a GPU).
        share: of the trace's summed durations, 0..1.
        families: family -> summed duration.
        time: busy, idle and communication time; None without kernels.
    """

    stage: Stage
    steps: int
    requests: tuple[int, int] | None
    tokens: tuple[int, int] | None
    step_ns: int | None
    kernel_ns: int
    share: float
    families: dict[str, int]
    time: StageTime | None


class TraceReport(msgspec.Struct, frozen=True):
    """Everything that is said about one trace.

    Attributes:
        ref: `trace:<hash>`; `file` the file's name, `sha256` its hash.
        events, span_ns: events read, and from the first to the end of the last.
        origin_ns: first event on the file's own clock; row times plus this are what Perfetto shows.
        rank, world_size, gpus, engine: as the file says, None where it doesn't.
        unit: `kernel`, or `operator` for a trace without kernels, whose times are self times on the CPU.
        kernel_ns: summed durations of all rows; exact.
        unknown_share: part of it whose stage can't be told.
        problems: why numbers may not be the whole truth.
        notes: what was left out, and what a capture trace explained.
    """

    ref: str
    file: str
    sha256: str
    events: int
    span_ns: int
    origin_ns: int
    rank: int | None
    world_size: int | None
    gpus: tuple[str, ...]
    engine: str | None
    unit: str
    kernel_ns: int
    unknown_share: float
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    stages: tuple[StageRow, ...]
    kernels: tuple[KernelRow, ...]
    overlaps: tuple[OverlapRow, ...]
    fusions: tuple[FuseRow, ...]
    timeline: tuple[Span, ...]


class Span(msgspec.Struct, frozen=True):
    """A step on the time line of a device (of the CPU on a trace without kernels)."""

    stage: Stage
    name: str
    start_ns: int
    end_ns: int


def analyse(trace: Trace, captures: Sequence[Trace] = ()) -> TraceReport:
    """Read everything out of a trace, window by window.

    Args:
        trace: the trace.
        captures: traces in which the kernels of its graph replays were launched one by one.
    """
    staged = stage(trace)
    sources = sources_of_kernels(trace, staged.launch)
    notes: list[str] = []
    if captures:
        use = with_capture(trace, sources, captures)
        notes.append(f"capture trace: {use.explained} of {use.kernels} replayed kernels have a source")
        notes += use.notes[:5]
    tables = Tables(staged, sources)
    if tables.replayed and not captures:
        share = tables.replayed / max(tables.total, 1)
        notes.append(
            f"{share:.0%} of kernel time is graph replay without source; --capture FILE names a capture trace"
        )
    kernels, spans = tables.kernels.rows(), tables.spans.found()
    stages = _stages(staged, kernels, tables.overlap.stages(), spans)
    total = sum(row.kernel_ns for row in stages)
    unknown = sum(row.kernel_ns for row in stages if row.stage is Stage.UNKNOWN)
    if staged.whole:
        notes.append(f"no step is named in the trace; the file's name says {staged.whole.value}")
    if not len(trace.kernels):
        notes.append(
            "no kernel in this trace: times are self times of operators, without overlap and fusions"
        )
        timeline = [Span(step.stage, step.name, step.start_ns, step.end_ns) for step in staged.steps]
    else:
        timeline = sorted(spans.values(), key=lambda span: span.start_ns)
    return TraceReport(
        ref=trace.ref,
        file=trace.path.name,
        sha256=trace.sha256,
        events=trace.events,
        span_ns=trace.span_ns,
        origin_ns=trace.origin_ns,
        rank=trace.rank,
        world_size=trace.world_size,
        gpus=tuple(dict.fromkeys(name for name in trace.gpus.values() if name)),
        engine=engine_of(staged),
        unit="kernel" if len(trace.kernels) else "operator",
        kernel_ns=total,
        unknown_share=unknown / total if total else 0.0,
        problems=tuple(problem.text for problem in trace.problems),
        notes=tuple(notes),
        stages=stages,
        kernels=tuple(kernels),
        overlaps=tuple(tables.overlap.rows()),
        fusions=tuple(tables.fuse.rows()),
        timeline=tuple(timeline),
    )


class Tables:
    """The three tables and the steps' spans, all made in one go over the trace.

    Attributes:
        total: summed durations of what ran on devices; `replayed` of graph replays.
    """

    def __init__(self, staged: Staged, sources: Sources) -> None:
        trace = staged.trace
        self.total = self.replayed = 0
        self.overlap, self.fuse = OverlapTable(staged, sources.texts), FuseTable(staged, sources.texts)
        self.spans = _Spans(staged)
        if not len(trace.kernels):
            texts, windows = operator_windows(staged)
            self.kernels = KernelTable(trace, texts)
            for window in windows:
                self.kernels.add(window)
            return
        self.kernels = KernelTable(trace, sources.texts)
        each = (self.kernels.add, self.overlap.add, self.fuse.add, self.spans.add)
        with _pool(len(trace.kernels)) as pool:
            for window in kernel_windows(staged, sources):
                _show(window, each, pool)
                self.total += int(window.dur.sum())
                self.replayed += int(window.dur[window.replayed].sum())
        self.overlap.finish()
        self.fuse.finish()


def _pool(kernels: int) -> contextlib.AbstractContextManager[Executor | None]:
    """Threads for a long trace: numpy lets go of the interpreter while it sorts."""
    if kernels < _WORTH_THREADS:
        return contextlib.nullcontext()
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(2)


def _show(window: Window, each: Sequence[Callable[[Window], None]], pool: Executor | None) -> None:
    """Show a window to all tables, side by side where there are threads."""
    if pool is None:
        for add in each:
            add(window)
        return
    for done in [pool.submit(add, window) for add in each]:
        done.result()


class _Spans:
    """Time of each step on the devices, first kernel's start to last kernel's end."""

    def __init__(self, staged: Staged) -> None:
        self._steps = staged.steps
        self._first = np.full(len(staged.steps), np.iinfo(np.int64).max)
        self._last = np.full(len(staged.steps), -1)

    def add(self, window: Window) -> None:
        """Take a window in."""
        rows = np.flatnonzero(window.step >= 0)
        np.minimum.at(self._first, window.step[rows], window.ts[rows])
        np.maximum.at(self._last, window.step[rows], window.end[rows])

    def found(self) -> dict[int, Span]:
        """The span of each step that ran something."""
        return {
            step.number: Span(
                step.stage, step.name, int(self._first[step.number]), int(self._last[step.number])
            )
            for step in self._steps
            if self._last[step.number] >= 0
        }


def _stages(
    staged: Staged, kernels: list[KernelRow], times: tuple[StageTime, ...], spans: dict[int, Span]
) -> tuple[StageRow, ...]:
    by_stage = {time.stage: time for time in times}
    total = sum(row.time_ns for row in kernels)
    found = []
    for name in ORDER:
        mine = [row for row in kernels if row.stage is name]
        steps = staged.of(name)
        if not mine and not steps:
            continue
        families: dict[str, int] = {}
        for row in mine:
            families[row.family] = families.get(row.family, 0) + row.time_ns
        took = sum(row.time_ns for row in mine)
        if len(staged.trace.kernels):
            lengths = [spans[s.number].end_ns - spans[s.number].start_ns for s in steps if s.number in spans]
        else:
            lengths = [s.end_ns - s.start_ns for s in steps]
        found.append(
            StageRow(
                stage=name,
                steps=len(steps),
                requests=_range([s.what.requests for s in steps]),
                tokens=_range([s.what.tokens for s in steps]),
                step_ns=int(np.median(lengths)) if lengths else None,
                kernel_ns=took,
                share=took / total if total else 0.0,
                families=dict(sorted(families.items(), key=lambda item: -item[1])),
                time=by_stage.get(name),
            )
        )
    return tuple(found)


def _range(values: list[int | None]) -> tuple[int, int] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None
