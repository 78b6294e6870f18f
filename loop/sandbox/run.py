"""Runs one command to its end: in a session of its own, inside walls where bubblewrap works, under limits, for so long.

What the child prints goes to a file that the limits bound, so a flood can't fill memory. The clock is ours; a child that
doesn't end is killed with all it has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from ingest.errors import PrloreError
from loop.sandbox import limits as limits_script
from loop.sandbox.bubblewrap import Walls, bubblewrap, interpreter_folders, wrapped

Isolation = Literal["bubblewrap", "limits only"]
_SHOWN = 64 << 10  # bytes kept of the beginning and of the end of what was printed
_LOOK_S = 0.05
_DISK_S = 2.0


class SandboxError(PrloreError):
    """The command could not be started at all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use; None is no limit.

    Attributes:
        seconds: of wall time.
        memory: address space in bytes; not for CUDA, which reserves more than it uses.
        file: bytes of one file, and of what it prints.
        disk: bytes of its writable folders together, looked at every two seconds.
    """

    seconds: float = 600.0
    memory: int | None = None
    cpu_seconds: int | None = None
    file: int | None = 1 << 30
    files: int | None = 4096
    processes: int | None = None
    disk: int | None = 8 << 30

    def as_json(self) -> str:
        """For the script that sets them."""
        named = {
            "memory": self.memory,
            "cpu": self.cpu_seconds,
            "file": self.file,
            "files": self.files,
            "processes": self.processes,
        }
        return json.dumps({k: v for k, v in named.items() if v is not None})


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended.

    Attributes:
        status: exit status, negative for a signal.
        out: what it printed on both streams, the middle left out where it is long.
        stopped: why the driver ended it: `time`, `disk`, or empty.
        isolation: what stood around it.
    """

    status: int
    out: str
    seconds: float
    stopped: str
    isolation: Isolation

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.status == 0 and not self.stopped


@cache
def isolation() -> Isolation:
    """What can be put around a child here: bubblewrap where it is installed and the kernel lets it work."""
    program = bubblewrap()
    if program is None:
        return "limits only"
    tried = subprocess.run(
        wrapped(program, Walls(), Path("/tmp"), ["true"]),
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return "bubblewrap" if tried.returncode == 0 else "limits only"


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        argv: with the program by absolute path.
        cwd: a folder within the walls.
        env: all of its variables.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    walls: Walls = field(default_factory=Walls)
    limits: Limits = field(default_factory=Limits)
    stdin: bytes = b""


def run(command: Command) -> Finished:
    """Run a command to its end.

    Raises:
        SandboxError: it could not be started.
    """
    how = isolation()
    inner = [sys.executable, "-I", str(limits_script.__file__), command.limits.as_json(), "--", *command.argv]
    walls = command.walls
    if how == "bubblewrap":
        program = bubblewrap()
        assert program is not None
        script = Path(limits_script.__file__)
        seen = Walls(
            readable=tuple(dict.fromkeys((*walls.readable, *interpreter_folders(sys.executable), script))),
            writable=walls.writable, network=walls.network, gpu=walls.gpu, hidden=walls.hidden,
        )  # fmt: skip
        argv: Sequence[str] = wrapped(program, seen, command.cwd, inner)
    else:
        argv = inner
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
        given.write(command.stdin)
        given.seek(0)
        start = time.monotonic()
        try:
            child = subprocess.Popen(
                argv, stdin=given, stdout=out, stderr=subprocess.STDOUT, env=dict(command.env), cwd=command.cwd, start_new_session=True
            )  # fmt: skip
        except OSError as exc:
            raise SandboxError(f"can't start {command.argv[0]}: {exc}") from exc
        try:
            stopped = _wait(child, start + command.limits.seconds, command)
        finally:
            _end(child)
        seconds = time.monotonic() - start
        return Finished(child.returncode, _printed(out.fileno()), seconds, stopped, how)


def _wait(child: subprocess.Popen[bytes], deadline: float, command: Command) -> str:
    """Why the child has to be ended, empty when it ended by itself."""
    look = time.monotonic() + _DISK_S
    while child.poll() is None:
        now = time.monotonic()
        if now > deadline:
            return "time"
        if command.limits.disk is not None and now > look:
            look = now + _DISK_S
            if sum(_size(folder) for folder in command.walls.writable) > command.limits.disk:
                return "disk"
        time.sleep(_LOOK_S)
    return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the whole session, and what left it but still descends from the child."""
    for pid in [*_descendants(child.pid), child.pid]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = Path("/proc", entry.name, "stat").read_text("utf-8", "replace")
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: list[int] = []
    left = [root]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _size(folder: Path) -> int:
    total = 0
    for _, _, files, handle in os.fwalk(folder, follow_symlinks=False):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=handle, follow_symlinks=False).st_blocks * 512
    return total


def _printed(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    if size <= 2 * _SHOWN:
        return os.pread(descriptor, size, 0).decode("utf-8", "replace")
    first, last = os.pread(descriptor, _SHOWN, 0), os.pread(descriptor, _SHOWN, size - _SHOWN)
    left_out = f"\n[{size - 2 * _SHOWN} bytes left out]\n"
    return first.decode("utf-8", "replace") + left_out + last.decode("utf-8", "replace")
