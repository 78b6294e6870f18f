"""Layers for Perfetto: links that open at a range, and a copy of the trace with passes and layers as tracks of its own.

The copy is the original's bytes with events put in behind the opening bracket of `traceEvents`: whatever the original
holds, broken events included, is there unchanged. It is streamed, so its size is no matter.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from analysis.errors import AnalysisError
from analysis.layers.passes import ForwardPass, Layer, Layered
from analysis.layers.rows import CPU

_UI = "https://ui.perfetto.dev/#!/"
_OPENING = re.compile(rb'"traceEvents"\s*:\s*\[\s*')
_LOOK = 1 << 24  # the events start early in the file; metadata in front of them is small
_PID = 4_000_000_000  # a process of ours, above any real one's number


def link(layered: Layered, start_ns: int, end_ns: int, served_at: str | None = None) -> str:
    """A Perfetto address that shows a range; `served_at` is where the trace file can be fetched from.

    `visStart` and `visEnd` are nanoseconds on the trace's own clock (Perfetto's "Deep linking to the Perfetto UI").
    """
    origin = layered.trace.origin_ns
    where = f"url={quote(served_at, safe='')}&" if served_at else ""
    return f"{_UI}?{where}visStart={origin + start_ns}&visEnd={origin + end_ns}"


def write_track(layered: Layered, path: Path) -> int:
    """Write the copy; how many events were added.

    Raises:
        AnalysisError: the file exists, can't be written, or the trace has no `traceEvents`.
    """
    source = layered.trace.path
    events = list(_events(layered))
    added = ",\n".join(events).encode()
    try:
        with _open(source, "rb") as original, _open(path, "xb") as copy:
            head = original.read(_LOOK)
            at = _opening(head, source)
            rest = head[at:] or original.read(1)
            copy.write(head[:at] + added)
            copy.write(b"" if rest[:1] == b"]" else b",\n")
            copy.write(rest)
            while block := original.read(1 << 20):
                copy.write(block)
    except FileExistsError:
        raise AnalysisError(f"{path} exists; choose another name for the track") from None
    except (OSError, EOFError) as exc:
        raise AnalysisError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from None
    return len(events)


def _open(path: Path, mode: str) -> IO[bytes]:
    """Plain or gzip, by content when it is read and by name when it is written."""
    if "x" in mode:
        return gzip.open(path, mode, compresslevel=5) if path.suffix == ".gz" else path.open(mode)  # type: ignore[return-value]
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, mode) if packed else path.open(mode)  # type: ignore[return-value]


def _opening(head: bytes, source: Path) -> int:
    """Place behind the bracket that opens the events, and the blanks after it."""
    match = _OPENING.search(head) or re.compile(rb"\s*\[\s*").match(head)
    if not match:
        raise AnalysisError(f"{source}: no list of events in it")
    return match.end()


def _events(layered: Layered) -> Iterator[str]:
    origin = layered.trace.origin_ns
    for device in sorted({p.device for p in layered.passes}):
        pid = _PID + device + 1
        where = "CPU" if device == CPU else f"GPU {device}"
        yield _meta(pid, 0, "process_name", f"prlore: layers of {where}")
        for tid, name in enumerate(("forward passes", "layers", "halves")):
            yield _meta(pid, tid, "thread_name", name)
        mine = [p for p in layered.passes if p.device == device]
        # neighbours on a track must not overlap, or Perfetto drops one: an all-reduce that runs into the next layer
        # ends at that layer's start here and keeps its own end in the arguments
        edges = [p.first_ns for p in mine[1:]] + [mine[-1].last_ns]
        for p, edge in zip(mine, edges, strict=True):
            yield from _pass_events(layered, p, edge, pid, origin)


def _pass_events(layered: Layered, p: ForwardPass, edge: int, pid: int, origin: int) -> Iterator[str]:
    name = f"{p.stage} pass {p.index}" + ("" if p.whole else f" ({len(p.layers)} layers)")
    yield _range(
        pid, 0, name, p.first_ns, min(p.last_ns, edge), origin, {"step": p.name, "layers": len(p.layers)}
    )
    starts = [*(layer.start_ns for layer in p.layers), p.end_ns]
    for layer, (start, until) in zip(p.layers, pairwise(starts), strict=True):
        end = min(layer.end_ns, until) if until > start else layer.end_ns
        about = {
            "kind": layer.kind, "pass": p.index, "layer": layer.index, "kernels": layer.kernels,
            "wall_us": layer.wall_ns / 1e3, "kernel_us": layer.kernel_ns / 1e3, "end_us": layer.end_ns / 1e3,
        }  # fmt: skip
        yield _range(pid, 1, f"layer {layer.index} {layer.kind}", start, end, origin, about)
        middle = _middle(layered, layer)
        if start < middle < end:
            yield _range(pid, 2, "attention", start, middle, origin, {})
            yield _range(pid, 2, "mlp", middle, end, origin, {})


def _middle(layered: Layered, layer: Layer) -> int:
    """Start of the MLP half."""
    return (
        int(layered.rows.table.ts[layer.rows[layer.mlp_at]])
        if 0 < layer.mlp_at < layer.kernels
        else layer.start_ns
    )


def _meta(pid: int, tid: int, key: str, name: str) -> str:
    return json.dumps({"ph": "M", "pid": pid, "tid": tid, "name": key, "args": {"name": name}})


def _range(pid: int, tid: int, name: str, start: int, end: int, origin: int, args: dict[str, Any]) -> str:
    """A complete event; its times are written as decimal numbers, since a float would lose nanoseconds."""
    event = {"ph": "X", "cat": "prlore_layer", "name": name, "pid": pid, "tid": tid, "args": args}
    return f'{{"ts":{_micros(origin + start)},"dur":{_micros(max(0, end - start))},{json.dumps(event)[1:]}'


def _micros(ns: int) -> str:
    return f"{Decimal(ns) / 1000:.3f}"
