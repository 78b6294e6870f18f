"""The kernel table: what took the time of each stage, and where in the program it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from analysis.sources import HOW, NOTHING, Texts
from analysis.steps import ORDER, Stage
from analysis.taxonomy import family_names, short_name
from analysis.trace import Ints, Trace
from analysis.window import Window

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray


class KernelRow(msgspec.Struct, frozen=True):
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


class _Group:
    """Launches of one kernel in one stage."""

    def __init__(self, name: int, family: int) -> None:
        self.name, self.family = name, family
        self.time = self.launches = 0
        self.longest = (-1, 0, 0)  # duration, row, start
        self.labels: dict[str, dict[int, int]] = {"site": {}, "op": {}, "how": {}}  # time by label

    def main(self, kind: str) -> tuple[int, float]:
        """The label with most time and its share of the group's time; -1 where none is known."""
        label, time = max(self.labels[kind].items(), key=lambda item: (item[1], item[0]), default=(-1, 0))
        return label, time / max(self.time, 1)


class KernelTable:
    """Adds up windows of kernels (of operators on a trace without a GPU). Sums are exact."""

    def __init__(self, trace: Trace, texts: Texts) -> None:
        self._trace, self._texts = trace, texts
        self._groups: dict[tuple[int, bool, int], _Group] = {}  # stage, replayed, name

    def add(self, window: Window) -> None:
        """Take a window in."""
        width = len(self._trace.symbols)
        keys = (window.stage.astype(np.int64) * 2 + window.replayed) * width + window.name
        found, first, of = np.unique(keys, return_index=True, return_inverse=True)
        longest = np.zeros(len(found), np.int64)
        by_time = np.argsort(window.dur, kind="stable")
        longest[of[by_time]] = by_time  # the last written is the longest
        times, counts = sums(of, window.dur, len(found)), np.bincount(of)
        groups = []
        for at, (key, row) in enumerate(zip(found.tolist(), first.tolist(), strict=True)):
            code, name = divmod(key, width)
            place = (code // 2, bool(code % 2), name)
            group = self._groups.get(place)
            if group is None:
                group = self._groups[place] = _Group(name, int(window.family[row]))
            group.time += int(times[at])
            group.launches += int(counts[at])
            there = longest[at]
            group.longest = max(
                group.longest, (int(window.dur[there]), int(window.row[there]), int(window.ts[there]))
            )
            groups.append(group)
        how = np.where(window.how == NOTHING, -1, window.how)
        for kind, labels in (("site", window.site), ("op", window.op), ("how", how)):
            for at, label, time in _by_label(of, labels, window.dur):
                known = groups[at].labels[kind]
                known[label] = known.get(label, 0) + time

    def rows(self) -> list[KernelRow]:
        """Rows of every stage, stages in their order, rows by falling time."""
        totals: dict[int, int] = {}
        for (code, _, _), group in self._groups.items():
            totals[code] = totals.get(code, 0) + group.time
        ranked = sorted(
            self._groups.items(), key=lambda item: (item[0][0], -item[1].time, item[1].name, item[0][1])
        )
        rows: list[KernelRow] = []
        last, number = -1, 0
        for (code, replayed, _), group in ranked:
            last, number = code, number + 1 if code == last else 1
            rows.append(self._row(code, replayed, group, number, totals[code]))
        return rows

    def _row(self, code: int, replayed: bool, group: _Group, number: int, total: int) -> KernelRow:
        name = self._trace.text(group.name)
        site, share = group.main("site")
        return KernelRow(
            ref=f"{self._trace.ref}/{ORDER[code].value}/kernel/{number}",
            stage=ORDER[code],
            number=number,
            name=name,
            short=short_name(name),
            family=family_names()[group.family],
            time_ns=group.time,
            share=group.time / total if total else 0.0,
            launches=group.launches,
            replayed=replayed,
            source=self._texts[site],
            source_share=share,
            how=HOW[max(group.main("how")[0], 0)],
            op=self._texts[group.main("op")[0]],
            longest_ts=group.longest[2],
            longest_ns=group.longest[0],
        )


def sums(groups: Ints, values: Ints, size: int) -> Ints:
    """Exact sums of int64 by group."""
    total = np.zeros(size, np.int64)
    np.add.at(total, groups, values)
    return total


def _by_label(groups: Ints, labels: NDArray[Any], time: Ints) -> Iterator[tuple[int, int, int]]:
    """(group, label, time) of the labels of each group."""
    known = np.flatnonzero(labels >= 0)
    if len(known):
        width = int(labels.max()) + 1
        pairs, of = np.unique(groups[known] * width + labels[known], return_inverse=True)
        times = sums(of, time[known], len(pairs))
        yield from zip((pairs // width).tolist(), (pairs % width).tolist(), times.tolist(), strict=True)
