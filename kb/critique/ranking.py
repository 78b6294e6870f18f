"""Where to look first: hunks by their share of the risk that a later change has to mend the patch.

A softmax over the hunks of one patch, of a linear score of facts of the hunk and of its history. The weights stand in
data/critique.json, made by `tests/bench/critique_weights.py` on pull requests that the evaluation does not use. A file's
share is the sum of its hunks'. Nothing of it says how likely it is that the patch needs mending at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import msgspec

from ingest.errors import PrloreError
from ingest.paths import shared_area
from kb.critique.findings import Place, Record
from kb.critique.history import History, days_between, telling
from kb.critique.patch import Patch, PatchFile, PatchHunk
from kb.datafiles import data_file

_BRANCH = re.compile(r"^\s*(?:if|elif|else|for|while|try|except|with|assert|switch|case)\b|\?\s")
_CALL = re.compile(r"\w\(")
_DISTINCT = 12  # letters and digits that make a line recognisable


class Weights(msgspec.Struct, frozen=True):
    """Weights of the features by name."""

    weights: dict[str, float]


class Spot(Record, frozen=True, kw_only=True):
    """A hunk to look at: its place, its share of the patch's risk, and why it stands where it stands."""

    place: Place
    share: float
    why: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """Hunks and files with their shares of the risk, largest first."""

    spots: tuple[Spot, ...]
    files: tuple[tuple[str, float], ...]

    def share(self, path: str, header: str) -> float:
        """The share of a hunk, 0 for one that is not there."""
        return self._shares.get((path, header), 0.0)

    @cached_property
    def _shares(self) -> dict[tuple[str, str], float]:
        return {(s.place.path, s.place.hunk): s.share for s in self.spots}


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


def features(now: str, patch: Patch, history: History, file: PatchFile, hunk: PatchHunk) -> dict[str, float]:
    """What is known of a hunk. Counts are `log1p`, shares 0..1."""
    code = [r for r in hunk.behaviour if r.kind == "code"]
    added = [r for r in code if r.mark == "+"]
    told = math.log1p(sum(telling(r.text) >= _DISTINCT for r in hunk.changed if r.mark == "+"))
    fixes = history.fixes(file.path)
    changes = history.touched.get(file.path, ())
    inside = history.symbol_changes(file.path, hunk.symbols[:2])
    inside_fixes = [p for p in inside if p.is_fix]
    groups = {g: float(file.group == g) for g in ("runtime", "kernel", "test", "benchmark")}
    new_file = float(file.status == "added")
    return {
        "telling": told,
        "telling_squared": told * told,
        **groups,
        "docs": float(file.group in ("docs", "ci")),
        "build": float(file.group in ("build", "config")),
        **{f"telling_{g}": told * v for g, v in groups.items() if g != "benchmark"},
        "new_file": new_file,
        "telling_new_file": told * new_file,
        "code_added": math.log1p(len(added)),
        "code_removed": math.log1p(len(code) - len(added)),
        "lines": math.log1p(hunk.hunk.added + hunk.hunk.removed),
        "branches": math.log1p(sum(bool(_BRANCH.search(r.text)) for r in added)),
        "calls": math.log1p(sum(bool(_CALL.search(r.text)) for r in added)),
        "no_code": float(not code),
        "file_changes": math.log1p(len(changes)),
        "file_fixes": math.log1p(sum(_decayed(p.merged_at, now) for p in fixes)),
        "file_fix_share": (len(fixes) + 0.3) / (len(changes) + 1),
        "file_recent": math.log1p(sum(days_between(history.pulls[i].merged_at, now) <= 30 for i in changes)),
        "symbol_changes": math.log1p(len(inside)),
        "symbol_fixes": math.log1p(sum(_decayed(p.merged_at, now) for p in inside_fixes)),
        "symbol_fix_share": (len(inside_fixes) + 0.2) / (len(inside) + 1),
        "symbol_recent": math.log1p(sum(days_between(p.merged_at, now) <= 30 for p in inside)),
        "in_symbol": float(bool(hunk.symbol)),
        "introduced": float(
            any(s.name in hunk.symbols[:1] and s.change == "introduced" for s in file.symbols)
        ),
    }


def _decayed(moment: str, now: str) -> float:
    return math.pow(0.5, max(0.0, days_between(moment, now)) / 120.0)


def rank(now: str, patch: Patch, history: History, weights: Weights | None = None) -> Ranked:
    """Rank the hunks and files of a patch."""
    model = weights or load_weights()
    held = [(h, features(now, patch, history, f, h)) for f in patch.files for h in f.hunks]
    scores = [_score(model, values) for _, values in held]
    most = max(scores, default=0.0)
    raised = [math.exp(s - most) for s in scores]
    whole = sum(raised) or 1.0
    scored = [(r / whole, h, v) for r, (h, v) in zip(raised, held, strict=True)]
    files: dict[str, float] = {f.path: 0.0 for f in patch.files}
    for share, hunk, _ in scored:
        files[hunk.path] += share
    scored.sort(key=lambda s: (-s[0], s[1].path, s[1].hunk.new_start))
    spots = tuple(Spot(place=h.place(), share=round(c, 4), why=_why(history, h, f)) for c, h, f in scored)
    return Ranked(spots, tuple(sorted(files.items(), key=lambda i: (-i[1], i[0]))))


def _score(model: Weights, held: Mapping[str, float]) -> float:
    value = sum(model.weights.get(name, 0.0) * held[name] for name in held)
    return max(-30.0, min(30.0, value))


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
    if area := shared_area(hunk.path):
        parts.append(f"{area} code")
    return tuple(parts)


def best_spots(spots: Sequence[Spot], most: int = 5) -> tuple[Spot, ...]:
    """The first spots of which there is something to say."""
    return tuple(
        s for s in spots if not s.why[0].startswith("0 ") and "0 changed lines of code" not in s.why
    )[:most]
