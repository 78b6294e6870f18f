"""The state of the machine around an arm, read from the kernel."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from loop.records import HostState


@dataclass(frozen=True)
class Reading:
    """A host state and the CPU seconds all processes had used by then."""

    state: HostState
    busy_s: float
    at: float


def read_host() -> Reading:
    """Now. The monotonic clock is the one that counts suspended time too, so that sleep is no clock jump."""
    busy, steal = _cpu_times()
    return Reading(
        HostState(
            load=_load(),
            wall_ns=time.time_ns(),
            mono_ns=time.clock_gettime_ns(_BOOTTIME),
            steal=steal,
        ),
        busy,
        time.monotonic(),
    )


def with_foreign(after: Reading, before: Reading, ours_s: float) -> HostState:
    """The state after an arm with the cores that processes other than ours used during it."""
    elapsed = after.at - before.at
    if elapsed <= 0 or after.busy_s <= 0:
        return after.state
    foreign = max(0.0, (after.busy_s - before.busy_s - ours_s) / elapsed)
    state = after.state
    return HostState(
        load=state.load,
        wall_ns=state.wall_ns,
        mono_ns=state.mono_ns,
        steal=state.steal,
        foreign_cpu=foreign,
    )


_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_TICK = os.sysconf("SC_CLK_TCK")


def _load() -> float | None:
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return None


def _cpu_times() -> tuple[float, float | None]:
    """CPU seconds used by everyone since boot, and the share of all time that was stolen."""
    try:
        fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0.0, None
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    total = sum(fields)
    return (user + nice + system + irq + softirq) / _TICK, steal / total if total else None
