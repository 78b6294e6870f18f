"""Where in the program each kernel comes from: operator and Python function.

In this order: the operator by External id; the launch by correlation, with the operator of its own External id; the
Python function that was running when the launch was made. A graph replay has none of these but the replay's call: its
kernels take their places from a capture trace (`analysis.capture`), or stay without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.links import FrameIndex, is_replay, launch_of_kernels, op_of_kernels, read_site
from analysis.trace import Bools, Ints, Numbers, Trace

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

NOTHING, BY_EXTERNAL_ID, BY_LAUNCH, BY_CAPTURE = range(4)
HOW = ("unresolved", "External id", "launch frame", "capture trace")


class Texts:
    """Texts of sources by number; -1 stands for none."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        """The number of a text."""
        if not text:
            return -1
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]

    def __getitem__(self, number: int) -> str | None:
        return self.texts[number] if number >= 0 else None


@dataclass(frozen=True)
class Sources:
    """Sources of each kernel of a trace.

    Attributes:
        texts: what the numbers of `site` and `op` stand for.
        site: `path:line function`, -1 without.
        op: operator, -1 without.
        how: place in `HOW`.
        launch: row of the launch, -1 without.
        replayed: ran as part of a graph replay.
    """

    texts: Texts
    site: Numbers
    op: Numbers
    how: NDArray[np.int8]
    launch: Ints
    replayed: Bools


def sources_of_kernels(trace: Trace) -> Sources:
    """Join kernels with operators and frames."""
    launch = launch_of_kernels(trace)
    replayed = is_replay(trace, launch)
    op_row = np.where(replayed, -1, op_of_kernels(trace, launch))
    texts = Texts()
    op = _words(texts, trace, trace.ops.name, op_row)
    site, how = _sites(trace, launch, replayed, op_row, texts)
    return Sources(texts, site, op, how, launch, replayed)


def sites_of_ops(trace: Trace) -> tuple[Texts, Numbers]:
    """The Python function that called each operator of the CPU."""
    texts = Texts()
    ops = trace.ops
    return texts, _frames(trace, texts, ops.track, ops.ts)


def _words(texts: Texts, trace: Trace, symbols: Numbers, rows: Ints) -> Numbers:
    """Numbers of the texts of symbols at rows; -1 stays."""
    if not len(symbols):
        return np.full(len(rows), -1, np.int32)
    picked = np.where(rows >= 0, symbols[rows], -1)
    unique, inverse = np.unique(picked, return_inverse=True)
    return np.array([texts.number(trace.text(int(n))) for n in unique], np.int32)[inverse]


def _sites(
    trace: Trace, launch: Ints, replayed: Bools, op_row: Ints, texts: Texts
) -> tuple[Numbers, NDArray[np.int8]]:
    """Frames at the launch, which may lie deeper than the operator's call, else at the operator."""
    site = np.full(len(launch), -1, np.int32)
    how = np.zeros(len(launch), np.int8)
    if not len(trace.frames):
        return site, how
    rows = np.flatnonzero((launch >= 0) & ~replayed)
    if len(rows):
        calls, inverse = np.unique(launch[rows], return_inverse=True)
        found = _frames(trace, texts, trace.launches.track[calls], trace.launches.ts[calls])[inverse]
        site[rows] = found
        by_op = op_row[rows] >= 0
        how[rows] = np.where(found < 0, NOTHING, np.where(by_op, BY_EXTERNAL_ID, BY_LAUNCH))
    rows = np.flatnonzero((site < 0) & (op_row >= 0))
    if len(rows):
        found = _frames(trace, texts, trace.ops.track[op_row[rows]], trace.ops.ts[op_row[rows]])
        site[rows] = found
        how[rows] = np.where(found < 0, NOTHING, BY_EXTERNAL_ID)
    return site, how


def _frames(trace: Trace, texts: Texts, track: Numbers, ts: Ints) -> Numbers:
    """Numbers of the places in source that ran on each track at each time."""
    if not len(trace.frames):
        return np.full(len(ts), -1, np.int32)
    index = frame_index(trace)
    names = index.sites(index.innermost(track, ts))
    unique, inverse = np.unique(names, return_inverse=True)
    places = [read_site(trace.text(int(n))) for n in unique]
    return np.array([texts.number(str(p)) if p else -1 for p in places], np.int32)[inverse]


def frame_index(trace: Trace) -> FrameIndex:
    """The trace's frames in order, made once."""
    if not hasattr(trace, "_frame_index"):
        trace._frame_index = FrameIndex(trace)  # type: ignore[attr-defined]
    return trace._frame_index  # type: ignore[attr-defined, no-any-return]
