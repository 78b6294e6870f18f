"""Scores of one candidate by many signals, and the one linear rule that mixes them. Weights: data/fusion.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from kb.datafiles import data_file


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content.

    Attributes:
        signals: weight of each signal; a signal that is not listed counts nothing.
        answer: weights of the logistic rule that decides whether anything fits, `bias` among them.
        threshold: confidence from which a question counts as answered.
    """

    signals: dict[str, float]
    answer: dict[str, float]
    threshold: float


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one signal gave: its value, and value times weight."""

    signal: str
    value: float
    worth: float


@cache
def load_weights(path: Path | None = None) -> Weights:
    """Read the weights.

    Raises:
        PrloreError: the file is missing or malformed.
    """
    path = path or data_file("fusion.json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Weights)
    except (OSError, msgspec.DecodeError) as exc:
        raise PrloreError(f"can't read {path}: {str(exc).splitlines()[0]}: reinstall prlore") from exc


def score(signals: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The mixed score alone."""
    return sum(value * weights.get(name, 0.0) for name, value in signals.items())


def mix(signals: Mapping[str, float], weights: Mapping[str, float]) -> tuple[float, tuple[Contribution, ...]]:
    """The mixed score and each signal's part in it, largest first."""
    parts = [
        Contribution(name, value, value * weights.get(name, 0.0)) for name, value in signals.items() if value
    ]
    parts.sort(key=lambda c: (-c.worth, c.signal))
    return sum(c.worth for c in parts), tuple(parts)
