"""Sources for graph replays, out of a trace in which the same kernels were launched one by one.

Such a trace is that of the capture itself (the launches between cudaStreamBeginCapture and cudaStreamEndCapture), or
one of the same work without graphs. A replayed graph is compared with each sequence of launches by the kernels' names;
HIP writes them at the launch, CUDA doesn't during a capture. Without names a sequence counts only when it is as long
as the graph and the families of operators and kernels don't contradict each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.finding import symbols_at
from analysis.links import FrameIndex, Operators
from analysis.mapped import together, windows
from analysis.sources import BY_CAPTURE, Seen, Sources, Texts, numbered, place_of, sources_of_kernels
from analysis.steps import stage
from analysis.taxonomy import OTHER, family
from analysis.trace import Bools, Ints, Numbers, Trace

# below this share of kernels found in order, two sequences aren't the same graph
_ALIKE = 0.6


@dataclass(frozen=True)
class Captured:
    """Kernels that were launched one after the other, with their sources.

    Attributes:
        names: of the kernels; empty texts where the runtime doesn't say.
        sites, ops: numbers of texts, -1 without.
    """

    names: tuple[str, ...]
    sites: tuple[int, ...]
    ops: tuple[int, ...]

    @property
    def named(self) -> bool:
        """Whether the kernels' names are known."""
        return all(self.names)


@dataclass
class CaptureUse:
    """How much of the replays a capture trace explained.

    Attributes:
        graphs: distinct sequences of kernels that were replayed.
        matched: those of them that were found in the capture trace.
        kernels, explained: replayed kernels and those that got a source.
        notes: why something wasn't matched.
    """

    graphs: int = 0
    matched: int = 0
    kernels: int = 0
    explained: int = 0
    notes: list[str] = field(default_factory=list)


def with_capture(trace: Trace, sources: Sources, captures: Sequence[Trace]) -> CaptureUse:
    """Fill sources of replayed kernels in from capture traces."""
    use = CaptureUse()
    known = [found for capture in captures for found in captured_sequences(capture, sources.texts)]
    graphs = _Graphs(trace, sources)
    use.graphs, use.kernels = len(graphs.replays), graphs.kernels
    options: dict[tuple[int, ...], list[tuple[Captured, list[tuple[int, int]]]]] = {}
    for symbols, replays in graphs.replays.items():
        names = tuple(trace.text(number) for number in symbols)
        options[symbols] = _alike(names, known, sources.texts)
        if not options[symbols]:
            use.notes.append(
                f"a graph of {len(names)} kernels, replayed {len(replays)} times, isn't in the capture trace"
            )
        else:
            use.matched += 1
    for symbols, rows in graphs.whole():
        fitting = options[symbols]
        if fitting:
            sequence, pairs = fitting[graphs.replays[symbols][int(rows[0])] % len(fitting)]
            here, there = np.array(pairs, np.int64).reshape(-1, 2).T
            sources.site[rows[here]] = np.array(sequence.sites, np.int32)[there]
            sources.op[rows[here]] = np.array(sequence.ops, np.int32)[there]
            sources.how[rows[here]] = BY_CAPTURE
            use.explained += len(here)
    return use


class _Graphs:
    """The graphs that were replayed.

    Attributes:
        replays: names of a graph's kernels -> first row of each replay -> its number; by first row, both.
        kernels: how many kernels they are.
    """

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        found: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        self.kernels = 0
        for symbols, rows in self.whole():
            found[symbols].append(int(rows[0]))
            self.kernels += len(rows)
        self.replays = {
            symbols: {row: number for number, row in enumerate(sorted(rows))}
            for symbols, rows in sorted(found.items(), key=lambda item: min(item[1]))
        }

    def whole(self) -> Iterator[tuple[tuple[int, ...], Ints]]:
        """The names and rows of each replay: kernels of one launch."""
        names = self._trace.kernels.name
        for _, rows in together(len(names), self._correlation):
            yield tuple(names[rows].tolist()), rows

    def _correlation(self, at: slice) -> Ints:
        kernels = self._trace.kernels.part(at)
        # a replay has a launch, and its correlation with it
        return np.where(self._sources.replayed[at] & kernels.is_kernel, kernels.correlation, -1)


def _alike(
    names: tuple[str, ...], known: list[Captured], texts: Texts
) -> list[tuple[Captured, list[tuple[int, int]]]]:
    """Captured sequences of a graph, with pairs of places; all that fit equally well, in their order."""
    straight = [(at, at) for at in range(len(names))]
    exact = [(found, straight) for found in known if found.names == names]
    if exact:
        return exact
    import difflib

    best: list[tuple[Captured, list[tuple[int, int]]]] = []
    share = _ALIKE
    for found in known:
        if not found.named:
            continue
        blocks = difflib.SequenceMatcher(None, names, found.names, autojunk=False).get_matching_blocks()
        pairs = [(b.a + i, b.b + i) for b in blocks for i in range(b.size)]
        if len(pairs) / len(names) > share:
            best, share = [(found, pairs)], len(pairs) / len(names)
    if best:
        return best
    return [
        (found, straight)
        for found in known
        if not found.named and len(found.names) == len(names) and _agree(names, found, texts)
    ]


def _agree(names: tuple[str, ...], found: Captured, texts: Texts) -> bool:
    """Whether operators launch kernels of their own family, wherever both families are telling."""
    telling = {
        "gemm",
        "attention",
        "norm",
        "rope",
        "activation",
        "moe",
        "communication",
        "quantization",
        "linear_attention",
    }
    pairs = [(family(name), family(texts[op] or "")) for name, op in zip(names, found.ops, strict=True)]
    both = [(a, b) for a, b in pairs if a in telling and b in telling and OTHER not in (a, b)]
    return not both or sum(a == b for a, b in both) >= 0.8 * len(both)


def captured_sequences(capture: Trace, texts: Texts) -> list[Captured]:
    """The graphs that were captured; else the steps of a trace without graphs; else all its kernels as one."""
    return _captured(capture, texts) or _eager(capture, texts)


def _captured(capture: Trace, texts: Texts) -> list[Captured]:
    launches = capture.launches
    begins, ends = (
        _rows_named(capture, _begins),
        _rows_named(capture, lambda name: "StreamEndCapture" in name),
    )
    kernel_calls = np.array(["Launch" in text and "Kernel" in text for text in capture.symbols], np.bool_)
    operators, frames = Operators(capture), FrameIndex(capture)
    found: list[Captured] = []
    for begin in begins.tolist():
        later = ends[(ends > begin) & (launches.track[ends] == launches.track[begin])]
        span = slice(begin + 1, int(later[0]) if len(later) else len(launches))
        mine = (launches.track[span] == launches.track[begin]) & kernel_calls[launches.name[span]]
        rows = np.flatnonzero(mine) + span.start
        if len(rows):
            names = tuple(capture.text(number) for number in launches.kernel[rows].tolist())
            sites = frames.sites(frames.innermost(launches.track[rows], launches.ts[rows]))
            ops = symbols_at(capture.ops.name, operators.of_launches(rows))
            found.append(
                Captured(names, _texts(texts, capture, sites, place_of), _texts(texts, capture, ops, str))
            )
    return found


def _begins(name: str) -> bool:
    return (
        name.endswith("StreamBeginCapture") or "StreamBeginCapture_" in name or "BeginCaptureToGraph" in name
    )


def _rows_named(capture: Trace, good: Callable[[str], bool]) -> Ints:
    """Launches with a name of some kind."""
    wanted, names = np.array([good(text) for text in capture.symbols], np.bool_), capture.launches.name
    rows = [np.flatnonzero(wanted[names[at]]) + at.start for at in windows(len(names))]
    return np.concatenate([np.empty(0, np.int64), *rows])


def _texts(texts: Texts, capture: Trace, symbols: Numbers, word: Callable[[str], str]) -> tuple[int, ...]:
    """Numbers of the texts of symbols."""
    seen = Seen(symbols.tolist())
    return tuple(numbered(texts, capture, word, seen)[symbols].tolist())


def _eager(capture: Trace, texts: Texts) -> list[Captured]:
    """Sequences of kernels of a trace that launched them one by one, a step each; equal ones are held once."""
    staged = stage(capture)
    own, kernels = sources_of_kernels(capture, staged.launch), capture.kernels
    known: dict[Captured, Captured] = {}

    def alone(at: slice) -> Bools:
        return kernels.part(at).is_kernel & ~own.replayed[at] & (own.launch[at] >= 0)

    def sequence(rows: Ints) -> Captured:
        names = tuple(capture.text(number) for number in kernels.name[rows].tolist())
        sites = tuple(texts.number(own.texts[number] or "") for number in own.site[rows].tolist())
        ops = tuple(texts.number(own.texts[number] or "") for number in own.op[rows].tolist())
        made = Captured(names, sites, ops)
        return known.setdefault(made, made)

    steps = together(len(kernels), lambda at: np.where(alone(at), staged.kernel_step[at], -1))
    found = {step: sequence(rows) for step, rows in steps}
    if found:
        return [found[step] for step in sorted(found)]
    rows = np.concatenate(
        [np.flatnonzero(alone(at)) + at.start for at in windows(len(kernels))] or [np.empty(0, np.int64)]
    )
    return [sequence(rows)] if len(rows) else []
