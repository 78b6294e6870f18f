"""Whether a block may count, from the state of the machine alone: decided before its value is seen."""

from __future__ import annotations

from collections.abc import Iterable

from loop.records import HostState, Policy

CLOCK = "CLOCK"  # how the reason of a block begins during which the wall clock was set
CLOCK_JUMP_S = 0.5  # NTP slews by 0.5 ms a second at most; a step is more


def invalid_reason(states: Iterable[tuple[HostState, HostState]], policy: Policy) -> str:
    """Why a block is invalid, empty when it is valid; `states` are before and after each arm."""
    for before, after in states:
        if before.load is not None and before.load > policy.max_load:
            return f"LOAD {before.load:.2f} per core before an arm"
        jump = abs((after.wall_ns - before.wall_ns) - (after.mono_ns - before.mono_ns)) / 1e9
        if jump > CLOCK_JUMP_S:
            return f"{CLOCK} moved by {jump:.1f} s"
        for state in (before, after):
            if state.foreign_gpu:
                return f"GPU used by {state.foreign_gpu} other processes"
            if state.throttled:
                return "THROTTLED by temperature or power"
        if after.foreign_cpu is not None and after.foreign_cpu > policy.max_foreign:
            return f"CPU used by other processes: {after.foreign_cpu:.2f} cores"
    return ""
