"""Holds a server and everything it starts, and ends all of it when whoever asked for it is gone.

Run as a script with standard library alone: `supervisor.py COMMAND…`. It lives in a session of its own, adopts
orphans of the server (child subreaper), and watches its standard input: end of file means that the driver has
stopped the server or has died, and then the whole family is ended, politely at first. `pid N` on standard output
names the server; standard error is the log. A driver killed by SIGKILL can therefore leave no server behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_POLITE_S, _FIRM_S = 8.0, 5.0
_POLL_S = 0.25


def main(argv: list[str]) -> int:
    """Start the command, wait for its end or for ours; its exit status, 143 when it was ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def die_with_us() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=die_with_us)
    except OSError as exc:
        sys.stderr.write(f"{argv[0]}: {exc.strerror}\n")
        return 127
    sys.stdout.write(f"pid {child.pid}\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group's; we go last
    while child.poll() is None:
        ready, _, _ = select.select([0], [], [], _POLL_S)
        if ready and not os.read(0, 4096):
            break
    code = child.poll()
    _end_all(child)
    return code if code is not None else 143


def _end_all(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM to all descendants, then SIGKILL to those that stay; no zombie is left."""
    for number, patience in ((signal.SIGTERM, _POLITE_S), (signal.SIGKILL, _FIRM_S)):
        until = time.monotonic() + patience
        first = True
        while family := descendants(os.getpid()):
            for pid in family if first or number == signal.SIGKILL else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, number)
            first = False
            _reap(child)
            if time.monotonic() > until:
                break
            time.sleep(0.05)


def _reap(child: subprocess.Popen[bytes]) -> None:
    child.poll()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def descendants(root: int) -> list[int]:
    """All living processes below one, nearest first; zombies don't count."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            # the command's name may hold blanks and brackets: fields count from the last bracket
            fields = Path(f"/proc/{name}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [root]
    while queue:
        below = parents.get(queue.pop(0), [])
        found += below
        queue += below
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
