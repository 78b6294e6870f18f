"""A profiled kernel: its measures and where its warps waited."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.counters.rules import Rules

# ncu names a stall four ways, by version and page; shares within one family add up to 1, whatever its unit
_STALLS = (
    re.compile(r"smsp__average_warps_issue_stalled_(\w+?)_per_issue_active\.ratio"),
    re.compile(r"smsp__average_warp_latency_issue_stalled_(\w+?)\.(?:ratio|pct)"),
    re.compile(r"smsp__warp_issue_stalled_(\w+?)_per_warp_active\.pct"),
    re.compile(r"smsp__pcsamp_warps_issue_stalled_(\w+?)(?:\.\w+)?"),
)
_LABEL = re.compile(r"(?:.*/)?Stall ([A-Z][\w /-]+)")
_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_TIME = {
    "ns": 1.0, "nsecond": 1.0, "us": 1e3, "usecond": 1e3, "ms": 1e6, "msecond": 1e6, "s": 1e9, "sec": 1e9, "second": 1e9,
}  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """One launch as a file tells it: metric name or `section/label` -> (value, unit)."""

    name: str
    grid: str
    block: str
    metrics: Mapping[str, tuple[float, str]]


@dataclass(frozen=True)
class Profiled:
    """A kernel over its launches in a report.

    Attributes:
        launches: how many were profiled.
        measures: key -> mean over launches, in the unit of the rules' measure; time in ns, sizes in bytes.
        stalls: reason -> share of the warps' time in percent.
        total_ns: summed duration.
    """

    name: str
    grid: str
    block: str
    launches: int
    measures: Mapping[str, float]
    stalls: Mapping[str, float]
    total_ns: float


def profiled(raw: Iterable[Raw], rules: Rules) -> list[Profiled]:
    """Kernels by summed duration, launches of one name and grid together."""
    groups: dict[tuple[str, str, str], list[Raw]] = {}
    for one in raw:
        groups.setdefault((one.name, one.grid, one.block), []).append(one)
    found = [_profiled(key, launches, rules) for key, launches in groups.items()]
    return sorted(found, key=lambda k: -k.total_ns)


def _profiled(key: tuple[str, str, str], launches: Sequence[Raw], rules: Rules) -> Profiled:
    sums: dict[str, list[float]] = {}
    waits: dict[str, list[float]] = {}
    for launch in launches:
        for measure in rules.measures:
            value = _first(launch.metrics, (*measure.metrics, *measure.labels))
            if value is not None:
                sums.setdefault(measure.key, []).append(value)
        for reason, share in _stalls(launch.metrics).items():
            waits.setdefault(reason, []).append(share)
    measures = {k: sum(v) / len(v) for k, v in sums.items()}
    stalls = {k: sum(v) / len(launches) for k, v in waits.items()}
    total = sum(sums.get("duration", []))
    return Profiled(*key, len(launches), {**measures, **_derived(measures)}, stalls, total)


def _first(metrics: Mapping[str, tuple[float, str]], names: Sequence[str]) -> float | None:
    for name in names:
        if name in metrics:
            value, unit = metrics[name]
            if math.isfinite(value):
                return value * scale_of(unit)
    return None


def scale_of(unit: str) -> float:
    """Factor to ns, bytes or plain counts: `usecond` 1e3, `Mbyte/second` 1e6, `%` 1."""
    word = unit.strip().lower()
    if word in _TIME:
        return _TIME[word]
    match = re.fullmatch(r"([kmgt]?)(?:i?)(byte|b|hz|inst|cycle|sector)(?:/.*)?", word)
    return _SCALE[match[1]] if match else 1.0


def _stalls(metrics: Mapping[str, tuple[float, str]]) -> dict[str, float]:
    for pattern in _STALLS:
        found = {m[1]: metrics[name][0] for name in metrics if (m := pattern.fullmatch(name))}
        found = {
            k: v for k, v in found.items() if not k.endswith("_not_issued") and math.isfinite(v) and v >= 0
        }
        if sum(found.values()) > 0:
            return _shares(found)
    labels = {m[1].lower().replace(" ", "_"): metrics[n][0] for n in metrics if (m := _LABEL.fullmatch(n))}
    return _shares({k: v for k, v in labels.items() if math.isfinite(v) and v >= 0})


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    total = sum(values.values())
    return {k: 100 * v / total for k, v in values.items()} if total > 0 else {}


def _derived(m: Mapping[str, float]) -> dict[str, float]:
    """What the rules weigh by, out of the measures; each in percent."""
    found = {}
    waves = m.get("waves")
    if waves is not None and waves > 0:
        whole = math.ceil(waves)
        found["idle_sms"] = 100 * max(0.0, 1 - waves)
        found["tail"] = 100 * (whole - waves) / whole
    if "sector_use" in m:
        found["sector_waste"] = 100 * (1 - min(32.0, m["sector_use"]) / 32)  # a sector is 32 bytes
    if m.get("bank_conflicts", 0) >= 1:
        found["conflict_waste"] = (
            100 * (1 - 1 / m["bank_conflicts"]) / 2
        )  # shared memory is a part of the work only
    return found
