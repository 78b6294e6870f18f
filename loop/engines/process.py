"""The only place of `loop.engines` and `loop.load` that starts processes: in groups of their own, with chosen variables."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from loop.engines import supervisor
from loop.engines.errors import EngineFailed
from loop.engines.procfs import CpuMeter

# What a child may know of our surroundings; everything else has to be named by the campaign.
_ALLOWED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES",
    "XDG_CACHE_HOME", "SSL_CERT_FILE", "NVIDIA_VISIBLE_DEVICES", "PRLORE_STEP",
)  # fmt: skip
_START_S = 20.0


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Variables for a child: the allowed ones of ours, and those that are named."""
    return {name: os.environ[name] for name in _ALLOWED if name in os.environ} | dict(extra)


class Family:
    """A command and all it starts, under `supervisor.py`.

    Args:
        argv: the command; the first word is looked up on PATH by the supervisor.
        env: all of its variables.
        cwd: where it runs.
        log: gets standard output and error of all of them.

    Raises:
        EngineFailed: it could not be started.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", str(supervisor.__file__), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._named()
        self._meter = CpuMeter(self._supervisor.pid)

    def _named(self) -> int:
        out = self._supervisor.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], _START_S)
        words = out.readline().split() if ready else []
        if len(words) != 2:
            self.stop()
            raise EngineFailed(f"the command could not be started: {self.last_words()}")
        return int(words[1])

    @property
    def supervisor_pid(self) -> int:
        """Of the process that holds the family; its session is the family's."""
        return self._supervisor.pid

    @property
    def alive(self) -> bool:
        """Whether the command still runs."""
        return self._supervisor.poll() is None

    def members(self) -> list[int]:
        """Processes of the family, without the supervisor."""
        return supervisor.descendants(self._supervisor.pid) if self.alive else []

    def cpu_ns(self) -> int:
        """CPU time of the family since it began, those that ended included."""
        return self._meter.read()

    def pause(self) -> None:
        """Stop all members where they are, so that they can't disturb another measurement."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them run again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """End the family; returns when it is gone. Stopping twice is once."""
        if self._supervisor.stdin is not None and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(30)
        except subprocess.TimeoutExpired:
            for pid in [*supervisor.descendants(self._supervisor.pid), self._supervisor.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._supervisor.wait(30)
        if self._supervisor.stdout is not None:
            self._supervisor.stdout.close()

    def last_words(self, lines: int = 4) -> str:
        """The end of the log in one line, errors first."""
        text = self.log.read_bytes()[-20_000:].decode("utf-8", "replace") if self.log.exists() else ""
        said = [line.strip() for line in text.splitlines() if line.strip()]
        wrong = [line for line in said if "Error" in line or "error:" in line]
        return " | ".join((wrong or said)[-lines:])[:600] or "it said nothing"


def output_of(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    data: bytes = b"",
) -> str:
    """What a short command prints, standard output and error.

    Raises:
        EngineFailed: it can't be run, fails or takes too long.
    """
    try:
        done = subprocess.run(
            list(argv), input=data, env=dict(env), cwd=cwd, timeout=timeout_s, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as exc:
        raise EngineFailed(f"{argv[0]}: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise EngineFailed(f"{' '.join(argv[:4])}: no end after {timeout_s:g} s") from exc
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        end = " | ".join(text.strip().splitlines()[-3:])[:400]
        raise EngineFailed(f"{' '.join(argv[:4])} ended with {done.returncode}: {end}")
    return text


class Talker:
    """A child that is spoken to line by line: the load generator.

    Raises:
        EngineFailed: it could not be started.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path | None = None) -> None:
        with (log or Path(os.devnull)).open("ab") as err:
            try:
                self._child = subprocess.Popen(
                    list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, env=dict(env)
                )
            except OSError as exc:
                raise EngineFailed(f"{argv[0]}: {exc.strerror}") from exc
        self._heard = b""

    def say(self, line: bytes) -> None:
        """Send a line; a child that has gone is found out at the next `hear`."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(line + b"\n")
            self._child.stdin.flush()

    def hear(self, timeout_s: float) -> bytes | None:
        """A line without its end, or None at the end of file or when none came in time."""
        out = self._child.stdout
        assert out is not None
        until = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            ready, _, _ = select.select([out], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(out.fileno(), 1 << 20) if ready else b""
            if not piece:
                return None
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def end(self) -> None:
        """Kill it if it still runs, and let go of its pipes."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()
