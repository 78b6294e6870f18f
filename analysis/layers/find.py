"""Forward passes and layers of a trace: each device on its own, each step on its own, nothing dropped at the ends.

Kernels come in the order of their starts over all streams of a device, so an all-reduce on a stream of its own stays
in the layer that launched it. A trace without steps is searched as a whole; its passes then end where logits become
tokens. A trace of a CPU has operators in place of kernels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.layers.model import Model
from analysis.layers.segment import MIXERS, Kernel, Span, find_passes
from analysis.steps import Stage, Staged
from analysis.taxonomy import family
from analysis.trace import Ints, Trace

CPU = -1


@dataclass(frozen=True)
class Rows:
    """Kernels of the devices, or operators where there is no kernel; arrays by row.

    Attributes:
        device: -1 for the CPU.
        step: number of the step, -1 outside of all.
        families: family of each symbol that stands in `name`.
    """

    ts: Ints
    dur: Ints
    name: NDArray[np.int32]
    device: NDArray[np.int32]
    stream: NDArray[np.int32]
    step: NDArray[np.int32]
    families: dict[int, str]
    texts: dict[int, str]

    def family(self, row: int) -> str:
        """The family of a row."""
        return self.families[int(self.name[row])]

    def text(self, row: int) -> str:
        """The name of a row."""
        return self.texts[int(self.name[row])]


@dataclass(frozen=True)
class Layer:
    """One layer as it ran. Times are ns from the trace's first event.

    Attributes:
        index: from 0 in its pass.
        kind: `mixer+mlp`, from the configuration where there is one and it fits, else from the kernels.
        rows: its kernels in order of start.
        start_ns, end_ns: first kernel's start, last kernel's end.
        kernel_ns: sum of its kernels' times.
        communication_ns: the part of it that is collectives.
        mlp_at: place in `rows` where the MLP half starts.
    """

    index: int
    kind: str
    rows: Ints
    start_ns: int
    end_ns: int
    kernel_ns: int
    communication_ns: int
    mlp_at: int

    @property
    def wall_ns(self) -> int:
        """From its first kernel's start to its last kernel's end."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass.

    Attributes:
        index: on its device, from 0.
        step: number of the step, None where the trace names none.
        name: the step's name.
        first_ns, last_ns: all kernels of the pass, with embedding, head and sampling.
        whole: it has as many layers as the model or, without a configuration, as others of its stage.
    """

    index: int
    device: int
    step: int | None
    stage: Stage
    name: str
    layers: tuple[Layer, ...]
    first_ns: int
    last_ns: int
    whole: bool

    @property
    def start_ns(self) -> int:
        """Start of the first layer."""
        return self.layers[0].start_ns

    @property
    def end_ns(self) -> int:
        """End of the last layer to end."""
        return max(layer.end_ns for layer in self.layers)

    @property
    def wall_ns(self) -> int:
        """From the first layer's start to the last layer's end."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Layered:
    """The passes of a trace.

    Attributes:
        passes: by device, then time.
        model: what they were checked against.
        warnings: where passes and configuration differ, and what was not searched.
    """

    trace: Trace
    rows: Rows
    passes: tuple[ForwardPass, ...]
    model: Model | None
    warnings: tuple[str, ...]


def find_layers(staged: Staged, model: Model | None = None, anchor: str | None = None) -> Layered:
    """Find passes and layers.

    Args:
        staged: the trace with its steps.
        model: what the configuration says.
        anchor: a regular expression; kernels whose name it matches are the mixers, and no others are.

    Raises:
        AnalysisError: the expression is none, or matches no kernel.
    """
    rows = _rows(staged, _pattern(anchor))
    if anchor and not any(f in MIXERS for f in rows.families.values()):
        raise AnalysisError(f"--anchor {anchor!r} matches no kernel of {staged.trace.path}")
    known: dict[bytes, list[list[Span]]] = {}
    passes: list[ForwardPass] = []
    counts: Counter[int] = Counter()  # passes by device
    for device, step, mine in _sequences(rows, bool(staged.steps)):
        names = rows.name[mine]
        spans = known.get(names.tobytes())
        if spans is None:
            kernels = [Kernel(rows.families[n], rows.texts[n]) for n in names.tolist()]
            spans = known[names.tobytes()] = find_passes(kernels)
        passes += _passes(staged, rows, mine, spans, device, step, counts[device])
        counts[device] += len(spans)
    passes, warnings = _judge(passes, model)
    if not passes:
        warnings.append(
            "no layers found: no attention kernel is known by its name and nothing repeats; try --anchor"
        )
    return Layered(staged.trace, rows, tuple(passes), model, tuple(warnings))


def _pattern(anchor: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(anchor, re.IGNORECASE) if anchor else None
    except re.error as exc:
        raise AnalysisError(f"--anchor {anchor!r} is no regular expression: {exc}") from None


def _rows(staged: Staged, anchor: re.Pattern[str] | None) -> Rows:
    trace = staged.trace
    kernels = trace.kernels
    if kernels.is_kernel.any():
        kept = np.flatnonzero(kernels.is_kernel)
        table, step = kernels, staged.kernel_step
        device, stream = kernels.device[kept], kernels.stream[kept]
    else:
        kept = _outermost(trace)
        step = staged.op_step
        device, stream = np.full(len(kept), CPU, np.int32), np.zeros(len(kept), np.int32)
        table = trace.ops  # type: ignore[assignment]
    name = table.name[kept]
    texts = {n: trace.text(n) for n in np.unique(name).tolist()}
    families = {n: family(text) for n, text in texts.items()}
    if anchor:
        families = {
            n: "attention" if anchor.search(texts[n]) else "other" if f in MIXERS else f
            for n, f in families.items()
        }
    return Rows(table.ts[kept], table.dur[kept], name, device, stream, step[kept], families, texts)


def _outermost(trace: Trace) -> Ints:
    """Operators that no other operator of their thread encloses."""
    ops = trace.ops
    keep = np.zeros(len(ops), np.bool_)
    for track in np.unique(ops.track).tolist():
        mine = np.flatnonzero(ops.track == track)
        order = mine[np.lexsort((-ops.dur[mine], ops.ts[mine]))]
        reach = np.maximum.accumulate(ops.end[order]) if len(order) else ops.end[order]
        keep[order] = np.concatenate(([True], ops.end[order][1:] > reach[:-1]))[: len(order)]
    return np.flatnonzero(keep)


def _sequences(rows: Rows, stepped: bool) -> Iterator[tuple[int, int, Ints]]:
    """(device, step, rows in order of start); what stands outside of all steps is no pass where steps are named."""
    order = np.lexsort((rows.ts, rows.step, rows.device))
    cut = np.flatnonzero(np.diff(rows.device[order]) | np.diff(rows.step[order])) + 1
    found = [
        (int(rows.device[part[0]]), int(rows.step[part[0]]), part)
        for part in np.split(order, cut)
        if len(part)
    ]
    found = [row for row in found if row[1] >= 0 or not stepped]
    yield from sorted(found, key=lambda row: (row[0], int(rows.ts[row[2][0]])))


def _passes(
    staged: Staged, rows: Rows, mine: Ints, spans: list[list[Span]], device: int, step: int, index: int
) -> Iterator[ForwardPass]:
    """Passes of one sequence. All kernels of the sequence belong to one of them, by the nearest layers in order."""
    bounds = [0, *(a[-1].last + (b[0].first - a[-1].last) // 2 for a, b in pairwise(spans)), len(mine)]
    stage = staged.steps[step].stage if step >= 0 else staged.whole or Stage.UNKNOWN
    name = staged.steps[step].name if step >= 0 else ""
    for n, layers in enumerate(spans):
        own = mine[bounds[n] : bounds[n + 1]]
        yield ForwardPass(
            index + n, device, step if step >= 0 else None, stage, name,
            tuple(_layer(rows, mine, span, i) for i, span in enumerate(layers)),
            int(rows.ts[own].min()), int((rows.ts[own] + rows.dur[own]).max()), True,
        )  # fmt: skip


def _layer(rows: Rows, mine: Ints, span: Span, index: int) -> Layer:
    own = mine[span.first : span.last]
    names = rows.name[own].tolist()
    dur = rows.dur[own]
    families = [rows.families[n] for n in names]
    collective = np.fromiter((f == "communication" for f in families), np.bool_, len(families))
    return Layer(
        index, _kind(rows, own, span, families), own,
        int(rows.ts[own].min()), int((rows.ts[own] + dur).max()), int(dur.sum()), int(dur[collective].sum()),
        span.mlp - span.first,
    )  # fmt: skip


def _kind(rows: Rows, own: Ints, span: Span, families: list[str]) -> str:
    mixers = [
        (f, rows.texts[n]) for f, n in zip(families, rows.name[own].tolist(), strict=True) if f in MIXERS
    ]
    if any(f == "linear_attention" for f, _ in mixers):
        mixer = "linear"
    else:
        mixer = "mla" if any("mla" in text.lower() for _, text in mixers) else "attention"
    if not mixers:
        return "repeated"
    return f"{mixer}+{'moe' if 'moe' in families else 'dense'}"


def _judge(passes: list[ForwardPass], model: Model | None) -> tuple[list[ForwardPass], list[str]]:
    """Say which passes are whole, by the configuration, else by their like."""
    warnings: list[str] = []
    judged = []
    for p in passes:
        count = len(p.layers)
        if model is None:
            judged.append(replace(p, whole=count >= _expected(p, passes)))
            continue
        whole = count == model.layers
        if whole:
            warnings += _kinds_differ(p, model)
            p = replace(p, layers=_named(p.layers, model))
        elif p.stage is not Stage.DRAFT:  # a draft model has layers of its own
            warnings.append(
                f"pass {p.index} on device {p.device} has {count} layers, the configuration says {model.layers}"
            )
        judged.append(replace(p, whole=whole))
    return judged, _shorten(warnings)


def _expected(p: ForwardPass, passes: list[ForwardPass]) -> int:
    """How many layers a pass should have by its like."""
    if p.step is None:
        # recording may start or end within a pass, so a device's first and last are held against the longest
        mine = [q for q in passes if q.device == p.device]
        return max(len(q.layers) for q in mine) if p is mine[0] or p is mine[-1] else len(p.layers)
    counts = Counter(len(q.layers) for q in passes if q.stage is p.stage)
    # of equally frequent counts the larger: what is cut has fewer
    return max(counts.items(), key=lambda row: (row[1], row[0]))[0]


def _named(layers: tuple[Layer, ...], model: Model) -> tuple[Layer, ...]:
    return tuple(
        layer if layer.kind == "repeated" else replace(layer, kind=kind)
        for layer, kind in zip(layers, model.kinds, strict=True)
    )


def _kinds_differ(p: ForwardPass, model: Model) -> list[str]:
    """Where experts' kernels run in layers that the configuration calls dense, or the other way round."""
    pairs = zip(p.layers, model.kinds, strict=True)
    odd = [
        la.index
        for la, kind in pairs
        if la.kind.endswith("+moe") != kind.endswith("moe") and la.kind != "repeated"
    ]
    if not odd:
        return []
    there = ", ".join(map(str, odd[:8])) + ("…" if len(odd) > 8 else "")
    return [
        f"pass {p.index} on device {p.device}: the kernels of layers {there} are not those of {model.name}'s MLPs"
    ]


def _shorten(lines: list[str], most: int = 5) -> list[str]:
    return (
        lines
        if len(lines) <= most
        else [*lines[:most], f"… and {len(lines) - most} more passes of another length"]
    )
