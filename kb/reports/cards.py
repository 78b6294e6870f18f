"""One card as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.cards import Anchor, Card
from kb.reports.safe import inline_code, markdown_text, one_line, plain


def anchor_place(anchor: Anchor) -> str:
    """Where an anchor points: path and lines."""
    first, last = anchor.lines
    return f"{one_line(anchor.path)}:{first}" + (f"-{last}" if last != first else "") + (" (before the change)" if anchor.side == "old" else "")


def card_markdown(card: Card, linked_from: Sequence[tuple[str, str]] = ()) -> str:
    """A card as Markdown.

    Args:
        card: the card.
        linked_from: (kind, id) of pull requests that point to this one.
    """
    origin = "written by people, no diff shipped" if card.origin == "starter" else f"commit {card.sha[:12]}"
    lines = [
        f"# {card.id}: {markdown_text(card.title)}",
        "",
        f"- Link: {card.url}",
        f"- State: merged {card.merged_at or '(date unknown)'}, {card.kind}, card {card.status} ({origin})",
        f"- Size: +{card.additions} -{card.deletions} in {card.coverage.files_total} files",
        f"- Diff coverage: {_coverage(card)}",
    ]
    if card.families:
        lines.append(f"- Families: {', '.join(card.families)}")
    if card.tickets:
        lines.append(f"- Tickets: {', '.join(markdown_text(t) for t in card.tickets)}")
    if card.blast_radius:
        lines.append(f"- Shared code touched: {', '.join(card.blast_radius)}")
    for link in card.links:
        lines.append(f"- {link.kind} {markdown_text(link.target)}")
    for kind, other in linked_from:
        lines.append(f"- {other} {kind} this")
    for title, text in (("Motivation", card.motivation), ("Key implementation", card.implementation)):
        if text:
            lines += ["", f"## {title}", "", plain(text).strip()]
    for title, items in (("Validation", card.validation), ("Risks", card.risks)):
        if items:
            lines += ["", f"## {title}", "", *(f"- {one_line(i)}" for i in items)]
    if card.numbers:
        lines += ["", "## Numbers", ""]
        lines += [f"- {one_line(' '.join(filter(None, (n.value, n.unit))))}: {one_line(n.workload)} ({one_line(n.where)})" for n in card.numbers]
    if card.excerpts:
        lines += ["", "## Excerpts"]
        for excerpt in card.excerpts:
            fence = "`" * max(3, *(len(m) + 1 for m in re.findall(r"`+", excerpt.text)), 3)
            lines += ["", f"{inline_code(excerpt.path)} {inline_code(excerpt.hunk)}", "", f"{fence}diff", plain(excerpt.text), fence]
    if card.anchors:
        lines += ["", "## Where to look", ""]
        lines += [f"- {inline_code(anchor_place(a))}: {one_line(a.says)}" for a in card.anchors]
    lines += _names_markdown(card)
    lines += ["", f"## Files ({len(card.files)})", ""]
    for group in dict.fromkeys(f.group for f in card.files):
        lines.append(f"- {group}")
        for file in (f for f in card.files if f.group == group):
            counts = "binary" if file.added is None else f"+{file.added} -{file.removed}"
            was = f", was {inline_code(file.old_path)}" if file.old_path else ""
            note = ", symbols from hunk headers" if file.symbol_source == "hunk-header" else ""
            lines.append(f"  - {inline_code(file.path)} {file.status} {counts}{was}{note}")
    if card.sources:
        lines += ["", "## Sources", "", *(f"- <{s}>" for s in card.sources if re.fullmatch(r"https://[\w./#?=&%:+~-]+", s))]
    return "\n".join(lines)


def _coverage(card: Card) -> str:
    cover = card.coverage
    if cover.state == "missing":
        return "the diff could not be read: objects are missing from the clone"
    if cover.state == "not read":
        return "the diff was not read; the card rests on the sources below"
    note = ", truncated: the rest is data or generated" if cover.truncated else ""
    return f"all {cover.lines_total} changed lines read, {cover.lines_indexed} indexed{note}"


def _names_markdown(card: Card) -> list[str]:
    lines: list[str] = []
    for change in ("introduced", "changed", "removed"):
        names = [s for s in card.symbols if s.change == change]
        if names:
            lines += ["", f"## Symbols {change} ({len(names)})", ""]
            lines += [f"- {inline_code(s.name)} {s.kind}, lines {s.start} to {s.end}" for s in names[:60]]
            if len(names) > 60:
                lines.append(f"- and {len(names) - 60} more")
    facts = card.facts
    named = (
        ("Server flags added", facts.flags_added), ("Server flags removed", facts.flags_removed),
        ("Flags that tests and docs pass", facts.flags_used), ("Environment variables added", facts.env_added),
        ("Environment variables removed", facts.env_removed), ("Config keys added", facts.config_added),
        ("Config keys removed", facts.config_removed),
    )  # fmt: skip
    rows = [f"- {title}: {', '.join(inline_code(i) for i in items)}" for title, items in named if items]
    return ["", "## Flags, variables, keys", "", *rows] if rows else []
