"""The process of one step: `python -m loop.campaign.child FOLDER KEY SPEC`. It waits for the word, works, leaves a result."""

from __future__ import annotations

import sys
from pathlib import Path

from loop.campaign.errors import DiskFull
from loop.campaign.folder import Folder
from loop.campaign.steps import EXIT_DISK_FULL, is_space


def main(folder: str, key: str, spec: str) -> int:
    """Wait, work, and say by the exit status when there was no space."""
    from loop.workbench.perform import perform_step  # while the driver writes down what we shall do

    if sys.stdin.buffer.read(3) != b"go\n":
        return 0  # the driver is gone; nothing was done
    try:
        perform_step(Folder(Path(folder)), key, spec)
    except DiskFull:
        return EXIT_DISK_FULL
    except OSError as exc:
        if is_space(exc):
            return EXIT_DISK_FULL
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
