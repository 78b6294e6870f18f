"""Answers to questions: the JSON contract of `query`, and text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kb.reports.cards import anchor_place
from kb.reports.safe import one_line, plain
from kb.search import Answer, Hit


def answer_json(answer: Answer, elapsed_ms: float) -> dict[str, Any]:
    """The contract of `query --json`."""
    return {
        "query": answer.question.text,
        "answered": answer.answered,
        "confidence": round(answer.confidence, 4),
        "elapsed_ms": round(elapsed_ms, 1),
        "hits": [
            {
                "rank": hit.rank,
                "id": hit.card.id,
                "repo": hit.card.repo,
                "number": hit.card.number,
                "title": hit.card.title,
                "url": hit.card.url,
                "merged_at": hit.card.merged_at,
                "families": list(hit.card.families),
                "kind": hit.card.kind,
                "status": hit.card.status,
                "score": round(hit.score, 4),
                "why": [{"signal": c.signal, "value": round(c.value, 4)} for c in hit.why if c.worth],
                "excerpts": [{"path": e.path, "hunk": e.hunk, "text": e.text} for e in hit.excerpts],
                "anchors": [
                    {"path": a.path, "lines": list(a.lines), "side": a.side, "hunk": a.hunk, "says": a.says}
                    for a in hit.anchors
                ],
            }
            for hit in answer.hits
        ],
        "missing": list(answer.missing),
        "unknown_words": list(answer.unknown_words),
    }


def answer_text(answer: Answer, *, explain: bool = False) -> str:
    """An answer for people; declining comes first, so that nobody reads what is near as what fits."""
    lines: list[str] = []
    for name in answer.missing:
        lines.append(f"{name} is not in the knowledge base.")
    if not answer.answered:
        lines.append(f"Nothing here answers this (confidence {answer.confidence:.2f}).")
        if answer.unknown_words:
            lines.append(f"Words no card holds: {', '.join(one_line(w) for w in answer.unknown_words[:8])}.")
        if answer.hits and not answer.question.only_references:
            lines.append("Nearest, but judged not to fit:")
            lines += [f"  {_heading(hit)}" for hit in answer.hits[:3]]
        return "\n".join(lines)
    for hit in answer.hits:
        card = hit.card
        lines.append(f"{hit.rank:>2}. {_heading(hit)}")
        about = [card.kind, f"+{card.additions} -{card.deletions} in {card.coverage.files_total} files"]
        if card.families:
            about.append(_few(card.families, 5))
        lines.append(f"    {card.url}  [{card.status}; {'; '.join(about)}]")
        shown = [c for c in hit.why if c.worth] if explain else [c for c in hit.why if c.worth][:4]
        if explain:
            lines += [f"    {c.signal:<14} {c.value:6.3f}  adds {c.worth:6.3f}" for c in shown]
        else:
            lines.append("    why: " + ", ".join(f"{c.signal} {c.value:.2f}" for c in shown))
        if card.motivation:
            lines.append(f"    {one_line(card.motivation)}")
        if hit.excerpts:
            excerpt = hit.excerpts[0]
            lines.append(f"    {one_line(excerpt.path)} {one_line(excerpt.hunk)}")
            lines += [f"      {plain(line)}" for line in excerpt.text.split("\n")]
        elif hit.anchors:
            lines += [f"    see {anchor_place(a)}: {one_line(a.says)}" for a in hit.anchors[:2]]
        lines.append("")
    return "\n".join(lines).rstrip()


def _heading(hit: Hit) -> str:
    return f"{hit.card.id}  {hit.card.merged_at[:10] or 'date unknown'}  {one_line(hit.card.title)}"


def _few(items: Sequence[str], most: int) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
