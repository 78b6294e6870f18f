"""A trace as columns: what ran on the GPUs, what launched it, and what the program was doing then.

Rows of a table stand at the same place of all of its arrays. Times are int64 nanoseconds from the trace's first event.
Names and shapes are numbers; `Trace.text` gives the words. Columns are mapped from the sidecar's files: a table that
isn't asked for costs nothing, and whoever looks at a long one does so window by window (`analysis.mapped`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from analysis.mapped import mapped
from analysis.sidecar import open_columns
from analysis.tables import KERNEL, TABLES, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Numbers = NDArray[np.int32]
    Bools = NDArray[np.bool_]
else:  # importing numpy.typing takes as long as reading a small trace
    Ints = Numbers = Bools = np.ndarray


@dataclass(frozen=True)
class _Table:
    """Columns of equal length."""

    table: ClassVar[str]

    ts: Ints
    dur: Ints
    name: Numbers

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def end(self) -> Ints:
        """Ends in ns."""
        return self.ts + self.dur

    @classmethod
    def read(cls, folder: Path, rows: int) -> Self:
        """Map the columns of a sidecar."""
        return cls(**{c: mapped(folder / f"{cls.table}.{c}", d, rows) for c, d in TABLES[cls.table].items()})

    def part(self, at: slice | Ints) -> Self:
        """Some of the rows."""
        return type(self)(**{column: getattr(self, column)[at] for column in TABLES[self.table]})


@dataclass(frozen=True)
class Kernels(_Table):
    """What ran on a device, sorted by start: kernels, copies and fills.

    Attributes:
        kind: 0 kernel, 1 memcpy, 2 memset.
        device, stream: numbers as CUDA or HIP gives them.
        correlation: of the launch; all kernels of one graph replay share it. -1 without.
        external: id of the operator, -1 without (replays).
        size: bytes of a copy or a fill, -1 for kernels.
        node: node of the CUDA graph where the profiler says so, else -1.
        grid, block: symbols such as `[132, 1, 1]`, -1 without.
    """

    table = "kernels"
    kind: NDArray[np.int8]
    device: Numbers
    stream: Numbers
    correlation: Ints
    external: Ints
    size: Ints
    node: Ints
    grid: Numbers
    block: Numbers

    @property
    def is_kernel(self) -> Bools:
        """Rows that are kernels, neither copies nor fills."""
        return np.equal(self.kind, KERNEL)


@dataclass(frozen=True)
class Launches(_Table):
    """Calls of the CUDA or HIP runtime and driver, sorted by start.

    Attributes:
        track: see `Trace.tracks`.
        kernel: symbol of what is launched where the runtime says so (HIP), else -1.
    """

    table = "launches"
    track: Numbers
    correlation: Ints
    external: Ints
    kernel: Numbers


@dataclass(frozen=True)
class Ops(_Table):
    """Operators of PyTorch on the CPU, sorted by start.

    Attributes:
        dims, types: symbols of `Input Dims` and `Input type` as JSON text, -1 without shapes.
    """

    table = "ops"
    track: Numbers
    external: Ints
    dims: Numbers
    types: Numbers


@dataclass(frozen=True)
class Annotations(_Table):
    """Ranges that the program named (`record_function`), sorted by start.

    Attributes:
        device, stream: where the range is the GPU's time of its kernels; -1 for the range on the CPU.
    """

    table = "annotations"
    track: Numbers
    external: Ints
    device: Numbers
    stream: Numbers

    @property
    def on_gpu(self) -> Bools:
        """Rows that span the kernels of a range and not the range itself."""
        return self.device >= 0


@dataclass(frozen=True)
class Frames(_Table):
    """Calls of Python functions (`with_stack`), sorted by start, a caller in front of what it calls at once."""

    table = "frames"
    track: Numbers
    python_id: Ints
    parent: Ints


class Trace:
    """One trace file.

    Attributes:
        path: the file.
        sha256: hash of its content; `ref` is its short form for references.
        folder: its sidecar.
        tracks: (process, thread) of each track number; names of Kineto's own tracks are texts.
        labels: `process:<pid>:<tid>` -> name, as Kineto's metadata says.
        header: the keys around the events.
        problems: why numbers of this trace may not be the whole truth; empty for a sound file.
        events: events read.
        size: bytes of JSON read.
        origin_ns: the first event's time in ns on the file's own clock (`ts` * 1000).
        span_ns: from the first event to the end of the last one that is kept, in ns.
    """

    def __init__(self, path: Path, cache: Path | None = None, processes: int | None = None) -> None:
        self.path = path
        self.sha256, self.folder, loaded = open_columns(path, cache, processes)
        self._symbols = loaded.symbols
        self.tracks = [tuple(track) for track in loaded.tracks]
        self.labels = loaded.labels
        self.header = loaded.header
        self.problems: tuple[Problem, ...] = tuple(loaded.problems)
        self.events = loaded.events
        self.size = loaded.size
        self.origin_ns = loaded.origin_ns
        self.span_ns = loaded.span_ns
        self._rows = loaded.rows

    @classmethod
    def open(cls, path: Path | str, *, cache: Path | None = None, processes: int | None = None) -> Trace:
        """Open a Kineto trace (`.json`, `.json.gz`), out of its sidecar when it was read before.

        Args:
            path: the trace.
            cache: where sidecars are kept; default `PRLORE_CACHE`, else the platform's cache folder.
            processes: how many read; default as many as help.

        Raises:
            UnreadableTrace: not a trace, or nothing of it can be read.
        """
        return cls(Path(path), cache, processes)

    @property
    def ref(self) -> str:
        """The stable reference `trace:<first 12 digits of the sha256>`."""
        return f"trace:{self.sha256[:12]}"

    @property
    def disk(self) -> Path:
        """A folder for arrays as long as the trace (`analysis.mapped.scratch`)."""
        return self.folder.parent

    def text(self, number: int) -> str:
        """The words of a symbol; empty for -1."""
        return self._symbols[number] if number >= 0 else ""

    @property
    def symbols(self) -> list[str]:
        """All symbols by number."""
        return self._symbols

    def numbers(self, texts: Iterable[str]) -> set[int]:
        """The numbers of symbols that stand in this trace."""
        wanted = set(texts)
        return {number for number, text in enumerate(self._symbols) if text in wanted}

    @cached_property
    def kernels(self) -> Kernels:
        """What ran on the devices."""
        return Kernels.read(self.folder, self._rows["kernels"])

    @cached_property
    def launches(self) -> Launches:
        """Calls of the runtime and the driver."""
        return Launches.read(self.folder, self._rows["launches"])

    @cached_property
    def ops(self) -> Ops:
        """Operators on the CPU."""
        return Ops.read(self.folder, self._rows["ops"])

    @cached_property
    def annotations(self) -> Annotations:
        """Named ranges."""
        return Annotations.read(self.folder, self._rows["annotations"])

    @cached_property
    def frames(self) -> Frames:
        """Calls of Python functions."""
        return Frames.read(self.folder, self._rows["frames"])

    @property
    def base_ns(self) -> int:
        """What Kineto subtracted from wall-clock time, in ns since 1970; 0 in older traces."""
        value = self.header.get("baseTimeNanoseconds")
        return value if isinstance(value, int) else 0

    @property
    def rank(self) -> int | None:
        """The rank that wrote the trace, as the header or the file's name (`-TP-3`, `_rank3`) says."""
        info = self.header.get("distributedInfo")
        rank = info.get("rank") if isinstance(info, dict) else None
        if isinstance(rank, int):
            return rank
        found = re.search(r"(?:-TP-|[-_.]rank[-_]?)(\d+)", self.path.name)
        return int(found[1]) if found else None

    @property
    def world_size(self) -> int | None:
        """How many ranks there were, as the header says."""
        info = self.header.get("distributedInfo")
        size = info.get("world_size") if isinstance(info, dict) else None
        return size if isinstance(size, int) else None

    @property
    def gpus(self) -> dict[int, str]:
        """Names of the devices of the host by number."""
        found = self.header.get("deviceProperties")
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        return {row["id"]: str(row.get("name", "")) for row in rows if isinstance(row.get("id"), int)}
