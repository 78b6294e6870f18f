"""Columns over time as SVG. Colours are classes of site.css, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

_WIDE, _HIGH, _LEFT, _FOOT = 760, 170, 44, 22
SERIES = 6  # classes c0 … c5


def months_between(first: str, last: str) -> list[str]:
    """`2025-11`, `2025-12`, `2026-01`: every month of a stretch."""
    year, month = int(first[:4]), int(first[5:7])
    found: list[str] = []
    while f"{year:04}-{month:02}" <= last and len(found) < 1200:
        found.append(f"{year:04}-{month:02}")
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def columns(
    months: Sequence[str], series: Mapping[str, Mapping[str, int]], address: Mapping[str, str] | None = None
) -> Markup:
    """Stacked columns, one a month.

    Args:
        months: the axis, in order.
        series: name -> month -> count; the first stands at the foot.
        address: month -> where a click on its column leads.
    """
    if not months:
        return Markup("")
    totals = [sum(counts.get(m, 0) for counts in series.values()) for m in months]
    top = _nice(max(totals) or 1)
    step = (_WIDE - _LEFT) / len(months)
    parts = [_grid(top)]
    for at, month in enumerate(months):
        x, y = _LEFT + at * step, float(_HIGH)
        bars = []
        for number, (name, counts) in enumerate(series.items()):
            height = counts.get(month, 0) / top * (_HIGH - 12)
            y -= height
            if height:
                bars.append(
                    Markup('<rect class="c{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{} {}: {:,}</title></rect>').format(
                        number % SERIES, x, y, max(step * 0.86, 0.5), height, month, name, counts[month]
                    )
                )  # fmt: skip
        where = (address or {}).get(month)
        made = Markup("").join(bars)
        parts.append(Markup('<a href="{}" aria-label="{}: {:,} cards">{}</a>').format(where, month, totals[at], made) if where and bars else made)  # fmt: skip
        if month.endswith("-01") or (at == 0 and len(months) < 12):
            parts.append(Markup('<text x="{:.1f}" y="{}">{}</text>').format(x, _HIGH + 16, month[:4] if month.endswith("-01") else month))  # fmt: skip
    said = f"{sum(totals):,} cards, {months[0]} to {months[-1]}: " + ", ".join(
        f"{name} {sum(c.values()):,}" for name, c in series.items()
    )
    return Markup(
        '<div class="wide" tabindex="0"><svg class="plot" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg></div>'
    ).format(_WIDE, _HIGH + _FOOT, said, Markup("").join(parts))


def legend(names: Sequence[str]) -> Markup:
    """Names beside their colours."""
    return Markup("").join(
        Markup('<span class="key"><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="c{}" width="10" height="10"/></svg>{}</span> ').format(
            at % SERIES, name
        )
        for at, name in enumerate(names)
    )  # fmt: skip


def _grid(top: int) -> Markup:
    lines = []
    for share in (0.5, 1.0):
        y = _HIGH - share * (_HIGH - 12)
        lines.append(
            Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                _LEFT, _WIDE, y, y, _LEFT - 6, y + 4, escape(f"{top * share:,.10g}")
            )
        )  # fmt: skip
    return Markup("").join(lines)


def _nice(number: int) -> int:
    """The next number above that reads well on an axis."""
    scale = 1
    while True:
        for tenths in (10, 12, 16, 20, 24, 30, 40, 50, 60, 80):
            if tenths * scale >= number * 10 and tenths * scale % 20 == 0:  # its half is whole as well
                return max(tenths * scale // 10, 2)
        scale *= 10
