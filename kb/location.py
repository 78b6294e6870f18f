"""Where a knowledge base is, and who may write to it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

import platformdirs

from ingest.errors import PrloreError


class StoreError(PrloreError):
    """A knowledge base that can't be opened or is not one of ours."""


class MissingTable(StoreError):
    """A table that a knowledge base does not have."""


def default_uri() -> str:
    """`PRLORE_KB`, or the platform's user data folder."""
    return os.environ.get("PRLORE_KB") or str(
        Path(platformdirs.user_data_dir("prlore", appauthor=False)) / "kb"
    )


def lock_for_writing(uri: str) -> IO[bytes] | None:
    """Hold a folder's lock until this process ends, however it ends."""
    if "://" in uri:
        return None
    folder = Path(uri).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "write.lock").open("ab")
    except OSError as exc:
        raise StoreError(f"can't write {uri}: {first_line(exc)}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(f"another prlore is writing to {uri}: wait for it to end") from None
    return lock


def first_line(exc: Exception) -> str:
    """The first line of an error, for people."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]


def manifest_mark(uri: str, table: str, version: int) -> str:
    """What tells the manifest of a table's version from any other file of that name; empty where none is at hand."""
    if "://" in uri:
        return ""
    folder = Path(uri).expanduser() / f"{table}.lance" / "_versions"
    for name in (
        f"{2**64 - 1 - version:020}.manifest",
        f"{version}.manifest",
    ):  # Lance's two ways of naming it
        try:
            found = (folder / name).stat()
        except OSError:
            continue
        return f"{version} {found.st_mtime_ns} {found.st_size} {found.st_ino}"
    return ""
