"""The kernel table: what took the time of each stage, and where in the program it comes from.

On a trace without a GPU the rows are operators with their self time: time on the thread that no inner operator took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.sources import HOW, NOTHING, Sources, Texts, sites_of_ops
from analysis.steps import ORDER, Stage, Staged
from analysis.taxonomy import family_names, family_of_kernels, family_of_ops, short_name
from analysis.trace import Ints, Ops

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray


@dataclass(frozen=True)
class KernelRow:
    """One kernel of one stage; rows of a stage are numbered by falling time.

    Attributes:
        ref: `trace:<hash>/<stage>/kernel/<number>`.
        name: the whole name; `short` without template arguments.
        family: from the one classifier.
        time_ns: summed duration.
        share: of the summed durations of the stage, 0..1.
        launches: how often it ran.
        replayed: in a graph replay; eager launches of the same kernel are a row of their own.
        source: `path:line function` that launched most of its time; `source_share` of its time, `how` it was found.
        op: operator that launched most of its time.
        longest_ts, longest_ns: start and duration of its longest launch, for a look in Perfetto.
    """

    ref: str
    stage: Stage
    number: int
    name: str
    short: str
    family: str
    time_ns: int
    share: float
    launches: int
    replayed: bool
    source: str | None
    source_share: float
    how: str
    op: str | None
    longest_ts: int
    longest_ns: int

    @property
    def mean_ns(self) -> float:
        """Mean duration of a launch."""
        return self.time_ns / self.launches


@dataclass(frozen=True)
class _Work:
    """What rows are made of: kernels, or operators with self time."""

    name: NDArray[np.int32]
    ts: Ints
    time: Ints
    stage: NDArray[np.int8]
    family: NDArray[np.int8]
    replayed: NDArray[np.bool_]
    site: NDArray[np.int32]
    op: NDArray[np.int32]
    how: NDArray[np.int8]
    texts: Texts


def kernel_rows(staged: Staged, sources: Sources) -> list[KernelRow]:
    """Rows of every stage, stages in their order, rows by falling time. Sums are exact."""
    trace = staged.trace
    work = _of_kernels(staged, sources) if len(trace.kernels) else _of_ops(staged)
    if not len(work.name):
        return []
    width = int(work.name.max()) + 1
    key = (work.stage.astype(np.int64) * 2 + work.replayed) * width + work.name
    groups, first, inverse, counts = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    times = _sums(inverse, work.time, len(groups))
    site, site_share = _main(inverse, work.site, work.time, times)
    op, _ = _main(inverse, work.op, work.time, times)
    how, _ = _main(inverse, np.where(work.how == NOTHING, -1, work.how).astype(np.int32), work.time, times)
    longest = np.zeros(len(groups), np.int64)
    by_time = np.argsort(work.time, kind="stable")
    longest[inverse[by_time]] = by_time  # the last written is the longest
    stages = work.stage[first]
    totals = {int(code): int(times[stages == code].sum()) for code in np.unique(stages)}
    rows: list[KernelRow] = []
    names = family_names()
    last, number = -1, 0
    for group in np.lexsort((work.name[first], -times, stages)).tolist():
        code, row = int(stages[group]), int(first[group])
        last, number = code, number + 1 if code == last else 1
        name = trace.text(int(work.name[row]))
        rows.append(
            KernelRow(
                ref=f"{trace.ref}/{ORDER[code].value}/kernel/{number}",
                stage=ORDER[code],
                number=number,
                name=name,
                short=short_name(name),
                family=names[int(work.family[row])],
                time_ns=int(times[group]),
                share=int(times[group]) / totals[code] if totals[code] else 0.0,
                launches=int(counts[group]),
                replayed=bool(work.replayed[row]),
                source=work.texts[int(site[group])],
                source_share=float(site_share[group]),
                how=HOW[max(int(how[group]), 0)],
                op=work.texts[int(op[group])],
                longest_ts=int(work.ts[longest[group]]),
                longest_ns=int(work.time[longest[group]]),
            )
        )
    return rows


def _of_kernels(staged: Staged, sources: Sources) -> _Work:
    kernels = staged.trace.kernels
    return _Work(
        kernels.name,
        kernels.ts,
        kernels.dur,
        staged.kernel_stage,
        family_of_kernels(staged.trace),
        sources.replayed,
        sources.site,
        sources.op,
        sources.how,
        sources.texts,
    )


def _of_ops(staged: Staged) -> _Work:
    ops = staged.trace.ops
    texts, site = sites_of_ops(staged.trace)
    none = np.full(len(ops), -1, np.int32)
    no = np.zeros(len(ops), np.bool_)
    how = np.where(site >= 0, 2, 0).astype(np.int8)
    return _Work(
        ops.name,
        ops.ts,
        self_time(ops),
        staged.op_stage,
        family_of_ops(staged.trace),
        no,
        site,
        none,
        how,
        texts,
    )


def self_time(ops: Ops) -> Ints:
    """Duration of each operator less those of the operators it calls on the same thread, in ns."""
    own = ops.dur.copy()
    order = np.lexsort((-ops.dur, ops.ts, ops.track))
    stack: list[tuple[int, int, int]] = []  # row, track, end
    rows = zip(
        order.tolist(),
        ops.track[order].tolist(),
        ops.ts[order].tolist(),
        ops.dur[order].tolist(),
        strict=True,
    )
    for row, track, start, dur in rows:
        while stack and (stack[-1][1] != track or stack[-1][2] <= start):
            stack.pop()
        if stack:
            own[stack[-1][0]] -= min(dur, stack[-1][2] - start)
        stack.append((row, track, start + dur))
    return np.maximum(own, 0)


def _sums(groups: Ints, values: Ints, size: int) -> Ints:
    """Exact sums of int64 by group."""
    total = np.zeros(size, np.int64)
    np.add.at(total, groups, values)
    return total


def _main(
    groups: Ints, labels: NDArray[np.int32], time: Ints, totals: Ints
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The label with most time in each group and its share of the group's time; -1 when none has any."""
    best = np.full(len(totals), -1, np.int32)
    share = np.zeros(len(totals))
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return best, share
    width = int(labels.max()) + 1
    pairs, inverse = np.unique(groups[known] * width + labels[known], return_inverse=True)
    times = _sums(inverse, time[known], len(pairs))
    order = np.argsort(times, kind="stable")  # the largest last, so that it stays
    best[pairs[order] // width] = (pairs[order] % width).astype(np.int32)
    share[pairs[order] // width] = times[order] / np.maximum(totals[pairs[order] // width], 1)
    return best, share
