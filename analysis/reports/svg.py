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
    step = 10 ** math.floor(math.log10(span / _TICKS))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= _TICKS)
    parts = []
    for number in range(math.ceil(first_ns / step), math.floor(last_ns / step) + 1):
        x = _LEFT + (number * step - first_ns) / span * wide
        label = f"{number * step / 1e6:,.{max(0, 6 - math.floor(math.log10(step)))}f}" if step < 1e6 else f"{number * step / 1e6:,.0f}"  # fmt: skip
        parts.append(
            f'<line x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{bottom + 4}"/>'
            f'<text x="{x:.2f}" y="{bottom + 18}" text-anchor="middle">{label} ms</text>'
        )
    return parts


def _plot(width: float, height: float, parts: Sequence[str], said: str) -> str:
    """A plot that scrolls sideways where there is no room for it."""
    return (
        f'<div class=wide tabindex=0 role=group aria-label="{esc(said)}"><svg class=plot viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" role=group aria-label="{esc(said)}">{"".join(parts)}</svg></div>'
    )
