"""What the layers of a trace have in common and which stand out: kinds, representatives, outliers, hot kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.kernel_table import sums as sums_of
from analysis.layers.passes import ForwardPass, Layer, Layered
from analysis.steps import Stage
from analysis.trace import Ints, Kernels, Ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HALVES = ("attention", "mlp")
OUTLYING = 0.10  # relative to the median of the kind in the same pass
MADS = 5.0  # and in robust standard deviations (1.4826 MAD), so that a kind that varies has no outliers


@dataclass(frozen=True)
class Kind:
    """Layers of one kind in one stage, over all whole passes of a device.

    Attributes:
        layers: how many were measured.
        per_pass: how many a pass has.
        median_ns, low_ns, high_ns: wall time: median, 10th and 90th percentile.
        kernel_ns: median of the summed kernel time; above the wall time where streams overlap.
        communication_ns: median of the collectives' time.
        share: part of all layers' wall time.
        representative: the layer nearest the median, in the pass nearest the median pass.
    """

    stage: Stage
    device: int
    kind: str
    layers: int
    per_pass: float
    median_ns: int
    low_ns: int
    high_ns: int
    kernel_ns: int
    communication_ns: int
    kernels: int
    share: float
    representative: tuple[ForwardPass, Layer]


@dataclass(frozen=True)
class Outlier:
    """A layer position that deviates from its kind.

    Attributes:
        passes: in how many passes of how many.
        factor: median of its wall time relative to the kind's.
        because: the kernel with most of the difference, and that difference.
    """

    stage: Stage
    device: int
    index: int
    kind: str
    passes: int
    of: int
    factor: float
    because: str
    because_ns: int


@dataclass(frozen=True)
class Hot:
    """A kernel in the layers of one kind.

    Attributes:
        share: of the summed kernel time of these layers.
        per_layer: launches a layer.
        mean_ns: a launch.
    """

    stage: Stage
    device: int
    kind: str
    name: str
    family: str
    half: str
    share: float
    per_layer: float
    mean_ns: float


@dataclass(frozen=True)
class Event:
    """A kernel in a layer's timeline; times relative to the layer's start."""

    half: str
    family: str
    name: str
    stream: int
    at_ns: int
    dur_ns: int
    gap_ns: int


def kinds_of(layered: Layered) -> list[Kind]:
    """Kinds by device, stage, then time; of whole passes where there are any."""
    found = []
    for (device, stage), passes in _groups(layered).items():
        middle = _middle(passes)
        total = sum(int(p.layers.wall.sum()) for p in passes)
        for kind in dict.fromkeys(kind for p in passes for kind in p.layers.kinds):
            parts = [part for p in passes if len(part := p.layers.of(kind))]
            if not parts:
                continue
            spans = np.concatenate(parts)
            wall = spans["end"] - spans["start"]
            low, median, high = np.percentile(wall, [10, 50, 90])
            home = next(p for p in (middle, *passes) if len(p.layers.of(kind)))
            typical = min(
                (la for la in home.layers if la.kind == kind), key=lambda la: abs(la.wall_ns - median)
            )
            found.append(
                Kind(
                    stage,
                    device,
                    kind,
                    len(spans),
                    len(spans) / len(passes),
                    int(median),
                    int(low),
                    int(high),
                    int(np.median(spans["kernel"])),
                    int(np.median(spans["communication"])),
                    int(np.median(spans["kernels"])),
                    float(wall.sum()) / total if total else 0.0,
                    (home, typical),
                )
            )
    return sorted(found, key=lambda k: (k.device, list(Stage).index(k.stage), -k.share))


def _groups(layered: Layered) -> dict[tuple[int, Stage], list[ForwardPass]]:
    """Whole passes by device and stage; the cut ones where there are no others."""
    groups: dict[tuple[int, Stage], list[ForwardPass]] = defaultdict(list)
    for p in layered.passes:
        groups[p.device, p.stage].append(p)
    return {key: [p for p in rows if p.whole] or rows for key, rows in groups.items()}


def _middle(passes: Sequence[ForwardPass]) -> ForwardPass:
    median = np.median([p.wall_ns for p in passes])
    return min(passes, key=lambda p: abs(p.wall_ns - median))


def outliers_of(layered: Layered) -> list[Outlier]:
    """Positions whose layers deviate from their kind in the same pass, in more than half of the passes or by most."""
    found = []
    for (device, stage), passes in _groups(layered).items():
        odd: dict[tuple[int, str], list[tuple[float, int, int]]] = defaultdict(list)
        for number, p in enumerate(passes):
            for kind in p.layers.kinds:
                for index, factor, typical in _odd(p, kind):
                    odd[index, kind].append((factor, number, typical))
        for (index, kind), rows in odd.items():
            rows.sort(key=lambda row: row[0])
            factor, number, typical = rows[len(rows) // 2]
            layers = passes[number].layers
            name, ns = _difference(layered, layers[index], layers[typical])
            found.append(Outlier(stage, device, index, kind, len(rows), len(passes), factor, name, ns))
    return sorted(
        found, key=lambda o: (o.device, list(Stage).index(o.stage), -o.passes / o.of, -abs(o.factor - 1))
    )


def _odd(p: ForwardPass, kind: str) -> list[tuple[int, float, int]]:
    """Layers of one kind that deviate in a pass: (index, factor, index of a typical one)."""
    mine = np.flatnonzero(p.layers.is_kind(kind))
    if len(mine) < 4:
        return []
    wall = p.layers.wall[mine].astype(float)
    median = float(np.median(wall))
    spread = 1.4826 * float(np.median(np.abs(wall - median)))
    typical = int(mine[int(np.argmin(np.abs(wall - median)))])
    limit = max(OUTLYING * median, MADS * spread)
    return [
        (index, w / median, typical)
        for index, w in zip(mine.tolist(), wall.tolist(), strict=True)
        if median and abs(w - median) > limit
    ]


def _difference(layered: Layered, layer: Layer, typical: Layer) -> tuple[str, int]:
    """The kernel name, or the pauses, that hold most of the difference between two layers."""
    rows = layered.rows
    sums: dict[str, int] = defaultdict(int)
    for sign, one in ((1, layer), (-1, typical)):
        for row in one.rows.tolist():
            sums[rows.text(row)] += sign * int(rows.table.dur[row])
    sums["pauses between kernels"] = (layer.wall_ns - typical.wall_ns) - sum(sums.values())
    way = 1 if layer.wall_ns >= typical.wall_ns else -1
    name = max(sums, key=lambda key: way * sums[key])
    return name, sums[name]


def hot_kernels(layered: Layered, top: int = 5) -> list[Hot]:
    """The kernels that take most of the time of each kind's layers."""
    table, found = layered.rows.table, []
    for (device, stage), passes in _groups(layered).items():
        sums: dict[str, dict[tuple[int, str], list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        count: dict[str, int] = defaultdict(int)
        for p in passes:
            for kind in p.layers.kinds:
                spans = p.layers.of(kind)
                count[kind] += len(spans)
                for name, half, time, launches in _by_kernel(table, p.layers.run.all, spans):
                    entry = sums[kind][name, half]
                    entry[0] += time
                    entry[1] += launches
        for kind, of in sums.items():
            total = sum(t for t, _ in of.values())
            ranked = sorted(of.items(), key=lambda item: -item[1][0])[:top]
            for (name, half), (time, launches) in ranked:
                found.append(
                    Hot(stage, device, kind, layered.rows.texts[name], layered.rows.families[name], half,
                        time / total if total else 0.0, launches / count[kind], time / launches)
                )  # fmt: skip
    return found


def _by_kernel(table: Kernels | Ops, rows: Ints, spans: NDArray[Any]) -> Iterator[tuple[int, str, int, int]]:
    """(name, half, time, launches) of the kernels of some layers, in the order in which they first ran."""
    if not len(spans):
        return
    lengths = spans["kernels"].astype(np.int64)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    mine = rows[np.repeat(spans["first"].astype(np.int64), lengths) + within]
    halves = within >= np.repeat(spans["mlp"], lengths)
    keys = table.name[mine].astype(np.int64) * 2 + halves
    kernels, first, of, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    times = sums_of(of, table.dur[mine], len(kernels))
    for at in np.argsort(first).tolist():
        name, half = divmod(int(kernels[at]), 2)
        yield name, _HALVES[half], int(times[at]), int(counts[at])


def timeline_of(layered: Layered, layer: Layer) -> list[Event]:
    """A layer kernel by kernel; `gap_ns` is the device's idle time in front of a kernel, over all streams."""
    rows, events = layered.rows, []
    busy_until = layer.start_ns
    for place, row in enumerate(layer.rows.tolist()):
        start, dur = int(rows.table.ts[row]), int(rows.table.dur[row])
        events.append(
            Event(
                _HALVES[place >= layer.mlp_at],
                rows.family(row),
                rows.text(row),
                rows.stream(row),
                start - layer.start_ns,
                dur,
                max(0, start - busy_until),
            )
        )
        busy_until = max(busy_until, start + dur)
    return events
