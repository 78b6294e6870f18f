"""Layers in one sequence of kernels, from the order of kernel families alone: no table of models, no fixed period.

Every decoder layer mixes tokens once (attention, linear attention) and between two mixers stands what comes after the
first and before the second. The boundary lies behind the MLP's last kernels, at the norm that reads the residual
stream; a kernel that fuses an all-reduce with that norm closes its layer. What the first layer has in front of its
mixer and the last one behind it is taken from their neighbours, so embedding, final norm, head and sampling stay out
and no layer is lost at either end. Where no mixer is known by its name, the shortest period of the names serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MIXERS = frozenset({"attention", "linear_attention"})
MLP = frozenset({"activation", "moe"})
HEAD = frozenset({"embedding", "sampling"})  # families that stand between two passes and never within one
# kernels that may stand between two kernels of one mixer: reshapes, scales, rope of a fused pair
_INSIDE = frozenset(
    {"memory", "elementwise", "reduction", "quantization", "rope", "kv_cache", "norm", "other"}
)


@dataclass(frozen=True)
class Kernel:
    """What the search looks at: a kernel's family and name."""

    family: str
    name: str


@dataclass(frozen=True)
class Span:
    """A layer as places in the sequence.

    Attributes:
        first, last: its kernels, `last` exclusive.
        mixer, mixed: its mixer's kernels, `mixed` exclusive.
        mlp: first kernel of its MLP half.
    """

    first: int
    last: int
    mixer: int
    mixed: int
    mlp: int


def find_passes(kernels: Sequence[Kernel]) -> list[list[Span]]:
    """Forward passes in a sequence, each as its layers in order; empty where there is none."""
    mixers = _mixers(kernels)
    if not mixers:
        repeated = _by_period(kernels)
        return [repeated] if repeated else []
    inner = [_boundary(kernels, a[1], b[0]) for a, b in pairwise(mixers)]
    breaks = [_is_head(kernels, a[1], b[0]) for a, b in pairwise(mixers)]
    passes: list[list[int]] = [[0]]
    for i, broken in enumerate(breaks):
        if broken:
            passes.append([i + 1])
        else:
            passes[-1].append(i + 1)
    before = _befores(kernels, mixers, inner, breaks)
    after = _afters(kernels, mixers, inner, breaks)
    found = []
    for numbers in passes:
        floor = mixers[numbers[0] - 1][1] if numbers[0] else 0
        ceiling = mixers[numbers[-1] + 1][0] if numbers[-1] + 1 < len(mixers) else len(kernels)
        starts = [_first_start(kernels, mixers[numbers[0]][0], floor, before)]
        starts += [inner[i - 1] for i in numbers[1:]]
        end = _last_end(kernels, mixers[numbers[-1]][1], ceiling, after)
        ends = [*starts[1:], end]
        found.append(
            [
                Span(start, stop, *mixers[i], _mlp_start(kernels, mixers[i][1], stop))
                for i, start, stop in zip(numbers, starts, ends, strict=True)
            ]
        )
    return found


def _mixers(kernels: Sequence[Kernel]) -> list[tuple[int, int]]:
    """Places of the mixers: runs of their kernels, each with a projection in front of it."""
    places = [i for i, k in enumerate(kernels) if k.family in MIXERS]
    runs: list[tuple[int, int]] = []
    has_mlp = any(k.family in MLP for k in kernels)
    for i in places:
        if runs:
            start, end = runs[-1]
            between = kernels[end:i]
            families = {k.family for k in between}
            before = [k for k in kernels[start:end] if k.family in MIXERS]
            # one mixer: nothing but reshapes between; a convolution and its scan; or, where layers have MLPs,
            # no MLP between two kernels of attention (an indexer and the attention that it serves)
            same = families <= _INSIDE or all("conv1d" in k.name for k in before)
            both = {k.family for k in before} | {kernels[i].family} == {"attention"}
            if same or (has_mlp and both and not families & (MLP | HEAD | {"communication"})):
                runs[-1] = (start, i + 1)
                continue
        if any(k.family in ("gemm", "quantization") for k in kernels[(runs[-1][1] if runs else 0) : i]):
            runs.append((i, i + 1))
    return runs


def _boundary(kernels: Sequence[Kernel], start: int, end: int) -> int:
    """First kernel of the next layer, between the end of one mixer and the start of the next."""
    mlp = [i for i in range(start, end) if kernels[i].family in MLP]
    at = mlp[-1] + 1 if mlp else _after_gemm(kernels, start, end)
    for i in range(at, end):
        if kernels[i].family == "norm":
            return i
        if kernels[i].family == "communication" and _holds_norm(kernels, i, end):
            return i + 1
    # no norm of its own: behind the down projection
    return _after_gemm(kernels, at, end) if mlp else at


def _holds_norm(kernels: Sequence[Kernel], at: int, end: int) -> bool:
    """Whether a collective has the next norm fused in: a projection follows with no norm between."""
    for i in range(at + 1, end):
        if kernels[i].family == "norm":
            return False
        if kernels[i].family == "gemm":
            return True
    return False


def _after_gemm(kernels: Sequence[Kernel], start: int, end: int) -> int:
    """Behind the first matrix product and the reductions that belong to it."""
    for i in range(start, end):
        if kernels[i].family == "gemm":
            i += 1
            while i < end and "splitk" in kernels[i].name.lower() and "reduce" in kernels[i].name.lower():
                i += 1
            return i
    return start


def _is_head(kernels: Sequence[Kernel], start: int, end: int) -> bool:
    """Whether a pass ends between two mixers: logits become tokens, tokens become embeddings.

    A router's top-k has experts behind it, a lookup for rotary embedding has no projection behind it any more.
    """
    mlp = max((i for i in range(start, end) if kernels[i].family in MLP), default=start - 1)
    projection = max((i for i in range(start, end) if kernels[i].family == "gemm"), default=end)
    return any(kernels[i].family in HEAD for i in range(mlp + 1, projection))


def _befores(
    kernels: Sequence[Kernel], mixers: Sequence[tuple[int, int]], inner: Sequence[int], breaks: Sequence[bool]
) -> list[tuple[str, ...]]:
    """What stands in front of a mixer in its layer, as families, the most frequent first."""
    rows = [_families(kernels, inner[i], mixers[i + 1][0]) for i in range(len(inner)) if not breaks[i]]
    return [row for row, _ in Counter(rows).most_common()]


def _afters(
    kernels: Sequence[Kernel], mixers: Sequence[tuple[int, int]], inner: Sequence[int], breaks: Sequence[bool]
) -> list[tuple[str, ...]]:
    """What stands behind a mixer in its layer, as families, the most frequent first."""
    rows = [_families(kernels, mixers[i][1], inner[i]) for i in range(len(inner)) if not breaks[i]]
    return [row for row, _ in Counter(rows).most_common()]


def _families(kernels: Sequence[Kernel], start: int, end: int) -> tuple[str, ...]:
    return tuple(kernels[i].family for i in range(start, end))


def _first_start(kernels: Sequence[Kernel], mixer: int, floor: int, before: Sequence[tuple[str, ...]]) -> int:
    """Where a pass's first layer starts."""
    best = 0
    for row in before:
        there = _families(kernels, max(floor, mixer - len(row)), mixer)
        if there == row:
            best = max(best, len(row))
    if best:
        return _with_own_norm(kernels, mixer - best, floor)
    # nothing like it: back over what prepares the mixer, its projections, and the norm in front of them
    i = mixer
    while i > floor and kernels[i - 1].family not in HEAD | MLP:
        i -= 1
    while i < mixer and kernels[i].family != "norm" and not _projects(kernels, i, mixer):
        i += 1
    return i


def _projects(kernels: Sequence[Kernel], i: int, mixer: int) -> bool:
    return kernels[i].family in ("gemm", "quantization") and all(
        kernels[j].family not in ("norm", "embedding") or j > i + 1 for j in range(i, mixer)
    )


def _with_own_norm(kernels: Sequence[Kernel], start: int, floor: int) -> int:
    """The first layer's norm is a kernel of its own where the others' are fused into the collective before them."""
    fused = kernels[start].family != "norm"
    return start - 1 if fused and start > floor and kernels[start - 1].family == "norm" else start


def _last_end(kernels: Sequence[Kernel], mixed: int, ceiling: int, after: Sequence[tuple[str, ...]]) -> int:
    """Where a pass's last layer ends."""
    best = 0
    for row in after:
        if _families(kernels, mixed, min(ceiling, mixed + len(row))) == row:
            best = max(best, len(row))
    if best:
        return mixed + best
    # a layer of a kind that has no successor here, or one cut off: by the rule for boundaries
    stop = next((i for i in range(mixed, ceiling) if kernels[i].family in HEAD), ceiling)
    mlp = [i for i in range(mixed, stop) if kernels[i].family in MLP]
    at = mlp[-1] + 1 if mlp else _after_gemm(kernels, mixed, stop)
    for i in range(at, stop):
        if kernels[i].family == "norm":
            return i
        if kernels[i].family == "communication":
            return i + 1
    return min(stop, _after_gemm(kernels, at, stop))


def _mlp_start(kernels: Sequence[Kernel], mixed: int, end: int) -> int:
    """First kernel of the MLP half: the norm behind the output projection, or what follows a collective with it."""
    at = _after_gemm(kernels, mixed, end)
    for i in range(at, end):
        if kernels[i].family == "norm":
            return i
        if kernels[i].family == "communication" and _holds_norm(kernels, i, end):
            return i + 1
    return at


def _by_period(kernels: Sequence[Kernel], least: int = 3, longest: int = 400) -> list[Span]:
    """Layers by the shortest period of the names that repeats `least` times and more and covers half the sequence.

    A layer multiplies by weights: what repeats without a matrix product, or a kernel unknown by name, is none.
    """
    names = [k.name for k in kernels]
    count = len(names)
    if not any(k.family in ("gemm", "moe", "other") for k in kernels):
        return []
    for period in range(2, min(longest, count // least) + 1):
        # runs of places whose name stands one period further on, too
        best, start, run = (0, 0), 0, 0
        for i in range(count - period):
            if names[i] == names[i + period]:
                start = i if not run else start
                run += 1
                best = max(best, (run, -start))
            else:
                run = 0
        length, at = best[0] + period, -best[1]
        times = length // period
        if best[0] and times >= least and length * 2 >= count:
            return [
                Span(
                    at + n * period, at + (n + 1) * period, at + n * period, at + n * period, at + n * period
                )
                for n in range(times)
            ]
    return []
