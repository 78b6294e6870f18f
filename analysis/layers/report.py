"""Passes, kinds, hot kernels, outliers and timelines as text, Markdown, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from analysis.layers.passes import ForwardPass, Layer, Layered
from analysis.layers.rows import CPU
from analysis.layers.summary import Kind, hot_kernels, kinds_of, outliers_of, timeline_of
from analysis.layers.track import link
from analysis.reports.grid import Cell, Column, Grid, to_csv, to_markdown, to_records, to_text
from analysis.reports.safe import markdown, plain
from analysis.steps import Stage

_PASSES = (
    Column("device", "device", text=True),
    Column("pass", "pass"),
    Column("stage", "stage", text=True),
    Column("layers", "layers"),
    Column(
        "whole",
        "whole",
        text=True,
        definition="has all layers of the model; a cut pass is shown, not summed up",
    ),
    Column("start_ms", "start ms", ",.3f", definition="first layer's start, from the trace's first event"),
    Column("layers_ms", "layers ms", ",.3f", definition="first layer's start to last layer's end"),
    Column("all_ms", "all ms", ",.3f", definition="first to last kernel, with embedding, head and sampling"),
    Column("mean_us", "mean layer us", ",.1f"),
    Column("first_us", "first layer us", ",.1f"),
    Column("last_us", "last layer us", ",.1f"),
    Column("step", "step", text=True),
    Column("ref", "ref", text=True),
)
_KINDS = (
    Column("device", "device", text=True),
    Column("stage", "stage", text=True),
    Column("kind", "layer type", text=True),
    Column("per_pass", "per pass", "g"),
    Column("median_us", "wall us", ",.1f", definition="median of first kernel's start to last kernel's end"),
    Column("low_us", "p10", ",.1f"),
    Column("high_us", "p90", ",.1f"),
    Column(
        "kernel_us",
        "kernel us",
        ",.1f",
        definition="median of summed kernel time; above the wall where streams overlap",
    ),
    Column("communication_us", "comm us", ",.1f"),
    Column("kernels", "kernels"),
    Column("share", "share", ".1%", definition="part of all layers' wall time in the stage"),
    Column(
        "representative",
        "like",
        text=True,
        definition="PASS.LAYER nearest the median, in the pass nearest the median pass",
    ),
    Column("perfetto", "perfetto", text=True, link=True),
)
_HOT = (
    Column("device", "device", text=True),
    Column("stage", "stage", text=True),
    Column("kind", "layer type", text=True),
    Column("half", "half", text=True),
    Column("family", "family", text=True),
    Column("name", "kernel", text=True),
    Column("share", "share", ".1%", definition="part of these layers' summed kernel time"),
    Column("per_layer", "per layer", ".3g"),
    Column("mean_us", "mean us", ",.2f"),
)
_OUTLIERS = (
    Column("device", "device", text=True),
    Column("stage", "stage", text=True),
    Column("layer", "layer"),
    Column("kind", "layer type", text=True),
    Column("passes", "passes", text=True),
    Column("factor", "times", ".2f", definition="wall time relative to its type's median in the same pass"),
    Column("because_us", "of it us", ",.1f"),
    Column("because", "because of", text=True),
)
_TIMELINE = (
    Column("layer", "layer", text=True),
    Column("place", "#"),
    Column("half", "half", text=True),
    Column("at_us", "at us", ",.2f", definition="start, from the layer's start"),
    Column("dur_us", "dur us", ",.2f"),
    Column("gap_us", "gap us", ",.2f", definition="the device's idle time before it, over all streams"),
    Column("stream", "stream"),
    Column("family", "family", text=True),
    Column("name", "kernel", text=True),
)


@dataclass(frozen=True)
class View:
    """What of it is asked for.

    Attributes:
        stage: one stage alone.
        layer: (pass, layer) whose timeline is wanted; None for the representatives'.
        timeline: whether timelines are shown at all.
        top: hot kernels a layer type.
        served_at: where Perfetto can fetch the trace.
    """

    stage: Stage | None = None
    layer: tuple[int, int] | None = None
    timeline: bool = False
    top: int = 5
    served_at: str | None = None


def as_text(found: Iterable[Layered], view: View) -> str:
    """For a terminal."""
    parts = []
    for layered in found:
        parts.append(plain(_headline(layered)))
        parts += [f"== {title}\n{to_text(grid)}" for title, grid in _grids(layered, view) if grid.rows]
        parts += ["\n".join(f"warning: {plain(w)}" for w in layered.warnings)] if layered.warnings else []
    return "\n\n".join(parts)


def as_markdown(found: Iterable[Layered], view: View) -> str:
    """For a report."""
    parts = []
    for layered in found:
        parts.append(f"## {markdown(_headline(layered))}")
        parts += [f"### {title}\n\n{to_markdown(grid)}" for title, grid in _grids(layered, view) if grid.rows]
        parts += (
            ["\n".join(f"- warning: {markdown(w)}" for w in layered.warnings)] if layered.warnings else []
        )
    return "\n\n".join(parts)


def as_csv(found: Iterable[Layered], view: View) -> str:
    """Every layer of every pass, a line each."""
    columns = [Column(k, k) for k in ("trace", "ref", "device", "stage", "pass", "layer", "kind", "whole")]
    columns += [
        Column(k, k) for k in ("start_ns", "end_ns", "wall_ns", "kernel_ns", "communication_ns", "kernels")
    ]
    rows: list[tuple[Cell, ...]] = []
    for layered in found:
        for p in _passes(layered, view):
            for la in p.layers:
                rows.append(
                    (str(layered.trace.path), layer_ref(layered, p, la), _device(p.device), str(p.stage), p.index,
                     la.index, la.kind, str(p.whole).lower(), la.start_ns, la.end_ns, la.wall_ns, la.kernel_ns,
                     la.communication_ns, la.kernels)
                )  # fmt: skip
    return to_csv(Grid(tuple(columns), tuple(rows)))


def as_json(found: Iterable[Layered], view: View) -> str:
    """All tables, and every layer; stable keys, times in the unit of the key's last word."""
    data: list[dict[str, Any]] = []
    for layered in found:
        tables = {title.replace(" ", "_"): to_records(grid) for title, grid in _grids(layered, view)}
        # as text at once: as objects, the layers of a long trace would take ten times the memory
        layers = b",".join(_layer_json(layered, p) for p in _passes(layered, view))
        data.append(
            {
                "trace": str(layered.trace.path),
                "ref": layered.trace.ref,
                **tables,
                "layers": msgspec.Raw(b"[" + layers + b"]"),
                "warnings": list(layered.warnings),
            }
        )
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


def _layer_json(layered: Layered, p: ForwardPass) -> bytes:
    """The layers of a pass, without the brackets of a list."""
    rows = [
        {"ref": layer_ref(layered, p, la), "device": _device(p.device), "stage": str(p.stage), "pass": p.index,
         "layer": la.index, "kind": la.kind, "start_ns": la.start_ns, "end_ns": la.end_ns, "kernel_ns": la.kernel_ns,
         "communication_ns": la.communication_ns, "kernels": la.kernels}
        for la in p.layers
    ]  # fmt: skip
    return msgspec.json.encode(rows)[1:-1]


def layer_ref(layered: Layered, p: ForwardPass, layer: Layer | None = None) -> str:
    """The stable reference of a pass or a layer."""
    tail = f"/{layer.index}" if layer else ""
    return f"{layered.trace.ref}/{p.stage}/{_device(p.device).replace(' ', '')}/pass/{p.index}{tail}"


def _device(device: int) -> str:
    return "CPU" if device == CPU else f"GPU {device}"


def _headline(layered: Layered) -> str:
    counts: dict[int, int] = {}
    for p in layered.passes:
        counts[len(p.layers)] = counts.get(len(p.layers), 0) + 1
    told = ", ".join(
        f"{n} pass{'es' * (n > 1)} of {layers} layers" for layers, n in sorted(counts.items(), reverse=True)
    )
    model = f"; {layered.model.name} has {layered.model.layers}" if layered.model else ""
    rank = (
        f", rank {layered.trace.rank}"
        if layered.trace.rank is not None and (layered.trace.world_size or 1) > 1
        else ""
    )
    return f"{layered.trace.path.name} ({layered.trace.ref}{rank}): {told or 'no passes'}{model}"


def _passes(layered: Layered, view: View) -> list[ForwardPass]:
    return [p for p in layered.passes if view.stage in (None, p.stage)]


def _grids(layered: Layered, view: View) -> list[tuple[str, Grid]]:
    kinds = [k for k in kinds_of(layered) if view.stage in (None, k.stage)]
    grids = [
        ("passes", _pass_grid(layered, view)),
        ("layer types", Grid(_KINDS, tuple(_kind_row(layered, k, view) for k in kinds)).without_empty()),
        ("hot kernels", _hot_grid(layered, view)),
        ("outliers", _outlier_grid(layered, view)),
    ]
    if view.timeline or view.layer:
        grids.append(("timeline", _timeline_grid(layered, view, kinds)))
    return grids


def _pass_grid(layered: Layered, view: View) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for p in _passes(layered, view):
        wall = p.layers.wall
        rows.append(
            (_device(p.device), p.index, str(p.stage), len(p.layers), "yes" if p.whole else "no", p.start_ns / 1e6,
             p.wall_ns / 1e6, (p.last_ns - p.first_ns) / 1e6, int(wall.sum()) / len(wall) / 1e3, int(wall[0]) / 1e3,
             int(wall[-1]) / 1e3, p.name, layer_ref(layered, p))
        )  # fmt: skip
    return Grid(_PASSES, tuple(rows)).without_empty()


def _kind_row(layered: Layered, k: Kind, view: View) -> tuple[Cell, ...]:
    p, layer = k.representative
    return (
        _device(k.device), str(k.stage), k.kind, k.per_pass, k.median_ns / 1e3, k.low_ns / 1e3, k.high_ns / 1e3,
        k.kernel_ns / 1e3, k.communication_ns / 1e3 or None, k.kernels, k.share, f"{p.index}.{layer.index}",
        link(layered, layer.start_ns, layer.end_ns, view.served_at),
    )  # fmt: skip


def _hot_grid(layered: Layered, view: View) -> Grid:
    rows = tuple(
        (
            _device(h.device),
            str(h.stage),
            h.kind,
            h.half,
            h.family,
            h.name,
            h.share,
            h.per_layer,
            h.mean_ns / 1e3,
        )
        for h in hot_kernels(layered, view.top)
        if view.stage in (None, h.stage)
    )
    return Grid(_HOT, rows)


def _outlier_grid(layered: Layered, view: View) -> Grid:
    rows = tuple(
        (_device(o.device), str(o.stage), o.index, o.kind, f"{o.passes} of {o.of}", o.factor, o.because_ns / 1e3, o.because)
        for o in outliers_of(layered)
        if view.stage in (None, o.stage)
    )  # fmt: skip
    return Grid(_OUTLIERS, rows)


def _timeline_grid(layered: Layered, view: View, kinds: list[Kind]) -> Grid:
    if view.layer:
        number, index = view.layer
        wanted = [
            (p, la) for p in layered.passes if p.index == number for la in p.layers if la.index == index
        ]
    else:
        wanted = [k.representative for k in kinds]
    rows = tuple(
        (
            f"{p.index}.{la.index}",
            place,
            e.half,
            e.at_ns / 1e3,
            e.dur_ns / 1e3,
            e.gap_ns / 1e3,
            e.stream,
            e.family,
            e.name,
        )
        for p, la in wanted
        for place, e in enumerate(timeline_of(layered, la))
    )
    return Grid(_TIMELINE, rows)
