"""Peaks of devices, from `rules/gpus.toml`, each with its source."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analysis.errors import AnalysisError, RulesError

FILE = Path(__file__).parent.parent / "rules" / "gpus.toml"
# a type that a device has no rate for runs at the next wider type's
_WIDER = {"fp4": "fp8", "fp8": "bf16", "int8": "bf16", "tf32": "fp32", "bf16": "fp32"}


@dataclass(frozen=True)
class Gpu:
    """A device's peaks.

    Attributes:
        flops: type -> FLOP/s, dense.
        bandwidth: bytes/s of device memory.
        source: where the figures are from.
    """

    name: str
    match: re.Pattern[str]
    flops: Mapping[str, float]
    bandwidth: float
    source: str

    def peak(self, dtype: str) -> float | None:
        """FLOP/s of a type, or of the next wider one that the device has a figure for."""
        word: str | None = dtype
        while word is not None and word not in self.flops:
            word = _WIDER.get(word)
        return self.flops[word] if word else None


@cache
def gpus() -> tuple[Gpu, ...]:
    """All devices.

    Raises:
        RulesError: the data file is malformed.
    """
    try:
        return tuple(
            Gpu(
                row["name"],
                re.compile(row["match"], re.IGNORECASE),
                {k: float(v) * 1e12 for k, v in row["tflops"].items()},
                float(row["tbs"]) * 1e12,
                row["source"],
            )
            for row in tomllib.loads(FILE.read_text("utf-8"))["gpu"]
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, re.error) as exc:
        raise RulesError(f"{FILE.name}: {exc}") from exc


def find_gpu(name: str) -> Gpu | None:
    """The device of a name as a profiler writes it; None when there are no figures for it."""
    return next((gpu for gpu in gpus() if gpu.match.search(name)), None)


def need_gpu(name: str) -> Gpu:
    """The device that a user named.

    Raises:
        AnalysisError: there are no figures for it.
    """
    found = find_gpu(name)
    if found is None:
        raise AnalysisError(
            f"no figures for a GPU named {name!r}; there are {', '.join(g.name for g in gpus())}"
        )
    return found
