"""Columns that were read once, kept beside the other caches of the user, so that the next question needs no parsing.

A sidecar is a folder named by the trace's content: `<cache>/traces/<sha256>`. A small index remembers the hash of a
file by its place, size and time of change; like git's index it isn't trusted for files changed in the last seconds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from analysis.errors import UnreadableTrace
from analysis.mapped import no_room
from analysis.tables import SCHEMA, TABLES, Loaded

_RACY_NS = 2_000_000_000
_LIMIT = 20 << 30
_WORTH_TRIMMING = 32 << 20  # looking at every sidecar costs more than a small one holds
_MANIFEST = "trace.json"


class _Known(msgspec.Struct, frozen=True):
    """The state of a file when it was hashed."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str


def cache_folder() -> Path:
    """Where sidecars are kept: `PRLORE_CACHE`, else the platform's cache folder."""
    if given := os.environ.get("PRLORE_CACHE"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("prlore", appauthor=False))


def open_columns(
    path: Path, cache: Path | None = None, processes: int | None = None
) -> tuple[str, Path, Loaded]:
    """The sha256 of a trace, the folder with its columns and what they stand for; read now if they aren't there.

    Raises:
        UnreadableTrace: the file isn't a trace, or nothing of it can be read.
    """
    cache = cache or cache_folder()
    try:
        traces = cache / "traces"
        traces.mkdir(parents=True, exist_ok=True)
        if not os.access(traces, os.W_OK):
            raise PermissionError
    except OSError:  # no place to keep anything: the columns live as long as this process
        traces = Path(tempfile.mkdtemp(prefix="prlore-trace-"))
        _forget_at_exit(traces)
    digest = _hash(path, traces)
    folder = traces / f"{digest}.{SCHEMA}"
    known = _manifest(folder)
    if known is not None:
        os.utime(folder)
        return digest, folder, known
    from analysis.kineto.load import load  # what only a first reading needs

    work = Path(tempfile.mkdtemp(prefix=".new-", dir=traces))
    try:
        loaded = load(path, work, processes)
        (work / _MANIFEST).write_bytes(msgspec.json.encode(loaded))
        _publish(work, folder)
    except OSError as exc:
        raise no_room(traces, exc) from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if sum(file.stat().st_size for file in folder.iterdir()) >= _WORTH_TRIMMING:
        _trim(traces, folder)
    return digest, folder, loaded


def _publish(work: Path, folder: Path) -> None:
    """Put a finished folder in place; when another process was faster, its equal one is used."""
    try:
        work.rename(folder)
    except OSError:
        if _manifest(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
            work.rename(folder)


def _manifest(folder: Path) -> Loaded | None:
    """The manifest of a whole sidecar; None when there is none or files of it are missing."""
    try:
        loaded = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Loaded)
        for table, columns in TABLES.items():
            for column, dtype in columns.items():
                if (folder / f"{table}.{column}").stat().st_size != loaded.rows[table] * int(dtype[2:]):
                    return None
    except (OSError, msgspec.MsgspecError, KeyError):
        return None
    return loaded


def _hash(path: Path, traces: Path) -> str:
    """The sha256 of a file, out of the index when the file hasn't changed."""
    index = traces / "index"
    try:
        stat = path.stat()
        entry = index / hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
        try:
            known = msgspec.json.decode(entry.read_bytes(), type=_Known)
            if (known.size, known.mtime_ns, known.inode) == (stat.st_size, stat.st_mtime_ns, stat.st_ino):
                return known.sha256
        except (OSError, msgspec.MsgspecError):
            pass
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise UnreadableTrace(f"{path}: {exc.strerror or exc}") from exc
    if time.time_ns() - stat.st_mtime_ns > _RACY_NS:
        index.mkdir(exist_ok=True)
        known = _Known(stat.st_size, stat.st_mtime_ns, stat.st_ino, digest)
        entry.write_bytes(msgspec.json.encode(known))
    return digest


def _trim(traces: Path, keep: Path) -> None:
    """Remove the sidecars that were used longest ago while all of them take more than 20 GiB."""
    sizes = {}
    for folder in traces.iterdir():
        if folder.suffix == f".{SCHEMA}" and folder != keep:
            try:
                sizes[folder] = (folder.stat().st_mtime, sum(f.stat().st_size for f in folder.iterdir()))
            except OSError:
                continue
    total = sum(size for _, size in sizes.values())
    for folder, (_, size) in sorted(sizes.items(), key=lambda item: item[1][0]):
        if total <= _LIMIT:
            return
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _forget_at_exit(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
