"""Large arrays made from a store's tables, kept as files that are mapped into memory.

A question from the command line touches a small part of them, so it need not read and unpack them all. They are a
cache: `PRLORE_CACHE` or the platform's cache folder, named by the store and by the versions of the tables they are made
from, made anew when those change, and done without where nothing can be written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

Arrays = dict[str, np.ndarray[Any, Any]]

_MOST_STORES = 6  # whose arrays are kept; about 130 MB for 32,000 cards
_LAYOUT = "2"  # of the arrays; raised when what is kept changes its meaning


def cache_folder() -> Path:
    """`PRLORE_CACHE`, or the platform's cache folder."""
    named = os.environ.get("PRLORE_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("prlore", appauthor=False))


def kept_arrays(
    uri: str, what: str, version: str, make: Callable[[], Mapping[str, np.ndarray[Any, Any]]]
) -> Arrays:
    """Arrays by name: mapped from the cache, or made and kept.

    Args:
        uri: of the store.
        what: their name, one word.
        version: what they depend on, empty when nobody knows: then nothing is kept.
        make: makes them.
    """
    if not version:
        return dict(make())
    place = _place(uri) / f"{what}-{_digest(_LAYOUT, version)}"
    found = _read(place)
    if found is None:
        made = dict(make())
        _write(place, what, made)
        return made
    return found


def drop_kept(uri: str) -> None:
    """Forget what is kept of a store."""
    shutil.rmtree(_place(uri), ignore_errors=True)


def _place(uri: str) -> Path:
    where = uri if "://" in uri else str(Path(uri).expanduser().resolve())
    return cache_folder() / "arrays" / _digest(where)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def _read(place: Path) -> Arrays | None:
    try:
        names = sorted(p.name for p in place.iterdir())
        return {
            n.removesuffix(".npy"): np.load(place / n, mmap_mode="r", allow_pickle=False) for n in names
        } or None
    except (OSError, ValueError, EOFError):
        return None


def _write(place: Path, what: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write a folder of files in one step. What of the same name is older goes; a cache that can't be written is none."""
    try:
        place.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.parent.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=place.parent, prefix="."))
        try:
            for name, array in arrays.items():
                np.save(made / f"{name}.npy", array, allow_pickle=False)
            shutil.rmtree(place, ignore_errors=True)  # one that could not be read
            made.rename(place)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        for other in place.parent.iterdir():
            if other != place and other.name.startswith(f"{what}-"):
                shutil.rmtree(other, ignore_errors=True)
        stores = sorted(
            (p for p in place.parent.parent.iterdir()), key=lambda p: p.stat().st_mtime, reverse=True
        )
        for old in stores[_MOST_STORES:]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return
