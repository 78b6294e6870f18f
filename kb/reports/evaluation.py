"""Retrieval scores."""

from __future__ import annotations

from typing import Any

from kb.evaluate import ClassScore, Evaluation, full_id
from kb.reports.safe import one_line


def _class_json(score: ClassScore) -> dict[str, Any]:
    return {
        "n": score.n,
        "recall@5": round(score.recall5, 4),
        "recall@10": round(score.recall10, 4),
        "mrr@10": round(score.mrr10, 4),
        "ndcg@10": round(score.ndcg10, 4),
    }


def evaluation_json(found: Evaluation, *, per_query: bool = False) -> dict[str, Any]:
    """The contract of `eval retrieval --json`."""
    macro = _class_json(found.macro)
    result: dict[str, Any] = {
        "macro": macro,
        "classes": {name: _class_json(s) for name, s in found.classes.items()},
        "none": {"auroc": found.auroc, "answered_at_95": found.answered_at_95},
        "latency_ms": {"p50": round(found.p50_ms, 2), "p95": round(found.p95_ms, 2)},
    }
    if per_query:
        result["queries"] = [
            {"id": o.query.id, "class": o.query.cls, "ranking": list(o.ranking[:10]), "confidence": round(o.confidence, 4),
             "latency_ms": round(o.latency_ms, 2)}
            for o in found.outcomes
        ]  # fmt: skip
    return result


def evaluation_text(found: Evaluation, *, per_query: bool = False) -> str:
    """Scores as a table."""
    lines = [f"{'class':<12}{'n':>5}{'R@5':>8}{'R@10':>8}{'MRR@10':>8}{'nDCG@10':>9}"]
    for name, s in [*found.classes.items(), ("macro", found.macro)]:
        lines.append(f"{name:<12}{s.n:>5}{s.recall5:>8.3f}{s.recall10:>8.3f}{s.mrr10:>8.3f}{s.ndcg10:>9.3f}")
    if found.auroc is not None and found.answered_at_95 is not None:
        lines.append(
            f"none: AUROC {found.auroc:.3f}, answered when 95% of the others are kept {found.answered_at_95:.1%}"
        )
    lines.append(f"latency: p50 {found.p50_ms:.1f} ms, p95 {found.p95_ms:.1f} ms")
    if per_query:
        for o in found.outcomes:
            wanted = {full_id(i) for i in o.query.relevant}
            places = [r for r, i in enumerate(o.ranking, start=1) if i in wanted]
            lines.append(
                f"{o.query.id}  {o.latency_ms:6.1f} ms  confidence {o.confidence:.2f}  found at {places}  {one_line(o.query.query)[:80]}"
            )
    return "\n".join(lines)
