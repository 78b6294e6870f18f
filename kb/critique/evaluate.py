"""Scores of critiques against the fate of merged pull requests, with intervals and baselines in the same table.

Each case is reviewed as of its merge. What is ranked is where to look first; findings are counted apart. Baselines: churn
(most changed lines first), the alphabet, and for concerns the three most frequent ones of the file of cases itself, which
flatters that baseline.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ingest.errors import PrloreError
from ingest.records import Hunk, Symbol
from kb.critique.concerns import concerns_of
from kb.critique.drafts import Case
from kb.critique.findings import CONCERNS, Concern, at_or_over
from kb.critique.opening import from_card
from kb.critique.patch import Patch, PatchFile, with_symbols
from kb.critique.ranking import rank
from kb.critique.run import Critique, build_case, critique_of
from kb.critique.truth import ReviewCase
from kb.critique.verify import Verifier
from kb.families import Families
from kb.store import Store
from kb.words import prose_words

RESAMPLES, SEED = 2000, 20
_SHIFT = 37  # lines that an unrelated push puts above everything
METRICS = ("file-hit@1", "file-hit@3", "hunk-hit@5", "concern recall@3")


class CasesError(PrloreError):
    """A file of cases that can't be read or used."""


@dataclass(frozen=True, slots=True)
class Order:
    """A ranking of one case: files and (path, header) of hunks, best first, and three concerns."""

    files: Sequence[str]
    hunks: Sequence[tuple[str, str]]
    concerns: Sequence[str]


@dataclass(slots=True)
class Outcome:
    """One case reviewed. `scores` are by ranking and metric; metrics that the case can't answer are left out."""

    case: ReviewCase
    findings: int
    major: int
    valid: int
    anchored: int
    in_mended: int
    repeated: int
    same_bytes: bool
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over cases with the middle 95% of its resamples."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Margin:
    """The review's mean minus a baseline's on the same cases, and the two-sided sign test over the cases that differ."""

    value: float
    low: float
    high: float
    better: int
    worse: int
    p: float


@dataclass(frozen=True)
class ReviewEvaluation:
    """All outcomes with their scores."""

    outcomes: tuple[Outcome, ...]
    scores: Mapping[str, Mapping[str, Score]]
    margins: Mapping[str, Mapping[str, Margin]]
    unread: tuple[str, ...]

    @property
    def mended(self) -> list[Outcome]:
        """Cases that had to be mended."""
        return [o for o in self.outcomes if o.case.mended]

    @property
    def clean(self) -> list[Outcome]:
        """Cases that were never touched again."""
        return [o for o in self.outcomes if o.case.clean]


def read_cases(path: Path) -> list[ReviewCase]:
    """Cases from a file of JSON lines.

    Raises:
        CasesError: it can't be read, or a line is no case; the message names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise CasesError(
            f"can't read {path}: {exc.strerror}; make one with `prlore eval review-cases`"
        ) from exc
    cases = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                cases.append(msgspec.json.decode(line, type=ReviewCase))
            except msgspec.DecodeError as exc:
                raise CasesError(f"{path}:{number}: {exc}") from exc
    if not cases:
        raise CasesError(f"{path} holds no case: make one with `prlore eval review-cases`")
    return cases


def write_cases(path: Path, cases: Sequence[ReviewCase]) -> None:
    """Write cases as JSON lines.

    Raises:
        CasesError: the file can't be written.
    """
    try:
        path.write_bytes(b"".join(msgspec.json.encode(c) + b"\n" for c in cases))
    except OSError as exc:
        raise CasesError(f"can't write {path}: {exc.strerror}; name another file") from exc


def evaluate(
    store: Store,
    cases: Sequence[ReviewCase],
    families: Families,
    progress: Callable[[int], object] = lambda n: None,
) -> ReviewEvaluation:
    """Review every case as of its merge and score it."""
    majority = [c for c, _ in Counter(c for case in cases for c in case.concerns).most_common(3)]
    outcomes, unread = [], []
    for case in cases:
        try:
            patch = from_card(store, case.id)
        except PrloreError:
            unread.append(case.id)
            continue
        outcomes.append(_reviewed(store, patch, case, families, majority))
        progress(1)
    names = ("ours", "churn", "alphabetical", "majority")
    scores = {n: {m: s for m in METRICS if (s := _score(outcomes, n, m)) is not None} for n in names}
    margins = {n: {m: d for m in METRICS if (d := _margin(outcomes, n, m)) is not None} for n in names[1:]}
    return ReviewEvaluation(tuple(outcomes), scores, margins, tuple(unread))


def _reviewed(
    store: Store, patch: Patch, case: ReviewCase, families: Families, majority: list[Concern]
) -> Outcome:
    built = build_case(store, patch, families)
    found = critique_of(built)
    again = critique_of(build_case(store, patch, families))
    pushed = shifted(patch)  # what bears on it is the same
    moved = critique_of(replace(built, patch=pushed, ranked=rank(built.now, pushed, built.history)))
    checked, _ = Verifier(store, patch, built.history).check(found.findings)
    mended = {(m.path, m.hunk) for m in case.mended}
    known = {f.fingerprint for f in found.findings}
    outcome = Outcome(
        case=case,
        findings=len(found.findings),
        major=sum(at_or_over(f.severity, "major") for f in found.findings),
        valid=len(checked),
        anchored=sum(_anchored(patch, found, i) for i in range(len(found.findings))),
        in_mended=sum((f.place.path, f.place.hunk) in mended for f in found.findings),
        repeated=sum(f.fingerprint not in known for f in moved.findings),
        same_bytes=msgspec.json.encode(found) == msgspec.json.encode(again),
    )
    if mended:
        orders = {"ours": _ours(built, found), **_baselines(patch), "majority": Order((), (), majority)}
        outcome.scores = {name: _scores(order, case, mended) for name, order in orders.items()}
    return outcome


def _anchored(patch: Patch, found: Critique, at: int) -> bool:
    """Whether a finding's lines stand in one hunk of the diff and one of them is changed, counted from the text itself."""
    place = found.findings[at].place
    file = patch.file(place.path)
    hunk = next((h.hunk for h in file.hunks if h.header == place.hunk), None) if file else None
    if hunk is None:
        return False
    old, new, changed, inside = hunk.old_start, hunk.new_start, False, 0
    for row in hunk.text.rstrip("\n").split("\n"):
        mark = row[:1] or " "
        number = (old if mark != "+" else 0) if place.side == "old" else (new if mark != "-" else 0)
        if mark in "+- " and number and place.start <= number <= place.line:
            inside += 1
            changed = changed or mark in "+-"
        old += mark in "- "
        new += mark in "+ "
    return changed and inside == place.line - place.start + 1


def _ours(case: Case, found: Critique) -> Order:
    ranked = case.ranked
    hunks = [(s.place.path, s.place.hunk) for s in ranked.spots]
    return Order([p for p, _ in ranked.files], hunks, predicted_concerns(case))


def predicted_concerns(case: Case) -> list[Concern]:
    """The three concerns a later fix is likeliest to be about, from past fixes of these places and from the title."""
    worth: Counter[Concern] = Counter(dict.fromkeys(CONCERNS, 0))
    for pull in case.history.pulls.values():
        if pull.is_fix:
            worth.update(dict.fromkeys(pull.concerns[:1], 1))
    total = sum(worth.values()) or 1
    inside = {
        p.id: p
        for h in case.patch.hunks
        for p in case.history.symbol_changes(h.path, h.symbols[:1])
        if p.is_fix
    }
    near = Counter(c for p in inside.values() for c in p.concerns[:1])
    near_total = sum(near.values()) or 1
    said = concerns_of(" ".join(prose_words(case.patch.title)))
    score = {
        c: 0.3 * worth[c] / total + 0.2 * near[c] / near_total + (0.35 if c in said[:1] else 0.2 if c in said else 0.0) + _PRIOR.get(c, 0.0)
        for c in CONCERNS
    }  # fmt: skip
    return sorted(CONCERNS, key=lambda c: (-score[c], CONCERNS.index(c)))[:3]


# how often fixes of both engines are about a concern, as far as titles tell: shares of the tuning cases
_PRIOR: Mapping[Concern, float] = {
    "correctness": 0.3,
    "model/quantisation": 0.2,
    "GPU/kernel": 0.1,
    "distributed": 0.05,
}


def _baselines(patch: Patch) -> dict[str, Order]:
    churn = {f.path: f.added + f.removed for f in patch.files if f.hunks}
    hunks = list(patch.hunks)
    by_churn = sorted(hunks, key=lambda h: (-(h.hunk.added + h.hunk.removed), h.path, h.hunk.new_start))
    by_name = sorted(hunks, key=lambda h: (h.path, h.hunk.new_start))
    return {
        "churn": Order(
            sorted(churn, key=lambda p: (-churn[p], p)), [(h.path, h.header) for h in by_churn], ()
        ),
        "alphabetical": Order(sorted(churn), [(h.path, h.header) for h in by_name], ()),
    }


def _scores(order: Order, case: ReviewCase, mended: set[tuple[str, str]]) -> dict[str, float]:
    files = {path for path, _ in mended}
    scores: dict[str, float] = {}
    if order.files:
        scores["file-hit@1"] = float(bool(files & set(order.files[:1])))
        scores["file-hit@3"] = float(bool(files & set(order.files[:3])))
        scores["hunk-hit@5"] = float(bool(mended & set(order.hunks[:5])))
    if order.concerns and case.concerns:
        scores["concern recall@3"] = len(set(case.concerns) & set(order.concerns[:3])) / len(case.concerns)
    return scores


def shifted(patch: Patch) -> Patch:
    """The patch as it would stand after an unrelated push put lines above everything."""
    return replace(patch, files=tuple(_shifted(f) for f in patch.files))


def _shifted(file: PatchFile) -> PatchFile:
    if file.status == "added":
        return file
    hunks = [
        Hunk(h.hunk.old_start + _SHIFT, h.hunk.old_lines, h.hunk.new_start + _SHIFT, h.hunk.new_lines, h.hunk.section, h.hunk.text, h.hunk.added, h.hunk.removed)
        for h in file.hunks
    ]  # fmt: skip
    symbols = tuple(Symbol(s.name, s.kind, s.change, s.start + _SHIFT, s.end + _SHIFT) for s in file.symbols)
    return replace(file, hunks=with_symbols(file.path, hunks, symbols), symbols=symbols)


def _values(outcomes: Sequence[Outcome], name: str, metric: str) -> list[float]:
    return [o.scores[name][metric] for o in outcomes if metric in o.scores.get(name, {})]


def _score(outcomes: Sequence[Outcome], name: str, metric: str) -> Score | None:
    values = _values(outcomes, name, metric)
    if not values:
        return None
    low, high = _interval(np.array(values))
    return Score(float(np.mean(values)), low, high, len(values))


def _margin(outcomes: Sequence[Outcome], name: str, metric: str) -> Margin | None:
    pairs = [
        (o.scores["ours"][metric], o.scores[name][metric])
        for o in outcomes
        if metric in o.scores.get(name, {}) and metric in o.scores["ours"]
    ]
    if not pairs:
        return None
    differences = np.array([a - b for a, b in pairs])
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    low, high = _interval(differences)
    return Margin(float(differences.mean()), low, high, better, worse, sign_test(better, worse))


def _interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Percentile bootstrap over cases."""
    random = np.random.default_rng(SEED)
    means = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def sign_test(better: int, worse: int) -> float:
    """Two-sided exact sign test: the chance of a split at least as uneven when both are equally good."""
    n = better + worse
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1)) / 2**n
    return min(1.0, 2.0 * float(tail))
