"""Scores of one candidate by many signals, and the one linear rule that mixes them. Weights: data/fusion.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from kb.datafiles import data_file


class Rerank(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the best cards the reranker reads; 0 for none. Its logit is the signal `reranker`."""

    cards: int = 0


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content.

    Attributes:
        tuned: weight of each signal in a store with the tuned model's vectors; what is not listed counts nothing.
        light: the same for a store without them.
        rerank: what the reranker reads.
        answer: for `tuned` and `light` the logistic rule that decides whether anything fits, `bias` among its weights.
        threshold: confidence from which a question counts as answered.
    """

    tuned: dict[str, float]
    light: dict[str, float]
    rerank: Rerank
    answer: dict[str, dict[str, float]]
    threshold: float

    def of(self, kind: str) -> dict[str, float]:
        """The weights for one kind of store."""
        return self.tuned if kind == "tuned" else self.light


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


def logistic(signals: Mapping[str, float], rule: Mapping[str, float]) -> float:
    """Confidence in 0..1."""
    logit = rule.get("bias", 0.0) + sum(rule.get(name, 0.0) * value for name, value in signals.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def score(signals: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The mixed score alone."""
    return sum(weights[name] * value for name, value in signals.items() if name in weights)


def mix(signals: Mapping[str, float], weights: Mapping[str, float]) -> tuple[float, tuple[Contribution, ...]]:
    """The mixed score and each signal's part in it, largest first."""
    parts = [
        Contribution(name, value, value * weights.get(name, 0.0)) for name, value in signals.items() if value
    ]
    parts.sort(key=lambda c: (-c.worth, c.signal))
    return sum(c.worth for c in parts), tuple(parts)
