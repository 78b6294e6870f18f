"""From trace files to the rows that a campaign argues with: shares of a stage, and places in the tree that cause them."""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from loop.engines.errors import CannotProfile
from loop.protocols import Blobs
from loop.records import Launch, ProfileDigest, ProfileRow, Stage

if TYPE_CHECKING:
    from analysis.kernel_table import KernelRow
    from analysis.report import TraceReport
    from analysis.trace import Trace

_SMALLEST = 0.001  # rows below a thousandth of their stage can't be argued with
_MOST = 200
_DEPTH = 24  # frames of a stack that are worth naming


def digest(
    engine: str, source_folder: str, traces: Sequence[Path], launch: Launch, stage: Stage, blobs: Blobs
) -> ProfileDigest:
    """Rows of a stage; of several files, those of the file with most of that stage.

    Raises:
        CannotProfile: no file has a step of that stage.
    """
    from analysis.remembered import report_of
    from analysis.trace import Trace

    opened = [Trace.open(path) for path in sorted(traces)]
    reports = [(trace, report_of(trace)) for trace in opened]
    time, trace, report = max(
        (
            (sum(row.kernel_ns for row in r.stages if stage in ("all", row.stage.value)), t, r)
            for t, r in reports
        ),
        key=lambda found: found[0],
        default=(0, None, None),
    )
    if not time or trace is None or report is None:
        names = ", ".join(sorted({row.stage.value for _, r in reports for row in r.stages})) or "none"
        raise CannotProfile(f"the trace has no step of {stage}; stages found: {names}")
    rows = [row for row in report.kernels if stage in ("all", row.stage.value)]
    return ProfileDigest(
        tree=launch.tree,
        engine=engine,
        stage=stage,
        trace=blobs.put(_archive(traces)),
        rows=tuple(_rows(rows, time, trace, report, source_folder)),
        clock="gpu" if report.unit == "kernel" else "cpu",
        report=blobs.put(msgspec.json.encode(report)),
        layers=_layers(trace, blobs),
    )


def _rows(
    rows: Sequence[KernelRow], time: int, trace: Trace, report: TraceReport, source_folder: str
) -> list[ProfileRow]:
    implementation: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        implementation[_implementation(row)] += row.time_ns
    stacks = _stacks(trace, rows) if report.unit == "operator" else {}
    found = []
    for row in sorted(rows, key=lambda r: -r.time_ns)[:_MOST]:
        if row.time_ns < _SMALLEST * time:
            break
        stack = stacks.get(row.number, []) or ([row.source] if row.source else [])
        places = [place for frame in stack if (place := _place(frame, source_folder))]
        found.append(
            ProfileRow(
                row_id=row.ref,
                name=row.name,
                family=row.family,
                share=row.time_ns / time,
                calls=row.launches,
                sources=tuple(dict.fromkeys(place for place, _ in places)),
                symbols=tuple(dict.fromkeys(function for _, function in places)),
                family_share=implementation[_implementation(row)] / time,
            )
        )
    return found


def _implementation(row: KernelRow) -> tuple[str, str]:
    """What rows have in common that one change would speed up: the function that launches them, else their name."""
    return (
        row.family,
        row.source.partition(" ")[2] + row.source.rpartition(":")[0] if row.source else row.short,
    )


def _place(frame: str, source_folder: str) -> tuple[str, str] | None:
    """(`path:line` in the repository, function) of `path:line function`; None for code that isn't the engine's."""
    place, _, function = frame.partition(" ")
    path, _, line = place.rpartition(":")
    if not path or path.startswith("/") or not path.endswith(".py") or "/" not in path:
        return None
    if path.startswith(("torch/", "transformers/", "numpy/")):
        return None
    return f"{source_folder}/{path}:{line}" if source_folder else f"{path}:{line}", function


def _stacks(trace: Trace, rows: Sequence[KernelRow]) -> dict[int, list[str]]:
    """Python frames around the longest call of each row, innermost first: the operator's own caller is often torch's."""
    import numpy as np

    from analysis.links import read_site

    frames, ops = trace.frames, trace.ops
    if not len(frames):
        return {}
    start, end = frames.ts, frames.ts + frames.dur
    found: dict[int, list[str]] = {}
    for row in rows:
        calls = np.flatnonzero(ops.ts == row.longest_ts)
        if not len(calls):
            continue
        track = ops.track[calls[0]]
        around = np.flatnonzero(
            (start <= row.longest_ts) & (end >= row.longest_ts + row.longest_ns) & (frames.track == track)
        )
        around = around[np.argsort(frames.dur[around], kind="stable")]
        sites = (read_site(trace.text(int(frames.name[i]))) for i in around[:_DEPTH].tolist())
        found[row.number] = [str(site) for site in sites if site]
    return found


def _layers(trace: Trace, blobs: Blobs) -> str:
    """The layer pipeline as JSON; empty where no layer is found."""
    from analysis.layers.find import find_layers
    from analysis.layers.report import View, as_json
    from analysis.steps import stage as staged

    layered = find_layers(staged(trace))
    return blobs.put(as_json([layered], View(timeline=True)).encode()) if layered.passes else ""


def _archive(traces: Sequence[Path]) -> bytes:
    """The file itself, or a tar of several, the same for the same files."""
    if len(traces) == 1:
        return traces[0].read_bytes()
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(traces):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(entry, file)
    return out.getvalue()
