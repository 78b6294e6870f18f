"""Open pull requests that touch a surface: a model family, or paths. What each would change, and where two meet."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ingest.errors import GitHubError, PrloreError
from ingest.github.authors import Bots
from ingest.github.client import Client
from ingest.github.openpulls import OpenFile, OpenPull, open_pulls, patched_files
from ingest.github.pace import RequestBudgetSpent
from ingest.paths import shared_area
from kb.families import Families

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@ ?(.*)$", re.MULTILINE)
_DEFINED = re.compile(
    r"\b(?:def|class|fn|struct|enum|trait|impl)\s+([A-Za-z_]\w*)|__global__\s+void\s+([A-Za-z_]\w*)"
)
_NEAR = 3  # lines of context on either side of a hunk


class WatchFailed(PrloreError):
    """Nothing could be fetched: an empty report would say that nothing is going on."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What is watched. Without families and paths, everything is."""

    families: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def touches(self, pull: OpenPull, families: Families) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(paths on the surface, why) of a pull request; no reasons when it stays off."""
        changed = [f.path for f in pull.files]
        if not self.families and not self.paths:
            return tuple(changed), ("everything is watched",)
        hit: list[str] = []
        why: list[str] = []
        for wanted in self.paths:
            found = [p for p in changed if matches(p, wanted)]
            if found:
                hit += found
                why.append(f"path {wanted}")
        for slug in self.families:
            found = [p for p in changed if slug in families.of_path(p)]
            if found:
                hit += found
                why.append(f"{slug}: files")
            elif slug in families.mentioned(pull.title):
                why.append(f"{slug}: title")
        return tuple(dict.fromkeys(hit)), tuple(why)


@dataclass(frozen=True, slots=True)
class WatchedPull:
    """An open pull request on the surface.

    Attributes:
        on_surface: its files that are on the surface.
        shared: engine-wide areas that it touches, so that it reaches beyond the surface.
        definitions: functions and classes that its patches open or stand in.
        patches_complete: whether GitHub gave all of the diff.
    """

    pull: OpenPull
    on_surface: tuple[str, ...]
    why: tuple[str, ...]
    shared: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    patches_complete: bool = True


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two open pull requests that change the same files. `lines` are files in which their hunks meet as well."""

    repo: str
    first: int
    second: int
    files: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(slots=True)
class WatchReport:
    """The whole report. `problems` are fetches that failed: what they would have told is missing."""

    repos: tuple[str, ...]
    surface: Surface
    seen: int = 0
    pulls: list[WatchedPull] = field(default_factory=list)
    overlaps: list[Overlap] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def matches(path: str, wanted: str) -> bool:
    """Whether a path is wanted: a glob over the whole of it, or part of it."""
    if any(c in wanted for c in "*?["):
        return fnmatch.fnmatchcase(path, wanted) or fnmatch.fnmatchcase(path, f"*/{wanted}")
    return wanted.strip("/") in path


def watch(client: Client, repos: Sequence[str], surface: Surface, families: Families, bots: Bots, progress: Callable[[str, int, int], None]) -> WatchReport:  # fmt: skip
    """Look at all open pull requests of some repositories.

    Raises:
        WatchFailed: every fetch failed.
    """
    report = WatchReport(tuple(repos), surface)
    reached = 0
    for repo in repos:
        try:
            for pull in open_pulls(client, repo, bots, partial(progress, repo)):
                report.seen += 1
                hit, why = surface.touches(pull, families)
                if why:
                    report.pulls.append(WatchedPull(pull, hit, why))
            reached += 1
        except (GitHubError, RequestBudgetSpent) as exc:
            report.problems.append(f"{repo}: {exc or 'the request budget is spent'}")
    if not reached and not report.seen:
        raise WatchFailed("nothing could be fetched: " + "; ".join(report.problems))
    report.pulls = [_with_patches(client, watched, report) for watched in report.pulls]
    report.overlaps = find_overlaps([w.pull for w in report.pulls])
    return report


def _with_patches(client: Client, watched: WatchedPull, report: WatchReport) -> WatchedPull:
    pull = watched.pull
    files, complete = pull.files, False
    try:
        patched, complete = patched_files(client, pull.repo, pull.number)
        files = patched or files  # a diff that is too large has at least its paths
    except (GitHubError, RequestBudgetSpent) as exc:
        report.problems.append(f"{pull.repo}#{pull.number}: {exc or 'the request budget is spent'}")
    areas = {area for f in files if (area := shared_area(f.path))}
    return replace(
        watched, pull=replace(pull, files=files), shared=tuple(sorted(areas)), patches_complete=complete,
        definitions=_definitions(files, watched.on_surface),
    )  # fmt: skip


def _definitions(files: Sequence[OpenFile], paths: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for file in files:
        if paths and file.path not in paths:
            continue
        for line in file.patch.split("\n"):
            if line[:1] in "+-" or line.startswith("@@"):
                for first, second in _DEFINED.findall(line):
                    found.setdefault(first or second)
    return tuple(found)[:40]


def find_overlaps(pulls: Sequence[OpenPull]) -> list[Overlap]:
    """Pairs of one repository that change the same files; those whose hunks meet first."""
    by_file: dict[tuple[str, str], list[int]] = {}
    known = {(p.repo, p.number): p for p in pulls}
    for pull in pulls:
        for file in pull.files:
            by_file.setdefault((pull.repo, file.path), []).append(pull.number)
    pairs: dict[tuple[str, int, int], list[str]] = {}
    for (repo, path), numbers in by_file.items():
        ordered = sorted(set(numbers))
        for i, first in enumerate(ordered):
            for second in ordered[i + 1 :]:
                pairs.setdefault((repo, first, second), []).append(path)
    found = []
    for (repo, first, second), paths in pairs.items():
        one, other = (_ranges(known[repo, n], paths) for n in (first, second))
        met = tuple(p for p in paths if _meet(one.get(p, []), other.get(p, [])))
        found.append(Overlap(repo, first, second, tuple(paths), met))
    return sorted(found, key=lambda o: (-len(o.lines), -len(o.files), o.repo, o.first, o.second))


def _ranges(pull: OpenPull, paths: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """Ranges of old lines by file: both sides of a pair count on the base branch, nearly the same for both."""
    ranges = {}
    for file in pull.files:
        if file.path in paths:
            hunks = [
                (int(start), int(start) + int(count or "1")) for start, count, _ in _HUNK.findall(file.patch)
            ]
            ranges[file.path] = hunks
    return ranges


def _meet(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> bool:
    return any(a < d - _NEAR and c < b - _NEAR for a, b in one for c, d in other)
