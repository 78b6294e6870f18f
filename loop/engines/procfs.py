"""What the kernel says of processes: CPU time, loaded files, variables. Nothing here trusts what a process says itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

from loop.engines.supervisor import descendants

_SCHED = 2  # CPUCLOCK_SCHED: time on a CPU of all threads of a process, ended ones too


def process_cpu_ns(pid: int) -> int | None:
    """CPU time of a process in ns, None if it has gone.

    /proc/PID/stat counts in ticks of 10 ms, 1 % of a short block; the process' own clock counts ns
    (clock_getcpuclockid(3): the id is the complement of the pid with the clock's number below).
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _SCHED)
    except OSError:
        return None


class CpuMeter:
    """CPU time of everything below a process, those that ended meanwhile with what they were last seen to have used."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._seen: dict[tuple[int, str], int] = {}

    def read(self) -> int:
        """Total in ns."""
        for pid in descendants(self._root):
            used, born = process_cpu_ns(pid), started(pid)
            if used is not None and born is not None:
                self._seen[pid, born] = used
        return sum(self._seen.values())


def started(pid: int) -> str | None:
    """When a process began, in ticks since boot: together with the pid its identity."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def mapped_files(pid: int) -> list[Path]:
    """Files mapped executable into a process: its shared objects."""
    found: dict[str, None] = {}
    try:
        lines = Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
            found[fields[5]] = None
    return [Path(name) for name in found]


def variables(pid: int) -> dict[str, str]:
    """Variables that a process was started with."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def executable(pid: int) -> Path | None:
    """The program of a process."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def working_directory(pid: int) -> Path | None:
    """Where a process works."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None
