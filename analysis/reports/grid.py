"""A table of rows: columns with title, unit and definition, cells as values; written as text, Markdown or CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from analysis.reports.safe import markdown, plain, spreadsheet

Cell = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: name in CSV and JSON.
        title: heading for people.
        form: format of numbers, as after the colon of an f-string; `3s` is three significant digits, no exponent.
        text: cells are words: left-aligned.
        definition: what it is, with its unit.
        link: cells are addresses of our own making: never cut, and links in Markdown.
    """

    key: str
    title: str
    form: str = "g"
    text: bool = False
    definition: str = ""
    link: bool = False


@dataclass(frozen=True)
class Grid:
    """Rows under columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def without_empty(self) -> Grid:
        """The same without columns that hold nothing."""
        kept = [i for i, _ in enumerate(self.columns) if any(row[i] not in (None, "") for row in self.rows)]
        return Grid(
            tuple(self.columns[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in self.rows)
        )


def to_text(grid: Grid, widest: int = 60) -> str:
    """For a terminal: aligned, long words cut."""
    body = [[show(c, v, widest) for c, v in zip(grid.columns, row, strict=True)] for row in grid.rows]
    head = [column.title for column in grid.columns]
    widths = [max(_width(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = [
        "  ".join(
            _pad(cell, width, c.text) for cell, width, c in zip(line, widths, grid.columns, strict=True)
        )
        for line in [head, *body]
    ]
    return "\n".join(line.rstrip() for line in lines)


def to_markdown(grid: Grid) -> str:
    """A Markdown table."""
    lines = [
        "| " + " | ".join(markdown(c.title) for c in grid.columns) + " |",
        "|" + "|".join(":---" if c.text else "---:" for c in grid.columns) + "|",
    ]
    for row in grid.rows:
        cells = (
            markdown(v) if isinstance(v, str) else show(c, v) for c, v in zip(grid.columns, row, strict=True)
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def to_csv(grid: Grid) -> str:
    """CSV with the keys as header; numbers in full, text that no spreadsheet runs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([c.key for c in grid.columns])
    for row in grid.rows:
        writer.writerow(["" if v is None else spreadsheet(v) if isinstance(v, str) else v for v in row])
    return out.getvalue()


def to_records(grid: Grid) -> list[dict[str, Cell]]:
    """Rows as objects, for JSON."""
    return [{c.key: v for c, v in zip(grid.columns, row, strict=True)} for row in grid.rows]


def show(column: Column, value: Cell, widest: int = 0) -> str:
    """A cell as people read it, at most `widest` characters of words (0: all)."""
    if value is None:
        return ""
    if isinstance(value, str):
        line = plain(value)
        return f"{line[: widest - 1]}…" if widest and not column.link and len(line) > widest else line
    return (
        _significant(value, int(column.form[:-1]))
        if column.form.endswith("s")
        else format(value, column.form)
    )


def _significant(value: float, digits: int) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 12)}f}"


def _width(text: str) -> int:
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, left: bool) -> str:
    blank = " " * (width - _width(text))
    return text + blank if left else blank + text


def definitions(columns: Sequence[Column]) -> str:
    """What the columns mean, a line each, for those that say so."""
    return "\n".join(f"{c.title}: {c.definition}" for c in columns if c.definition)
