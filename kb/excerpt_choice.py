"""Which of a pull request's windows become the excerpts of its card.

A window counts by what its lines say, by the group of its file, by the words of the title that its changed lines
hold, and by whether it calls, in code that was there before, what the change brings in: there a runtime path takes
its new way. The second and third excerpt must add something to the first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ingest.records import FileGroup, PrKind
from kb.cards import Excerpt
from kb.excerpts import Window
from kb.words import prose_words

_MOST = 3
_GROUP_WEIGHT: dict[FileGroup, float] = {
    "runtime": 1.0, "kernel": 1.0, "build": 0.4, "config": 0.15, "benchmark": 0.3, "test": 0.3, "ci": 0.25, "docs": 0.2,
}  # fmt: skip
# what a pull request of a kind is about stands in these groups
_KIND_GROUPS: dict[PrKind, tuple[FileGroup, ...]] = {
    "test": ("test", "ci"), "docs": ("docs",), "ci": ("ci", "test", "build"), "build": ("build", "ci"),
}  # fmt: skip
_TITLE_GROUPS: tuple[tuple[re.Pattern[str], FileGroup], ...] = (
    (re.compile(r"\bbench", re.I), "benchmark"), (re.compile(r"\btests?\b|\bUT\b", re.I), "test"),
    (re.compile(r"\bCI\b|workflow|nightly", re.I), "ci"), (re.compile(r"\bdocs?\b|readme|cookbook", re.I), "docs"),
    (re.compile(r"docker|\bbuild\b|cmake|wheel|depend|upgrade|bump|requirements", re.I), "build"),
    (re.compile(r"\bconfigs?\b|tuned|tuning", re.I), "config"),
)  # fmt: skip
_TEMPLATES = (".jinja", ".yaml", ".yml")  # configuration that people write and that behaves
_GENERATED = re.compile(
    r"(^|/)(package-lock\.json|[\w.-]+\.lock|go\.sum|[\w.-]+_pb2(_grpc)?\.pyi?|[\w.-]+\.(min\.js|snap|pb\.(go|cc|h)|svg|csv|ipynb))$"
    r"|(^|/)(vendor|third_?party|3rdparty|generated)/|E=\d+,N=\d+",
)  # fmt: skip
_GENERATED_WEIGHT = 0.05
_STOP = frozenset(
    "fix bug bugfix hotfix add adds added support supports feat feature the for and to in of on with from a an by is when not "
    "model models update updates remove removes refactor misc chore ci test tests core kernel kernels perf doc docs use using "
    "enable v1 new some minor improve improvement optimize optimization cleanup clean up hardware frontend amd nvidia rocm "
    "re revert nit part sglang vllm tensorrt llm trtllm srt python make allow let more error errors into as at be or no via".split()
)
_TITLE_WORDS = 12
_MATCH = 0.45  # what each matched word of the title adds
_CALL_SITE = 0.35
_REPLACES = 0.2
_SAME_FILE = 0.7
_MOVED_WORTH = 0.05  # of a window that went from one file to another as it is
_LEAST_SHARE = 0.18  # of the first excerpt's score
_NAME_LENGTH = 5
_NAMES = 200


@dataclass(frozen=True, slots=True)
class Candidates:
    """The windows of one file."""

    path: str
    group: FileGroup
    is_new: bool
    windows: tuple[Window, ...]


def is_generated(path: str) -> bool:
    """Whether a path is a lock file, a tuned table, or another product of a program."""
    return bool(_GENERATED.search(path))


def title_words(title: str) -> list[str]:
    """The words of a title that say what it is about, compounds and identifiers whole and in parts."""
    words = dict.fromkeys(w for w in prose_words(title) if w not in _STOP and len(w) > 1 and not w.isdigit())
    return list(words)[:_TITLE_WORDS]


def choose(
    title: str, kind: PrKind, files: Sequence[Candidates], introduced: Collection[str], moved: Collection[str]
) -> tuple[Excerpt, ...]:
    """The excerpts of a card, the most telling first.

    Args:
        title: of the pull request.
        kind: of change.
        files: the windows of its files.
        introduced: names the change brings in.
        moved: stripped lines that went from one file to another.
    """
    wanted = title_words(title)
    ends = sorted({n.replace("::", ".").rpartition(".")[2] for n in introduced})
    names = [re.escape(n) for n in ends if len(n) >= _NAME_LENGTH][:_NAMES]
    calls = re.compile(rf"\b(?:{'|'.join(names)})\b") if names else None
    weights = _group_weights(title, kind)
    scored: list[tuple[float, str, Window, frozenset[str]]] = []
    for file in files:
        weight = _GENERATED_WEIGHT if is_generated(file.path) else weights[file.group]
        if file.group == "config" and PurePosixPath(file.path).suffix in _TEMPLATES:
            weight = max(weight, 0.4)
        for window in file.windows:
            score, held = _window_score(window, file, wanted, calls, moved)
            scored.append((score * weight, file.path, window, held))
    return _different(scored)


def _group_weights(title: str, kind: PrKind) -> dict[FileGroup, float]:
    weights = dict(_GROUP_WEIGHT)
    for pattern, group in _TITLE_GROUPS:
        if pattern.search(title):
            weights[group] = max(weights[group], 0.55)
    for group in _KIND_GROUPS.get(kind, ()):
        weights[group] = 1.0
    return weights


def _window_score(
    window: Window, file: Candidates, wanted: Sequence[str], calls: re.Pattern[str] | None, moved: Collection[str]
) -> tuple[float, frozenset[str]]:  # fmt: skip
    """Score of a window before its file's weight, and the words of the title it holds."""
    changed = [line for line in window.text.split("\n") if line[:1] in ("+", "-")]
    score = math.sqrt(window.score)
    if moved and changed:
        score *= max(_MOVED_WORTH, 1 - sum(line[1:].strip() in moved for line in changed) / len(changed))
    flat = "\n".join(changed).lower().replace("_", "").replace("-", "")
    held = frozenset(w for w in wanted if w in flat)
    in_path = sum(w in file.path.lower().replace("_", "") for w in wanted)
    # a compound and its parts say the same thing twice
    matches = sum(1.0 if len(w) > 3 else 0.5 for w in held) + 0.25 * min(in_path, 3)
    factor = 1 + _MATCH * min(matches, 5.0)
    if (
        calls is not None
        and not file.is_new
        and any(line[0] == "+" and calls.search(line) for line in changed)
    ):
        factor += _CALL_SITE
    if {line[0] for line in changed} == {"+", "-"}:
        factor += _REPLACES
    return score * factor, held


def _different(scored: list[tuple[float, str, Window, frozenset[str]]]) -> tuple[Excerpt, ...]:
    """The best window, then those that add most to what is there."""
    chosen: list[tuple[float, str, Window, frozenset[str]]] = []
    rest = sorted(scored, key=lambda s: (-s[0], s[1], s[2].at))
    seen: set[str] = set()
    while rest and len(chosen) < _MOST:
        best = max(rest, key=lambda s: _novelty(s, chosen))
        rest.remove(best)
        key = "\n".join(sorted(line[1:].strip() for line in best[2].text.split("\n")))
        if chosen and (_novelty(best, chosen) < _LEAST_SHARE * chosen[0][0] or best[2].score <= 0):
            break
        if key not in seen:
            seen.add(key)
            chosen.append(best)
    return tuple(Excerpt(path=path, hunk=w.hunk, text=w.text, at=w.at) for _, path, w, _ in chosen)


def _novelty(
    candidate: tuple[float, str, Window, frozenset[str]], chosen: Sequence[tuple[float, str, Window, frozenset[str]]]
) -> float:  # fmt: skip
    score, path, window, _ = candidate
    if not chosen:
        return score
    words = set(re.findall(r"\w{3,}", window.text))
    for _, other_path, other, _ in chosen:
        theirs = set(re.findall(r"\w{3,}", other.text))
        score *= 1 - 0.7 * len(words & theirs) / max(1, min(len(words), len(theirs)))
        if other_path == path:
            score *= _SAME_FILE
    return score
