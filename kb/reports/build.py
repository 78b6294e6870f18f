"""What an ingest run did."""

from __future__ import annotations

from typing import Any

from kb.build import Report
from kb.reports.safe import one_line

_SHOWN = 10


def build_json(report: Report) -> dict[str, Any]:
    """A run's report."""
    return {
        "repo": report.repo,
        "walked": report.walked,
        "known": report.known,
        "cards": report.cards,
        "without_number": report.unnumbered,
        "duplicates": [
            {"number": d.number, "sha": d.sha, "kept": d.kept, "subject": d.subject}
            for d in report.duplicates
        ],
        "problems": [{"number": p.number, "sha": p.sha, "what": p.what} for p in report.problems],
        "out_of_sequence": report.out_of_sequence,
        "files": report.files,
        "files_by_hunk_header": report.fallbacks,
        "discarded_rows": report.discarded,
        "retagged": report.retagged,
    }


def build_text(report: Report, uri: str) -> str:
    """A run's report for people."""
    new = report.cards + report.unnumbered + len(report.duplicates)
    lines = [
        f"{report.repo}: {report.walked} commits, {report.known} known before, {new} new: "
        f"{report.cards} pull requests, {len(report.duplicates)} with a number seen before, "
        f"{report.unnumbered} without a number"
    ]
    if report.discarded:
        lines.append(f"removed {report.discarded} rows that an interrupted run had left")
    if report.fallbacks:
        lines.append(
            f"{report.fallbacks} of {report.files} files did not parse where they changed; hunk headers named their symbols"
        )
    if report.retagged:
        lines.append(f"data/families.yaml has changed: {report.retagged} cards tagged anew")
    for title, items in (
        (
            "numbers seen before (the first merged is kept)",
            [f"#{d.number} {d.sha[:10]} {d.subject}" for d in report.duplicates],
        ),
        ("problems", [f"#{p.number} {p.sha[:10]} {p.what}" for p in report.problems]),
    ):
        if items:
            lines.append(f"{title}:")
            lines += [f"  {one_line(item)}" for item in items[:_SHOWN]]
            if len(items) > _SHOWN:
                lines.append(f"  and {len(items) - _SHOWN} more; `prlore status --list` has all")
    if report.out_of_sequence and report.cards:
        count = len(report.out_of_sequence)
        lines.append(
            f"{count} numbers stand far out of sequence, most likely a fork's own: {', '.join(f'#{n}' for n in report.out_of_sequence[:_SHOWN])}"
        )
    lines.append(f"knowledge base: {uri}")
    return "\n".join(lines)
