"""Sources for graph replays, out of a trace in which the same kernels were launched one by one.

Such a trace is that of the capture itself (the launches between cudaStreamBeginCapture and cudaStreamEndCapture), or
one of the same work without graphs. A replayed graph is compared with each sequence of launches by the kernels' names;
HIP writes them at the launch, CUDA doesn't during a capture. Without names a sequence counts only when it is as long
as the graph and the families of operators and kernels don't contradict each other.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.links import op_of_kernels
from analysis.sources import BY_CAPTURE, Sources, Texts, _frames, _words, sources_of_kernels
from analysis.steps import find_steps
from analysis.taxonomy import OTHER, family
from analysis.trace import Ints, Trace

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


def with_capture(trace: Trace, sources: Sources, captures: Sequence[Trace]) -> tuple[Sources, CaptureUse]:
    """Sources with those of replayed kernels filled in from capture traces."""
    use = CaptureUse()
    texts = sources.texts
    known = [found for capture in captures for found in captured_sequences(capture, texts)]
    site, op, how = sources.site.copy(), sources.op.copy(), sources.how.copy()
    kernels = trace.kernels
    rows = np.flatnonzero(sources.replayed & kernels.is_kernel)
    by_graph: defaultdict[int, list[int]] = defaultdict(list)
    for row, correlation in zip(rows.tolist(), kernels.correlation[rows].tolist(), strict=True):
        by_graph[correlation].append(row)
    by_names: defaultdict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for graph in by_graph.values():
        by_names[tuple(kernels.name[graph].tolist())].append(graph)
    use.graphs, use.kernels = len(by_names), len(rows)
    for symbols, replays in by_names.items():
        names = tuple(trace.text(number) for number in symbols)
        options = _alike(names, known, texts)
        if not options:
            use.notes.append(
                f"a graph of {len(names)} kernels, replayed {len(replays)} times, isn't in the capture trace"
            )
            continue
        use.matched += 1
        for number, graph in enumerate(replays):
            sequence, pairs = options[number % len(options)]
            for at, other in pairs:
                site[graph[at]], op[graph[at]] = sequence.sites[other], sequence.ops[other]
                how[graph[at]] = BY_CAPTURE
    use.explained = int((how[rows] == BY_CAPTURE).sum())
    return replace(sources, site=site, op=op, how=how), use


def _alike(
    names: tuple[str, ...], known: list[Captured], texts: Texts
) -> list[tuple[Captured, list[tuple[int, int]]]]:
    """Captured sequences of a graph, with pairs of places; all that fit equally well, in their order."""
    straight = [(at, at) for at in range(len(names))]
    exact = [(found, straight) for found in known if found.names == names]
    if exact:
        return exact
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
    graphs = _graphs(capture, texts)
    return graphs or _eager(capture, texts)


def _graphs(capture: Trace, texts: Texts) -> list[Captured]:
    launches = capture.launches
    words = {n: capture.text(n) for n in np.unique(launches.name).tolist()}
    begins = np.flatnonzero(
        np.isin(
            launches.name,
            [
                n
                for n, w in words.items()
                if w.endswith("StreamBeginCapture")
                or "StreamBeginCapture_" in w
                or "BeginCaptureToGraph" in w
            ],
        )
    )
    ends = np.flatnonzero(np.isin(launches.name, [n for n, w in words.items() if "StreamEndCapture" in w]))
    kernel_calls = np.isin(launches.name, [n for n, w in words.items() if "Launch" in w and "Kernel" in w])
    found = []
    for begin in begins.tolist():
        later = ends[(ends > begin) & (launches.track[ends] == launches.track[begin])]
        last = int(later[0]) if len(later) else len(launches)
        span = np.arange(begin + 1, last)
        rows = span[(launches.track[span] == launches.track[begin]) & kernel_calls[span]]
        if len(rows):
            found.append(_of_launches(capture, rows, texts))
    return found


def _of_launches(capture: Trace, rows: Ints, texts: Texts) -> Captured:
    launches, ops = capture.launches, capture.ops
    names = tuple(capture.text(number) for number in launches.kernel[rows].tolist())
    sites = _frames(capture, texts, launches.track[rows], launches.ts[rows])
    op_row = np.full(len(rows), -1, np.int64)
    if len(ops):
        order = np.argsort(ops.external, kind="stable")
        place = np.minimum(np.searchsorted(ops.external[order], launches.external[rows]), len(order) - 1)
        hit = (launches.external[rows] >= 0) & (ops.external[order][place] == launches.external[rows])
        op_row = np.where(hit, order[place], -1)
    return Captured(names, tuple(sites.tolist()), tuple(_words(texts, capture, ops.name, op_row).tolist()))


def _eager(capture: Trace, texts: Texts) -> list[Captured]:
    """Sequences of kernels of a trace that launched them one by one, a step each."""
    own = sources_of_kernels(capture)
    kernels = capture.kernels
    rows = np.flatnonzero(~own.replayed & kernels.is_kernel & (own.launch >= 0))
    if not len(rows):
        return []
    at = capture.launches.ts[own.launch[rows]]
    track = capture.launches.track[own.launch[rows]]
    groups = [rows[(at >= s.start_ns) & (at < s.end_ns) & (track == s.track)] for s in find_steps(capture)]
    op_row = op_of_kernels(capture, own.launch)
    found = []
    for group in [g for g in groups if len(g)] or [rows]:
        sites = tuple(texts.number(own.texts[n] or "") for n in own.site[group].tolist())
        names = tuple(capture.text(n) for n in kernels.name[group].tolist())
        found.append(
            Captured(names, sites, tuple(_words(texts, capture, capture.ops.name, op_row[group]).tolist()))
        )
    return found
