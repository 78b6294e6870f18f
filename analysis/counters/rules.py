"""The rules of `rules/counters.toml`: which counters are read, and how the next edit is chosen."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from analysis.errors import RulesError

FILE = Path(__file__).parent.parent / "rules" / "counters.toml"
_CONDITION = re.compile(r"([a-z]+:)?(\w+) (<=|>=|<|>) (-?[\d.]+|[a-z_]+)")


@dataclass(frozen=True)
class Measure:
    """A counter: where it is found and which way is better (`higher`, `lower`, `neither`)."""

    key: str
    label: str
    unit: str
    better: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """`left op right`; names are measures, `stall:…` or `change:…`, numbers stand for themselves."""

    left: str
    op: str
    right: str | float

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether it holds; not where a value was not collected."""
        left = values.get(self.left)
        right = values.get(self.right) if isinstance(self.right, str) else self.right
        if left is None or right is None:
            return False
        return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[self.op]


@dataclass(frozen=True)
class Rule:
    """A reason for an edit."""

    id: str
    kind: str
    when: tuple[Condition, ...]
    weight: str | float
    edit: str
    why: str
    source: str


@dataclass(frozen=True)
class Rules:
    """All of the file."""

    slower: float
    measures: tuple[Measure, ...]
    rules: tuple[Rule, ...]


@cache
def read_rules(path: Path = FILE) -> Rules:
    """Read and check the file.

    Raises:
        RulesError: it is malformed.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        measures = tuple(
            Measure(m["key"], m["label"], m["unit"], m["better"], tuple(m["metrics"]), tuple(m["labels"]))
            for m in data["measure"]
        )
        return Rules(float(data["slower"]), measures, tuple(_rule(r) for r in data["rule"]))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise RulesError(f"{path.name}: {exc}") from exc


def _rule(row: Mapping[str, Any]) -> Rule:
    if row["kind"] not in ("regression", "bound"):
        raise ValueError(f"rule {row['id']}: unknown kind {row['kind']!r}")
    conditions = tuple(_condition(text) for text in row["when"])
    return Rule(row["id"], row["kind"], conditions, row["weight"], row["edit"], row["why"], row["source"])


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if not match:
        raise ValueError(f"not a condition: {text!r}")
    right = match[4]
    return Condition((match[1] or "") + match[2], match[3], right if right[0].isalpha() else float(right))
