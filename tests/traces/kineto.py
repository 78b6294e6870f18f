"""Kineto's JSON: the simulation's rows as events, and events as the bytes that a profiler writes.

Times are microseconds with three decimals, so that a nanosecond survives; `absolute` gives the older form, counted
from 1970, in which float64 keeps 0.25 us: only whoever reads the digits gets those right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traces.generator import Launch, Spec, Step
    from traces.truth import TrueKernel

Event = dict[str, Any]

_PROCESS, _THREAD = 4242, 4242
_EPOCH_NS = 1_790_857_026_000_000_000
_SINCE_BOOT_NS = 4_382_083_453_000_000


@dataclass(frozen=True)
class Layout:
    """How the bytes are laid out.

    Attributes:
        style: `torch` (one key a line, as torch 2.13), `compact`, or `spaced`.
        absolute: times from 1970 in place of the base time.
        order: `file` (launches, then kernels) or `shuffled` by a fixed rule.
    """

    style: str = "compact"
    absolute: bool = False
    order: str = "file"


def to_events(
    kernels: Sequence[TrueKernel], launches: Sequence[Launch], steps: Sequence[Step], spec: Spec
) -> Iterable[Event]:
    """Events of one rank: annotations, frames, operators, launches, kernels. Times are ns."""
    rank = kernels[0].rank if kernels else 0
    pid = _PROCESS + rank
    # the profiler's own span and its step come first on every rank; truth counts from them
    yield _x("Trace", "PyTorch Profiler (0)", "Spans", "PyTorch Profiler", 0, 1_000)
    yield _x("user_annotation", "ProfilerStep#1", pid, _THREAD, 0, 1_000)
    for step in steps:
        yield _x("user_annotation", step.name, pid, _THREAD, step.ts_ns, step.end_ns - step.ts_ns)
        if spec.gpu_annotations:
            span = step.gpu_end_ns - step.gpu_ts_ns
            yield _x("gpu_user_annotation", step.name, rank, 7, step.gpu_ts_ns, span)
    external = 10
    externals: dict[int, int] = {}
    frame_id = 1
    for launch in launches:
        args: Event = {"cbid": 211, "correlation": launch.correlation}
        name = "cudaGraphLaunch" if launch.graph else "cudaLaunchKernel"
        if launch.role is not None:
            external += 1
            externals[launch.correlation] = external
            args["External id"] = external
            start, dur = launch.ts_ns, launch.dur_ns
            if spec.stacks:
                path, _, function = launch.role.frame.partition(" ")
                place, _, line = path.rpartition(":")
                yield _x(
                    "python_function", f"{place}({line}): {function}", pid, _THREAD, start, dur,
                    {"Python id": frame_id, "Python parent id": None},
                )  # fmt: skip
                frame_id += 1
            op: Event = {"External id": external, "Record function id": 0, "Ev Idx": external}
            if spec.shapes:
                op["Input Dims"] = [list(d) for d in launch.dims]
                op["Input type"] = ["c10::BFloat16"] * len(launch.dims)
            yield _x("cpu_op", launch.role.cpu_op, pid, _THREAD, start, dur, op)
            # the launch is inside its operator
            yield _x("cuda_runtime", name, pid, _THREAD, start + dur // 4, dur // 2, args)
        else:
            yield _x("cuda_runtime", name, pid, _THREAD, launch.ts_ns, launch.dur_ns, args)
    for kernel in kernels:
        args = {
            "device": rank, "context": 1, "stream": kernel.stream, "correlation": kernel.correlation,
            "grid": [132, 1, 1], "block": [256, 1, 1],
        }  # fmt: skip
        if kernel.correlation in externals:
            args["External id"] = externals[kernel.correlation]
        yield _x("kernel", kernel.name, rank, kernel.stream, kernel.ts_ns, kernel.dur_ns, args)


def _x(
    cat: str, name: str, pid: int | str, tid: int | str, ts: int, dur: int, args: Event | None = None
) -> Event:
    event: Event = {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur}
    if args is not None:
        event["args"] = args
    return event


def dump(events: Sequence[Event], rank: int | None, world: int, gpu: str, layout: Layout) -> bytes:
    """The whole file. `ts` and `dur` of the events are ns; the file's are microseconds."""
    shift = _EPOCH_NS if layout.absolute else _SINCE_BOOT_NS
    rows = list(events)
    if layout.order == "shuffled":
        rows = rows[::2] + rows[1::2]
    head: Event = {
        "schemaVersion": 1,
        "deviceProperties": [{"id": rank or 0, "name": gpu, "computeMajor": 9, "numSms": 132}],
        "record_shapes": 1,
        "distributedInfo": {"backend": "nccl", "rank": rank or 0, "world_size": world},
        "displayTimeUnit": "ms",
    }
    if not layout.absolute:
        head["baseTimeNanoseconds"] = _EPOCH_NS - _SINCE_BOOT_NS
    body = [_text(event, shift, layout.style) for event in rows]
    opening = json.dumps(head, separators=(",", ":"))[:-1]
    joint = {"torch": ",\n  ", "spaced": " ,\n\n", "compact": ","}[layout.style]
    return f'{opening},"traceEvents":[{joint.join(body)}]}}'.encode()


def _text(event: Event, shift: int, style: str) -> str:
    """One event; its times as decimal numbers, never through a float."""
    times = {"ts": _micros(event["ts"] + shift), "dur": _micros(event["dur"])}
    pairs = [
        f"{json.dumps(key)}:{' ' if style != 'compact' else ''}{times.get(key) or json.dumps(value)}"
        for key, value in event.items()
    ]
    if style == "torch":
        return "{\n    " + ",\n    ".join(pairs) + "\n  }"
    return "{" + (", " if style == "spaced" else ",").join(pairs) + "}"


def _micros(ns: int) -> str:
    return f"{Decimal(ns) / 1000:.3f}"
