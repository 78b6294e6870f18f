"""Where in the program each kernel comes from: operator and Python function.

In this order: the operator by External id; the launch by correlation, with the operator of its own External id; the
Python function that was running when the launch was made. A graph replay has none of these but the replay's call: its
kernels take their places from a capture trace (`analysis.capture`), or stay without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.finding import symbols_at
from analysis.links import FrameIndex, Operators, Replays, launch_of_kernels, read_site
from analysis.mapped import scratch, windows
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


def sources_of_kernels(trace: Trace, launch: Ints | None = None) -> Sources:
    """Join kernels with operators and frames.

    Args:
        trace: the trace.
        launch: `launch_of_kernels` of it, where that is known.
    """
    size = len(trace.kernels)
    if launch is None:
        launch = launch_of_kernels(trace)
    site, op = scratch(trace.disk, size, "<i4"), scratch(trace.disk, size, "<i4")
    how, replayed = scratch(trace.disk, size, "<i1"), scratch(trace.disk, size, "|b1")
    operators, replays, frames = Operators(trace), Replays(trace), FrameIndex(trace)
    words, calls, others = Seen(), Seen(), Seen()
    for at in windows(size):
        rows = launch[at]
        replayed[at] = replays(rows)
        op_row = np.where(replayed[at], -1, operators.of_kernels(at, rows))
        op[at] = words.see(symbols_at(trace.ops.name, op_row))
        if len(trace.frames):
            site[at], how[at] = _sites(trace, frames, rows, replayed[at], op_row, calls, others)
        else:
            site[at] = -1
    texts = Texts()
    words_of = numbered(texts, trace, str, words)
    places_of = numbered(texts, trace, place_of, calls, others)
    for at in windows(size):
        op[at], site[at] = words_of[op[at]], places_of[site[at]]
    return Sources(texts, site, op, how, launch, replayed)


def sites_of_ops(trace: Trace) -> tuple[Texts, Numbers]:
    """The Python function that called each operator of the CPU."""
    ops, frames, seen, texts = trace.ops, FrameIndex(trace), Seen(), Texts()
    site: Numbers = scratch(trace.disk, len(ops), "<i4")
    for at in windows(len(ops)):
        site[at] = seen.see(frames.sites(frames.innermost(ops.track[at], ops.ts[at])))
    numbers = numbered(texts, trace, place_of, seen)
    for at in windows(len(ops)):
        site[at] = numbers[site[at]]
    return texts, site


class Seen(set[int]):
    """Symbols that occur. Texts get their numbers when all of them are known: whose time is equal is ranked by number."""

    def see(self, symbols: Numbers) -> Numbers:
        """Note symbols, and hand them on."""
        self.update(np.unique(symbols).tolist())
        return symbols


def numbered(texts: Texts, trace: Trace, word: Callable[[str], str], *groups: Seen) -> Numbers:
    """The number of each symbol's text, ascending by symbol group by group; -1 for those not seen, and for -1."""
    numbers = np.full(len(trace.symbols) + 1, -1, np.int32)
    for seen in groups:
        for symbol in sorted(seen - {-1}):
            numbers[symbol] = texts.number(word(trace.text(symbol)))
    return numbers


def place_of(frame: str) -> str:
    """The place in source of a frame's name, empty for none."""
    found = read_site(frame)
    return str(found) if found else ""


def _sites(
    trace: Trace, frames: FrameIndex, launch: Ints, replayed: Bools, op_row: Ints, calls: Seen, others: Seen
) -> tuple[Numbers, NDArray[np.int8]]:
    """Frames at the launch, which may lie deeper than the operator's call, else at the operator."""
    site = np.full(len(launch), -1, np.int32)
    how = np.zeros(len(launch), np.int8)
    rows = np.flatnonzero((launch >= 0) & ~replayed)
    if len(rows):
        made, inverse = np.unique(launch[rows], return_inverse=True)
        there = frames.innermost(trace.launches.track[made], trace.launches.ts[made])
        site[rows] = calls.see(frames.sites(there))[inverse]
        by_op = op_row[rows] >= 0
        how[rows] = np.where(site[rows] < 0, NOTHING, np.where(by_op, BY_EXTERNAL_ID, BY_LAUNCH))
    rows = np.flatnonzero((site < 0) & (op_row >= 0))
    if len(rows):
        mine = op_row[rows]
        site[rows] = others.see(frames.sites(frames.innermost(trace.ops.track[mine], trace.ops.ts[mine])))
        how[rows] = np.where(site[rows] < 0, NOTHING, BY_EXTERNAL_ID)
    return site, how
