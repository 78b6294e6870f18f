"""The loop-back GitHub as a process of its own, for the scripts of this folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType

_TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTS))


class Hub:
    """A server process; `url` is its address. Closing its input ends it."""

    def __init__(self, **size: int) -> None:
        args = [f"--{name}={value}" for name, value in size.items()]
        self._process = subprocess.Popen(
            [sys.executable, str(_TESTS / "loopback" / "serve.py"), *args], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def requests(self) -> int:
        """Requests that it has seen."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("requests\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
