"""Findings that past review threads give: what reviewers asked for at this place, about code like this."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from ingest.github.records import Thread
from kb.critique.concerns import NIT, concerns_of
from kb.critique.drafts import Case, draft, named
from kb.critique.findings import Finding, Severity
from kb.critique.patch import PatchHunk
from kb.critique.precedents import asking, thread_precedent
from kb.threads.reader import ThreadHead
from kb.words import code_words

_READ = 6  # threads of a hunk that are read whole
_LEAST = 0.18  # share of the hunk's rare words that a thread's words have to hold
_SHORT = 4  # characters; shorter words are no names


def asked_before(case: Case) -> Iterator[Finding]:
    """A person asked for something at this file and definition, about the names this hunk changes."""
    index, rows = case.swept.index, case.swept.rows
    if not len(rows):
        return
    inline = np.isin(rows, index.one_of("path", sorted(case.history.of_name)))
    rows = rows[inline]
    texts = [text for text, there in zip(case.swept.words, inline.tolist(), strict=True) if there]
    heads = list(index.heads(rows))
    own = frozenset(w for h in case.patch.hunks for w in h.words if len(w) >= _SHORT)
    words = [own.intersection(text.split(" ")) for text in texts]
    frequency = Counter(w for held in words for w in held)
    at_path: dict[str, list[int]] = {}
    for place, head in enumerate(heads):
        if head.humans:
            at_path.setdefault(case.history.of_name[head.path], []).append(place)
    near = [(h, _near(h, heads, words, frequency, at_path.get(h.path, []))) for h in case.patch.hunks]
    wanted = sorted({place for _, found in near for _, place in found})
    threads = dict(zip(wanted, index.read(rows[wanted]), strict=True)) if wanted else {}
    for hunk, found in near:
        made = (_finding(case, hunk, heads[p], threads[p], texts[p], strength) for strength, p in found)
        first = next((f for f in made if f is not None), None)
        if first is not None:
            yield first


def _near(
    hunk: PatchHunk,
    heads: list[ThreadHead],
    words: list[frozenset[str]],
    frequency: Counter[str],
    places: list[int],
) -> list[tuple[float, int]]:
    """The threads of a file that speak most of what a hunk changes, best first."""
    own = {w for w in hunk.words if len(w) >= _SHORT}
    worth = {w: 1.0 / math.log(2.0 + frequency[w]) for w in own if frequency[w]}
    whole = sum(sorted(worth.values(), reverse=True)[:12]) or 1.0
    scored = []
    for place in places:
        held = sum(worth[w] for w in words[place] & worth.keys()) / whole
        head = heads[place]
        same = bool(head.symbol) and head.symbol.replace("::", ".").split(".")[-1] in {
            s.split(".")[-1] for s in hunk.symbols
        }
        score = (
            held
            * (1.5 if same else 1.0)
            * (1.3 if head.addressed == "yes" else 1.0)
            * (0.7 if head.trust != "synced" else 1.0)
        )
        if held >= _LEAST and (same or held >= 2 * _LEAST):
            scored.append((score, place))
    return sorted(scored, key=lambda s: (-s[0], s[1]))[:_READ]


def _finding(
    case: Case, hunk: PatchHunk, head: ThreadHead, thread: Thread, words: str, strength: float
) -> Finding | None:
    precedent = thread_precedent(thread, "", head.addressed)
    comment = asking(thread)
    if precedent is None or comment is None:
        return None
    concern = (concerns_of(" ".join(code_words(comment.body))) or concerns_of(words) or ("maintainability",))[
        0
    ]
    number = thread.number
    blocked = any(c.state == "changes_requested" for c in thread.comments)
    severity: Severity = "minor"
    if re.search(NIT, words) and not blocked:
        severity = "nit"
    elif blocked and head.addressed == "yes":
        severity = "major"
    met = {
        "yes": "and the change was made",
        "no": "and the lines stayed as they were",
        "unknown": "with an outcome that is not recorded",
    }
    return draft(
        hunk, "asked-before", severity, concern,
        f"A reviewer of #{number} asked about this at {named(hunk.symbol, hunk.path)}, {met[head.addressed]}; this hunk changes the same code.",
        f"Answer the question of #{number} for this change before a reviewer has to ask it again.",
        min(strength, 1.5), threads=[precedent],
    )  # fmt: skip
