"""One card as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.cards import Anchor, Card, Claim
from kb.lanes import Lane, validation_lanes
from kb.reports.safe import inline_code, markdown_text, one_line, plain, prose_markdown

_MOST_ITEMS = 40


def anchor_place(anchor: Anchor) -> str:
    """Where an anchor points: path and lines, or the characters of a message or thread."""
    first, last = anchor.lines
    if anchor.source != "diff":
        thread = f" {one_line(anchor.thread)}" if anchor.thread else ""
        return f"{anchor.source}{thread}, characters {anchor.span[0]}-{anchor.span[1]}"
    return (
        f"{one_line(anchor.path)}:{first}"
        + (f"-{last}" if last != first else "")
        + (" (before the change)" if anchor.side == "old" else "")
    )


def card_markdown(card: Card, linked_from: Sequence[tuple[str, str]] = ()) -> str:
    """A card as Markdown.

    Args:
        card: the card.
        linked_from: (kind, id) of pull requests that point to this one.
    """
    parts = (
        _head(card, linked_from),
        _prose(card),
        _excerpts(card),
        _names(card),
        _files(card),
        _sources(card),
    )
    return "\n".join(line for part in parts for line in part)


def _head(card: Card, linked_from: Sequence[tuple[str, str]]) -> list[str]:
    origins = {
        "starter": "written by people, no diff shipped",
        "dossier": "from somebody else's document, unproven",
    }
    origin = origins.get(card.origin, f"commit {card.sha[:12]}")
    if card.written_by:
        origin += f", prose by {one_line(card.written_by)}"
    lines = [
        f"# {card.id}: {markdown_text(card.title)}",
        "",
        f"- Link: {card.url}",
        f"- State: {card.state} {card.merged_at or '(date unknown)'}, {card.kind}, card {card.status} ({origin})",
        f"- Size: +{card.additions} -{card.deletions} in {card.coverage.files_total} files",
        f"- Diff coverage: {_coverage(card)}",
    ]
    for title, items in (
        ("Families", card.families),
        ("Tickets", [markdown_text(t) for t in card.tickets]),
        ("Shared code touched", card.blast_radius),
    ):
        if items:
            lines.append(f"- {title}: {', '.join(items)}")
    lines += [f"- {link.kind} {markdown_text(link.target)}" for link in card.links]
    return lines + [f"- {other} {kind} this" for kind, other in linked_from]


def _prose(card: Card) -> list[str]:
    lines: list[str] = []
    for title, field in (("Motivation", "motivation"), ("Key implementation", "implementation")):
        claims = [c for c in card.claims if c.field == field]
        if claims and card.status == "extracted":
            lines += ["", f"## {title}, as its author says", ""]
            lines += [f"- {prose_markdown(c.text)}{_places(card, c.anchors)}" for c in claims]
        elif claims:
            lines += ["", f"## {title}", "", prose_markdown(" ".join(c.text for c in claims))]
    risks = [c for c in card.claims if c.field == "risk"]
    for heading, items in (
        ("Validation", [_lane(lane) for lane in validation_lanes(card)]),
        ("Risks", [prose_markdown(f"{c.text}{_radius(c)}") for c in risks]),
        ("Numbers", [prose_markdown(f"{n.value} {n.unit}: {n.workload} ({n.where})") for n in card.numbers]),
        (
            "Where to look",
            [
                prose_markdown(f"`{anchor_place(a).replace('`', ' ')}`: {a.says}")
                for a in card.anchors
                if a.says
            ],
        ),
    ):
        if items:
            lines += ["", f"## {heading}", "", *(f"- {i}" for i in items[:_MOST_ITEMS])]
            if len(items) > _MOST_ITEMS:
                lines.append(f"- and {len(items) - _MOST_ITEMS} more")
    return lines + _review(card)


def _places(card: Card, anchors: Sequence[int]) -> str:
    """Where a claim can be checked."""
    held = [card.anchors[a] for a in anchors if a < len(card.anchors)]
    return f" ({', '.join(inline_code(anchor_place(a)) for a in held)})" if held else ""


def _radius(claim: Claim) -> str:
    return f" Reaches {', '.join(claim.radius)}." if claim.radius else ""


def _lane(lane: Lane) -> str:
    names = {"test": "run", "benchmark": "measure with", "command": "command", "flag": "launch with"}
    return (
        prose_markdown(lane.text) if lane.kind == "prose" else f"{names[lane.kind]} {inline_code(lane.text)}"
    )


def _review(card: Card) -> list[str]:
    review = card.review
    if review is None:
        return []
    names = ", ".join(markdown_text(r) for r in review.reviewers)
    lines = [
        "",
        "## Review",
        "",
        f"{review.threads} threads, {review.comments} comments{', by ' if names else ''}{names}",
        "",
    ]
    return lines + [f"- {prose_markdown(p.text)}{_places(card, p.anchors)}" for p in review.points]


def _excerpts(card: Card) -> list[str]:
    lines = ["", "## Excerpts"] if card.excerpts else []
    if card.without_code is not None:
        lines += ["", f"No code is shown: {card.without_code.reason}."]
    for excerpt in card.excerpts:
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", excerpt.text))])
        place = f"{inline_code(excerpt.path)} {inline_code(excerpt.hunk)}"
        lines += ["", place, "", f"{fence}diff", plain(excerpt.text), fence]
    return lines


def _files(card: Card) -> list[str]:
    lines = ["", f"## Files ({len(card.files)})", ""]
    for group in dict.fromkeys(f.group for f in card.files):
        lines.append(f"- {group}")
        for file in (f for f in card.files if f.group == group):
            counts = "binary or unread" if file.added is None else f"+{file.added} -{file.removed}"
            was = f", was {inline_code(file.old_path)}" if file.old_path else ""
            note = ", symbols from hunk headers" if file.symbol_source == "hunk-header" else ""
            lines.append(f"  - {inline_code(file.path)} {file.status} {counts}{was}{note}")
    return lines


def _sources(card: Card) -> list[str]:
    addresses = [s for s in card.sources if re.fullmatch(r"https://[\w./#?=&%:+~-]+", s)]
    return ["", "## Sources", "", *(f"- <{a}>" for a in addresses)] if addresses else []


def _coverage(card: Card) -> str:
    cover = card.coverage
    if cover.state == "missing":
        return "the diff could not be read: objects are missing from the clone"
    if cover.state == "not read":
        return "the diff was not read; the card rests on the sources below"
    note = ", truncated: the rest is data or generated" if cover.truncated else ", whole"
    read = f"all {cover.lines_total} changed lines of {cover.files_total} files read"
    return f"{read}, {cover.lines_indexed} indexed{note}"


def _names(card: Card) -> list[str]:
    lines: list[str] = []
    for change in ("introduced", "changed", "removed"):
        names = [s for s in card.symbols if s.change == change]
        if names:
            lines += ["", f"## Symbols {change} ({len(names)})", ""]
            lines += [
                f"- {inline_code(s.name)} {s.kind}, {inline_code(f'{s.path}:{s.start}-{s.end}')}"
                for s in names[:60]
            ]
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
    return [*lines, "", "## Flags, variables, keys", "", *rows] if rows else lines
