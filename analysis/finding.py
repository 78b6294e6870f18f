"""Rows of a long table found by a number that they hold, or by the last time before another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.mapped import ascends, order_of, taken, windows
from analysis.trace import Ints, Numbers


class Index:
    """Finds rows by a number: the last of those that hold it. Numbers below 0 are none."""

    def __init__(self, folder: Path, keys: Ints) -> None:
        self._order = None if ascends(keys) else order_of(folder, keys)
        self._keys = keys if self._order is None else taken(folder, keys, self._order)

    def rows(self, wanted: Ints, *, alone: bool = False) -> Ints:
        """Row of each wanted number, -1 without; `alone` finds numbers that one row holds."""
        keys = self._keys
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        place = np.searchsorted(keys, wanted, side="right") - 1
        near = np.maximum(place, 0)
        hit = (place >= 0) & (keys[near] == wanted) & (wanted >= 0)
        if alone:
            hit &= (near == 0) | (keys[near - 1] != wanted)
        return np.where(hit, near if self._order is None else self._order[near], -1)

    @property
    def repeats(self) -> bool:
        """Whether a number stands in two rows."""
        keys = self._keys
        pairs = ((keys[at], keys[at.start + 1 : at.stop + 1]) for at in windows(len(keys) - 1))
        return any(bool(((a == b) & (a >= 0)).any()) for a, b in pairs)


class ByThread:
    """Finds the last event of a thread up to a time; the events come in the order of their times."""

    def __init__(self, folder: Path, track: Numbers, ts: Ints) -> None:
        counts = np.zeros(0, np.int64)
        for at in windows(len(track)):
            more = np.bincount(track[at], minlength=len(counts))
            more[: len(counts)] += counts
            counts = more
        self._ends = np.cumsum(counts)
        self._counts = counts
        self._order = None
        if np.count_nonzero(counts) > 1:
            self._order = order_of(folder, track)
            ts = taken(folder, ts, self._order)
        self._ts = ts

    def last(self, track: Numbers, ts: Ints) -> Ints:
        """Row of the last event of each thread up to each time, -1 without."""
        found = np.full(len(ts), -1, np.int64)
        for number in np.unique(track).tolist():
            if not 0 <= number < len(self._counts):
                continue
            start, end = int(self._ends[number] - self._counts[number]), int(self._ends[number])
            mine = np.flatnonzero(track == number)
            place = start - 1 + np.searchsorted(self._ts[start:end], ts[mine], side="right")
            rows = place if self._order is None else self._order[np.maximum(place, 0)]
            found[mine] = np.where(place >= start, rows, -1)
        return found


def symbols_at(symbols: Numbers, rows: Ints) -> Numbers:
    """Symbols at rows of a column; -1 stays."""
    found = np.full(len(rows), -1, np.int32)
    known = rows >= 0
    found[known] = symbols[rows[known]]
    return found
