"""A closed campaign's seal: the digest of every file, and of the list itself. One changed byte anywhere shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from loop.campaign.durable import write_whole

NAME = "seal"
# made again at any time, or held only while somebody drives
_LEFT_OUT = {"builds", "spool", "lock", NAME, "campaign.db-wal", "campaign.db-shm"}


def seal(folder: Path, *, sync: bool = True) -> None:
    """Write the seal."""
    text = "".join(f"{_digest(path)}  {name}\n" for name, path in _files(folder))
    write_whole(folder / NAME, (text + hashlib.sha256(text.encode()).hexdigest() + "\n").encode(), sync=sync)


def broken(folder: Path) -> Iterator[str]:
    """What differs from the seal; nothing where there is none."""
    path = folder / NAME
    if not path.exists():
        return
    raw = path.read_bytes()
    text, _, own = raw[:-1].rpartition(b"\n")
    if raw[-1:] != b"\n" or hashlib.sha256(text + b"\n").hexdigest().encode() != own:
        yield "the seal itself was changed"
        return
    lines = (line.split("  ", 1) for line in text.decode().splitlines())
    sealed = {name: digest for digest, name in lines}
    there = dict(_files(folder))
    for name in sorted(sealed.keys() - there.keys()):
        yield f"{name} is gone"
    for name in sorted(there.keys() - sealed.keys()):
        yield f"{name} was not there when the campaign was sealed"
    for name in sorted(sealed.keys() & there.keys()):
        if _digest(there[name]) != sealed[name]:
            yield f"{name} was changed"


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for top in sorted(folder.iterdir()):
        if top.name in _LEFT_OUT:
            continue
        found = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in found:
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
