"""One self-contained HTML page: tables that sort, plots as SVG, nothing loaded from anywhere.

Every word of a trace goes through `esc`; the page's own script and style are allowed by their hashes, so that even a
word that slipped through could not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from analysis.reports.grid import Cell, Column, Grid, show
from analysis.reports.svg import Span, esc, perfetto_link

# c0 to c7 are Okabe-Ito, distinguishable for everyone; the rest are for what is left over
_STYLE = """
:root{color-scheme:light dark;--ink:#1a1c1e;--soft:#545b62;--paper:#fff;--line:#d7dce1;--link:#0b5c8a;--warn:#a3161f;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#8c564b;--c7:#7f7f7f;--c8:#bcbd22;--c9:#9467bd;--c10:#17767f;--c11:#e377c2;--c12:#393b79;--c13:#a6761d}
@media(prefers-color-scheme:dark){:root{--ink:#e5e8eb;--soft:#a4adb6;--paper:#14171a;--line:#353c43;--link:#7cc4f0;--warn:#ff9a9a;--c0:#2f93d6;--c12:#8a8cd6}}
*{box-sizing:border-box}body{font:14px/1.45 system-ui,sans-serif;margin:0;background:var(--paper);color:var(--ink);overflow-wrap:break-word}
nav{padding:.6rem 1rem;border-bottom:1px solid var(--line)}main{padding:1.2rem 1rem;max-width:120rem;margin:auto}main:focus{outline:none}a{color:var(--link)}:focus-visible{outline:2px solid var(--link);outline-offset:2px}
h1{font-size:1.3rem;margin:.2rem 0 .6rem}h2{font-size:1.1rem;margin:2rem 0 .2rem;overflow-wrap:anywhere}h3{font-size:1rem;margin:1.5rem 0 .4rem}.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .55rem;border-bottom:1px solid var(--line)}
th{text-align:right;white-space:nowrap}th.l,td.l{text-align:left}td{text-align:right;white-space:nowrap}td.l{max-width:38rem;overflow:hidden;text-overflow:ellipsis}
th button{font:inherit;font-weight:600;color:inherit;background:none;border:0;padding:.25rem 0;cursor:pointer;text-align:inherit}
th[aria-sort=ascending] button::after{content:" \\25b2"}th[aria-sort=descending] button::after{content:" \\25bc"}
.warn{color:var(--warn);font-weight:600}.note,.facts{color:var(--soft)}.facts{display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin:.2rem 0 .8rem}.facts b{color:var(--ink)}
.plot{max-width:100%;min-width:44rem;height:auto;display:block}.plot text{fill:var(--soft);font:12px system-ui,sans-serif}.plot line{stroke:var(--line)}.step{stroke:var(--paper);stroke-width:.6}
.plot a:hover rect,.plot a:focus rect{stroke:var(--ink);stroke-width:1.5}dt{font-weight:600}dd{margin:0 0 .4rem;break-before:avoid}dl{columns:20rem}
.key span{display:inline-block;margin-right:1rem}.key svg{margin-right:.2rem}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}.c6{fill:var(--c6)}.c7{fill:var(--c7)}.c8{fill:var(--c8)}.c9{fill:var(--c9)}.c10{fill:var(--c10)}.c11{fill:var(--c11)}.c12{fill:var(--c12)}.c13{fill:var(--c13)}
@media(max-width:40rem){main{padding:.8rem}}
"""

_SCRIPT = """
for(const table of document.querySelectorAll('table')){
 const body=table.tBodies[0];
 table.tHead.rows[0].querySelectorAll('th').forEach((head,at)=>head.querySelector('button').addEventListener('click',()=>{
  const was=head.getAttribute('aria-sort'),up=was?was==='descending':head.classList.contains('l');
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


def page(title: str, body: Sequence[str], back: tuple[str, str] | None = None) -> str:
    """A whole page; `body` is HTML of ours, `back` address and words of a link above it."""
    above = [f'<nav aria-label="Site"><a href="{esc(back[0])}">{esc(back[1])}</a></nav>'] if back else []
    style, script = _digest(_STYLE), _digest(_SCRIPT)
    policy = (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{esc(title)}</title><style>{_STYLE}</style></head><body>",
            *above,
            "<main>",
            *body,
            f"</main><script>{_SCRIPT}</script></body></html>",
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
    head = "".join(map(_heading, grid.columns))
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
    return f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _heading(column: Column) -> str:
    """A heading that a click or a key sorts by."""
    title = f' title="{esc(column.definition)}"' if column.definition else ""
    return (
        f'<th scope="col"{" class=l" if column.text else ""}{title}><button>{esc(column.title)}</button></th>'
    )


def _words(value: Cell, spans: dict[str, Span], cards: dict[str, Sequence[tuple[str, str]]]) -> str:
    text = str(value or "")
    shown = esc(text)
    if span := spans.get(text):
        shown = f"<a {perfetto_link(span)}>{shown}</a>"
    for words, address in cards.get(text, ()):
        safe = address if address.startswith(("https://github.com/", "../cards/")) else ""
        shown += (
            f'<br><a href="{esc(safe)}" rel="noopener noreferrer">{esc(words)}</a>'
            if safe
            else f"<br>{esc(words)}"
        )
    return shown
