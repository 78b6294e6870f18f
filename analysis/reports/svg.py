"""Plots as SVG within a page: stacked bars and a time line. Colours are classes of the page's style, words go through `esc`."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.reports.safe import plain

COLOURS = 14  # classes c0 … c13 of the page's style
_LEFT = 130  # room for the labels
_TICKS = 8


@dataclass(frozen=True)
class Point:
    """A number with its interval, and the single values it is the mean of; `dim` where it does not count."""

    label: str
    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...] = ()
    dim: bool = False


@dataclass(frozen=True)
class Span:
    """A stretch of time, in ns on the trace's own clock."""

    start_ns: int
    end_ns: int

    def with_room(self) -> Span:
        """The same with a tenth, at least a microsecond, on either side, for looking at it."""
        room = max((self.end_ns - self.start_ns) // 10, 1000)
        return Span(self.start_ns - room, self.end_ns + room)


def esc(text: str) -> str:
    """Foreign text as HTML text or attribute value."""
    return html.escape(plain(text), quote=True)


def perfetto(span: Span) -> str:
    """The address that shows a stretch of the trace that is open in Perfetto."""
    return f"https://ui.perfetto.dev/#!/?visStart={span.start_ns}&amp;visEnd={span.end_ns}"


def perfetto_link(span: Span) -> str:
    """Attributes of a link that opens Perfetto at a stretch, and hands it the trace that was chosen on the page."""
    return (
        f'href="{perfetto(span)}" data-from="{span.start_ns}" data-to="{span.end_ns}" '
        'rel="noopener" target="_blank"'
    )


def key(names: Sequence[str]) -> str:
    """A legend of names in the order of the colours."""
    items = "".join(
        f'<span><svg width="10" height="10" aria-hidden="true"><rect width="10" height="10" class="c{i % COLOURS}"/></svg> {esc(name)}</span>'
        for i, name in enumerate(names)
    )
    return f"<p class=key>{items}</p>"


def bars(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], unit: str) -> str:
    """Stacked bars: a label and a value a name each; all to one scale."""
    most = max((sum(values) for _, values in rows), default=0) or 1
    height, wide = 24, 680
    parts = []
    for at, (label, values) in enumerate(rows):
        top, x = at * height + 2, float(_LEFT)
        parts.append(f'<text x="{_LEFT - 6}" y="{top + 14}" text-anchor="end">{esc(label)}</text>')
        for number, value in enumerate(values):
            width = value / most * wide
            if width > 0:
                parts.append(
                    f'<rect x="{x:.2f}" y="{top}" width="{width:.2f}" height="{height - 5}" class="c{number % COLOURS}">'
                    f"<title>{esc(label)} {esc(names[number])}: {value:,.1f} {esc(unit)}</title></rect>"
                )
            x += width
        parts.append(f'<text x="{x + 5:.2f}" y="{top + 14}">{sum(values):,.1f} {esc(unit)}</text>')
    said = "; ".join(f"{label} {sum(values):,.1f} {unit}" for label, values in rows)
    return _plot(_LEFT + wide + 120, len(rows) * height + 4, parts, said)


def intervals(points: Sequence[Point], unit: str) -> str:
    """A line a point: its interval, its value as a dot, its single values as small dots; the axis begins at 0."""
    top = max((max(p.high or 0, p.value, *p.values) for p in points), default=0) or 1
    height, wide, left = 22, 560, 260
    step = _step(top)
    bottom = len(points) * height
    parts = []
    for number in range(math.floor(top / step) + 1):
        x = left + number * step / top * wide
        parts.append(f'<line x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{bottom + 4}"/><text x="{x:.2f}" y="{bottom + 18}" text-anchor="middle">{number * step:,.10g}</text>')  # fmt: skip
    for at, point in enumerate(points):
        y, x = at * height + 11, left + point.value / top * wide
        colour = "c7" if point.dim else "c0"
        label = point.label if len(point.label) <= 38 else f"{point.label[:37]}…"
        parts.append(
            f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{esc(label)}<title>{esc(point.label)}</title></text>'
        )
        if point.low is not None and point.high is not None:
            first, last = max(0.0, point.low) / top * wide, min(point.high, top) / top * wide
            parts.append(
                f'<rect x="{left + first:.2f}" y="{y - 1.5}" width="{max(last - first, 1):.2f}" height="3" class="{colour}"/>'
            )
        parts += [
            f'<circle cx="{left + v / top * wide:.2f}" cy="{y}" r="2" class="{colour}"/>'
            for v in point.values
        ]
        parts.append(
            f'<circle cx="{x:.2f}" cy="{y}" r="5" class="{colour}"><title>{esc(point.label)}: {point.value:,.4g} {esc(unit)}</title></circle>'
        )
    said = "; ".join(f"{p.label} {p.value:,.4g} {unit}" for p in points)
    return _plot(left + wide + 40, bottom + 24, parts, said)


def timeline(steps: Sequence[tuple[str, str, Span]], names: Sequence[str], origin_ns: int) -> str:
    """Steps on a time axis, a lane a name; (lane, words, span). Steps too short to see are a pixel wide."""
    if not steps:
        return ""
    first, last = min(s.start_ns for _, _, s in steps), max(s.end_ns for _, _, s in steps)
    height, wide = 26, 780
    scale = wide / max(last - first, 1)
    bottom = len(names) * height
    parts = _axis(first - origin_ns, last - origin_ns, wide, bottom)
    parts += [
        f'<text x="{_LEFT - 6}" y="{at * height + 17}" text-anchor="end">{esc(name)}</text>'
        for at, name in enumerate(names)
    ]
    for lane, words, span in steps:
        at = names.index(lane)
        x, width = _LEFT + (span.start_ns - first) * scale, max((span.end_ns - span.start_ns) * scale, 1)
        took = f"{(span.end_ns - span.start_ns) / 1000:,.1f} us from {(span.start_ns - origin_ns) / 1000:,.1f} us"
        parts.append(
            f'<a {perfetto_link(span.with_room())} aria-label="{esc(words)}: {took}">'
            f'<rect x="{x:.2f}" y="{at * height + 3}" width="{width:.2f}" height="{height - 6}" class="c{at % COLOURS} step">'
            f"<title>{esc(words)}: {took}</title></rect></a>"
        )
    return _plot(_LEFT + wide + 30, bottom + 24, parts, f"{len(steps):,} steps in {len(names)} stages")


def _axis(first_ns: int, last_ns: int, wide: float, bottom: int) -> list[str]:
    """Lines and labels at round milliseconds."""
    span = max(last_ns - first_ns, 1)
    step = _step(span)
    parts = []
    for number in range(math.ceil(first_ns / step), math.floor(last_ns / step) + 1):
        x = _LEFT + (number * step - first_ns) / span * wide
        label = f"{number * step / 1e6:,.{max(0, 6 - math.floor(math.log10(step)))}f}" if step < 1e6 else f"{number * step / 1e6:,.0f}"  # fmt: skip
        parts.append(
            f'<line x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{bottom + 4}"/>'
            f'<text x="{x:.2f}" y="{bottom + 18}" text-anchor="middle">{label} ms</text>'
        )
    return parts


def _step(whole: float) -> float:
    """A round distance between ticks, at most eight on an axis."""
    step = 10.0 ** math.floor(math.log10(whole / _TICKS))
    return float(step * next(m for m in (1, 2, 5, 10, 20) if whole / (step * m) <= _TICKS))


def _plot(width: float, height: float, parts: Sequence[str], said: str) -> str:
    """A plot that scrolls sideways where there is no room for it."""
    return (
        f'<div class=wide tabindex=0 role=group aria-label="{esc(said)}"><svg class=plot viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" role=group aria-label="{esc(said)}">{"".join(parts)}</svg></div>'
    )
