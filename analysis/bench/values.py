"""Values out of files that others wrote: a number that can't be a measurement becomes "not recorded", with a note.

NaN, infinity, negative numbers, and zero where zero can't be (a throughput, a latency) are what clients write when
they have nothing; taken for numbers they win comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


class Fields:
    """A JSON object of unknown shape, read field by field.

    Attributes:
        notes: what was there and could not be used; shared by all parts of one result.
    """

    def __init__(self, data: Any, notes: list[str] | None = None, at: str = "") -> None:
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        self.notes: list[str] = notes if notes is not None else []
        self._at = at

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def part(self, *keys: str) -> Fields:
        """A nested object; an empty one where it isn't there."""
        data: Any = self.data
        for key in keys:
            data = data.get(key) if isinstance(data, dict) else None
        return Fields(data, self.notes, f"{self._at}{'.'.join(keys)}.")

    def items(self, key: str) -> list[Any]:
        """A list; an empty one where it isn't there."""
        value = self.data.get(key)
        return value if isinstance(value, list) else []

    def objects(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        for index, value in enumerate(self.items(key)):
            if isinstance(value, dict):
                yield Fields(value, self.notes, f"{self._at}{key}[{index}].")

    def text(self, *keys: str) -> str | None:
        """The first of the keys that holds a word."""
        for key in keys:
            value = self.data.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return str(value)
        return None

    def flag(self, key: str) -> bool | None:
        """A truth value; words that mean one count."""
        value = self.data.get(key)
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, str) else None

    def positive(self, *keys: str) -> float | None:
        """The first of the keys that holds a measurement: finite and above zero."""
        return self._first(keys, lambda x: x > 0)

    def share(self, *keys: str) -> float | None:
        """A share, 0..1."""
        return self._first(keys, lambda x: 0 <= x <= 1)

    def count(self, *keys: str) -> int | None:
        """A whole number, 0 or more; as text, too, since metadata is."""
        value = self._first(keys, lambda x: x >= 0 and x == int(x))
        return None if value is None else int(value)

    def _first(self, keys: tuple[str, ...], fits: Any) -> float | None:
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            number = as_number(value)
            if number is not None and fits(number):
                return number
            self.notes.append(f"{self._at}{key} is {_shown(value)}: not used")
        return None


def as_number(value: Any) -> float | None:
    """A finite number, written as one or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    text = (
        "empty"
        if value == ""
        else str(value)
        if isinstance(value, (int, float, str))
        else f"a {type(value).__name__}"
    )
    return text if len(text) <= 40 else f"{text[:37]}…"
