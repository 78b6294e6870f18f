"""Writes what the device recorded as a Chrome trace: steps, operators and the functions that launched them."""

import gzip
import json
import os
from pathlib import Path

from tinyserve.device import Device, Event

MODES = {"prefill": "EXTEND", "decode": "DECODE"}


class Profiler:
    """Records `steps` steps of one stage, then writes a file."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.folder = Path()
        self.prefix, self.stage, self.left, self.kept = "", "", 0, 0
        self.written: list[str] = []

    def start(self, folder: str, prefix: str, stage: str, steps: int) -> None:
        """Record from the next step on."""
        self.folder, self.prefix, self.stage, self.left, self.kept = Path(folder), prefix, stage, steps, 0
        self.device.events.clear()
        self.device.recording = True

    def after_step(self, stage: str) -> None:
        """Count a step; steps of another stage are forgotten."""
        if not self.left:
            return
        if stage != self.stage:
            del self.device.events[self.kept :]
            return
        self.kept = len(self.device.events)
        self.left -= 1
        if not self.left:
            self.stop()

    def stop(self) -> None:
        """Write the file, if anything was recorded."""
        self.device.recording = False
        self.left = 0
        if not self.device.events:
            return
        name = f"{self.prefix}-TP-0-{MODES[self.stage]}.trace.json.gz"
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.part"
        part.write_bytes(gzip.compress(self._document(self.device.events).encode(), 1, mtime=0))
        part.rename(self.folder / name)
        self.written.append(str(self.folder / name))
        self.device.events.clear()

    def _document(self, events: list[Event]) -> str:
        pid, thread = os.getpid(), self.device.pid_thread
        rows = []
        for number, event in enumerate(events):
            args: dict[str, object] = {"Ev Idx": number}
            if event.category == "python_function":
                args |= {"Python id": number, "Python parent id": None}
            else:
                args |= {"External id": number + 1, "Record function id": 0}
            if event.dims:
                args |= {"Input Dims": event.dims, "Input type": ["c10::BFloat16"] * len(event.dims)}
            rows.append(
                {
                    "ph": "X", "cat": event.category, "name": event.name, "pid": pid, "tid": thread,
                    "ts": event.start / 1000, "dur": (event.end - event.start) / 1000, "args": args,
                }
            )  # fmt: skip
        head = {"schemaVersion": 1, "deviceProperties": [], "with_stack": 1, "record_shapes": 1}
        return json.dumps(head | {"displayTimeUnit": "ms", "baseTimeNanoseconds": 0, "traceEvents": rows})
