"""A critique as one HTML page: no script, no image, nothing fetched. Every word is escaped; pictures stay source text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from kb.critique.findings import Finding
from kb.critique.run import Critique
from kb.reports.safe import one_line, plain

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
pre,code{font-family:ui-monospace,monospace;font-size:.88em}pre{background:#f5f5f5;padding:.7em;overflow:auto}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}td.n{text-align:right}
article{border-left:4px solid #888;padding-left:1em;margin:1.2em 0}article.blocking{border-color:#c00}article.major{border-color:#e67700}
blockquote{color:#444;margin:.6em 0 .6em 1em}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}pre{background:#222}blockquote{color:#bbb}}"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def critique_html(found: Critique) -> str:
    """The page."""
    title = esc(f"Review of {found.subject}")
    body = "\n".join(_body(found))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def esc(text: str) -> str:
    """A stranger's text as HTML text or attribute value."""
    return html.escape(plain(text), quote=True)


def prose(text: str) -> str:
    """Our text with names in backticks as code."""
    parts = re.split(r"`([^`]*)`", one_line(text))
    return "".join(f"<code>{esc(p)}</code>" if i % 2 else esc(p) for i, p in enumerate(parts))


def _link(url: str, text: str) -> str:
    """A link to GitHub; anything else stays text."""
    if not re.fullmatch(r"https://github\.com/[\w./#-]+", url):
        return esc(text)
    return f'<a rel="nofollow noopener noreferrer" href="{esc(url)}">{esc(text)}</a>'


def _list(items: Iterator[str]) -> str:
    return "<ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>"


def _body(found: Critique) -> Iterator[str]:
    yield f"<h1>Review of {esc(found.subject)}</h1>"
    if found.title:
        yield f"<p>{esc(one_line(found.title))}</p>"
    yield "<h2>What changes</h2>" + _list(prose(s) for s in found.comprehension)
    for chart in found.charts:
        yield f"<details><summary>{prose(chart.says)}</summary><pre>{esc(chart.mermaid)}</pre></details>"
    s = found.sweep
    yield "<h2>What happened here before</h2>"
    yield (
        f"<p>Scanned {s.cards_scanned:,} pull requests and {s.threads_scanned:,} review threads; {s.cards:,} and {s.threads:,} bear on this patch, "
        f"{s.fixes:,} of them fixes and {s.reverts:,} reverts of the touched files.</p>"
    )
    rows = "".join(
        f'<tr><td>{esc(r.concern)}</td><td class="n">{r.fixes:,}</td><td class="n">{r.threads:,}</td><td class="n">{r.addressed:,}</td>'
        f'<td class="n">{r.nits:,}</td><td class="n">{r.blocked:,}</td></tr>'
        for r in s.recurring
    )
    yield f"<table><tr><th>Concern</th><th>fixes</th><th>threads</th><th>met</th><th>nits</th><th>in blocked PRs</th></tr>{rows}</table>"
    yield "<h2>Findings</h2>"
    yield from (_finding(n, f) for n, f in enumerate(found.findings, start=1))
    if not found.findings:
        yield f"<p>{prose(found.residual)}</p>"
    yield "<h2>Read first</h2>" + _list(
        f"<code>{esc(x.place.path)}:{x.place.line}</code> {esc('; '.join(x.why))}" for x in found.focus
    )
    if found.questions:
        yield "<h2>Open questions</h2>" + _list(prose(q) for q in found.questions)
    if found.gaps:
        yield "<h2>Tests and benchmarks</h2>" + _list(
            f"{prose(g.what)} {' '.join(f'<code>{esc(x)}</code>' for x in g.lanes)}" for g in found.gaps
        )


def _finding(number: int, f: Finding) -> str:
    lines = f"{f.place.start}" if f.place.start == f.place.line else f"{f.place.start}–{f.place.line}"
    parts = [
        f'<article class="{esc(f.severity)}" id="{esc(f.fingerprint)}"><h3>{number}. {esc(f.severity.capitalize())} · {esc(f.concern)}: '
        f"<code>{esc(f.place.path)}:{lines}</code></h3><p>{prose(f.failure)}</p><p><b>Do:</b> {prose(f.check)}</p>"
    ]
    for p in f.pulls:
        verb = "reverted" if p.relation == "reverts" else "fixed"
        parts.append(
            f"<blockquote>{_link(p.url, p.id)} {verb} ({esc(p.merged_at[:10])}): {esc(one_line(p.title))}<pre>{esc(p.quote)}</pre></blockquote>"
        )
    for t in f.threads:
        parts.append(
            f"<blockquote>{_link(t.url, 'thread')} ({esc(t.created_at[:10])}): {esc(t.quote)}</blockquote>"
        )
    return "".join(parts) + "</article>"
