"""The fuse table: neighbours on a stream that an existing fused path would replace, by `rules/fusions.toml`.

Kernels are neighbours when nothing of their stream runs between them, they belong to one step (or to one graph replay
where no step is known), and the pause between them is short. Names alone, somewhere in the stage, are no evidence.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np

from analysis import mapped
from analysis.errors import RulesError
from analysis.kernel_table import sums
from analysis.sources import Texts
from analysis.steps import ORDER, Stage, Staged
from analysis.taxonomy import RULES, family, family_names, short_name
from analysis.trace import Bools, Ints, Trace
from analysis.window import Window

# longer pauses are no launch gap: something else was waited for
_NEAR_NS = 20_000
LIBRARIES = frozenset({"flashinfer"})


@dataclass(frozen=True)
class Part:
    """One place of a sequence."""

    family: str | None
    name: re.Pattern[str] | None
    without: re.Pattern[str] | None


class Path(msgspec.Struct, frozen=True):
    """Where a fused path is: engine, file, pull requests as references, and a limit on where it serves."""

    engine: str
    path: str
    prs: tuple[str, ...]
    only: str


@dataclass(frozen=True)
class Fusion:
    """A pattern of neighbours and the fused paths that replace them."""

    id: str
    title: str
    saves: str
    sequences: tuple[tuple[Part, ...], ...]
    where: tuple[Path, ...]


class FuseRow(msgspec.Struct, frozen=True):
    """A pattern that stands in a stage; rows are numbered by falling headroom.

    Attributes:
        kernels: the neighbours' names in order, `short` ones; `families` theirs.
        times: how often they stand side by side.
        of: how often the rarest of them ran in the stage.
        time_ns: summed durations of the neighbours.
        share: of the stage's kernel time.
        headroom_ns: time of all but the longest of the neighbours and the pauses between them: what a fused kernel
            could save at most, as the longest one's work remains.
        engine: of the trace, None when no step names one.
        status: `in another engine` when only other engines have the path; `off here` when this engine has it as well;
            `library only` when no engine is known to have it; `exists` when the trace's engine isn't known.
        where: the fused paths.
        sources: `path:line function` of the neighbours where known.
    """

    ref: str
    stage: Stage
    number: int
    fusion: str
    title: str
    saves: str
    kernels: tuple[str, ...]
    families: tuple[str, ...]
    times: int
    of: int
    time_ns: int
    share: float
    headroom_ns: int
    engine: str | None
    status: str
    where: tuple[Path, ...]
    sources: tuple[str, ...]


@cache
def fusions() -> tuple[Fusion, ...]:
    """The patterns of the data file.

    Raises:
        RulesError: the file is malformed or names a family that isn't one.
    """
    path = RULES / "fusions.toml"
    try:
        rows = tomllib.loads(path.read_text("utf-8"))["fusion"]
        found = tuple(
            Fusion(
                row["id"],
                row["title"],
                row["saves"],
                tuple(sorted((tuple(map(_part, s)) for s in row["sequence"]), key=len, reverse=True)),
                tuple(Path(w["engine"], w["path"], tuple(w["prs"]), w.get("only", "")) for w in row["where"]),
            )
            for row in rows
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, re.error) as exc:
        raise RulesError(f"{path.name}: {exc}") from exc
    strange = {p.family for f in found for s in f.sequences for p in s} - {None, *family_names()}
    if strange:
        raise RulesError(f"{path.name}: no family is called {', '.join(sorted(map(str, strange)))}")
    return found


def _part(row: dict[str, str]) -> Part:
    name, without = row.get("name"), row.get("without")
    return Part(
        row.get("family"),
        re.compile(name, re.IGNORECASE) if name else None,
        re.compile(without, re.IGNORECASE) if without else None,
    )


class _First(NamedTuple):
    """Where a sequence stands first (its number, device, stream, row), and its sources and families there."""

    at: tuple[int, int, int, int]
    sites: tuple[int, ...]
    families: tuple[int, ...]


class _Found:
    """A fusion's sequence of kernels in a stage, wherever it stands."""

    def __init__(self, first: _First) -> None:
        self.first = first
        self.times = self.time = self.longest = self.pauses = 0


class FuseTable:
    """Looks for the patterns window by window.

    Neighbours that the next window may go on with wait for it: those behind the last pause of their stream.
    """

    def __init__(self, staged: Staged, texts: Texts) -> None:
        self._trace, self._texts = staged.trace, texts
        self._engine = engine_of(staged)
        self._fits = _Fits(staged.trace)
        self._found: dict[tuple[int, str, tuple[int, ...]], _Found] = {}
        self._counts: dict[tuple[int, int], int] = {}  # by stage and name
        self._totals: dict[int, int] = {}  # time by stage
        self._waiting: Window | None = None

    def add(self, window: Window) -> None:
        """Take a window in."""
        width = len(self._trace.symbols)
        found, of, counts = np.unique(
            window.stage.astype(np.int64) * width + window.name, return_inverse=True, return_counts=True
        )
        times = sums(of, window.dur, len(found)).tolist()
        for key, count, time in zip(found.tolist(), counts.tolist(), times, strict=True):
            code, name = divmod(key, width)
            self._counts[code, name] = self._counts.get((code, name), 0) + count
            self._totals[code] = self._totals.get(code, 0) + time
        if self._waiting is not None:
            window = window.behind(self._waiting)
        self._fits.look_at(window)
        order, joined = _neighbours(window)
        last = _last_of_stream(window, order)
        waits = _last_runs(joined, last)
        if waits.sum() > mapped.WINDOW:  # a step without a pause: what no match needs is no neighbour
            joined &= self._crossed(order, joined) | _near_the_last(last)
            waits = _last_runs(joined, last)
        self._waiting = window.part(np.sort(order[waits]))
        self._match(window, order[~waits], joined[~waits])

    def finish(self) -> None:
        """Look at what waits for no other window."""
        if self._waiting is not None:
            self._fits.look_at(self._waiting)
            self._match(self._waiting, *_neighbours(self._waiting))
        self._waiting = None

    def _match(self, window: Window, order: Ints, joined: Bools) -> None:
        for fusion in fusions():
            free = np.ones(len(order), np.bool_)  # of the matches of longer sequences
            for number, sequence in enumerate(fusion.sequences):
                starts = _apart(self._starts(sequence, order, joined, free), len(sequence))
                for at in range(len(sequence)):
                    free[starts + at] = False
                if len(starts):
                    self._note(fusion, number, window, order[starts[:, None] + np.arange(len(sequence))])

    def _starts(self, sequence: tuple[Part, ...], order: Ints, joined: Bools, free: Bools) -> Ints:
        """Places in `order` where a sequence starts."""
        fits = self._fits.of(sequence)
        if fits is None:
            return np.empty(0, np.int64)
        good, size = free.copy(), len(order)
        for at, fit in enumerate(fits):
            good[: max(size - at, 0)] &= (fit[order] & free)[at:]
            good[max(size - at, 0) :] = False
            if at:
                good[: max(size - at, 0)] &= joined[at - 1 : max(size - 1, 0)]
        return np.flatnonzero(good)

    def _crossed(self, order: Ints, joined: Bools) -> Bools:
        """Whether a match stands on a place and on the one after it."""
        crossed = np.zeros(len(order), np.bool_)
        for sequence in (one for fusion in fusions() for one in fusion.sequences):
            starts = self._starts(sequence, order, joined, np.ones(len(order), np.bool_))
            for at in range(len(sequence) - 1):
                crossed[starts + at] = True
        return crossed

    def _note(self, fusion: Fusion, number: int, window: Window, places: Ints) -> None:
        """Add up matches of one sequence by stage and kernels."""
        keys = np.concatenate([window.stage[places[:, :1]].astype(np.int64), window.name[places]], 1)
        dur = window.dur[places]
        pauses = np.maximum(window.ts[places[:, 1:]] - window.end[places[:, :-1]], 0)
        for key in np.unique(keys, axis=0):
            mine = (keys == key).all(axis=1)
            one = places[mine][0]
            first = _First(
                (number, int(window.device[one[0]]), int(window.stream[one[0]]), int(window.row[one[0]])),
                tuple(window.site[one].tolist()),
                tuple(window.family[one].tolist()),
            )
            found = self._found.setdefault((int(key[0]), fusion.id, tuple(key[1:].tolist())), _Found(first))
            found.first = min(found.first, first)
            found.times += int(mine.sum())
            found.time += int(dur[mine].sum())
            found.longest += int(dur[mine].max(axis=1).sum())
            found.pauses += int(pauses[mine].sum())

    def rows(self) -> list[FuseRow]:
        """Rows of every stage by falling headroom."""
        place = {fusion.id: number for number, fusion in enumerate(fusions())}
        by_id = {fusion.id: fusion for fusion in fusions()}
        found = sorted(
            self._found.items(), key=lambda item: (place[item[0][1]], item[1].first.at[0], item[0])
        )
        rows = [self._row(code, by_id[name], symbols, one) for (code, name, symbols), one in found]
        rows.sort(key=lambda row: (ORDER.index(row.stage), -row.headroom_ns, row.fusion, row.kernels))
        return _numbered(self._trace, rows)

    def _row(self, code: int, fusion: Fusion, symbols: tuple[int, ...], found: _Found) -> FuseRow:
        total = self._totals[code]
        return FuseRow(
            ref="",
            stage=ORDER[code],
            number=0,
            fusion=fusion.id,
            title=fusion.title,
            saves=fusion.saves,
            kernels=tuple(short_name(self._trace.text(n)) for n in symbols),
            families=tuple(family_names()[family] for family in found.first.families),
            times=found.times,
            of=min(self._counts[code, n] for n in set(symbols)),
            time_ns=found.time,
            share=found.time / total if total else 0.0,
            headroom_ns=found.time - found.longest + found.pauses,
            engine=self._engine,
            status=_status(fusion, self._engine),
            where=fusion.where,
            sources=tuple(dict.fromkeys(text for n in found.first.sites if (text := self._texts[n]))),
        )


def _neighbours(window: Window) -> tuple[Ints, Bools]:
    """Kernels by device, stream and start, and whether each is joined to the one after it."""
    order = np.lexsort((window.ts, window.stream, window.device))
    a, b = order[:-1], order[1:]
    step, launch = window.step, window.launch
    together = np.where(step[a] >= 0, step[a] == step[b], (step[b] < 0) & (launch[a] == launch[b]))
    joined = (
        (window.device[a] == window.device[b])
        & (window.stream[a] == window.stream[b])
        & together
        & (window.ts[b] - window.end[a] <= _NEAR_NS)
        & window.is_kernel[a]
        & window.is_kernel[b]
    )
    return order, np.concatenate((joined, [False]))


def _last_of_stream(window: Window, order: Ints) -> Bools:
    """Places in `order` behind which another stream begins."""
    device, stream = window.device[order], window.stream[order]
    return np.concatenate(((device[1:] != device[:-1]) | (stream[1:] != stream[:-1]), [True]))


def _last_runs(joined: Bools, last: Bools) -> Bools:
    """Places that the next kernel of their stream may be joined to, by way of others."""
    run = np.concatenate(([0], np.cumsum(~joined[:-1])))
    return np.isin(run, run[last])


def _near_the_last(last: Bools) -> Bools:
    """Places from which a sequence would reach past the last one of the stream."""
    ends = np.flatnonzero(last)
    reach = max(len(sequence) for fusion in fusions() for sequence in fusion.sequences)
    return ends[np.searchsorted(ends, np.arange(len(last)))] - np.arange(len(last)) < reach


def _apart(starts: Ints, length: int) -> Ints:
    """Starts without those that lie in the match of one before them."""
    if len(starts) < 2 or not (np.diff(starts) < length).any():
        return starts
    kept = [int(starts[0])]
    for start in starts[1:].tolist():
        if start - kept[-1] >= length:
            kept.append(start)
    return np.array(kept, np.int64)


class _Fits:
    """Which kernels of a window fit a place of a sequence, decided once a name."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._known: dict[tuple[Part, int], bool] = {}

    def look_at(self, window: Window) -> None:
        """Take another window."""
        self._names, self._of = np.unique(window.name, return_inverse=True)

    def of(self, sequence: tuple[Part, ...]) -> list[Bools] | None:
        """For each place the kernels of the window that fit it; None when for one there is none."""
        found = []
        for part in sequence:
            good = np.array([self._fits(part, name) for name in self._names.tolist()], np.bool_)
            if not good.any():
                return None
            found.append(good[self._of])
        return found

    def _fits(self, part: Part, name: int) -> bool:
        if (part, name) not in self._known:
            text = self._trace.text(name)
            self._known[part, name] = (
                (part.family is None or part.family == family(text))
                and (part.name is None or part.name.search(text) is not None)
                and (part.without is None or part.without.search(text) is None)
            )
        return self._known[part, name]


def engine_of(staged: Staged) -> str | None:
    """The engine that wrote the trace, as its steps or its header say."""
    trace = staged.trace
    if "vllm_version" in trace.header:
        return "vllm"
    if "sglang" in staged.engines:  # SGLang on ROCm writes vLLM's form around its own
        return "sglang"
    return next(iter(staged.engines)) if len(staged.engines) == 1 else None


def _status(fusion: Fusion, engine: str | None) -> str:
    engines = {path.engine for path in fusion.where} - LIBRARIES
    if not engines:
        return "library only"
    if engine is None:
        return "exists"
    return "off here" if engine in engines else "in another engine"


def _numbered(trace: Trace, rows: list[FuseRow]) -> list[FuseRow]:
    numbers: dict[Stage, int] = {}
    done = []
    for row in rows:
        number = numbers[row.stage] = numbers.get(row.stage, 0) + 1
        done.append(
            msgspec.structs.replace(row, number=number, ref=f"{trace.ref}/{row.stage.value}/fuse/{number}")
        )
    return done
