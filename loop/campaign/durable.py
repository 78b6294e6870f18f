"""Files that are either there whole or not at all, and the points after which a kill can't undo a thing.

Every durable act calls `passed`, so that a test can kill the process at each of them in turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Observer = Callable[[str], None]
_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Call this at every durable point of this process, with the point's name."""
    _observers.append(observer)


def passed(point: str) -> None:
    """Say that a durable point is reached."""
    for observer in _observers:
        observer(point)


def write_whole(path: Path, raw: bytes, *, sync: bool = True, mode: int = 0o600) -> None:
    """Write a file under a temporary name and rename it; with `sync` it is on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        try:
            view = memoryview(raw)
            while view:
                view = view[os.write(handle, view) :]
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        passed(f"written {path.name}")
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)
    passed(f"renamed {path.name}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
