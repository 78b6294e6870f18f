"""Files of Nsight Compute: a report or a table, told apart by content."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analysis.counters.csv_file import read_csv
from analysis.counters.kernel import Profiled, profiled
from analysis.counters.report_file import MAGIC, read_report
from analysis.counters.rules import Rules


def read_counters(paths: Iterable[Path], rules: Rules) -> list[Profiled]:
    """Kernels of all files together, the longest first.

    Raises:
        UnreadableCounters: a file is neither report nor table, or holds no kernel.
        MissingExtra: a report needs NVIDIA's reader.
    """
    raw = [one for path in paths for one in (read_report(path) if _is_report(path) else read_csv(path))]
    return profiled(raw, rules)


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            # .ncu-repz is a compressed report
            return file.read(4) == MAGIC or path.suffix == ".ncu-repz"
    except (OSError, ValueError):
        return False  # reading it as a table says what is wrong
