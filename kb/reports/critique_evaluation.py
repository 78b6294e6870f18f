"""Scores of critiques: a table of ours beside the baselines, the gates, and the margins over churn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from kb.critique.evaluate import METRICS, Outcome, ReviewEvaluation
from kb.reports.safe import one_line

_NAMES = ("ours", "churn", "alphabetical", "majority")


def evaluation_json(found: ReviewEvaluation, *, per_case: bool = False) -> dict[str, Any]:
    """The contract of `eval review --json`."""
    told: dict[str, Any] = {
        "cases": len(found.outcomes), "mended": len(found.mended), "clean": len(found.clean), "unread": list(found.unread),
        "scores": {n: {m: [round(s.value, 4), round(s.low, 4), round(s.high, 4), s.n] for m, s in of.items()} for n, of in found.scores.items()},
        "margins": {
            n: {m: {"value": round(d.value, 4), "low": round(d.low, 4), "high": round(d.high, 4), "better": d.better, "worse": d.worse, "p": round(d.p, 5)}
                for m, d in of.items()}
            for n, of in found.margins.items()
        },
        "gates": dict(_gates(found.outcomes)), "alarms": dict(_alarms(found)),
    }  # fmt: skip
    if per_case:
        told["outcomes"] = [
            {"id": o.case.id, "findings": o.findings, "major": o.major, "in_mended": o.in_mended, "scores": o.scores} for o in found.outcomes
        ]  # fmt: skip
    return told


def evaluation_text(found: ReviewEvaluation) -> str:
    """The same for people."""
    lines = [
        f"{len(found.outcomes)} pull requests, each reviewed as of its merge: {len(found.mended)} mended within 60 days, {len(found.clean)} never touched again."
    ]
    if found.unread:
        lines.append(f"Not read: {len(found.unread)}, the first is {one_line(found.unread[0])}.")
    lines += ["", f"{'':14s}" + "".join(f"{m:>26s}" for m in METRICS)]
    for name in _NAMES:
        if found.scores.get(name):
            cells = [found.scores[name].get(m) for m in METRICS]
            lines.append(
                f"{name:14s}" + "".join(f"{_cell(c.value, c.low, c.high) if c else '':>26s}" for c in cells)
            )
    counted = {m: s.n for m, s in found.scores.get("ours", {}).items()}
    lines.append(
        "over cases: "
        + ", ".join(f"{m} {n}" for m, n in counted.items())
        + "; in brackets 95% of 2,000 resamples of cases"
    )
    for name, of in found.margins.items():
        for m, d in of.items():
            lines.append(
                f"ours - {name:12s} {m:18s} {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}], better on {d.better}, worse on {d.worse}, sign test p = {d.p:.4f}"
            )
    lines += ["", *(f"{k}: {v}" for k, v in (*_gates(found.outcomes), *_alarms(found)))]
    return "\n".join(lines)


def _cell(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _gates(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    findings = sum(o.findings for o in outcomes)
    yield "grounding validity", f"{sum(o.valid for o in outcomes)} of {findings} findings"
    yield "anchor validity", f"{sum(o.anchored for o in outcomes)} of {findings} findings"
    yield "repeated after an unrelated push", f"{sum(o.repeated for o in outcomes)} findings"
    yield "same bytes twice", f"{sum(o.same_bytes for o in outcomes)} of {len(outcomes)} reviews"


def _alarms(found: ReviewEvaluation) -> Iterator[tuple[str, str]]:
    for name, outcomes in (("mended", found.mended), ("clean", found.clean)):
        if outcomes:
            n = len(outcomes)
            counts = [o.findings for o in outcomes]
            yield (
                f"findings per {name} pull request",
                f"mean {sum(counts) / n:.2f}, median {median(counts):g}, most {max(counts)}; {sum(o.major for o in outcomes) / n:.2f} at least major; "
                f"{sum(c > 0 for c in counts)} of {n} have one",
            )  # fmt: skip
    held = sum(o.findings for o in found.mended)
    if held:
        chance = sum(o.findings * len(o.case.mended) / o.case.hunks for o in found.mended)
        yield (
            "findings in a mended hunk",
            f"{sum(o.in_mended for o in found.mended)} of {held}, {chance:.1f} if they stood at random",
        )
        hit = sum(o.in_mended > 0 for o in found.mended)
        yield "mended pull requests with a finding in a mended hunk", f"{hit} of {len(found.mended)}"
