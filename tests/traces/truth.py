"""What is true of a generated trace, in nanoseconds from its first event. Nothing here is estimated.

Overlap is counted by the definition itself: the time line is cut at every start and end, and each piece is looked at.
That takes O(n^2) at worst and shares nothing with a sweep line, which is why it may judge one.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class TrueKernel:
    """One kernel as it ran.

    Attributes:
        ts_ns: start, from the trace's first event.
        step: index of the forward pass, None outside all.
        stage: `prefill`, `decode`, `mixed`, `verify`, `draft`, or `unknown` where no annotation tells.
        layer: index in the pass, None for embedding, final norm, head and sampling.
        graph: replayed by a CUDA graph; it then has no operator and no frame of its own.
    """

    name: str
    family: str
    role: str
    ts_ns: int
    dur_ns: int
    rank: int
    stream: int
    step: int | None
    stage: str
    layer: int | None
    layer_type: str | None
    graph: bool
    cpu_op: str | None
    frame: str | None
    correlation: int

    @property
    def end_ns(self) -> int:
        return self.ts_ns + self.dur_ns


@dataclass(frozen=True)
class TrueLayer:
    """A layer from its first kernel's start to its last kernel's end."""

    rank: int
    step: int
    index: int
    type: str
    start_ns: int
    end_ns: int
    kernels: int

    @property
    def wall_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class TruePass:
    """A forward pass. `start_ns` and `end_ns` bound its layers, `first_ns` and `last_ns` all its kernels."""

    rank: int
    index: int
    stage: str
    batch: int
    tokens: int
    start_ns: int
    end_ns: int
    first_ns: int
    last_ns: int

    @property
    def wall_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Overlap:
    """Time of one rank, in ns.

    Attributes:
        busy: at least one kernel runs.
        exposed_communication: communication runs and nothing else does.
        hidden: family -> time in which kernels of it run beside kernels of another stream.
        exclusive: family -> time in which only kernels of its own stream run.
    """

    busy: int
    exposed_communication: int
    hidden: dict[str, int]
    exclusive: dict[str, int]


@dataclass(frozen=True)
class Planted:
    """Adjacent kernels of which a fused path exists (`found`), or that only look alike (not `found`).

    Attributes:
        what: `norm+quant`, `activation+quant`, `allreduce+norm`, and for decoys `fused_allreduce`, `far_apart`.
        kernels: names of the kernels concerned.
        stage: where.
        times: how often it stands in the trace, over all ranks.
    """

    what: str
    found: bool
    kernels: tuple[str, ...]
    stage: str
    times: int


@dataclass(frozen=True)
class Truth:
    """All of it. `kernels` is in order of rank, then time."""

    kernels: tuple[TrueKernel, ...]
    passes: tuple[TruePass, ...]
    layers: tuple[TrueLayer, ...]
    planted: tuple[Planted, ...] = ()

    def time_by(self, *keys: str) -> dict[tuple[object, ...], int]:
        """Summed kernel time in ns by fields of `TrueKernel`."""
        sums: dict[tuple[object, ...], int] = defaultdict(int)
        for kernel in self.kernels:
            sums[tuple(getattr(kernel, key) for key in keys)] += kernel.dur_ns
        return dict(sums)

    def overlap(self, rank: int = 0, stage: str | None = None) -> Overlap:
        """Overlap of a rank's kernels, of one stage alone where it is named."""
        return overlap_of(k for k in self.kernels if k.rank == rank and stage in (None, k.stage))

    def layers_of(self, step: int, rank: int = 0) -> list[TrueLayer]:
        return [layer for layer in self.layers if layer.step == step and layer.rank == rank]


def overlap_of(kernels: Iterable[TrueKernel]) -> Overlap:
    """Overlap by looking at each piece of the time line between two neighbouring starts or ends."""
    rows = sorted(kernels, key=lambda k: k.ts_ns)
    cuts = sorted({k.ts_ns for k in rows} | {k.end_ns for k in rows})
    busy = exposed = 0
    hidden: dict[str, int] = defaultdict(int)
    exclusive: dict[str, int] = defaultdict(int)
    active: list[TrueKernel] = []
    coming = 0
    for left, right in itertools.pairwise(cuts):
        active = [k for k in active if k.end_ns > left]
        while coming < len(rows) and rows[coming].ts_ns <= left:
            if rows[coming].end_ns > left:
                active.append(rows[coming])
            coming += 1
        if not active:
            continue
        span = right - left
        busy += span
        exposed += span * all(k.family == "communication" for k in active)
        streams = {k.stream for k in active}
        for family, into in {(k.family, len(streams) > 1) for k in active}:
            (hidden if into else exclusive)[family] += span
    return Overlap(busy, exposed, dict(hidden), dict(exclusive))
