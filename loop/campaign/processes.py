"""Processes of steps: born on a leash, known by more than a number, and ended with all that they started.

A step's process waits on a pipe until its intent is on disk; if the driver dies before, the pipe closes and it goes
away having done nothing. Everything it starts inherits `PRLORE_STEP`, which finds servers that left its session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "PRLORE_STEP"
_GRACE_S = 2.0
# what a step's process may see of our environment; servers get less (the engine says what)
ALLOWED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
ALLOWED_PREFIXES = ("CUDA_", "NVIDIA_", "OMP_", "PRLORE_", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class Identity:
    """A process that can't be taken for another: number, start in clock ticks after boot, and which boot."""

    pid: int
    started: str
    boot: str


@dataclass
class Leashed:
    """A process that waits to be let loose."""

    process: subprocess.Popen[bytes]
    identity: Identity

    def release(self) -> None:
        """Let it work."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(b"go\n")
            self.process.stdin.close()


def boot_id() -> str:
    """Changes with every boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def started_at(pid: int) -> str | None:
    """Start of a living process in ticks; None if there is none, a zombie counts as none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def allowed_environment(extra: tuple[str, ...] = ()) -> dict[str, str]:
    """The part of our environment that a step may see; `extra` names what its proposer needs."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in ALLOWED or name in extra or name.startswith(ALLOWED_PREFIXES)
    }


def spawn(folder: Path, key: str, spec: str, log: Path, extra: tuple[str, ...] = ()) -> Leashed:
    """Start the process of a step in a session of its own; it does nothing before `release`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "loop.campaign.child", str(folder), key, spec],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**allowed_environment(extra), MARK: f"{folder}:{key}"},
        )
    return Leashed(process, Identity(process.pid, started_at(process.pid) or "", boot_id()))


def alive(who: Identity) -> bool:
    """Whether it is this very process that lives."""
    return who.boot == boot_id() and who.pid > 0 and started_at(who.pid) == who.started


def end(who: Identity, folder: Path, key: str) -> None:
    """Kill a step's process, its session, and whatever carries its mark; returns when all are gone."""
    if alive(who):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(who.pid, signal.SIGKILL)
    deadline = time.monotonic() + _GRACE_S
    while True:
        left = list(_marked(f"{folder}:{key}"))
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if (not left and not alive(who)) or time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _marked(mark: str) -> Iterator[int]:
    wanted = f"{MARK}={mark}".encode()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in Path(entry.path, "environ").read_bytes().split(b"\0") and started_at(
                int(entry.name)
            ):
                yield int(entry.name)
