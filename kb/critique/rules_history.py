"""Findings that the history of the very lines and definitions gives: a fix undone, what was reverted brought back, old sores.

What the author says of the change (`Reland …`, `Revert …`) lowers no severity: whoever writes a title could do that.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from kb.critique.drafts import Case, draft, named, short
from kb.critique.findings import Concern, Finding, Severity
from kb.critique.history import FixLine, PastPull, days_between, telling
from kb.critique.patch import Line, PatchHunk, same_definition
from kb.critique.precedents import own_name, pull_precedent
from kb.stored_diff import hunk_lines
from kb.words import code_words

_TOGETHER = 36  # letters and digits of several lines
_ALIKE = 0.6
_ITEM = re.compile(r"[\w\"'.]+,?|@\w+|(?:async )?(?:def|class) .*")
_SHARED_BY = 2  # fixes that may hold the same line before it says nothing
_ONE_LINE = 28  # letters and digits of a line that is telling on its own
_HALF_LIFE = 270.0  # days
_MUCH = 60  # letters and digits that a fix put in before taking it out can block
_WHOLE = 0.6  # of a fix's added lines here: it is taken out as a whole
_FIX_WORDS_IN_COMMON = 2
_RECENT = 180  # days
_WEIGHT = 0.99  # of its share of the risk: on tuning cases such findings at lesser places were no better than chance
_WIDE = 30  # changes of a definition
_RARE = 2  # fixes that may hold a name of such a one
_LONG = 8  # characters


def undone_fixes(case: Case) -> Iterator[Finding]:
    """The patch takes out lines that a past fix put in."""
    kept = _texts(case, "+")
    for hunk in case.patch.hunks:
        rows = [
            r for r in hunk.lines
            if r.mark == "-" and r.kind == "code" and r.text.strip() not in kept and not _is_rewritten(r, hunk)
        ]  # fmt: skip
        for pull, lines in _of_fixes(case, hunk, rows, "+").items():
            fix = case.history.pulls[pull]
            if fix.relation == "reverts" and fix.kind == "revert":
                continue  # what a revert put back is old code, no fix
            share = len(lines) / max(1, case.history.put_in(fix.id, hunk.path))
            precedent = pull_precedent(case.history, fix, hunk.path, "", {r.text.strip() for r in lines})
            if precedent is None:
                continue
            whole = sum(telling(r.text) for r in lines) >= _MUCH and len(lines) >= 2
            severity: Severity = "blocking" if share >= _WHOLE and whole else "major"
            count = f"{len(lines)} lines" if len(lines) > 1 else "a line"
            yield draft(
                hunk, "undoes-fix", severity, _concern(fix),
                f"Takes out {count} of {named(hunk.symbol, hunk.path)} that {short(pull)} put in as a fix.",
                f"Show that the case of {short(pull)} still works without them{case.lane(fix)}, or keep them.",
                2.0 + share + min(len(lines), 10) / 10, [precedent], place=hunk.place("old", _together(lines, "old")),
            )  # fmt: skip


def restored_lines(case: Case) -> Iterator[Finding]:
    """The patch puts in lines that a past fix or revert took out."""
    gone = _texts(case, "-")
    for hunk in case.patch.hunks:
        rows = [r for r in hunk.lines if r.mark == "+" and r.kind == "code" and r.text.strip() not in gone]
        for pull, lines in _of_fixes(case, hunk, rows, "-").items():
            fix = case.history.pulls[pull]
            names = case.history.names.get(hunk.path, (hunk.path,))
            same = any(s.path in names and _about(s.name, hunk) for s in fix.symbols)
            if len(lines) < (2 if same else 3):
                continue  # code that looks alike stands in many places of a file
            precedent = pull_precedent(case.history, fix, hunk.path, "", {r.text.strip() for r in lines})
            if precedent is None:
                continue
            verb = "reverted" if fix.relation == "reverts" else "took out as a fix"
            place = named(hunk.symbol, hunk.path)
            if same:
                severity: Severity = "major"
                failure = f"Puts {len(lines)} lines back into {place} that {short(pull)} {verb}."
                check = f"Say what differs from the state that {short(pull)} took back, and run what failed then{case.lane(fix)}."
            else:  # copied rather than restored: it may be right where it stands now
                severity = "minor"
                failure = f"{place} has {len(lines)} lines that {short(pull)} {verb} elsewhere in this file."
                check = f"See whether what {short(pull)} mended is wrong here as well{case.lane(fix)}."
            yield draft(
                hunk, "restores-reverted", severity, _concern(fix), failure, check,
                1.8 + min(len(lines), 10) / 10 + (0.5 if fix.relation == "reverts" else 0.0), [precedent],
                place=hunk.place("new", _together(lines, "new")),
            )  # fmt: skip


def _texts(case: Case, mark: str) -> set[str]:
    return {r.text.strip() for h in case.patch.hunks for r in h.lines if r.mark == mark}


def _of_fixes(case: Case, hunk: PatchHunk, rows: list[Line], mark: str) -> dict[str, list[Line]]:
    """Lines of a hunk by the one newest fix that put them in (`+`) or took them out (`-`), where they are telling together."""
    found: dict[str, list[Line]] = defaultdict(list)
    for row in rows:
        owners = case.history.fix_lines.get((hunk.path, row.text.strip()), [])
        newest = _newest(case, owners)
        if newest and newest.mark == mark and len({f.pull for f in owners}) <= _SHARED_BY:
            found[newest.pull].append(row)
    return {pull: lines for pull, lines in found.items() if _tell_together(lines)}


def _tell_together(lines: list[Line]) -> bool:
    """Whether lines can be taken for the fix's own: several of them, or one that is long and no mere list item."""
    texts = {r.text.strip() for r in lines}
    whole = sum(telling(t) for t in texts)
    return (len(texts) >= 2 and whole >= _TOGETHER) or any(
        telling(t) >= _ONE_LINE and not _ITEM.fullmatch(t) for t in texts
    )


def _is_rewritten(row: Line, hunk: PatchHunk) -> bool:
    """Whether a line that is taken out comes back much the same: it is changed, not undone."""
    others = [r.text.strip() for r in hunk.lines if r.mark != row.mark and r.mark in "+-"]
    text = row.text.strip()
    return any(
        SequenceMatcher(None, text, o, autojunk=False).ratio() >= _ALIKE
        for o in others
        if abs(len(o) - len(text)) <= len(text)
    )


def _newest(case: Case, owners: list[FixLine]) -> FixLine | None:
    pulls = case.history.pulls
    return max(owners, key=lambda f: (pulls[f.pull].merged_at, f.pull, f.mark), default=None)


def _together(lines: list[Line], side: str) -> list[Line]:
    """The first run of lines that stand close together, for an anchor."""
    numbers = [(r.old if side == "old" else r.new) for r in lines]
    run = [lines[0]]
    for before, after, row in zip(numbers, numbers[1:], lines[1:], strict=False):
        if after - before > 3:
            break
        run.append(row)
    return run


def fixed_before(case: Case) -> Iterator[Finding]:
    """The patch changes a definition that had to be fixed before, and the same names in it."""
    frequency = _frequency(case)
    for hunk in case.patch.hunks:
        if (
            not hunk.symbol
            or not any(r.kind == "code" for r in hunk.behaviour)
            or case.weight(hunk) < _WEIGHT
        ):
            continue
        fixes = [
            p for p in case.history.symbol_changes(hunk.path, [hunk.symbol], within=hunk.coarse) if p.is_fix
        ]
        near = [(_kinship(case, hunk, p, frequency), p) for p in fixes]
        near = [(k, p) for k, p in near if len(k) >= _FIX_WORDS_IN_COMMON]
        if not near:
            continue
        near.sort(key=lambda n: (-len(n[0]) * _decay(case, n[1]), n[1].id))
        texts = {r.text.strip() for r in hunk.changed}
        cited = [(k, p, pull_precedent(case.history, p, hunk.path, hunk.symbol, texts)) for k, p in near[:3]]
        held = [(k, p, x) for k, p, x in cited if x is not None]
        if not held:
            continue
        words, best, _ = held[0]
        strength = sum(_decay(case, p) * min(len(k), 4) / 4 for k, p in near)
        recent = [p for _, p in near if days_between(p.merged_at, case.now) <= _RECENT]
        severity: Severity = (
            "major" if any(p.relation == "reverts" for p in recent) or len(recent) >= 3 else "minor"
        )
        shared = ", ".join(f"`{w}`" for w in words[:3])
        others = ", ".join(short(p.id) for _, p, _ in held[1:])
        did = "was part of a revert" if best.relation == "reverts" else "had to be fixed"
        yield draft(
            hunk, "fixed-before", severity, _concern(best),
            f"{named(hunk.symbol, hunk.path)} {did} before over {shared} ({short(best.id)}{', also ' + others if others else ''}); "
            "this hunk changes them again.",
            f"Go through the case of {short(best.id)} with this change{case.lane(best)}.",
            min(strength, 3.0) / 2, [x for _, _, x in held],
        )  # fmt: skip


def _frequency(case: Case) -> Counter[str]:
    """In how many fixes of the touched files each name stands: what stands in many says nothing of one."""
    counts: Counter[str] = Counter()
    for hunks in case.history.fix_hunks.values():
        counts.update({w for h in hunks for w in _names(r[1:] for r in hunk_lines(h) if r[:1] in ("+", "-"))})
    return counts


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{4,}")
_STRING = re.compile(r"[rbfuRBFU]{0,2}(?:\"[^\"\n]*\"|'[^'\n]*')")
_SETTING = re.compile(r"--[a-z][\w-]{3,}|[A-Z][A-Z0-9]*_[A-Z0-9_]{3,}")
_COMPOUND = re.compile(r"_|[a-z][A-Z]|\d")


def _names(lines: Iterable[str]) -> set[str]:
    """Names that code uses; of strings only the flags and variables in them."""
    found: set[str] = set()
    for text in lines:
        for quoted in _STRING.findall(text):
            found.update(_SETTING.findall(quoted))
        found.update(_NAME.findall(_STRING.sub(" ", text)))
    return found


def _kinship(case: Case, hunk: PatchHunk, pull: PastPull, frequency: Counter[str]) -> list[str]:
    """Rare names that both the hunk and the fix's hunks in the same definition change, rarest first."""
    name = own_name(case.history, pull, hunk.path)
    hunks = case.history.fix_hunks.get((pull.id, name), ())
    spans = [(s.start, s.end) for s in pull.symbols if s.path == name and s.end and _about(s.name, hunk)]
    inside = [
        h for h in hunks if any(a <= h.new_start + h.new_lines - 1 and h.new_start <= b for a, b in spans)
    ]
    theirs = _names(r[1:] for h in inside for r in hunk_lines(h) if r[:1] in ("+", "-"))
    ours = _names(iter(r.text for r in hunk.behaviour))
    limit = max(3, len(case.history.fix_hunks) // 8)
    wide = (
        len(case.history.symbol_changes(hunk.path, [hunk.symbol])) >= _WIDE
    )  # everything is added there sooner or later
    if wide:
        limit = _RARE
    shared = [
        w for w in ours & theirs
        if frequency[w] <= limit and w.lower() not in _PLAIN and (not wide or (_COMPOUND.search(w) and len(w) >= _LONG))
    ]  # fmt: skip
    return sorted(shared, key=lambda w: (frequency[w], -len(w), w))


def _about(name: str, hunk: PatchHunk) -> bool:
    return same_definition(name, hunk.symbol) or (hunk.coarse and name.startswith(f"{hunk.symbol}."))


_PLAIN = frozenset(code_words(
    "return raise assert import class False lambda yield while break continue isinstance Optional torch tensor shape dtype device "
    "kwargs config layer model value values index range length number string print logger warning error super forward params weight "
    "const static void template typename struct inline auto bool float double unsigned int64 size_t nullptr "
    "batch size hidden states input output inputs outputs request requests tokens token"
))  # fmt: skip


def _decay(case: Case, pull: PastPull) -> float:
    weight = 1.5 if pull.relation == "reverts" else 1.0
    return weight * math.pow(0.5, max(0.0, days_between(pull.merged_at, case.now)) / _HALF_LIFE)


def _concern(pull: PastPull) -> Concern:
    return pull.concerns[0] if pull.concerns else "correctness"
