"""Where to look first: hunks by the chance that a later change has to mend them, learned from merged pull requests.

A logistic model over facts of the hunk and of its history; the weights stand in data/critique.json, made by
`tests/bench/critique_weights.py` on pull requests that the evaluation does not use. A file's score is the chance that one of
its hunks needs mending.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import msgspec

from ingest.errors import PrloreError
from ingest.paths import shared_area
from kb.critique.findings import Place, Record
from kb.critique.history import History, days_between
from kb.critique.patch import Patch, PatchFile, PatchHunk
from kb.datafiles import data_file

_BRANCH = re.compile(r"^\s*(?:if|elif|else|for|while|try|except|with|assert|switch|case)\b|\?\s")
_CALL = re.compile(r"\w\(")
_RISKY = re.compile(r"\b(?:cuda_?graph|stream|async|await|lock|thread|dtype|device|stride|shape|rank|world_size|broadcast|all_?reduce|weight|scale|fp8|fp4|offset|index|mask)\w*", re.IGNORECASE)  # fmt: skip


class Weights(msgspec.Struct, frozen=True):
    """Weights of the features by name, and the intercept."""

    intercept: float
    weights: dict[str, float]


class Spot(Record, frozen=True, kw_only=True):
    """A hunk to look at: its place, its chance, and why it stands where it stands."""

    place: Place
    chance: float
    why: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """Hunks, likeliest first, and files with the chance that one of their hunks needs mending."""

    spots: tuple[Spot, ...]
    files: tuple[tuple[str, float], ...]


@cache
def load_weights() -> Weights:
    """The shipped weights.

    Raises:
        PrloreError: the file is missing or of another form.
    """
    path = data_file("critique.json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Weights)
    except (OSError, msgspec.DecodeError) as exc:
        raise PrloreError(f"can't read {path}: reinstall prlore") from exc


def features(
    case_now: str, patch: Patch, history: History, file: PatchFile, hunk: PatchHunk
) -> dict[str, float]:
    """What is known of a hunk. Counts are `log1p`, shares 0..1."""
    code = [r for r in hunk.behaviour if r.kind == "code"]
    added = [r for r in code if r.mark == "+"]
    total = sum(h.hunk.added + h.hunk.removed for h in patch.hunks) or 1
    lines = hunk.hunk.added + hunk.hunk.removed
    fixes = history.fixes(file.path)
    inside = history.symbol_changes(file.path, hunk.symbols[:2])
    inside_fixes = [p for p in inside if p.is_fix]
    text = "\n".join(r.text for r in code)
    return {
        "code_added": math.log1p(len(added)),
        "code_removed": math.log1p(len(code) - len(added)),
        "lines": math.log1p(lines),
        "share": lines / total,
        "branches": math.log1p(sum(bool(_BRANCH.search(r.text)) for r in added)),
        "calls": math.log1p(sum(bool(_CALL.search(r.text)) for r in added)),
        "risky": math.log1p(len(_RISKY.findall(text))),
        "runtime": float(file.group == "runtime"),
        "kernel": float(file.group == "kernel"),
        "test": float(file.group == "test"),
        "docs": float(file.group in ("docs", "ci")),
        "build": float(file.group in ("build", "config")),
        "benchmark": float(file.group == "benchmark"),
        "new_file": float(file.status == "added"),
        "shared": float(shared_area(file.path) is not None),
        "no_code": float(not code),
        "file_changes": math.log1p(len(history.touched.get(file.path, ()))),
        "file_fixes": math.log1p(sum(_decayed(p.merged_at, case_now) for p in fixes)),
        "symbol_changes": math.log1p(len(inside)),
        "symbol_fixes": math.log1p(sum(_decayed(p.merged_at, case_now) for p in inside_fixes)),
        "symbol_recent": math.log1p(sum(days_between(p.merged_at, case_now) <= 30 for p in inside)),
        "file_recent": math.log1p(sum(days_between(history.pulls[i].merged_at, case_now) <= 30 for i in history.touched.get(file.path, ()))),
        "in_symbol": float(bool(hunk.symbol)),
        "introduced": float(any(s.name in hunk.symbols[:1] and s.change == "introduced" for s in file.symbols)),
        "hunks": math.log1p(sum(len(f.hunks) for f in patch.files)),
    }  # fmt: skip


def _decayed(moment: str, now: str) -> float:
    return math.pow(0.5, max(0.0, days_between(moment, now)) / 120.0)


def rank(now: str, patch: Patch, history: History, weights: Weights | None = None) -> Ranked:
    """Rank the hunks and files of a patch."""
    model = weights or load_weights()
    scored: list[tuple[float, PatchHunk, dict[str, float]]] = []
    files: dict[str, float] = {}
    for file in patch.files:
        calm = 1.0
        for hunk in file.hunks:
            held = features(now, patch, history, file, hunk)
            chance = chance_of(model, held)
            calm *= 1.0 - chance
            scored.append((chance, hunk, held))
        files[file.path] = 1.0 - calm
    scored.sort(key=lambda s: (-s[0], s[1].path, s[1].hunk.new_start))
    spots = tuple(Spot(place=h.place(), chance=round(c, 4), why=_why(history, h, f)) for c, h, f in scored)
    return Ranked(spots, tuple(sorted(files.items(), key=lambda i: (-i[1], i[0]))))


def chance_of(model: Weights, held: Mapping[str, float]) -> float:
    """The chance that a hunk of these features needs mending."""
    value = model.intercept + sum(model.weights.get(name, 0.0) * held[name] for name in held)
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, value))))


def _why(history: History, hunk: PatchHunk, held: Mapping[str, float]) -> tuple[str, ...]:
    """The facts that stand behind a place in the order, for people."""
    parts: list[str] = []
    fixes = [p for p in history.symbol_changes(hunk.path, hunk.symbols[:2]) if p.is_fix]
    if fixes:
        parts.append(
            f"{len(fixes)} past fix{'es' if len(fixes) > 1 else ''} in this definition, last #{fixes[-1].id.rpartition('#')[2]}"
        )
    elif in_file := history.fixes(hunk.path):
        parts.append(f"{len(in_file)} past fixes in this file")
    parts.append(f"{len(hunk.behaviour)} changed lines of code")
    if held["branches"]:
        parts.append("new branches")
    if held["shared"]:
        parts.append(f"{shared_area(hunk.path)} code")
    return tuple(parts)


def best_spots(spots: Sequence[Spot], most: int = 5) -> tuple[Spot, ...]:
    """The first spots that hold changed lines of code."""
    return tuple(spots[:most])
