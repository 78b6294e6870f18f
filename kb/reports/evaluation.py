"""Retrieval scores with their intervals, and the differences of two rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kb.bootstrap import (
    ANSWERED,
    AUROC,
    LESS_IS_BETTER,
    MACRO,
    METRICS,
    Difference,
    Differences,
    Interval,
    Intervals,
)
from kb.evaluate import NONE, ClassScore, Evaluation, full_id
from kb.reports.safe import one_line

_SHORT = {"recall@5": "R@5", "recall@10": "R@10", "mrr@10": "MRR@10", "ndcg@10": "nDCG@10"}
_NAMES = {**_SHORT, AUROC: "AUROC", ANSWERED: "answered"}


@dataclass(frozen=True, slots=True)
class Against:
    """A second ranking's evaluation, and what the first has more than it."""

    found: Evaluation
    intervals: Intervals
    differences: Differences


def _class_json(score: ClassScore, spread: Mapping[str, Interval]) -> dict[str, Any]:
    scores = {m: round(getattr(score, field), 4) for m, field in METRICS.items()}
    return {"n": score.n, **scores, "interval": _intervals_json(spread)}


def _intervals_json(spread: Mapping[str, Interval]) -> dict[str, list[float]]:
    return {m: [round(i.low, 4), round(i.high, 4)] for m, i in spread.items()}


def evaluation_json(
    found: Evaluation, spread: Intervals, against: Against | None = None, *, per_query: bool = False
) -> dict[str, Any]:
    """The contract of `eval retrieval --json`."""
    result = _one_json(found, spread)
    if against is not None:
        result["against"] = _one_json(against.found, against.intervals) | {
            "difference": {
                group: {m: _difference_json(d) for m, d in metrics.items()}
                for group, metrics in against.differences.items()
            }
        }
    if per_query:
        result["queries"] = [
            {"id": o.query.id, "class": o.query.cls, "ranking": list(o.ranking[:10]), "confidence": round(o.confidence, 4),
             "latency_ms": round(o.latency_ms, 2)}
            for o in found.outcomes
        ]  # fmt: skip
    return result


def _one_json(found: Evaluation, spread: Intervals) -> dict[str, Any]:
    return {
        "ranking": found.ranking,
        "macro": _class_json(found.macro, spread.get(MACRO, {})),
        "classes": {name: _class_json(s, spread.get(name, {})) for name, s in found.classes.items()},
        "none": {
            AUROC: found.auroc,
            ANSWERED: found.answered_at_95,
            "interval": _intervals_json(spread.get(NONE, {})),
        },
        "latency_ms": {"p50": round(found.p50_ms, 2), "p95": round(found.p95_ms, 2)},
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "value": round(difference.value, 4),
        "interval": [round(difference.interval.low, 4), round(difference.interval.high, 4)],
        "favours": round(difference.favours, 4),
    }


def evaluation_text(
    found: Evaluation, spread: Intervals, against: Against | None = None, *, per_query: bool = False
) -> str:
    """Scores as a table, intervals of 95% beside them."""
    lines = _one_text(found, spread)
    if against is not None:
        lines += ["", *_one_text(against.found, against.intervals), "", *_difference_text(found, against)]
    if per_query:
        for o in found.outcomes:
            wanted = {full_id(i) for i in o.query.relevant}
            places = [r for r, i in enumerate(o.ranking, start=1) if i in wanted]
            lines.append(
                f"{one_line(o.query.id)}  {o.latency_ms:6.1f} ms  confidence {o.confidence:.2f}  found at {places}  {one_line(o.query.query)[:80]}"
            )
    return "\n".join(lines)


def _one_text(found: Evaluation, spread: Intervals) -> list[str]:
    lines = [
        found.ranking,
        f"{'class':<12}{'n':>4}" + "".join(f"  {_SHORT[m]:<17}" for m in METRICS).rstrip(),
    ]
    for name, s in [*found.classes.items(), (MACRO, found.macro)]:
        cells = [
            f"  {cell(getattr(s, field), spread.get(name, {}).get(m)):<17}" for m, field in METRICS.items()
        ]
        lines.append(f"{one_line(name):<12}{s.n:>4}" + "".join(cells).rstrip())
    if found.auroc is not None and found.answered_at_95 is not None:
        none = spread.get(NONE, {})
        lines.append(
            f"none: AUROC {cell(found.auroc, none.get(AUROC))}, "
            f"answered when 95% of the others are kept {cell(found.answered_at_95, none.get(ANSWERED))}"
        )
    lines.append(f"latency: p50 {found.p50_ms:.1f} ms, p95 {found.p95_ms:.1f} ms")
    return lines


def _difference_text(found: Evaluation, against: Against) -> list[str]:
    lines = [f"{found.ranking} minus {against.found.ranking}: difference, 95% interval, share of resamples for the first"]  # fmt: skip
    for group, metrics in against.differences.items():
        for metric, d in metrics.items():
            hint = " (less is better)" if metric in LESS_IS_BETTER else ""
            lines.append(
                f"{one_line(group):<12}{_NAMES[metric]:<9}{difference_cell(d)}  {d.favours:>4.0%}{hint}"
            )
    return lines


def cell(value: float, interval: Interval | None) -> str:
    """A score with its interval: `.512 [.430, .594]`."""
    if interval is None:
        return share(value)
    return f"{share(value)} [{share(interval.low)}, {share(interval.high)}]"


def difference_cell(difference: Difference) -> str:
    """A difference with its interval and signs: `+.031 [-.002, +.066]`."""
    low, high = difference.interval.low, difference.interval.high
    return f"{signed(difference.value)} [{signed(low)}, {signed(high)}]"


def share(value: float) -> str:
    """A share of 1 to three places, without a leading 0."""
    return f"{value:.3f}".replace("0.", ".", 1) if value < 0.9995 else f"{value:.2f}"


def signed(value: float) -> str:
    """A difference of shares to three places with its sign."""
    sign = "-" if value <= -0.0005 else "+"
    return sign + share(abs(value))
