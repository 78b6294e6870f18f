"""What the layers of a trace have in common and which stand out: kinds, representatives, outliers, hot kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.layers.find import ForwardPass, Layer, Layered
from analysis.steps import Stage

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
        total = sum(layer.wall_ns for p in passes for layer in p.layers)
        by_kind: dict[str, list[Layer]] = defaultdict(list)
        for p in passes:
            for layer in p.layers:
                by_kind[layer.kind].append(layer)
        for kind, layers in by_kind.items():
            wall = np.array([layer.wall_ns for layer in layers])
            low, median, high = np.percentile(wall, [10, 50, 90])
            home = middle if any(la.kind == kind for la in middle.layers) else next(
                p for p in passes if any(la.kind == kind for la in p.layers)
            )  # fmt: skip
            typical = min(
                (la for la in home.layers if la.kind == kind), key=lambda la: abs(la.wall_ns - median)
            )
            found.append(
                Kind(
                    stage,
                    device,
                    kind,
                    len(layers),
                    len(layers) / len(passes),
                    int(median),
                    int(low),
                    int(high),
                    int(np.median([la.kernel_ns for la in layers])),
                    int(np.median([la.communication_ns for la in layers])),
                    int(np.median([len(la.rows) for la in layers])),
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
        odd: dict[tuple[int, str], list[tuple[float, ForwardPass, Layer, Layer]]] = defaultdict(list)
        for p in passes:
            for kind in {la.kind for la in p.layers}:
                same = [la for la in p.layers if la.kind == kind]
                for layer, factor, typical in _odd(same):
                    odd[layer.index, kind].append((factor, p, layer, typical))
        for (index, kind), rows in odd.items():
            rows.sort(key=lambda row: row[0])
            factor, _, layer, typical = rows[len(rows) // 2]
            name, ns = _difference(layered, layer, typical)
            found.append(Outlier(stage, device, index, kind, len(rows), len(passes), factor, name, ns))
    return sorted(
        found, key=lambda o: (o.device, list(Stage).index(o.stage), -o.passes / o.of, -abs(o.factor - 1))
    )


def _odd(layers: Sequence[Layer]) -> list[tuple[Layer, float, Layer]]:
    """Layers of one kind and pass that deviate, with their factor and a typical one."""
    if len(layers) < 4:
        return []
    wall = np.array([la.wall_ns for la in layers], float)
    median = float(np.median(wall))
    spread = 1.4826 * float(np.median(np.abs(wall - median)))
    typical = layers[int(np.argmin(np.abs(wall - median)))]
    limit = max(OUTLYING * median, MADS * spread)
    return [
        (la, w / median, typical)
        for la, w in zip(layers, wall, strict=True)
        if median and abs(w - median) > limit
    ]


def _difference(layered: Layered, layer: Layer, typical: Layer) -> tuple[str, int]:
    """The kernel name, or the pauses, that hold most of the difference between two layers."""
    rows = layered.rows
    sums: dict[str, int] = defaultdict(int)
    for sign, one in ((1, layer), (-1, typical)):
        for row in one.rows.tolist():
            sums[rows.text(row)] += sign * int(rows.dur[row])
    sums["pauses between kernels"] = (layer.wall_ns - typical.wall_ns) - sum(sums.values())
    way = 1 if layer.wall_ns >= typical.wall_ns else -1
    name = max(sums, key=lambda key: way * sums[key])
    return name, sums[name]


def hot_kernels(layered: Layered, top: int = 5) -> list[Hot]:
    """The kernels that take most of the time of each kind's layers."""
    rows = layered.rows
    found = []
    for (device, stage), passes in _groups(layered).items():
        sums: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        count: dict[str, int] = defaultdict(int)
        for p in passes:
            for layer in p.layers:
                count[layer.kind] += 1
                of = sums[layer.kind]
                for place, (row, dur) in enumerate(
                    zip(layer.rows.tolist(), rows.dur[layer.rows].tolist(), strict=True)
                ):
                    entry = of[rows.text(row), _half(layer, place)]
                    entry[0] += dur
                    entry[1] += 1
        for kind, of in sums.items():
            total = sum(t for t, _ in of.values())
            ranked = sorted(of.items(), key=lambda item: -item[1][0])[:top]
            for (name, half), (time, launches) in ranked:
                family = _family(layered, name)
                found.append(
                    Hot(stage, device, kind, name, family, half, time / total if total else 0.0,
                        launches / count[kind], time / launches)
                )  # fmt: skip
    return found


def _family(layered: Layered, name: str) -> str:
    rows = layered.rows
    return next(rows.families[n] for n, text in rows.texts.items() if text == name)


def _half(layer: Layer, place: int) -> str:
    return "attention" if place < layer.mlp_at else "mlp"


def timeline_of(layered: Layered, layer: Layer) -> list[Event]:
    """A layer kernel by kernel; `gap_ns` is the device's idle time in front of a kernel, over all streams."""
    rows, events = layered.rows, []
    busy_until = layer.start_ns
    for place, row in enumerate(layer.rows.tolist()):
        start, dur = int(rows.ts[row]), int(rows.dur[row])
        events.append(
            Event(
                _half(layer, place),
                rows.family(row),
                rows.text(row),
                int(rows.stream[row]),
                start - layer.start_ns,
                dur,
                max(0, start - busy_until),
            )
        )
        busy_until = max(busy_until, start + dur)
    return events
