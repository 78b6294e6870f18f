"""Sets limits on itself and becomes the command: run as a script of its own, `limits.py JSON -- ARGV`.

It imports the standard library alone, since it is run by a bare interpreter, and it gives up privileges for good: no
setuid program regains any, and the command dies with the driver.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_KINDS = {
    "memory": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "file": resource.RLIMIT_FSIZE,
    "files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}


def main(arguments: list[str]) -> None:
    """Apply and exec."""
    limits, argv = json.loads(arguments[0]), arguments[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in limits.items():
        _, hard = resource.getrlimit(_KINDS[name])
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(_KINDS[name], (most, most))
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(sys.argv[1:])
