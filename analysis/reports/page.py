"""One self-contained HTML page: tables that sort, plots as SVG, nothing loaded from anywhere.

Every word of a trace goes through `esc`; the page's own script and style are allowed by their hashes, so that even a
word that slipped through could not run.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.reports.grid import Cell, Grid, show
from analysis.reports.safe import plain

# Okabe-Ito, distinguishable for everyone, and what is left over
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8c564b",
    "#7f7f7f",
    "#bcbd22",
    "#9467bd",
)

_STYLE = """
:root{color-scheme:light dark}body{font:14px/1.45 system-ui,sans-serif;margin:1.5rem auto;padding:0 1rem;max-width:120rem}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin-top:2rem}.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .55rem;border-bottom:1px solid #8884}
th{cursor:pointer;text-align:right;white-space:nowrap;position:sticky;top:0;background:Canvas}th.l,td.l{text-align:left}
td{text-align:right;white-space:nowrap}td.l{max-width:38rem;overflow:hidden;text-overflow:ellipsis}
th[aria-sort=ascending]::after{content:" \\25b2"}th[aria-sort=descending]::after{content:" \\25bc"}
.warn{color:#b3261e;font-weight:600}.note{opacity:.8}svg{max-width:100%;height:auto}svg text{fill:CanvasText;font:11px system-ui,sans-serif}
dl{columns:2}dt{font-weight:600}.key span{display:inline-block;margin-right:1rem}.key i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
"""

_SCRIPT = """
for(const table of document.querySelectorAll('table')){
 const body=table.tBodies[0];
 table.tHead.rows[0].querySelectorAll('th').forEach((head,at)=>head.addEventListener('click',()=>{
  const up=head.getAttribute('aria-sort')==='descending';
  table.querySelectorAll('th').forEach(h=>h.removeAttribute('aria-sort'));
  head.setAttribute('aria-sort',up?'ascending':'descending');
  const value=row=>{const c=row.cells[at],n=c.dataset.v;return n===undefined?c.textContent:n===''?-Infinity:Number(n)};
  [...body.rows].sort((a,b)=>{const x=value(a),y=value(b);
   const d=typeof x==='number'&&typeof y==='number'?x-y:String(x).localeCompare(String(y));return up?d:-d})
   .forEach(row=>body.append(row))}))}
const pick=document.getElementById('trace-file');
if(pick){document.querySelectorAll('[data-from]').forEach(link=>link.addEventListener('click',event=>{
 const file=pick.files[0];if(!file)return;event.preventDefault();
 const ui=window.open('https://ui.perfetto.dev/#!/?visStart='+link.dataset.from+'&visEnd='+link.dataset.to);
 file.arrayBuffer().then(buffer=>{
  const timer=setInterval(()=>ui.postMessage('PING','https://ui.perfetto.dev'),100);
  window.addEventListener('message',function answer(reply){
   if(reply.source!==ui||reply.data!=='PONG')return;
   clearInterval(timer);window.removeEventListener('message',answer);
   ui.postMessage({perfetto:{buffer,title:file.name}},'https://ui.perfetto.dev',[buffer])})})}))}
"""


@dataclass(frozen=True)
class Span:
    """A stretch of time to look at in Perfetto, in ns on the trace's own clock."""

    start_ns: int
    end_ns: int


def esc(text: str) -> str:
    """Foreign text as HTML text or attribute value."""
    return html.escape(plain(text), quote=True)


def page(title: str, body: Sequence[str]) -> str:
    """A whole page; `body` is HTML of ours."""
    style, script = _digest(_STYLE), _digest(_SCRIPT)
    policy = f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; base-uri 'none'; form-action 'none'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{esc(title)}</title><style>{_STYLE}</style></head><body>",
            *body,
            f"<script>{_SCRIPT}</script></body></html>",
        ]
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def table(
    grid: Grid,
    spans: dict[str, Span] | None = None,
    cards: dict[str, Sequence[tuple[str, str]]] | None = None,
) -> str:
    """A table that sorts by a click on a heading; a cell with a reference links into Perfetto, cards stand below it."""
    head = "".join(
        f'<th scope="col"{" class=l" if c.text else ""} title="{esc(c.definition)}">{esc(c.title)}</th>'
        for c in grid.columns
    )
    rows = []
    for row in grid.rows:
        cells = []
        for column, value in zip(grid.columns, row, strict=True):
            if column.text:
                cells.append(
                    f'<td class=l title="{esc(str(value or ""))}">{_words(value, spans or {}, cards or {})}</td>'
                )
            else:
                cells.append(f'<td data-v="{"" if value is None else value}">{esc(show(column, value))}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _words(value: Cell, spans: dict[str, Span], cards: dict[str, Sequence[tuple[str, str]]]) -> str:
    text = str(value or "")
    shown = esc(text)
    if span := spans.get(text):
        shown = f'<a href="{perfetto(span)}" data-from="{span.start_ns}" data-to="{span.end_ns}" rel="noopener" target="_blank">{shown}</a>'
    for words, address in cards.get(text, ()):
        safe = address if address.startswith("https://github.com/") else ""
        shown += (
            f'<br><a href="{esc(safe)}" rel="noopener noreferrer">{esc(words)}</a>'
            if safe
            else f"<br>{esc(words)}"
        )
    return shown


def perfetto(span: Span) -> str:
    """The address that shows a stretch of the trace that is open in Perfetto."""
    return f"https://ui.perfetto.dev/#!/?visStart={span.start_ns}&amp;visEnd={span.end_ns}"


def key(names: Sequence[str]) -> str:
    """A legend of names in the order of the colours."""
    items = "".join(
        f'<span><svg width="10" height="10" aria-hidden="true"><rect width="10" height="10" fill="{colour(i)}"/></svg> {esc(name)}</span>'
        for i, name in enumerate(names)
    )
    return f"<p class=key>{items}</p>"


def colour(number: int) -> str:
    """The colour of a place."""
    return COLOURS[number % len(COLOURS)]


def bars(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], unit: str) -> str:
    """Stacked bars: a label and a value a name each; all to one scale."""
    most = max((sum(values) for _, values in rows), default=0) or 1
    height, left, wide = 22, 130, 760
    parts = []
    for at, (label, values) in enumerate(rows):
        top, x = at * height + 2, float(left)
        parts.append(f'<text x="{left - 6}" y="{top + 13}" text-anchor="end">{esc(label)}</text>')
        for number, value in enumerate(values):
            width = value / most * wide
            if width > 0:
                parts.append(
                    f'<rect x="{x:.2f}" y="{top}" width="{width:.2f}" height="{height - 5}" fill="{colour(number)}">'
                    f"<title>{esc(label)} {esc(names[number])}: {value:,.1f} {esc(unit)}</title></rect>"
                )
            x += width
        parts.append(f'<text x="{x + 5:.2f}" y="{top + 13}">{sum(values):,.1f} {esc(unit)}</text>')
    total = len(rows) * height + 4
    return f'<svg viewBox="0 0 {left + wide + 120} {total}" width="{left + wide + 120}" role="img">{"".join(parts)}</svg>'


def timeline(spans: Sequence[tuple[str, str, Span]], names: Sequence[str], origin_ns: int) -> str:
    """Steps on a time axis, a lane a name; (lane, words, span). Steps too short to see are a pixel wide."""
    if not spans:
        return ""
    first, last = min(s.start_ns for _, _, s in spans), max(s.end_ns for _, _, s in spans)
    height, left, wide = 20, 130, 860
    scale = wide / max(last - first, 1)
    parts = [
        f'<text x="{left - 6}" y="{at * height + 14}" text-anchor="end">{esc(name)}</text>'
        for at, name in enumerate(names)
    ]
    for lane, words, span in spans:
        at = names.index(lane)
        x, width = left + (span.start_ns - first) * scale, max((span.end_ns - span.start_ns) * scale, 1)
        parts.append(
            f'<a href="{perfetto(span)}" data-from="{span.start_ns}" data-to="{span.end_ns}" target="_blank" rel="noopener">'
            f'<rect x="{x:.2f}" y="{at * height + 2}" width="{width:.2f}" height="{height - 4}" fill="{colour(at)}">'
            f"<title>{esc(words)}: {(span.end_ns - span.start_ns) / 1000:,.1f} us from {(span.start_ns - origin_ns) / 1000:,.1f} us</title>"
            "</rect></a>"
        )
    bottom = len(names) * height + 16
    parts.append(f'<text x="{left}" y="{bottom}">{(first - origin_ns) / 1e6:,.2f} ms</text>')
    parts.append(
        f'<text x="{left + wide}" y="{bottom}" text-anchor="end">{(last - origin_ns) / 1e6:,.2f} ms</text>'
    )
    return f'<svg viewBox="0 0 {left + wide + 10} {bottom + 6}" width="{left + wide + 10}" role="img">{"".join(parts)}</svg>'
