"""The columns of a trace: one list that the reader writes by and the nouns of `analysis.trace` are read by.

Times are int64 nanoseconds, in a finished trace from its first event. `name`, `kernel`, `grid`, `block`, `dims` and
`types` are numbers of symbols, `track` is the number of a (process, thread) pair; -1 stands for what an event doesn't say.
"""

from __future__ import annotations

import msgspec

# raise it when a table, a column or the reading of an event changes: older sidecars are then written anew
SCHEMA = 4

TABLES: dict[str, dict[str, str]] = {
    "kernels": {
        "ts": "<i8",
        "dur": "<i8",
        "name": "<i4",
        "kind": "<i1",
        "device": "<i4",
        "stream": "<i4",
        "correlation": "<i8",
        "external": "<i8",
        "size": "<i8",
        "node": "<i8",
        "grid": "<i4",
        "block": "<i4",
    },
    "launches": {
        "ts": "<i8",
        "dur": "<i8",
        "name": "<i4",
        "track": "<i4",
        "correlation": "<i8",
        "external": "<i8",
        "kernel": "<i4",
    },
    "ops": {
        "ts": "<i8",
        "dur": "<i8",
        "name": "<i4",
        "track": "<i4",
        "external": "<i8",
        "dims": "<i4",
        "types": "<i4",
    },
    "annotations": {
        "ts": "<i8",
        "dur": "<i8",
        "name": "<i4",
        "track": "<i4",
        "external": "<i8",
        "device": "<i4",
        "stream": "<i4",
    },
    "frames": {
        "ts": "<i8",
        "dur": "<i8",
        "name": "<i4",
        "track": "<i4",
        "python_id": "<i8",
        "parent": "<i8",
    },
}
SYMBOLIC = frozenset({"name", "kernel", "grid", "block", "dims", "types"})

# category of an event -> table; the second names of a category are those of torch before 1.13
CATEGORIES: dict[str, str] = {
    "kernel": "kernels",
    "Kernel": "kernels",
    "gpu_memcpy": "kernels",
    "Memcpy": "kernels",
    "gpu_memset": "kernels",
    "Memset": "kernels",
    "cuda_runtime": "launches",
    "cuda_driver": "launches",
    "hip_runtime": "launches",
    "xpu_runtime": "launches",
    "xpu_driver": "launches",
    "privateuse1_runtime": "launches",
    "privateuse1_driver": "launches",
    "Runtime": "launches",
    "cpu_op": "ops",
    "Operator": "ops",
    "user_annotation": "annotations",
    "gpu_user_annotation": "annotations",
    "python_function": "frames",
}
KERNEL, MEMCPY, MEMSET = 0, 1, 2
KINDS: dict[str, int] = {
    "kernel": KERNEL,
    "Kernel": KERNEL,
    "gpu_memcpy": MEMCPY,
    "Memcpy": MEMCPY,
    "gpu_memset": MEMSET,
    "Memset": MEMSET,
}
# complete events that hold no time of a GPU or of an operator
UNUSED = frozenset(
    {"overhead", "Trace", "cuda_sync", "cpu_instant_event", "cuda_profiler_range", "collective_comm", "trace"}
    | {"hpu_op", "itt", "ac2g", "async_cpu_to_gpu", "fwdbwd", "async_gpu", "cuda_event"}
)


class Problem(msgspec.Struct, frozen=True):
    """Something that makes a number of this trace less than the whole truth.

    Attributes:
        kind: broken, repaired, untimed, nameless, unknown_category, damaged, unpaired.
        count: events concerned, 0 where it is the file.
        text: one line for the reader of a report.
    """

    kind: str
    count: int
    text: str


class Loaded(msgspec.Struct):
    """What a folder of columns stands for; with the columns, everything that is known of a trace."""

    symbols: list[str]
    tracks: list[tuple[int | str, int | str]]
    labels: dict[str, str]
    rows: dict[str, int]
    header: dict[str, object]
    problems: list[Problem]
    events: int
    size: int
    origin_ns: int
    span_ns: int
