"""A critique as Markdown, as plain text and as JSON. All foreign text is made inert in kb/reports/safe.py."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from kb.critique.findings import Finding, PullPrecedent, ThreadPrecedent
from kb.critique.gaps import Gap
from kb.critique.run import Critique
from kb.critique.sweep import Recurring, Sweep
from kb.reports.safe import inline_code, markdown_text, one_line, plain, prose_markdown

_SHOWN = 8
_STANDING = {
    "diff": "",
    "checkout": " · checked in the checkout",
    "unverified": " · names a file outside the diff, unverified",
}


def critique_json(found: Critique) -> str:
    """One JSON object; the same critique gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def critique_markdown(found: Critique) -> str:
    """The report as a maintainer reads it on GitHub."""
    return "\n".join(_parts(found)).rstrip() + "\n"


def critique_text(found: Critique) -> str:
    """The report for a terminal: the same words without mark-up and without the pictures' source."""
    text = critique_markdown(found)
    text = re.sub(r"```mermaid\n.*?```\n", _picture, text, flags=re.DOTALL)
    text = re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]\n]*)\]\((https://[^)\s]*)\)", r"\1 <\2>", text)
    text = re.sub(r"\*\*([^*\n]+)\*\*", r"\1", text)
    return plain(re.sub(r"\\([\\`*_\[\]<>#|!~&:.])", r"\1", text))


def _picture(match: re.Match[str]) -> str:
    """The edges of a chart as lines of text."""
    labels = dict(re.findall(r'(n\d+)\["([^"]*)"\]', match[0]))
    edges = re.findall(r'^\s+(n\d+) -->(?:\|"new call"\|)? (n\d+)$', match[0], flags=re.MULTILINE)
    return "".join(f"    {labels[a]} -> {labels[b]}\n" for a, b in edges if a in labels and b in labels)


def _parts(found: Critique) -> Iterator[str]:
    title = f": {_quiet(markdown_text(found.title))}" if found.title else ""
    yield f"# Review of {markdown_text(found.subject)}{title}"
    yield ""
    yield _verdict(found)
    yield ""
    yield "## What changes"
    yield ""
    yield from (f"- {prose_markdown(s)}" for s in found.comprehension)
    yield ""
    yield from _charts(found)
    yield "## What happened here before"
    yield ""
    yield from _sweep(found.sweep)
    yield "## Findings"
    yield ""
    if not found.findings:
        yield prose_markdown(found.residual)
        yield ""
    for number, finding in enumerate(found.findings, start=1):
        yield from _finding(number, finding)
    if found.left_out:
        yield f"{_many(found.left_out, 'weaker finding')} left out (`--max-findings`)."
        yield ""
    yield from _focus(found)
    if found.questions:
        yield "## Open questions"
        yield ""
        yield from (f"- {prose_markdown(q)}" for q in found.questions)
        yield ""
    if found.gaps:
        yield "## Tests and benchmarks"
        yield ""
        yield from (_gap(g) for g in found.gaps)
        yield ""
    yield "## Summary"
    yield ""
    yield _summary(found)


def _verdict(found: Critique) -> str:
    counts: dict[str, int] = {}
    for f in found.findings:
        counts[f.severity] = counts.get(f.severity, 0) + 1
    listed = ", ".join(f"{n} {s}" for s, n in counts.items()) or "no finding"
    moment = f" Only what was merged before {markdown_text(found.as_of)} counts." if found.as_of else ""
    worded = f" Worded by {markdown_text(found.worded_by)}, under the same checks." if found.worded_by else ""
    return f"**{listed}.** Every finding cites a past pull request or review thread that was looked up and compared word for word.{moment}{worded}"


def _charts(found: Critique) -> Iterator[str]:
    for chart in found.charts:
        yield "```mermaid"
        yield chart.mermaid
        yield "```"
        yield ""
        yield prose_markdown(chart.says)
        yield ""
    if not found.charts:
        yield "No picture: the changed definitions and their calls make no path of six steps."
        yield ""


def _sweep(s: Sweep) -> Iterator[str]:
    yield (
        f"Scanned {s.cards_scanned:,} pull requests and {s.threads_scanned:,} review threads; {s.cards:,} pull requests and {s.threads:,} threads bear on "
        f"this patch ({s.pulls:,} pull requests together), {s.fixes:,} of them fixes of the touched files and {s.reverts:,} reverts."
    )
    yield ""
    held = s.threads_scanned > 0
    if not held:
        yield "The knowledge base holds no review threads of this repository (`prlore ingest github` brings them): merged changes alone speak here."
        yield ""
    if s.matched:
        yield "| Bears on it by | pull requests |" + (" threads |" if held else "")
        yield "|---|--:|" + ("--:|" if held else "")
        for m in s.matched:
            if m.cards or m.threads:
                yield f"| {m.reason} | {m.cards:,} |" + (f" {m.threads:,} |" if held else "")
        yield ""
    if s.recurring:
        yield "| Recurring concern | fixes | newest |" + (
            " threads | met | nits | in blocked PRs |" if held else ""
        )
        yield "|---|--:|---|" + ("--:|--:|--:|--:|" if held else "")
        yield from (_recurring(r, held=held) for r in s.recurring[:_SHOWN])
        yield ""
    if s.kinds:
        listed = ", ".join(f"{n:,} {k}" for k, n in s.kinds)
        met = ", ".join(f"{n:,} {_MET[k]}" for k, n in s.addressed)
        yield f"Threads by kind: {listed}. What was done: {met or 'unknown'}. Pull requests whose reviewers asked for changes: {s.blocked_pulls:,}."
        yield ""
    if s.asked:
        yield (
            "Evidence that reviewers asked for: " + ", ".join(f"{what} ({n:,})" for what, n in s.asked) + "."
        )
        yield ""
    if s.topic_cards:
        yield "Of the same topic in other files (searched, not exhaustive): " + "; ".join(
            f"{_link(i)} {_quiet(markdown_text(t))}" for i, t in s.topic_cards
        ) + "."  # fmt: skip
        yield ""


_MET = {"yes": "met by the change", "no": "left as it was", "unknown": "not known"}


def _recurring(r: Recurring, *, held: bool) -> str:
    newest = " ".join(_link(i) for i in r.pulls) or "–"
    counts = f" {r.threads:,} | {r.addressed:,} | {r.nits:,} | {r.blocked:,} |" if held else ""
    return f"| {r.concern} | {r.fixes:,} | {newest} |{counts}"


def _finding(number: int, f: Finding) -> Iterator[str]:
    lines = f"{f.place.start}" if f.place.start == f.place.line else f"{f.place.start}–{f.place.line}"
    side = "" if f.place.side == "new" else ", old side"
    where = f"{inline_code(f.place.path)}:{lines}{side}"
    symbol = f", in {inline_code(f.place.symbol)}" if f.place.symbol else ""
    yield f"### {number}. {f.severity.capitalize()} · {f.concern}: {where}{symbol}{_STANDING[f.standing]}"
    yield ""
    yield from _said(f)


def finding_markdown(f: Finding) -> Iterator[str]:
    """A finding as a comment on its own lines."""
    yield f"**{f.severity.capitalize()} · {f.concern}**{_STANDING[f.standing]}"
    yield ""
    yield from _said(f)


def _said(f: Finding) -> Iterator[str]:
    yield prose_markdown(f.failure)
    yield ""
    yield f"**Do:** {prose_markdown(f.check)}"
    yield ""
    for pull in f.pulls:
        yield from _pull(pull)
    for thread in f.threads:
        yield from _thread(thread)


def _pull(p: PullPrecedent) -> Iterator[str]:
    verb = "reverted" if p.relation == "reverts" else "fixed"
    target = f" {_link(p.target)}" if p.relation == "reverts" and p.target else ""
    yield f"> [{_number(p.id)}]({p.url}) {verb}{target} ({p.merged_at[:10]}): {_quiet(markdown_text(p.title))}"
    yield f"> {inline_code(p.path)} {inline_code(p.hunk)}"
    yield ">"
    yield from _quoted(p.quote, "diff")
    yield ""


def _thread(t: ThreadPrecedent) -> Iterator[str]:
    at = f" on {inline_code(t.path)}" if t.path else ""
    yield f"> [thread]({t.url}) of {t.created_at[:10]}{at}, {_MET[t.addressed]}{', imported' if t.trust != 'synced' else ''}:"
    yield ">"
    yield from (f"> {_quiet(markdown_text(row))}" for row in t.quote.split("\n"))
    yield ""


def _quiet(text: str) -> str:
    """Quoted words that call nobody: behind a word joiner, `@name` is no mention on GitHub."""
    return re.sub(r"@(?=[A-Za-z0-9])", "@\u2060", text)


def _quoted(text: str, language: str) -> Iterator[str]:
    """Code of strangers in a fence longer than any in it, below a quotation mark."""
    rows = plain(text).split("\n")
    fence = "`" * max(3, max((len(m) for m in re.findall(r"`+", text)), default=0) + 1)
    yield f"> {fence}{language}"
    yield from (f"> {row}" for row in rows)
    yield f"> {fence}"


def _focus(found: Critique) -> Iterator[str]:
    if not found.focus:
        return
    yield "## Read first"
    yield ""
    for place in found.focus:
        symbol = f" {inline_code(place.place.symbol)}" if place.place.symbol else ""
        yield f"- {inline_code(place.place.path)}:{place.place.line}{symbol}: {'; '.join(one_line(w) for w in place.why)}"
    yield ""


def _gap(g: Gap) -> str:
    lanes = (
        "; past changes of this area used " + ", ".join(inline_code(x) for x in g.lanes) if g.lanes else ""
    )
    pulls = f" ({', '.join(_link(i) for i in g.pulls)})" if g.pulls else ""
    return f"- {prose_markdown(g.what).rstrip('.')}{lanes}{pulls}."


def _summary(found: Critique) -> str:
    worst = found.findings[0] if found.findings else None
    parts = [
        f"{_many(len(found.findings), 'finding')} in {_many(len({f.place.path for f in found.findings}), 'file')}, the worst {worst.severity} at "
        f"{inline_code(worst.place.path)}:{worst.place.line}."
        if worst
        else "No finding rests on a precedent."
    ]
    if found.gaps:
        parts.append("Missing: " + " ".join(prose_markdown(g.what) for g in found.gaps))
    if found.sweep.recurring:
        parts.append(f"What recurs here is {found.sweep.recurring[0].concern}.")
    if found.standing == "unverified":
        parts.append(
            "No checkout was given, so files outside the diff that are named here were not looked up."
        )
    elif found.standing == "diff":
        parts.append(
            "The checkout has other text in some of these files: it is of another state than the diff."
        )
    return " ".join(parts)


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _number(card_id: str) -> str:
    return "#" + card_id.rpartition("#")[2]


def _link(card_id: str) -> str:
    repo, _, number = card_id.rpartition("#")
    return (
        f"[#{number}](https://github.com/{repo}/pull/{number})"
        if repo and number.isdigit()
        else markdown_text(card_id)
    )
