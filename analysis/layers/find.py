"""Forward passes and layers of a trace: each device on its own, each step on its own, nothing dropped at the ends.

Kernels come in the order of their starts over all streams of a device, so an all-reduce on a stream of its own stays
in the layer that launched it. A trace without steps is searched as a whole; its passes then end where logits become
tokens. A trace of a CPU has operators in place of kernels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from analysis.errors import AnalysisError
from analysis.layers.model import Model
from analysis.layers.passes import SPAN, ForwardPass, Layered, Layers
from analysis.layers.rows import Rows, Run
from analysis.layers.segment import MIXERS, Kernel, Span, find_passes
from analysis.mapped import together
from analysis.steps import Stage, Staged
from analysis.trace import Bools, Ints

_SHAPES = 256  # sequences of names that are remembered


def find_layers(staged: Staged, model: Model | None = None, anchor: str | None = None) -> Layered:
    """Find passes and layers.

    Args:
        staged: the trace with its steps.
        model: what the configuration says.
        anchor: a regular expression; kernels whose name it matches are the mixers, and no others are.

    Raises:
        AnalysisError: the expression is none, or matches no kernel.
    """
    rows = Rows(staged, _pattern(anchor))
    if anchor and not any(f in MIXERS for f in rows.families.values()):
        raise AnalysisError(f"--anchor {anchor!r} matches no kernel of {staged.trace.path}")
    shapes = _Shapes(rows)
    found = [p for run in _runs(rows) for p in _passes(staged, run, shapes)]
    found.sort(key=lambda p: (p.device, p.layers.run.first, -1 if p.step is None else p.step, p.index))
    counts: Counter[int] = Counter()  # passes by device
    passes: list[ForwardPass] = []
    for p in found:
        passes.append(replace(p, index=counts[p.device]))
        counts[p.device] += 1
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


def _runs(rows: Rows) -> Iterator[tuple[Run, Ints]]:
    """Each run with its rows; what stands outside of all steps is no pass where steps are named."""
    steps = len(rows.staged.steps)

    def key(at: slice) -> Ints:
        step = rows.step(at).astype(np.int64)
        good = rows.kept(at) & ((step >= 0) | (not steps))
        return np.where(good, (rows.device(at).astype(np.int64) + 1) * (steps + 1) + step + 1, -1)

    for number, mine in together(len(rows.table), key):
        device, step = divmod(number, steps + 1)
        yield Run(rows, device - 1, step - 1, int(mine[0]), int(mine[-1])), mine


class _Shapes:
    """Where layers stand in sequences of kernels: those with equal names are searched once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._kernels = {n: Kernel(rows.families[n], text) for n, text in rows.texts.items()}
        self._known: dict[bytes, list[list[tuple[Span, str]]]] = {}

    def of(self, mine: Ints) -> list[list[tuple[Span, str]]]:
        """Passes of a sequence as their layers and those's kinds."""
        names = self._rows.table.name[mine]
        key = names.tobytes()
        if key not in self._known:
            if len(self._known) == _SHAPES:
                self._known.clear()
            kernels = [self._kernels[n] for n in names.tolist()]
            self._known[key] = [
                [(span, _kind(kernels[span.first : span.last])) for span in layers]
                for layers in find_passes(kernels)
            ]
        return self._known[key]


def _passes(staged: Staged, found: tuple[Run, Ints], shapes: _Shapes) -> Iterator[ForwardPass]:
    """Passes of one sequence. All kernels of the sequence belong to one of them, by the nearest layers in order."""
    run, mine = found
    passes, table, step = shapes.of(mine), run.rows.table, run.step
    bounds = [
        0,
        *(a[-1][0].last + (b[0][0].first - a[-1][0].last) // 2 for a, b in pairwise(passes)),
        len(mine),
    ]
    stage = staged.steps[step].stage if step >= 0 else staged.whole or Stage.UNKNOWN
    name = staged.steps[step].name if step >= 0 else ""
    ts, dur = table.ts[mine], table.dur[mine]
    collective = run.rows.talks(table.name[mine])
    for n, layers in enumerate(passes):
        own = slice(bounds[n], bounds[n + 1])
        yield ForwardPass(
            n, run.device, step if step >= 0 else None, stage, name,
            _layers(run, layers, ts, dur, collective),
            int(ts[own].min()), int((ts[own] + dur[own]).max()), True,
        )  # fmt: skip


def _layers(run: Run, layers: list[tuple[Span, str]], ts: Ints, dur: Ints, collective: Bools) -> Layers:
    kinds = tuple(dict.fromkeys(kind for _, kind in layers))
    spans = np.empty(len(layers), SPAN)
    for number, (span, kind) in enumerate(layers):
        own = slice(span.first, span.last)
        spans[number] = (
            span.first, span.last - span.first, span.mlp - span.first, kinds.index(kind), ts[span.first],
            (ts[own] + dur[own]).max(), dur[own].sum(), dur[own][collective[own]].sum(),
        )  # fmt: skip
    return Layers(run, spans, kinds)


def _kind(kernels: Sequence[Kernel]) -> str:
    mixers = [kernel for kernel in kernels if kernel.family in MIXERS]
    if not mixers:
        return "repeated"
    if any(kernel.family == "linear_attention" for kernel in mixers):
        mixer = "linear"
    else:
        mixer = "mla" if any("mla" in kernel.name.lower() for kernel in mixers) else "attention"
    return f"{mixer}+{'moe' if any(kernel.family == 'moe' for kernel in kernels) else 'dense'}"


def _judge(passes: list[ForwardPass], model: Model | None) -> tuple[list[ForwardPass], list[str]]:
    """Say which passes are whole, by the configuration, else by their like."""
    if model is None:
        expected = _Expected(passes)
        return [replace(p, whole=len(p.layers) >= expected.layers(p)) for p in passes], []
    warnings: list[str] = []
    judged = []
    for p in passes:
        whole = len(p.layers) == model.layers
        if whole:
            warnings += _kinds_differ(p, model)
            p = replace(p, layers=_named(p.layers, model))
        elif p.stage is not Stage.DRAFT:  # a draft model has layers of its own
            warnings.append(
                f"pass {p.index} on device {p.device} has {len(p.layers)} layers, the configuration says {model.layers}"
            )
        judged.append(replace(p, whole=whole))
    return judged, _shorten(warnings)


class _Expected:
    """How many layers a pass should have by its like."""

    def __init__(self, passes: list[ForwardPass]) -> None:
        self._longest: dict[int, int] = {}
        self._edges: set[tuple[int, int]] = set()
        counts: dict[Stage, Counter[int]] = {}
        last: dict[int, int] = {}
        for p in passes:
            self._longest[p.device] = max(self._longest.get(p.device, 0), len(p.layers))
            counts.setdefault(p.stage, Counter())[len(p.layers)] += 1
            last[p.device] = max(last.get(p.device, 0), p.index)
        self._edges = {edge for device, index in last.items() for edge in ((device, 0), (device, index))}
        # of equally frequent counts the larger: what is cut has fewer
        self._usual = {
            stage: max(found.items(), key=lambda row: (row[1], row[0]))[0] for stage, found in counts.items()
        }

    def layers(self, p: ForwardPass) -> int:
        """For one pass."""
        if p.step is None:
            # recording may start or end within a pass, so a device's first and last are held against the longest
            return self._longest[p.device] if (p.device, p.index) in self._edges else len(p.layers)
        return self._usual[p.stage]


def _named(layers: Layers, model: Model) -> Layers:
    kinds = tuple(dict.fromkeys([*model.kinds, "repeated"]))
    spans = layers.spans.copy()
    for number, kind in enumerate(model.kinds):
        repeated = layers.kinds[spans["kind"][number]] == "repeated"
        spans["kind"][number] = kinds.index("repeated" if repeated else kind)
    return Layers(layers.run, spans, kinds)


def _kinds_differ(p: ForwardPass, model: Model) -> list[str]:
    """Where experts' kernels run in layers that the configuration calls dense, or the other way round."""
    mine = [p.layers.kinds[kind] for kind in p.layers.spans["kind"].tolist()]
    odd = [
        index
        for index, (own, kind) in enumerate(zip(mine, model.kinds, strict=True))
        if own.endswith("+moe") != kind.endswith("moe") and own != "repeated"
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
