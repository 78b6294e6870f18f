"""Evidence beside the rows of a trace, in text, Markdown, JSON and HTML."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kb.reports.safe import markdown_text, one_line
from loop.evidence import CardLine, Evidence


def into_json(report: str, evidence: Sequence[Evidence]) -> str:
    """A report's JSON with `evidence` added."""
    found = msgspec.json.decode(report)
    found["evidence"] = msgspec.to_builtins(list(evidence))
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode()


def as_text(evidence: Sequence[Evidence], *, markdown: bool = False) -> str:
    """A section for the end of a report."""
    safe = markdown_text if markdown else one_line
    lines = ["", "", "## Evidence" if markdown else "Evidence", ""]
    for row in evidence:
        asked = "" if row.cards else f" (asked: {safe(row.question)})"
        lines.append(
            f"{'- ' if markdown else ''}{safe(row.ref)}{'' if row.cards else ': no card fits'}{asked}"
        )
        lines += [f"  {'- ' if markdown else ''}{_card(card, markdown)}" for card in row.cards]
    return "\n".join(lines)


def notes(evidence: Sequence[Evidence]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Reference of a row -> (words, address) of its cards, for the HTML report."""
    return {row.ref: tuple((f"{card.id} {card.title}", card.url) for card in row.cards) for row in evidence}


def _card(card: CardLine, markdown: bool) -> str:
    safe = markdown_text if markdown else one_line
    return f"{safe(card.id)}  {safe(card.title)}  ({safe(card.merged_at[:10])}, {safe(card.status)})"
