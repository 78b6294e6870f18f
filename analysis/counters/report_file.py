"""`.ncu-rep` reports through NVIDIA's own reader, the `ncu` extra; no toolkit and no GPU is needed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.counters.kernel import Raw
from analysis.errors import MissingExtra, UnreadableCounters

MAGIC = b"NVR\0"


def read_report(path: Path) -> list[Raw]:
    """Launches of a report.

    Raises:
        MissingExtra: `ncu-report` is not installed.
        UnreadableCounters: the reader finds no kernel in it.
    """
    try:
        import ncu_report
    except ImportError:
        raise MissingExtra(
            f"{path}: reports need NVIDIA's reader; pip install 'prlore[ncu]', or export with ncu --import … --csv --page raw"
        ) from None
    try:
        context = ncu_report.load_report(str(path))
        found = list(_launches(context))
    except (OSError, RuntimeError, ValueError, TypeError) as exc:
        raise UnreadableCounters(f"{path}: NVIDIA's reader refuses it: {exc}") from None
    if not found:
        raise UnreadableCounters(f"{path}: NVIDIA's reader finds no kernel in it; is it a whole report?")
    return found


def _launches(context: Any) -> Iterator[Raw]:
    for r in range(context.num_ranges()):
        one = context.range_by_idx(r)
        for a in range(one.num_actions()):
            action = one.action_by_idx(a)
            metrics = {}
            for name in action.metric_names():
                metric = action.metric_by_name(name)
                value = metric.value() if metric is not None else None
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    metrics[name] = (float(value), metric.unit() or "")
            yield Raw(action.name(), _size(action, "grid"), _size(action, "block"), metrics)


def _size(action: Any, which: str) -> str:
    sides = []
    for axis in "xyz":
        metric = action.metric_by_name(f"launch__{which}_dim_{axis}")
        sides.append(str(int(metric.as_uint64())) if metric is not None else "?")
    return f"({', '.join(sides)})" if "?" not in sides else ""
