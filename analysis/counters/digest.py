"""Candidate against baseline, kernel by kernel, and the one next edit for the kernel that takes the most time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.counters.kernel import Profiled
from analysis.counters.rules import Rule, Rules
from analysis.errors import AnalysisError


@dataclass(frozen=True)
class Edit:
    """The next edit.

    Attributes:
        rule: which rule chose it.
        text: what to do.
        why: the numbers behind it.
        source: where the rule's thresholds are from.
    """

    rule: str
    text: str
    why: str
    source: str


@dataclass(frozen=True)
class Compared:
    """A kernel and what it was before; `baseline` is None where there is none of its name.

    Attributes:
        faster: speedup in percent of the baseline's duration, negative when slower; None without both durations.
        bound: `memory`, `compute`, `latency`, or `unknown`, by the 60% rule of Nsight Compute.
    """

    candidate: Profiled
    baseline: Profiled | None
    faster: float | None
    bound: str


@dataclass(frozen=True)
class Digest:
    """All kernels by time, and exactly one edit."""

    kernels: tuple[Compared, ...]
    gone: tuple[str, ...]
    edit: Edit


def digest(
    candidate: Sequence[Profiled], baseline: Sequence[Profiled], rules: Rules, only: str | None = None
) -> Digest:
    """Compare and choose.

    Args:
        candidate: the kernels in question, the longest first.
        baseline: what they are held against; may be empty.
        rules: how to choose.
        only: a regular expression; kernels whose name it matches, and no others.

    Raises:
        AnalysisError: no kernel matches `only`.
    """
    try:
        pattern = re.compile(only or "")
    except re.error as exc:
        raise AnalysisError(f"--kernel {only!r} is no regular expression: {exc}") from None
    chosen = [k for k in candidate if pattern.search(k.name)]
    if not chosen:
        names = ", ".join(k.name[:60] for k in candidate[:3])
        raise AnalysisError(f"--kernel {only!r} matches no kernel; there are {names}")
    before = [k for k in baseline if pattern.search(k.name)]
    pairs = _pairs(chosen, before)
    compared = tuple(_compared(k, pairs.get(id(k))) for k in chosen)
    used = {id(b) for b in pairs.values()}
    gone = tuple(b.name for b in before if id(b) not in used)
    return Digest(compared, gone, _edit(compared[0], rules))


def _pairs(candidate: Sequence[Profiled], baseline: Sequence[Profiled]) -> dict[int, Profiled]:
    """Kernels of the same name and grid, then of the same name, then of the same function; each baseline once."""
    left = list(baseline)
    found: dict[int, Profiled] = {}
    for key in (lambda k: (k.name, k.grid, k.block), lambda k: k.name, lambda k: _function(k.name)):
        for kernel in candidate:
            match = (
                next((b for b in left if key(b) == key(kernel)), None) if id(kernel) not in found else None
            )
            if match:
                found[id(kernel)] = match
                left.remove(match)
    if len(candidate) == len(baseline) == 1 and left:
        found[id(candidate[0])] = left[0]  # one kernel each: a rename is part of the change
    return found


def _function(name: str) -> str:
    """A kernel's function without template arguments and parameters."""
    bare = name.removeprefix("void ")
    return re.split(r"[<(]", bare, maxsplit=1)[0]


def _compared(kernel: Profiled, before: Profiled | None) -> Compared:
    now, then = kernel.measures.get("duration"), before.measures.get("duration") if before else None
    faster = 100 * (then - now) / then if now and then else None
    compute, memory = kernel.measures.get("compute"), kernel.measures.get("memory")
    bound = "unknown"
    if compute is not None and memory is not None:
        bound = "latency" if max(compute, memory) < 60 else "memory" if memory >= compute else "compute"
    return Compared(kernel, before, faster, bound)


def _edit(compared: Compared, rules: Rules) -> Edit:
    values = _values(compared)
    kinds = ["bound"]
    if compared.faster is not None and compared.faster < -rules.slower:
        kinds = ["regression"]
        values["slower"] = -compared.faster
    fitting = [rule for rule in rules.rules if rule.kind in kinds and all(c.holds(values) for c in rule.when)]
    # `max` keeps the first of equal ones, which is the file's order; the last rule of the file always holds
    best = max(fitting, key=lambda rule: _weight(rule, values))
    return Edit(best.id, _fill(best.edit, values), _fill(best.why, values), best.source)


def _values(compared: Compared) -> dict[str, float]:
    now = compared.candidate
    values = {**now.measures, **{f"stall:{k}": v for k, v in now.stalls.items()}}
    if compared.baseline:
        before = compared.baseline.measures
        values |= {f"change:{k}": v - before[k] for k, v in now.measures.items() if k in before}
        values |= {f"base:{k}": v for k, v in before.items()}
    return values


def _weight(rule: Rule, values: Mapping[str, float]) -> float:
    return values.get(rule.weight, 0.0) if isinstance(rule.weight, str) else float(rule.weight)


_SLOT = re.compile(r"\{([\w:]+?)(?::(\.\d+f))?\}")


def _fill(text: str, values: Mapping[str, float]) -> str:
    """A sentence with its numbers; one that was not collected is `?`."""
    return _SLOT.sub(lambda m: format(values[m[1]], m[2] or "g") if m[1] in values else "?", text)
