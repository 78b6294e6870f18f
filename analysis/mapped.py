"""Long arrays on disk: what grows with a trace is mapped from a file and looked at a window at a time.

Pages of a file that was mapped belong to the system, which takes them back when memory is short, so the size of a trace
is no matter. `windows` lets go of them between two windows, so that they don't count as memory of the process either.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import mmap

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Keys = NDArray[np.int64] | NDArray[np.int32]

WINDOW = 1 << 17  # rows; some thirty numbers are held for each while a window is looked at
_SAMPLE = 1 << 12  # keys that the parts of a sort are chosen by

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_guard = threading.Lock()
_number = count()


def mapped(path: Path, dtype: str, rows: int) -> NDArray[Any]:
    """A column of a file, read-only."""
    return _array(path, dtype, rows, "r") if rows else np.empty(0, dtype)


def scratch(folder: Path, rows: int, dtype: str) -> NDArray[Any]:
    """A new array of zeros that may be written: held while it is short, else in a file of the folder that has no name."""
    if rows <= WINDOW:
        return np.zeros(rows, dtype)
    path = folder / f".scratch-{os.getpid()}-{next(_number)}"
    try:
        with path.open(
            "xb"
        ) as file:  # room for all of it: a mapped array that meets a full disk kills the process
            os.posix_fallocate(file.fileno(), 0, rows * np.dtype(dtype).itemsize)
        return _array(path, dtype, rows, "r+")
    except OSError as exc:
        raise no_room(folder, exc) from exc
    finally:
        path.unlink(missing_ok=True)


def no_room(folder: Path, exc: OSError) -> AnalysisError:
    """What to say when columns can't be written."""
    return AnalysisError(
        f"{folder}: {exc.strerror or exc}; a trace's columns take about a fifth of its JSON: name a folder with room in PRLORE_CACHE"
    )


def _array(path: Path, dtype: str, rows: int, mode: Any) -> NDArray[Any]:
    made = np.memmap(path, dtype, mode, shape=(rows,))
    with _guard:
        _mapped.add(made._mmap)  # type: ignore[attr-defined]
    return made.view(np.ndarray)


def windows(rows: int) -> Iterator[slice]:
    """The places of a long table a window at a time."""
    for start in range(0, rows, WINDOW):
        if start:
            let_go()
        yield slice(start, min(start + WINDOW, rows))


def let_go() -> None:
    """Give the pages of all mapped arrays back; what was written stays in their files."""
    import mmap

    with _guard:
        for one in list(_mapped):
            one.madvise(mmap.MADV_DONTNEED)


def ascends(values: NDArray[Any]) -> bool:
    """Whether no value is smaller than the one before it."""
    return all(
        bool((values[at.start + 1 : at.stop + 1] >= values[at]).all()) for at in windows(len(values) - 1)
    )


def order_of(folder: Path, keys: Keys, falling: Ints | None = None) -> Ints:
    """Rows by their keys, those with equal keys by falling values of a second column, then as they stand.

    A long array is dealt to parts by the size of the keys; each part is then sorted by itself.
    """
    if len(keys) <= 2 * WINDOW:
        return _sorted(keys, falling, np.arange(len(keys)))
    order: Ints = scratch(folder, len(keys), "<i8")
    _deal(keys, falling, None, order, folder)
    return order


def _sorted(keys: Keys, falling: Ints | None, rows: Ints) -> Ints:
    """Rows, which ascend, by their keys."""
    if falling is None:
        return rows[np.argsort(keys[rows], kind="stable")]
    return rows[np.lexsort((-falling[rows], keys[rows]))]


def _deal(keys: Keys, falling: Ints | None, rows: Ints | None, order: Ints, folder: Path) -> None:
    """Write the rows (all of them for None) in order."""
    size = len(order)
    some = np.linspace(0, size - 1, _SAMPLE).astype(np.int64)
    sample = np.sort(keys[some if rows is None else rows[some]])
    cuts = sample[:: max(1, _SAMPLE * WINDOW // size)]
    cuts = np.unique(np.concatenate((cuts, cuts + 1)))  # a key that many rows have is a part of its own
    counts = np.zeros(len(cuts) + 1, np.int64)
    for at in windows(size):
        part = np.searchsorted(cuts, keys[at] if rows is None else keys[rows[at]], side="right")
        counts += np.bincount(part, minlength=len(counts))
    ends = np.cumsum(counts)
    free = ends - counts
    dealt: Ints = scratch(folder, size, "<i8")
    for at in windows(size):
        mine = np.arange(at.start, at.stop) if rows is None else rows[at]
        part = np.searchsorted(cuts, keys[mine], side="right")
        by_part = np.argsort(part, kind="stable")
        here = np.bincount(part, minlength=len(counts))
        # the place of a row: behind those of its part that were dealt before
        within = np.arange(len(mine)) - np.repeat(np.cumsum(here) - here, here)
        dealt[np.repeat(free, here) + within] = mine[by_part]
        free += here
    for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True):
        mine = dealt[start:end]
        if len(mine) <= 4 * WINDOW:
            order[start:end] = _sorted(keys, falling, mine)
        elif all(bool((keys[mine[at]] == keys[mine[0]]).all()) for at in windows(len(mine))):
            order[start:end] = mine
        else:
            _deal(keys, falling, mine, order[start:end], folder)
        let_go()


def together(rows: int, key: Callable[[slice], Keys]) -> Iterator[tuple[int, Ints]]:
    """Rows with the same key, a group as soon as it is whole; keys below 0 are left out.

    Held are the groups that aren't whole yet, and a count for each.
    """
    counts: dict[int, int] = {}
    for at in windows(rows):
        for one, number in zip(
            *(found.tolist() for found in np.unique(key(at), return_counts=True)), strict=True
        ):
            counts[one] = counts.get(one, 0) + number
    begun: dict[int, list[Ints]] = {}
    for at in windows(rows):
        keys = key(at)
        order = np.argsort(keys, kind="stable")
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        for mine in np.split(order, cuts):
            one = int(keys[mine[0]])
            counts[one] -= len(mine)
            if one < 0:
                continue
            begun.setdefault(one, []).append(mine + at.start)
            if not counts[one]:
                yield one, np.concatenate(begun.pop(one))


def taken(folder: Path, values: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """The values at rows, as a new array."""
    made = scratch(folder, len(rows), values.dtype.str)
    for at in windows(len(rows)):
        made[at] = values[rows[at]]
    return made


def smallest(values: Ints, place: int) -> int:
    """The value at a place of the order, without bringing the array in order."""
    low, high, before = int(min(values[at].min() for at in windows(len(values)))), 0, 0
    high = int(max(values[at].max() for at in windows(len(values))))
    while True:
        width = (high - low) // _SAMPLE + 1
        counts = np.zeros(_SAMPLE + 1, np.int64)
        for at in windows(len(values)):
            near = values[at][(values[at] >= low) & (values[at] <= high)]
            counts += np.bincount((near - low) // width, minlength=len(counts))
        up_to = before + np.cumsum(counts)
        part = int(np.searchsorted(up_to, place, side="right"))
        low, high, before = (
            low + part * width,
            min(high, low + (part + 1) * width - 1),
            int(up_to[part] - counts[part]),
        )
        if width == 1:
            return low
