"""The open-pull-request watch, as Markdown and as JSON."""

from __future__ import annotations

from typing import Any

from kb.reports.safe import inline_code, markdown_text
from kb.watch import Overlap, WatchedPull, WatchReport

_FILES = 8
_OVERLAPS = 50


def watch_json(report: WatchReport) -> dict[str, Any]:
    """The report."""
    return {
        "repos": list(report.repos), "families": list(report.surface.families), "paths": list(report.surface.paths),
        "open": report.seen, "pulls": [_pull_json(w) for w in report.pulls],
        "overlaps": [{"repo": o.repo, "pulls": [o.first, o.second], "files": list(o.files), "lines": list(o.lines)} for o in report.overlaps],
        "problems": report.problems,
    }  # fmt: skip


def _pull_json(watched: WatchedPull) -> dict[str, Any]:
    pull = watched.pull
    return {
        "repo": pull.repo, "number": pull.number, "title": pull.title, "url": pull.url, "author": pull.author.login,
        "author_kind": pull.author.kind, "draft": pull.draft, "created_at": pull.created_at,
        "updated_at": pull.updated_at, "head_sha": pull.head_sha, "additions": pull.additions,
        "deletions": pull.deletions, "changed_files": pull.changed_files, "files_complete": pull.files_complete,
        "patches_complete": watched.patches_complete, "labels": list(pull.labels), "why": list(watched.why),
        "on_surface": list(watched.on_surface), "shared_areas": list(watched.shared),
        "definitions": list(watched.definitions), "approvals": pull.approvals,
        "changes_requested": pull.changes_requested, "threads": pull.threads, "unresolved_threads": pull.unresolved,
        "decisions": [{"author": a, "state": s} for a, s in pull.decisions],
    }  # fmt: skip


def watch_markdown(report: WatchReport) -> str:
    """The report for people."""
    what = ", ".join([*report.surface.families, *report.surface.paths]) or "everything"
    lines = [
        f"# Open pull requests: {markdown_text(what)}", "",
        f"{len(report.pulls)} of {report.seen} open pull requests in {markdown_text(', '.join(report.repos))} touch it.",
    ]  # fmt: skip
    if report.problems:
        lines += ["", "Not fetched, so this report is incomplete:", ""]
        lines += [f"- {markdown_text(problem)}" for problem in report.problems]
    met = {n: [] for w in report.pulls for n in [(w.pull.repo, w.pull.number)]}  # type: dict[tuple[str, int], list[Overlap]]
    for overlap in report.overlaps:
        met[overlap.repo, overlap.first].append(overlap)
        met[overlap.repo, overlap.second].append(overlap)
    for watched in report.pulls:
        lines += ["", *_pull_lines(watched, met[watched.pull.repo, watched.pull.number])]
    if report.overlaps:
        lines += ["", "## Overlaps", "", "| pull requests | files | hunks meet in |", "|---|---|---|"]
        for o in report.overlaps[:_OVERLAPS]:
            lines.append(f"| {markdown_text(o.repo)} \\#{o.first}, \\#{o.second} | {_paths(o.files)} | {_paths(o.lines) or '-'} |")  # fmt: skip
        if len(report.overlaps) > _OVERLAPS:
            lines.append(f"\n{len(report.overlaps) - _OVERLAPS} more pairs share files.")
    return "\n".join(lines)


def _pull_lines(watched: WatchedPull, overlaps: list[Overlap]) -> list[str]:
    pull = watched.pull
    draft = ", draft" if pull.draft else ""
    lines = [
        f"## [{markdown_text(pull.repo)} \\#{pull.number}]({pull.url}): {markdown_text(pull.title)}", "",
        f"- by {markdown_text(pull.author.login or 'a deleted account')}{draft}; updated {pull.updated_at[:10]}; "
        f"+{pull.additions} -{pull.deletions} in {pull.changed_files} files; on the surface by {markdown_text(', '.join(watched.why))}",
        f"- reviews: {pull.approvals} approvals, {pull.changes_requested} ask for changes, {pull.unresolved} of {pull.threads} threads open",
    ]  # fmt: skip
    if watched.on_surface:
        lines.append(f"- would change {_paths(watched.on_surface)}")
    if watched.definitions:
        lines.append(f"- definitions: {_paths(watched.definitions)}")
    if watched.shared:
        lines.append(f"- engine-wide: {', '.join(watched.shared)}")
    if not watched.patches_complete or not pull.files_complete:
        lines.append("- GitHub does not give the whole diff of this one")
    if overlaps:
        others = [o.second if o.first == pull.number else o.first for o in overlaps]
        lines.append("- shares files with " + ", ".join(f"\\#{n}" for n in others[:20]))
    return lines


def _paths(paths: tuple[str, ...]) -> str:
    shown = ", ".join(inline_code(p).replace("|", "\\|") for p in paths[:_FILES])
    return shown + (f" and {len(paths) - _FILES} more" if len(paths) > _FILES else "")
