"""Tables of `ncu --csv`.

They are the raw page (a column for each metric, units in the second row) or details page (a row for each metric),
launch by launch or summed up for each kernel (`--print-summary per-kernel`).

What ncu prints around the table, and numbers with thousands separators, are read past.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from analysis.counters.kernel import Raw
from analysis.errors import UnreadableCounters

_ABOUT = {
    "ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Kernel Time", "Context", "Stream", "Block Size",
    "Grid Size", "Device", "CC", "Section Name", "Metric Name", "Metric Unit", "Metric Value", "Rule Name", "Rule Type",
    "Rule Description", "Invocations", "Minimum", "Maximum", "Average", "Estimated Speedup Type", "Estimated Speedup", "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg",
}  # fmt: skip
MAX_BYTES = 1 << 30


def read_csv(path: Path) -> list[Raw]:
    """Launches of a CSV file.

    Raises:
        UnreadableCounters: it can't be read, or is no table of ncu.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableCounters(
                f"{path}: {path.stat().st_size >> 20} MB is too large for a table of ncu"
            )
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except (OSError, ValueError) as exc:
        raise UnreadableCounters(
            f"{path}: {getattr(exc, 'strerror', None) or exc}; name a file of ncu"
        ) from None
    rows = list(_rows(text))
    start = next(
        (i for i, row in enumerate(rows) if "Kernel Name" in row and ("ID" in row or "Invocations" in row)),
        None,
    )
    if start is None:
        raise UnreadableCounters(
            f"{path}: no table of ncu in it; write one with ncu --csv --page raw, or name a .ncu-rep file"
        )
    head, body = rows[start], rows[start + 1 :]
    found = list(_details(head, body)) if "Metric Name" in head else list(_raw(head, body))
    if not found:
        raise UnreadableCounters(f"{path}: the table of ncu holds no kernel; was one profiled?")
    return found


def _rows(text: str) -> Iterator[list[str]]:
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    reader = csv.reader(text.replace("\0", "").splitlines())
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue  # a line that is none of the table's


def _raw(head: list[str], body: list[list[str]]) -> Iterator[Raw]:
    at = {name: i for i, name in enumerate(head)}
    if "ID" not in at:
        return
    # the row of units has no ID
    units = body[0] if body and len(body[0]) == len(head) and not body[0][at["ID"]].strip() else None
    for row in body[1 if units else 0 :]:
        if len(row) != len(head) or not row[at["ID"]].strip().isdigit():
            continue
        metrics = {}
        for name, i in at.items():
            value = number(row[i]) if name not in _ABOUT else None
            if value is not None:
                metrics[name] = (value, units[i] if units else "")
        yield Raw(row[at["Kernel Name"]], _cell(row, at, "Grid Size"), _cell(row, at, "Block Size"), metrics)


def _details(head: list[str], body: list[list[str]]) -> Iterator[Raw]:
    at = {name: i for i, name in enumerate(head)}
    launches: dict[str, tuple[list[str], dict[str, tuple[float, str]]]] = {}
    # a summary has no launches: its kernels stand for themselves, its averages for the values
    key, measured = ("ID", "Metric Value") if "ID" in at else ("Kernel Name", "Average")
    if measured not in at:
        return
    for row in body:
        # ncu leaves out the cells behind a metric's value, which belong to advice
        row += [""] * (at[measured] < len(row) < len(head)) * (len(head) - len(row))
        if len(row) != len(head) or not row[at[key]].strip():
            continue
        _, metrics = launches.setdefault(row[at[key]], (row, {}))
        value = number(_cell(row, at, measured))
        name, section = _cell(row, at, "Metric Name"), _cell(row, at, "Section Name")
        if name and value is not None:
            unit = _cell(row, at, "Metric Unit")
            # --metrics prints the metric's own name here, sections print a label
            metrics.setdefault(name if "__" in name else f"{section}/{name}", (value, unit))
    for row, metrics in launches.values():
        yield Raw(row[at["Kernel Name"]], _cell(row, at, "Grid Size"), _cell(row, at, "Block Size"), metrics)


def _cell(row: list[str], at: dict[str, int], name: str) -> str:
    return row[at[name]] if name in at else ""


def number(text: str) -> float | None:
    """A number of ncu's, `1,234.5` among them; None for words."""
    try:
        return float(text.replace(",", "")) if text.strip() else None
    except ValueError:
        return None
