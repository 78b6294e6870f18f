"""The fuse table: neighbours on a stream that an existing fused path would replace, by `rules/fusions.toml`.

Kernels are neighbours when nothing of their stream runs between them, they belong to one step (or to one graph replay
where no step is known), and the pause between them is short. Names alone, somewhere in the stage, are no evidence.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import RulesError
from analysis.sources import Sources
from analysis.steps import ORDER, Stage, Staged, read_step
from analysis.taxonomy import RULES, family_names, family_of_kernels, short_name
from analysis.trace import Bools, Ints, Trace

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray

# longer pauses are no launch gap: something else was waited for
_NEAR_NS = 20_000
LIBRARIES = frozenset({"flashinfer"})


@dataclass(frozen=True)
class Part:
    """One place of a sequence."""

    family: str | None
    name: re.Pattern[str] | None
    without: re.Pattern[str] | None


@dataclass(frozen=True)
class Path:
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


@dataclass(frozen=True)
class FuseRow:
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


def fuse_rows(staged: Staged, sources: Sources) -> list[FuseRow]:
    """Rows of every stage by falling headroom."""
    trace = staged.trace
    if len(trace.kernels) < 2:
        return []
    order, joined = _neighbours(staged, sources)
    stage = staged.kernel_stage
    engine = engine_of(staged)
    fits = _Fits(trace)
    found: dict[tuple[int, str, tuple[int, ...]], list[Ints]] = {}
    for fusion in fusions():
        taken = np.zeros(len(order), np.bool_)
        for sequence in fusion.sequences:
            starts = _matches(order, joined, taken, [fits(part) for part in sequence])
            for at in range(len(sequence)):
                taken[starts + at] = True
            rows = order[starts[:, None] + np.arange(len(sequence))]
            keys = np.concatenate(
                [stage[rows[:, :1]].astype(np.int64), trace.kernels.name[rows].astype(np.int64)], 1
            )
            for key in np.unique(keys, axis=0):
                mine = rows[(keys == key).all(axis=1)]
                found.setdefault((int(key[0]), fusion.id, tuple(key[1:].tolist())), []).append(mine)
    return _rows(staged, sources, engine, {key: np.concatenate(rows) for key, rows in found.items()})


def _neighbours(staged: Staged, sources: Sources) -> tuple[Ints, Bools]:
    """Kernels by device, stream and start, and whether each is joined to the one after it."""
    kernels = staged.trace.kernels
    order = np.lexsort((kernels.ts, kernels.stream, kernels.device))
    a, b = order[:-1], order[1:]
    step = staged.kernel_step
    together = np.where(
        step[a] >= 0, step[a] == step[b], (step[b] < 0) & (sources.launch[a] == sources.launch[b])
    )
    joined = (
        (kernels.device[a] == kernels.device[b])
        & (kernels.stream[a] == kernels.stream[b])
        & together
        & (kernels.ts[b] - kernels.end[a] <= _NEAR_NS)
        & kernels.is_kernel[a]
        & kernels.is_kernel[b]
    )
    return order, np.concatenate((joined, [False]))


class _Fits:
    """Which kernels fit a place of a sequence, decided once a name."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._names, first, self._inverse = np.unique(
            trace.kernels.name, return_index=True, return_inverse=True
        )
        order = family_names()
        self._families = [order[code] for code in family_of_kernels(trace)[first].tolist()]

    def __call__(self, part: Part) -> Bools:
        """For each kernel of the trace, in its order."""
        good = [
            (part.family is None or part.family == family)
            and (part.name is None or part.name.search(text) is not None)
            and (part.without is None or part.without.search(text) is None)
            for text, family in zip(
                (self._trace.text(int(n)) for n in self._names), self._families, strict=True
            )
        ]
        return np.array(good, np.bool_)[self._inverse]


def _matches(order: Ints, joined: Bools, taken: Bools, fits: list[Bools]) -> Ints:
    """Places in `order` where a sequence starts; those that a longer one took are left out, and overlaps of its own."""
    good = np.ones(len(order), np.bool_)
    for at, fit in enumerate(fits):
        here = (fit[order] & ~taken)[at:]
        good &= np.concatenate((here, np.zeros(at, np.bool_)))
        if at:
            good &= np.concatenate((joined[at - 1 :], np.zeros(at - 1, np.bool_)))
    starts = np.flatnonzero(good)
    if len(fits) > 1 and len(starts) and (np.diff(starts) < len(fits)).any():
        kept = [int(starts[0])]
        for start in starts[1:].tolist():
            if start - kept[-1] >= len(fits):
                kept.append(start)
        starts = np.array(kept, np.int64)
    return starts


def engine_of(staged: Staged) -> str | None:
    """The engine that wrote the trace, as its steps or its header say."""
    trace = staged.trace
    if "vllm_version" in trace.header:
        return "vllm"
    names = {trace.text(int(number)) for number in np.unique(trace.annotations.name)}
    engines = {found.engine for name in names if (found := read_step(name))}
    if "sglang" in engines:  # SGLang on ROCm writes vLLM's form around its own
        return "sglang"
    return engines.pop() if len(engines) == 1 else None


def _status(fusion: Fusion, engine: str | None) -> str:
    engines = {path.engine for path in fusion.where} - LIBRARIES
    if not engines:
        return "library only"
    if engine is None:
        return "exists"
    return "off here" if engine in engines else "in another engine"


def _rows(
    staged: Staged, sources: Sources, engine: str | None, found: dict[tuple[int, str, tuple[int, ...]], Ints]
) -> list[FuseRow]:
    trace = staged.trace
    kernels = trace.kernels
    stage: NDArray[np.int8] = staged.kernel_stage
    by_id = {fusion.id: fusion for fusion in fusions()}
    family = family_of_kernels(trace)
    totals = {code: int(kernels.dur[stage == code].sum()) for code in {key[0] for key in found}}
    rows: list[FuseRow] = []
    for (code, name, symbols), places in found.items():
        fusion = by_id[name]
        dur = kernels.dur[places]
        pauses = np.maximum(kernels.ts[places[:, 1:]] - kernels.end[places[:, :-1]], 0)
        sites = [sources.texts[int(n)] for n in sources.site[places[0]]]
        in_stage = stage == code
        rows.append(
            FuseRow(
                ref="",
                stage=ORDER[code],
                number=0,
                fusion=name,
                title=fusion.title,
                saves=fusion.saves,
                kernels=tuple(short_name(trace.text(n)) for n in symbols),
                families=tuple(family_names()[code] for code in family[places[0]].tolist()),
                times=len(places),
                of=min(int((in_stage & (kernels.name == n)).sum()) for n in set(symbols)),
                time_ns=int(dur.sum()),
                share=int(dur.sum()) / totals[code] if totals[code] else 0.0,
                headroom_ns=int(dur.sum() - dur.max(axis=1).sum() + pauses.sum()),
                engine=engine,
                status=_status(fusion, engine),
                where=fusion.where,
                sources=tuple(dict.fromkeys(site for site in sites if site)),
            )
        )
    rows.sort(key=lambda row: (ORDER.index(row.stage), -row.headroom_ns, row.fusion, row.kernels))
    return _numbered(trace, rows)


def _numbered(trace: Trace, rows: list[FuseRow]) -> list[FuseRow]:
    from dataclasses import replace

    numbers: dict[Stage, int] = {}
    done = []
    for row in rows:
        number = numbers[row.stage] = numbers.get(row.stage, 0) + 1
        done.append(replace(row, number=number, ref=f"{trace.ref}/{row.stage.value}/fuse/{number}"))
    return done
