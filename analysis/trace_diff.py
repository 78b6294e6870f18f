"""Two sides compared, stage by stage and family by family: before and after, or one engine and another.

A side is one trace or several repeats. What is compared is time per step, because two captures seldom hold equally many
steps; where no step is named, time per trace. A difference counts when it is larger than the noise. Noise of a family is
how far its time per step varies within a side: over repeats when there are some, else over the steps of the one trace
(median absolute deviation, scaled to a standard deviation by 1.4826, over the root of their number). A difference is
noise up to three standard errors of both sides together.

The end-to-end gap of a stage is the difference of its mean step time on the device. It splits into the families' parts of
that time (time that several share goes to them in equal parts, so that the parts add up) and idle time inside of steps.
The significant rows explain the gap; what they leave over is `unexplained`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.mapped import together, windows
from analysis.overlap import union
from analysis.steps import ORDER, Stage, Staged, stage
from analysis.taxonomy import FamilyCodes, family_names
from analysis.trace import Ints, Kernels, Trace

IDLE = "idle"
_SIGMAS = 3.0
_MAD = 1.4826  # of a normal distribution
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FamilyDiff:
    """One family (or `idle`) of a stage on both sides; rows of a stage are numbered by falling difference.

    Attributes:
        a_ns, b_ns: time per step; families count their summed kernel time.
        wall_a_ns, wall_b_ns: the part of a step's wall time that is theirs alone; these add up to the step.
        delta_ns: `wall_b_ns - wall_a_ns`.
        noise_ns: a difference up to this is none.
        of_gap: share of the stage's end-to-end gap, None when there is no gap beyond the noise.
        launches_a, launches_b: launches per step.
    """

    ref: str
    stage: Stage
    number: int
    family: str
    a_ns: float
    b_ns: float
    wall_a_ns: float
    wall_b_ns: float
    delta_ns: float
    noise_ns: float
    significant: bool
    of_gap: float | None
    launches_a: float
    launches_b: float


@dataclass(frozen=True)
class StageDiff:
    """A stage on both sides.

    Attributes:
        steps_a, steps_b: how many steps.
        step_a_ns, step_b_ns: mean time of a step on the device, first kernel's start to last one's end.
        gap_ns: b less a; `noise_ns` up to which it is none.
        explained_ns: sum of the significant rows; `unexplained_ns` the rest of the gap.
        families: every family of either side and idle time.
        notes: why the two may not be comparable.
    """

    stage: Stage
    steps_a: int
    steps_b: int
    step_a_ns: float
    step_b_ns: float
    gap_ns: float
    noise_ns: float
    significant: bool
    explained_ns: float
    unexplained_ns: float
    families: tuple[FamilyDiff, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TraceDiff:
    """Two sides, stage by stage. `only_a` and `only_b` are stages that the other side doesn't have."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    files_a: tuple[str, ...]
    files_b: tuple[str, ...]
    stages: tuple[StageDiff, ...]
    only_a: tuple[Stage, ...]
    only_b: tuple[Stage, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Steps:
    """Steps of one stage of one trace: a row a step, a column a family, the last one idle. In ns."""

    wall: Floats
    alone: Floats
    summed: Floats
    launches: Floats
    tokens: tuple[int | None, ...]


def compare(a: Sequence[Trace], b: Sequence[Trace]) -> TraceDiff:
    """Compare two sides.

    Args:
        a: one trace, or repeats of it.
        b: the same for the other side.

    Raises:
        AnalysisError: a side has no kernels, so that there is nothing to compare.
    """
    sides = [[_steps_of(stage(trace)) for trace in side] for side in (a, b)]
    for side, traces in zip(sides, (a, b), strict=True):
        if not any(side):
            raise AnalysisError(f"{traces[0].path}: no kernel in it; a comparison needs traces of a GPU")
    have = [{name for found in side for name in found} for side in sides]
    both = [name for name in ORDER if name in have[0] and name in have[1]]
    stages = tuple(_stage(name, *_having(name, sides), a[0].ref, b[0].ref) for name in both)
    return TraceDiff(
        a=tuple(t.ref for t in a),
        b=tuple(t.ref for t in b),
        files_a=tuple(t.path.name for t in a),
        files_b=tuple(t.path.name for t in b),
        stages=stages,
        only_a=tuple(n for n in ORDER if n in have[0] - have[1]),
        only_b=tuple(n for n in ORDER if n in have[1] - have[0]),
        problems=tuple(f"{t.path.name}: {p.text}" for t in (*a, *b) for p in t.problems),
    )


def _having(name: Stage, sides: list[list[dict[Stage, _Steps]]]) -> tuple[list[_Steps], list[_Steps]]:
    """The steps of a stage in the traces of either side that have it."""
    a, b = ([found[name] for found in side if name in found] for side in sides)
    return a, b


def _steps_of(staged: Staged) -> dict[Stage, _Steps]:
    """Time of every step by family. Kernels outside of steps are one row of their stage."""
    kernels, codes = staged.trace.kernels, FamilyCodes(staged.trace)
    rows: defaultdict[Stage, list[tuple[int, _Times]]] = defaultdict(list)
    for step, mine in together(len(kernels), lambda at: staged.kernel_step[at]):
        sweep = _Sweep()
        sweep.add(kernels.part(mine), codes)
        rows[staged.steps[step].stage].append((step, sweep.finish()))
    outside = _Sweep()
    for at in windows(len(kernels)):
        mine = np.flatnonzero(staged.kernel_step[at] < 0)
        if len(mine):
            outside.add(kernels.part(mine + at.start), codes)
    if outside.launches.any():
        rows[staged.whole or Stage.UNKNOWN].append((-1, outside.finish()))
    return {name: _table(staged, name, sorted(found, key=lambda row: row[0])) for name, found in rows.items()}


def _table(staged: Staged, name: Stage, rows: list[tuple[int, _Times]]) -> _Steps:
    times = [time for _, time in rows]
    if name is Stage.UNKNOWN:  # what runs between steps has no pause of its own
        times = [
            _Times(float(t.alone[:-1].sum()), np.append(t.alone[:-1], 0.0), t.summed, t.launches)
            for t in times
        ]
    wall, alone, summed, launches = (np.array(column, np.float64) for column in zip(*times, strict=True))
    tokens = tuple(staged.steps[step].what.tokens if step >= 0 else None for step, _ in rows)
    return _Steps(wall, alone, summed, launches, tokens)


class _Times(NamedTuple):
    """Wall time, of it by family (the last one idle), summed time and launches by family."""

    wall: float
    alone: Floats
    summed: Floats
    launches: Floats


class _Sweep:
    """Adds up the time of a step (or of all that lies outside of steps), in any number of windows by start.

    Time that several families share goes to them in equal parts.
    """

    def __init__(self) -> None:
        size = len(family_names()) + 1
        self.summed, self.launches = np.zeros(size), np.zeros(size)
        self._alone: defaultdict[int, Floats] = defaultdict(lambda: np.zeros(size))  # by device
        self._wall: defaultdict[int, int] = defaultdict(int)
        self._edge: dict[int, int] = {}  # up to when a device is swept
        self._next: _Spans | None = None

    def add(self, kernels: Kernels, codes: FamilyCodes) -> None:
        """Take kernels in; none starts before those that were added already."""
        family, size = codes.of_kernels(kernels), len(self.summed)
        self.summed += np.bincount(family, kernels.dur, size)
        self.launches += np.bincount(family, minlength=size)
        mine = _Spans(kernels.ts, kernels.end, family, kernels.device)
        if self._next is not None:
            rest = self._to(int(kernels.ts[0]), self._next)
            mine = _Spans(*(np.concatenate([a, b]) for a, b in zip(rest, mine, strict=True)))
        self._next = mine

    def finish(self) -> _Times:
        """The times of all that was added."""
        if self._next is not None:
            self._to(int(self._next.end.max()), self._next)
        devices = len(self._alone)
        wall, alone = 0.0, np.zeros(len(self.summed))
        for device in sorted(self._alone):
            wall += self._wall[device] / devices
            alone += self._alone[device] / devices
        return _Times(wall, alone, self.summed, self.launches)

    def _to(self, until: int, spans: _Spans) -> _Spans:
        """Sweep up to a time; what runs on behind it."""
        for device in np.unique(spans.device).tolist():
            here = spans.device == device
            start, end, family = spans.start[here], np.minimum(spans.end[here], until), spans.family[here]
            first = self._edge.get(device, int(start.min()))
            self._edge[device] = last = int(end.max())
            self._wall[device] += last - first
            self._share(self._alone[device], start, end, family, first, last)
        rest = np.flatnonzero(spans.end > until)
        return _Spans(np.full(len(rest), until), spans.end[rest], spans.family[rest], spans.device[rest])

    def _share(
        self, alone: Floats, start: Ints, end: Ints, family: NDArray[np.int8], first: int, last: int
    ) -> None:
        parts = {f: union(start[family == f], end[family == f]) for f in np.unique(family).tolist()}
        times = np.unique(
            np.concatenate([np.concatenate(p) for p in parts.values()] + [np.array([first, last])])
        )
        active = np.stack([_inside(times[:-1], *p) for p in parts.values()])
        many = active.sum(axis=0)
        lengths = np.diff(times)
        for name, row in zip(parts, active, strict=True):
            alone[name] += float((lengths[row] / many[row]).sum())
        alone[-1] += float(lengths[many == 0].sum())


class _Spans(NamedTuple):
    """Kernels as spans of time."""

    start: Ints
    end: Ints
    family: NDArray[np.int8]
    device: NDArray[np.int32]


def _inside(at: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_]:
    place = np.searchsorted(start, at, side="right") - 1
    return (place >= 0) & (end[np.maximum(place, 0)] > at)


def _stage(name: Stage, a: list[_Steps], b: list[_Steps], ref_a: str, ref_b: str) -> StageDiff:
    wall_a, wall_b = (np.concatenate([s.wall for s in side]) for side in (a, b))
    gap = float(wall_b.mean() - wall_a.mean())
    noise = _noise([s.wall for s in a], [s.wall for s in b])
    real = abs(gap) > noise
    rows = _families(name, a, b, gap if real else None)
    rows.sort(key=lambda row: -abs(row.delta_ns))
    families = tuple(
        replace(row, number=at, ref=f"diff:{ref_a[6:]}:{ref_b[6:]}/{name.value}/family/{at}")
        for at, row in enumerate(rows, 1)
    )
    explained = sum(row.delta_ns for row in families if row.significant)
    return StageDiff(
        stage=name,
        steps_a=len(wall_a),
        steps_b=len(wall_b),
        step_a_ns=float(wall_a.mean()),
        step_b_ns=float(wall_b.mean()),
        gap_ns=gap,
        noise_ns=noise,
        significant=real,
        explained_ns=explained,
        unexplained_ns=gap - explained,
        families=families,
        notes=_notes(a, b),
    )


def _families(name: Stage, a: list[_Steps], b: list[_Steps], gap: float | None) -> list[FamilyDiff]:
    words = (*family_names(), IDLE)
    rows: list[FamilyDiff] = []
    for at, word in enumerate(words):
        alone = [[s.alone[:, at] for s in side] for side in (a, b)]
        wall = [float(np.concatenate(side).mean()) for side in alone]
        if not any(wall):
            continue
        summed = [float(np.concatenate([s.summed[:, at] for s in side]).mean()) for side in (a, b)]
        launches = [float(np.concatenate([s.launches[:, at] for s in side]).mean()) for side in (a, b)]
        delta, noise = wall[1] - wall[0], _noise(*alone)
        rows.append(
            FamilyDiff(
                ref="",
                stage=name,
                number=0,
                family=word,
                a_ns=wall[0] if word == IDLE else summed[0],
                b_ns=wall[1] if word == IDLE else summed[1],
                wall_a_ns=wall[0],
                wall_b_ns=wall[1],
                delta_ns=delta,
                noise_ns=noise,
                significant=abs(delta) > noise,
                of_gap=delta / gap if gap else None,
                launches_a=launches[0],
                launches_b=launches[1],
            )
        )
    return rows


def _noise(a: list[Floats], b: list[Floats]) -> float:
    """Largest difference of means that variation within the sides would make."""
    return _SIGMAS * float(np.hypot(_error(a), _error(b)))


def _error(side: list[Floats]) -> float:
    """Standard error of a side's mean: over repeats, else over steps; 1% of the mean for a single step."""
    if len(side) > 1:
        means = np.array([steps.mean() for steps in side])
        return float(means.std(ddof=1) / np.sqrt(len(means)))
    steps = side[0]
    if len(steps) < 3:
        return 0.01 * abs(float(steps.mean()))
    spread = _MAD * float(np.median(np.abs(steps - np.median(steps))))
    return spread / float(np.sqrt(len(steps)))


def _notes(a: list[_Steps], b: list[_Steps]) -> tuple[str, ...]:
    """Why the sides of a stage may not be comparable."""
    found = []
    tokens = [sorted({t for s in side for t in s.tokens if t is not None}) for side in (a, b)]
    if tokens[0] and tokens[1] and (tokens[0][0], tokens[0][-1]) != (tokens[1][0], tokens[1][-1]):
        spans = [f"{t[0]}–{t[-1]}" if t[0] != t[-1] else str(t[0]) for t in tokens]
        found.append(f"steps differ in size: {spans[0]} against {spans[1]} tokens")
    if len(a) == 1 and len(b) == 1:
        found.append("no repeats: the noise is that of the steps of one trace a side")
    if min(sum(len(s.wall) for s in side) for side in (a, b)) < 3:
        found.append("fewer than 3 steps on a side: 1% is taken for the noise")
    return tuple(found)
