"""The run folder: the files that the public skills name, all rendered anew from the campaign."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from loop.campaign.errors import CampaignError
from loop.campaign.folder import Folder
from loop.records import ProfileDigest, canonical
from loop.reports import benchmark, final, ledgers
from loop.reports.searches import searches
from loop.reports.story import Story, read
from loop.reports.words import blob_link, code, linked, table, words

_MARK = ".rendered"  # a folder that holds it is ours to replace
_ROWS = 25


def render(folder: Folder, into: Path) -> Story:
    """Write all views, in place of those that were there.

    Raises:
        CampaignError: `into` holds files that are not views.
    """
    story = read(folder)
    if into.exists() and any(into.iterdir()) and not (into / _MARK).exists():
        raise CampaignError(f"{into} holds other files: name another folder")
    if into.exists():
        shutil.rmtree(into)
    into.mkdir(parents=True)
    (into / _MARK).touch()
    for name, make in _VIEWS.items():
        _write(into / name, make(story))
    for number, (digest, profile) in enumerate(story.profiles.items(), 1):
        _write(into / "profiles" / f"{number:02d}-{profile.stage}.md", _profile(digest, profile))
        raw = msgspec.json.format(canonical(profile), indent=1).decode()
        _write(into / "humanize" / "profile-digests" / f"{number:02d}-{profile.stage}.json", raw + "\n")
    for told in story.candidates:
        if told.proposal.diff:
            word = told.verdict.decision if told.verdict else "open"
            path = into / "patches" / f"{told.number:03d}-{word}.patch"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(story.blobs.get(told.proposal.diff))
    for build in story.builds.values():
        if build.help:
            path = into / "help" / f"{build.engine}-{build.help[:12]}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(_stored(story, build.help))
    _plots(story, into)
    return story


def _stored(story: Story, digest: str) -> bytes:
    try:
        return story.blobs.get(digest)
    except CampaignError:
        return b"(only its digest was kept)\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _plots(story: Story, into: Path) -> None:
    from loop.reports.plots import draw, missing

    if reason := missing():
        _write(into / "plots" / "README.md", f"{reason}\n")
    else:
        draw(story, into / "plots")


def manifest(story: Story) -> str:
    """What was frozen, and what ran."""
    spec = story.spec
    frozen = msgspec.json.format(canonical(spec), indent=2).decode()
    rows = [
        (
            blob_link(digest),
            words(build.engine),
            words(build.identity.version),
            code(build.launch.tree[:16]),
            code(build.environment[:16]),
            code(" ".join(build.rejected_flags)),
        )
        for digest, build in story.builds.items()
    ]
    return "\n".join(
        [
            f"# {words(spec.name)}",
            "",
            f"Spec {blob_link(spec.id)}, frozen at the start:",
            "",
            "```json",
            frozen.replace("```", "` ` `"),
            "```",
            "",
            "## Builds that were measured",
            "",
            *table(("Build", "Engine", "Version", "Tree", "Environment", "Flags left out"), rows),
            "",
        ]
    )


def history_notes(story: Story) -> str:
    """Cards that were read, where, and which decision each influenced."""
    rows = []
    for digest, bundle in story.bundles.items():
        used = [
            f"candidate {told.number} {told.verdict.decision if told.verdict else 'open'}"
            for told in story.candidates
            if told.proposal.evidence == digest
        ]
        rows += [
            (
                words(card.card_id),
                code(card.path),
                code(card.quote[:120]),
                f"{bundle.stage} {code(bundle.row_id)}",
                words(", ".join(used)) or "none",
            )
            for card in bundle.cards
        ]
    head = ("Pull request", "File", "Quoted", "Read for row", "Influenced")
    return "\n".join(["# History notes", "", *table(head, rows), ""])


def root_cause(story: Story) -> str:
    """From the symptom to the rows, per evidence."""
    lines = ["# Root cause", ""]
    for found in story.of_kind("gap"):
        lines.append(f"- {words(story.side_name(found.b))}: {found.verdict} {linked(found, '../')}")
    rows = [
        (
            bundle.stage,
            code(bundle.row_id),
            f"{bundle.share:.1%}",
            code(bundle.location),
            f"{bundle.ceiling:.1%}",
            words(bundle.expected),
        )
        for bundle in story.bundles.values()
    ]
    return "\n".join(
        [*lines, "", *table(("Stage", "Row", "Share", "Place", "Can pay", "Expected"), rows), ""]
    )


def layer_pipeline(story: Story) -> str:
    """Where the reports of layers are."""
    rows = [
        (profile.stage, code(profile.tree[:12]), blob_link(profile.layers, "../../", "layers"))
        for profile in story.profiles.values()
        if profile.layers
    ]
    return "\n".join(["# Layer pipeline", "", *table(("Stage", "Tree", "Report"), rows), ""])


def _profile(digest: str, profile: ProfileDigest) -> str:
    rows = [
        (
            code(row.row_id),
            code(row.name[:80]),
            words(row.family),
            f"{row.share:.2%}",
            str(row.calls),
            code(row.sources[0] if row.sources else ""),
        )
        for row in profile.rows[:_ROWS]
    ]
    head = ("Row", "Kernel", "Family", f"Share of {profile.clock} time", "Calls", "Source")
    return "\n".join(
        [
            f"# {words(profile.engine)} {profile.stage}",
            "",
            f"Tree {code(profile.tree[:16])}, record {blob_link(digest, '../../')}, trace"
            f" {blob_link(profile.trace, '../../')}"
            + (f", report {blob_link(profile.report, '../../')}" if profile.report else "")
            + ".",
            "",
            *table(head, rows),
            "",
        ]
    )


_VIEWS: dict[str, Callable[[Story], str]] = {
    "manifest.md": manifest,
    "benchmark/candidates.jsonl": benchmark.candidates_jsonl,
    "benchmark/summary.md": benchmark.summary,
    "benchmark/flag-searches.md": searches,
    "benchmark/winning-commands.md": benchmark.winning_commands,
    "benchmark/fairness/diagnostics.md": benchmark.fairness,
    "analysis/root-cause.md": root_cause,
    "analysis/layer-pipeline.md": layer_pipeline,
    "analysis/fairness-diagnostics.md": benchmark.fairness,
    "history/model-pr-history-notes.md": history_notes,
    "humanize/model-loop-checkpoint.md": ledgers.checkpoint,
    "humanize/attempt-ledger.md": ledgers.attempts,
    "humanize/optimization-ledger.md": ledgers.optimizations,
    "humanize/source-idea-ledger.md": ledgers.source_ideas,
    "humanize/lineage.jsonl": ledgers.lineage,
    "appendix.md": final.appendix,
    "final_report.md": final.final_report,
}
