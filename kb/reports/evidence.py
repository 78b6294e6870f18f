"""Evidence for a bottleneck, for people."""

from __future__ import annotations

from kb.evidence import EvidenceBundle, EvidenceCard, engine_name
from kb.reports.safe import one_line, plain

_LATER = 4


def evidence_text(found: EvidenceBundle) -> str:
    """The bundle as text; what does not fit is said first."""
    lines = [f"asked: {one_line(found.question)}"]
    if not found.answered:
        lines.append(f"No card is judged to bear on this (confidence {found.confidence:.2f}). Nearest:")
        lines += [f"  {_heading(c)}" for c in found.cards[:3]]
    else:
        for card in found.cards:
            lines += _card(card)
    if found.elsewhere:
        lines += ["", "the same operation in other engines:"]
        lines += [f"  {engine_name(c)}: {_heading(c)}" for c in found.elsewhere]
    return "\n".join(lines)


def _heading(card: EvidenceCard) -> str:
    return f"{card.id}  {card.merged_at[:10] or 'date unknown'}  {one_line(card.title)}"


def _card(card: EvidenceCard) -> list[str]:
    lines = ["", _heading(card), f"    {card.url}  [{card.status}; {card.kind}]"]
    if card.excerpts:
        excerpt = card.excerpts[0]
        lines.append(f"    {one_line(excerpt.path)} {one_line(excerpt.hunk)}")
        lines += [f"      {plain(line)}" for line in excerpt.text.split("\n")]
    for thread in card.threads:
        lines.append(
            f"    review, {one_line(thread.path) or 'conversation'} ({thread.addressed}): {one_line(thread.opening)}"
        )
    for pull in card.later[:_LATER]:
        lines.append(f"    {pull.kind} it: {pull.id} {pull.merged_at[:10]} {one_line(pull.title)}")
    return lines
