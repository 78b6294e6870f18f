"""Kineto files for the tests, event by event, as torch.profiler lays them out. Times are microseconds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

PID, TID = 100, 100


class TraceFile:
    """A trace under construction."""

    def __init__(self, **header: Any) -> None:
        self.header = {"schemaVersion": 1, "baseTimeNanoseconds": 1_790_857_026_000_000_000, **header}
        self.events: list[dict[str, Any]] = []
        self._ids = iter(range(1, 1 << 40))
        self._python = iter(range(1, 1 << 40))

    def add(
        self, cat: str, name: str, ts: float, dur: float, pid: Any = PID, tid: Any = TID, **args: Any
    ) -> None:
        """Any complete event; three decimals as Kineto writes."""
        times = {"ts": round(ts, 3), "dur": round(dur, 3)}
        self.events.append(
            {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, **times, "args": args}
        )

    def step(
        self, name: str, ts: float, dur: float, *, tid: int = TID, gpu: tuple[float, float] | None = None
    ) -> None:
        """A named range; `gpu` is (start, duration) of its range on device 0."""
        number = next(self._ids)
        self.add("user_annotation", name, ts, dur, tid=tid, **{"External id": number})
        if gpu:
            self.add("gpu_user_annotation", name, *gpu, pid=0, tid=7, **{"External id": number})

    def launch(
        self,
        kernels: list[tuple[str, float, float]],
        ts: float,
        *,
        graph: bool = False,
        op: str | None = None,
        stream: int = 7,
        device: int = 0,
        pid: int = PID,
        tid: int = TID,
        correlation: int | None = None,
        **args: Any,
    ) -> int:
        """A launch at `ts` and its kernels (name, start, duration)."""
        number = next(self._ids) if correlation is None else correlation
        known: dict[str, Any] = {"correlation": number}
        if op:
            known["External id"] = next(self._ids)
            self.add("cpu_op", op, ts - 1, 6, pid=pid, tid=tid, **{"External id": known["External id"]})
        self.add(
            "cuda_runtime",
            "cudaGraphLaunch" if graph else "cudaLaunchKernel",
            ts,
            4,
            pid=pid,
            tid=tid,
            **known,
        )
        for name, start, dur in kernels:
            where = {"device": device, "stream": stream}
            self.add("kernel", name, start, dur, pid=device, tid=stream, **known, **where, **args)
        return number

    def frame(self, name: str, ts: float, dur: float, parent: int | None = None, *, tid: int = TID) -> int:
        """A call of a Python function."""
        number = next(self._python)
        self.add(
            "python_function", name, ts, dur, tid=tid, **{"Python id": number, "Python parent id": parent}
        )
        return number

    def text(self) -> str:
        """The file as JSON."""
        return json.dumps({**self.header, "traceEvents": self.events, "traceName": "t.json"})

    def write(self, path: Path) -> Path:
        """The file on disk, compressed when its name says so."""
        raw = self.text().encode()
        path.write_bytes(gzip.compress(raw, 1) if path.suffix == ".gz" else raw)
        return path
