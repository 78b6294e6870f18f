"""Findings that facts of the diff give, each only where a past change shows that it matters in this place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest.paths import shared_area
from kb.critique.drafts import Case, clean, draft, named, short
from kb.critique.findings import Finding, PullPrecedent, quote_sha
from kb.critique.history import PastPull, days_between, read_pulls
from kb.critique.patch import PatchFile, PatchHunk, same_definition
from kb.critique.precedents import pull_precedent
from kb.filters import Filter
from kb.store import Store
from kb.stored_diff import ChunkRow, hunk_lines, hunks_of_chunks

_BEHAVIOUR = 8  # changed lines of code from which on a test is expected
_FLAG_PAGE = re.compile(r"arg|cli|option|flag|param|config|serv", re.IGNORECASE)
_PAGES = 40  # changes of docs that are looked through, newest first
_TESTED_WITHIN = 540  # days that a test which a fix brought still counts as the habit of this file
NUMBER = re.compile(
    r"\d(?:[\d.,]*\d)?\s*(?:%|x\b|×|ms\b|us\b|µs\b|s\b|tok(?:en)?s?/s|req/s|TFLOPS|GB/s|GiB\b|MiB\b|MB\b|GB\b)",
    re.IGNORECASE,
)
_PERF_CLAIM = re.compile(
    r"\b(?:speed\s?up|faster|perf(?:ormance)?|throughput|latency|optimi[sz]\w+|accelerat\w+|reduce overhead)\b",
    re.IGNORECASE,
)


def code_hunks(case: Case) -> list[PatchHunk]:
    """Hunks of code that runs in the engine, the one with most changed lines of code first."""
    groups = ("runtime", "kernel")
    found = [
        h
        for f in case.patch.files
        if f.group in groups
        for h in f.hunks
        if any(r.kind == "code" for r in h.behaviour)
    ]
    return sorted(found, key=lambda h: (-len(h.behaviour), h.path, h.hunk.new_start))


def untested_change(case: Case) -> Iterator[Finding]:
    """Behaviour changes and no test does, where fixes of this file came with tests."""
    if any(f.group == "test" for f in case.patch.files):
        return
    hunks = code_hunks(case)
    if sum(len(h.behaviour) for h in hunks) < _BEHAVIOUR:
        return
    for hunk in hunks[:6]:
        tested = [
            p
            for p in case.history.fixes(hunk.path)
            if p.kind == "fix" and p.tests and days_between(p.merged_at, case.now) <= _TESTED_WITHIN
        ]
        inside = [p for p in tested if any(same_definition(s.name, hunk.symbol) for s in p.symbols)]
        if not inside and len(tested) < 2:
            continue
        for pull in reversed(inside or tested):
            if not case.there(pull.tests):
                continue
            symbol = hunk.symbol if pull in inside else ""
            precedent = pull_precedent(case.history, pull, hunk.path, symbol)
            if precedent is not None:
                lines = sum(len(h.behaviour) for h in hunks)
                yield draft(
                    hunk, "untested-change", "minor", "tests",
                    f"{lines} changed lines of code and no test; a slip in {named(hunk.symbol, hunk.path)} would pass unseen, as before {short(pull.id)}.",
                    f"Add a case, or say which one covers it: {short(pull.id)} brought `{clean(case.there(pull.tests)[0])}`.",
                    0.5 + 0.2 * bool(inside) + min(len(hunk.behaviour), 50) / 200, [precedent],
                )  # fmt: skip
                return


def claim_without_numbers(case: Case) -> Iterator[Finding]:
    """A change that says it is faster, with no figure, where such a change was reverted before."""
    patch = case.patch
    said = f"{patch.title}\n{patch.message}"
    claims = patch.kind == "perf" or _PERF_CLAIM.search(patch.title)
    if (
        not claims
        or not patch.message.strip()
        or NUMBER.search(said)
        or any(f.group == "benchmark" for f in patch.files)
    ):
        return
    for hunk in code_hunks(case)[:6]:
        taken_back = [p for p in case.history.fixes(hunk.path) if p.reverted or p.kind == "revert"]
        fitting = [p for p in taken_back if _PERF_CLAIM.search(p.title) or _was_perf(case, p)]
        for pull in reversed(fitting):
            precedent = pull_precedent(case.history, pull, hunk.path, "")
            if precedent is not None:
                yield draft(
                    hunk, "claim-without-numbers", "major", "performance",
                    f"Says it is faster and states no figure; {short(pull.id)} took such a change back in {named('', hunk.path)}.",
                    "State a figure with its workload and hardware, before and after, for the shapes this path sees in prefill and decode.",
                    1.0, [precedent],
                )  # fmt: skip
                return


def _was_perf(case: Case, revert: PastPull) -> bool:
    return any((p := case.history.pulls.get(i)) is not None and p.kind == "perf" for i in revert.reverted)


def flag_without_docs(case: Case) -> Iterator[Finding]:
    """A flag is added and no page names it, where a later change had to document flags of this file."""
    patch = case.patch
    flags = patch.facts.flags_added
    if not flags:
        return
    documented = " ".join(
        r.text for f in patch.files if f.group == "docs" for h in f.hunks for r in h.lines if r.mark == "+"
    )
    missing = [f for f in flags if f not in documented]
    if not missing:
        return
    for hunk in code_hunks(case):
        shown = [f for f in missing if any(r.mark == "+" and f in r.text for r in hunk.lines)]
        if not shown:
            continue
        precedent = _documenting(case, hunk)
        if precedent is not None:
            lines = [r for r in hunk.lines if r.mark == "+" and any(f in r.text for f in shown)][:1]
            listed = ", ".join(f"`{clean(f)}`" for f in shown[:3])
            yield draft(
                hunk, "flag-without-docs", "minor", "docs",
                f"{listed} is new and no page of the docs names it; users of {short(precedent.target)} waited for {short(precedent.id)} to document a flag.",
                f"Add {listed} to `{clean(precedent.path)}`, with its default.",
                0.6, [precedent], place=hunk.place("new", lines),
            )  # fmt: skip
            return


def _documenting(case: Case, hunk: PatchHunk) -> PullPrecedent | None:
    """A change of the docs that named a flag which an earlier change of the same file had added without."""
    undocumented = {
        flag: p
        for i in case.history.touched.get(hunk.path, ())
        if (p := case.history.pulls[i]) and not any(f.group == "docs" for f in p.files)
        for flag in p.facts.flags_added
    }
    if not undocumented:
        return None
    where = Filter(repos=(case.patch.repo,), kinds=("docs",), before=case.patch.as_of)
    rows = case.store.scan("cards", ["id", "merged_at", "path_text"], where).to_pylist()
    rows = sorted(
        (r for r in rows if _FLAG_PAGE.search(r["path_text"])),
        key=lambda r: (r["merged_at"], r["id"]),
        reverse=True,
    )
    pages = read_pulls(case.store, [r["id"] for r in rows[:_PAGES]])
    for page in sorted(pages.values(), key=lambda p: (p.merged_at, p.id), reverse=True):
        named_flags = [
            f
            for f in page.facts.flags_used
            if f in undocumented and undocumented[f].merged_at < page.merged_at
        ]
        if (
            named_flags
            and page.id not in case.patch.own
            and (found := _docs_quote(case.store, page, named_flags, undocumented))
        ):
            return found
    return None


def _docs_quote(
    store: Store, page: PastPull, flags: list[str], adders: dict[str, PastPull]
) -> PullPrecedent | None:
    rows = store.chunks_of([page.id]).to_pylist()
    for path in dict.fromkeys(r["path"] for r in rows):
        if not any(f.path == path and f.group == "docs" for f in page.files):
            continue
        for hunk in hunks_of_chunks([ChunkRow(page.id, path, r["text"]) for r in rows if r["path"] == path]):
            for line in hunk_lines(hunk):
                named_here = [
                    f
                    for f in flags
                    if line[:1] == "+" and re.search(rf"(?<![\w-]){re.escape(f)}(?![\w-])", line)
                ]
                if named_here and len(line) < 400:
                    return PullPrecedent(
                        id=page.id, title=page.title, relation="fixes", merged_at=page.merged_at, path=path, hunk=hunk.header,
                        quote=line, sha256=quote_sha(line), target=adders[named_here[0]].id,
                    )  # fmt: skip
    return None


def shared_file(case: Case) -> Iterator[Finding]:
    """A change made for one model in a file that all run through, where that broke another model before."""
    patch = case.patch
    own = set(case.title_families)
    if not own:
        return
    said = f"{patch.title} {patch.message}".lower()
    if re.search(r"\b(?:other models|all models|no impact|does not affect|blast|regress)", said):
        return
    for hunk in code_hunks(case):
        file = patch.file(hunk.path)
        area = shared_area(hunk.path)
        if area is None or file is None or not _touches_old_code(file, hunk):
            continue
        for pull in reversed(
            [p for p in case.history.symbol_changes(hunk.path, hunk.symbols[:1]) if p.is_fix]
        ):
            theirs = set(case.families.mentioned(pull.title))
            precedent = (
                pull_precedent(case.history, pull, hunk.path, hunk.symbol)
                if theirs and not theirs & own
                else None
            )
            if precedent is not None:
                yield draft(
                    hunk, "shared-file", "minor", "model/quantisation",
                    f"Made for one model, but {named(hunk.symbol, hunk.path)} is {area} code that every model runs through; "
                    f"{short(pull.id)} had to repair it for another family.",
                    "Say which other models take this branch, and run one of them.",
                    0.6, [precedent],
                )  # fmt: skip
                return


def _touches_old_code(file: PatchFile, hunk: PatchHunk) -> bool:
    return file.status != "added" and any(r.mark == "-" and r.kind == "code" for r in hunk.lines)
