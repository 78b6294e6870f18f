"""The flag searches: every trial of every engine, failures with their reasons, and where the target is behind."""

from __future__ import annotations

from loop.fair.gap import gap_rows
from loop.fair.trials import FlagSearch, Trial
from loop.reports.story import Story
from loop.reports.words import blob_link, code, table, words


def searches(story: Story) -> str:
    """A table an engine, and the rows of the gap between the best trials."""
    lines = [
        "# Flag searches",
        "",
        "Every engine got as many servers. A trial is one run: it chooses, it proves nothing; what the choice is worth is a"
        " paired comparison of the benchmark.",
        "",
    ]
    for digest, search in story.searches.items():
        lines += [
            f"## {words(search.engine)} {words(search.version)}",
            "",
            f"Record {blob_link(digest, '../../')}.",
            "",
        ]
        lines += [f"Not run: {words(search.missing)}", ""] if search.missing else _trials(search)
        if search.left_out:
            lines += [f"Left out: {words('; '.join(search.left_out))}", ""]
    lines += _gaps(story)
    if not story.searches:
        lines += ["No engine was searched.", ""]
    return "\n".join(lines)


def _trials(search: FlagSearch) -> list[str]:
    rows = [
        (
            f"**{trial.number}**" if trial.number == search.best else str(trial.number),
            code(" ".join(trial.flags)) or "(defaults)",
            trial.ended,
            words(trial.reason[:200]),
            *_figures(trial),
            f"{trial.seconds:.0f}",
        )
        for trial in search.trials
    ]
    head = (
        "Trial",
        "Options",
        "Ended",
        "Reason",
        "tok/s",
        "CPU ms/token",
        "TTFT p50 ms",
        "TPOT p50 ms",
        "Seconds",
    )
    return [*table(head, rows), ""]


def _figures(trial: Trial) -> tuple[str, str, str, str]:
    """Of the first workload."""
    if not trial.metrics:
        return "", "", "", ""
    found = trial.metrics[0][1]
    cpu = found.cpu_seconds_per_token
    return (
        f"{found.output_throughput:.1f}",
        f"{cpu * 1000:.3f}" if cpu is not None else "",
        f"{found.p50_ttft_ms:.1f}",
        f"{found.p50_tpot_ms:.2f}",
    )


def _gaps(story: Story) -> list[str]:
    """Target's best trial against the rivals'."""
    by_engine = list(story.searches.values())
    mine = next((s for s in by_engine if s.engine == story.spec.target.name), None)
    if mine is None:
        return []
    rivals = {s.engine: s for s in by_engine if s is not mine}
    rows = [
        (
            words(r.workload),
            words(r.figure),
            r.stage,
            f"{r.target:.4g}",
            f"{r.best:.4g}",
            words(r.engine),
            f"{r.gap:+.1%}",
        )
        for r in gap_rows(mine, rivals)
    ]
    if not rows:
        return []
    head = ("Load", "Figure", "Stage", "Target", "Best", "Engine", "Gap")
    return ["## Gap of the best trials", "", "Shows where to look; single runs.", "", *table(head, rows), ""]
