"""A device on which every kernel takes as long as it says, and a record of what ran on it."""

import hashlib
import sys
import threading
import time
from dataclasses import dataclass, field

_BUFFER = bytes(range(256)) * 4096
_BYTES_PER_US = 1200  # sha256 with the CPU's instructions for it


@dataclass
class Event:
    """A kernel, a step or a Python function in the profiler's record; times in ns."""

    category: str
    name: str
    start: int
    end: int
    dims: list = field(default_factory=list)


class Device:
    """Runs kernels by waiting (`sleep`) or by working (`spin`)."""

    def __init__(self, clock: str) -> None:
        self.clock = clock
        self.recording = False
        self.events: list[Event] = []
        self.pid_thread = threading.get_native_id()
        self._free_at = 0  # when the device has done all that was launched, on the monotonic clock in ns

    def begin(self) -> None:
        """A step begins: an idle device starts now, a busy one when it is free."""
        self._free_at = max(self._free_at, time.perf_counter_ns()) if self.clock == "sleep" else 0

    def launch(self, name: str, microseconds: float, dims: list, depth: int = 1) -> None:
        """Run one kernel of a known cost; the caller `depth` frames up is noted as its source."""
        if self.clock == "spin":
            start = time.perf_counter_ns()
            size = int(microseconds * _BYTES_PER_US)
            while size > 0:
                hashlib.sha256(_BUFFER[: min(size, len(_BUFFER))]).digest()
                size -= len(_BUFFER)
            end = time.perf_counter_ns()
        else:
            start = self._free_at
            end = self._free_at = start + int(microseconds * 1000)
        if self.recording:
            frame = sys._getframe(depth)
            path = frame.f_code.co_filename.rpartition("tinyserve/")[2]
            site = f"tinyserve/{path}({frame.f_lineno}): {frame.f_code.co_name}"
            self.events.append(Event("python_function", site, start, end))
            self.events.append(Event("cpu_op", name, start, end, dims))

    def wait(self) -> int:
        """Return when everything launched has run; the time in ns.

        A wait that ends late is made good by the next one, so that the mean is exact.
        """
        if self.clock == "spin":
            return time.perf_counter_ns()
        left = self._free_at - time.perf_counter_ns()
        if left > 0:
            time.sleep(left / 1e9)
        return self._free_at

    def step(self, name: str, start: int, end: int) -> None:
        """Note a step of the scheduler."""
        if self.recording:
            self.events.append(Event("user_annotation", name, start, end))

    @property
    def now(self) -> int:
        """The device's time in ns."""
        return self._free_at if self.clock == "sleep" else time.perf_counter_ns()
