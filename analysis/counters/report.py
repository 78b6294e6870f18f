"""A digest as text, Markdown and JSON. The last line is the next edit, in all of them."""

from __future__ import annotations

import json
from typing import Any

from analysis.counters.digest import Compared, Digest
from analysis.counters.rules import Rules
from analysis.reports.grid import Cell, Column, Grid, to_markdown, to_text
from analysis.reports.safe import markdown, plain

_TOP = 5


def as_text(digest: Digest, rules: Rules, top: int) -> str:
    """For a terminal."""
    parts = []
    for compared in digest.kernels[:top]:
        grid, waits = _measures(compared, rules), _waits(compared)
        parts.append(
            "\n".join(
                [f"== {plain(_title(compared))}", to_text(grid), *([to_text(waits)] if waits.rows else [])]
            )
        )
    parts += [plain(line) for line in _rest(digest, top)]
    parts.append(
        f"because: {plain(digest.edit.why)} ({plain(digest.edit.source)})\nNext edit: {plain(digest.edit.text)}"
    )
    return "\n\n".join(parts)


def as_markdown(digest: Digest, rules: Rules, top: int) -> str:
    """For a report."""
    parts = []
    for compared in digest.kernels[:top]:
        parts.append(f"### {markdown(_title(compared))}\n\n{to_markdown(_measures(compared, rules))}")
        if _waits(compared).rows:
            parts.append(to_markdown(_waits(compared)))
    parts += [markdown(line) for line in _rest(digest, top)]
    parts.append(f"Because: {markdown(digest.edit.why)} ({markdown(digest.edit.source)})")
    parts.append(f"**Next edit:** {markdown(digest.edit.text)}")
    return "\n\n".join(parts)


def as_json(digest: Digest, rules: Rules, top: int) -> str:
    """All kernels; `next_edit` is the last key."""
    return json.dumps(
        {
            "kernels": [_record(compared) for compared in digest.kernels],
            "gone": list(digest.gone),
            "next_edit": {
                "rule": digest.edit.rule,
                "because": digest.edit.why,
                "source": digest.edit.source,
                "edit": digest.edit.text,
            },
        },
        indent=2,
    )


def _record(compared: Compared) -> dict[str, Any]:
    def one(kernel: Any) -> dict[str, Any] | None:
        if kernel is None:
            return None
        return {
            "name": kernel.name, "grid": kernel.grid, "block": kernel.block, "launches": kernel.launches,
            "measures": dict(kernel.measures), "stalls_pct": dict(kernel.stalls), "total_ns": kernel.total_ns,
        }  # fmt: skip

    return {
        "candidate": one(compared.candidate),
        "baseline": one(compared.baseline),
        "faster_pct": compared.faster,
        "bound": compared.bound,
    }


def _title(compared: Compared) -> str:
    k = compared.candidate
    name = k.name if len(k.name) <= 100 else f"{k.name[:99]}…"
    shape = f", grid {k.grid}, block {k.block}" if k.grid else ""
    told = (
        f"; {abs(compared.faster):.1f}% {'faster' if compared.faster >= 0 else 'slower'}"
        if compared.faster is not None
        else ""
    )
    times = f"{k.launches} launch{'es' * (k.launches > 1)}"
    return f"{name} ({times}{shape}): bound by {compared.bound}{told}"


def _measures(compared: Compared, rules: Rules) -> Grid:
    before = compared.baseline.measures if compared.baseline else {}
    columns = [Column("measure", "measure", text=True), Column("candidate", "candidate", "4s")]
    if compared.baseline:
        columns += [Column("baseline", "baseline", "4s"), Column("change", "change", text=True)]
    rows: list[tuple[Cell, ...]] = []
    for measure in rules.measures:
        now, then = compared.candidate.measures.get(measure.key), before.get(measure.key)
        if now is None and then is None:
            continue
        label = f"{measure.label} ({measure.unit})" if measure.unit else measure.label
        row: tuple[Cell, ...] = (label, now)
        if compared.baseline:
            row += (then, _change(now, then, measure.better))
        rows.append(row)
    return Grid(tuple(columns), tuple(rows))


def _change(now: float | None, then: float | None, better: str) -> str | None:
    if now is None or then is None or not then:
        return None
    change = 100 * (now - then) / then
    if better == "neither" or abs(change) < 1:
        return f"{change:+.1f}%"
    return f"{change:+.1f}% {'better' if (change > 0) == (better == 'higher') else 'worse'}"


def _waits(compared: Compared) -> Grid:
    """Where the warps' time went; `selected` is the part in which they issued."""
    before = compared.baseline.stalls if compared.baseline else {}
    ranked = sorted(compared.candidate.stalls.items(), key=lambda item: -item[1])[:_TOP]
    columns = (
        Column("stall", "warps wait for", text=True),
        Column("share", "% of their time", ".1f"),
        Column("before", "baseline", ".1f"),
    )
    rows = tuple((name.replace("_", " "), share, before.get(name)) for name, share in ranked)
    return Grid(columns, rows).without_empty() if rows else Grid(columns, ())


def _rest(digest: Digest, top: int) -> list[str]:
    lines = []
    if len(digest.kernels) > top:
        lines.append(f"… and {len(digest.kernels) - top} more kernels; --top shows them")
    if digest.gone:
        lines.append(f"only in the baseline: {', '.join(name[:60] for name in digest.gone[:5])}")
    return lines
