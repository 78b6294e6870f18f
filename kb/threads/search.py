"""Searching threads: the code-aware words of a question against what was said, where, and on what."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ingest.github.records import Comment, Thread
from kb.families import Families
from kb.filters import ThreadFilter
from kb.question import Question, parse_question, wanted_paths
from kb.store import Store
from kb.stored_postings import cards_holding
from kb.threads.text import people, replied
from kb.words import prose_words

_CANDIDATES = 200
_ANSWERED = 0.5  # share of what a question asks for that its best thread has to hold
_EXCERPT = 400  # characters


@dataclass(frozen=True, slots=True)
class ThreadHit:
    """A found thread.

    Attributes:
        coverage: share of the question's words, weighted by how rare they are, that it holds.
        said: the comment that holds most of them.
        addressed: whether the change met it, and by what it shows.
        symbol: the definition that it hangs on.
    """

    rank: int
    thread: Thread
    score: float
    coverage: float
    said: Comment
    addressed: str
    addressed_by: str
    symbol: str
    hunk: str


@dataclass(frozen=True, slots=True)
class ThreadAnswer:
    """Hits, best first; own sync before what was imported. `answered` is whether the best of them fits."""

    question: Question
    hits: tuple[ThreadHit, ...]
    answered: bool
    threads: int


def search_threads(
    store: Store, text: str, families: Families, where: ThreadFilter, limit: int,
    frequency: Callable[[str], int] | None = None,
) -> ThreadAnswer:  # fmt: skip
    """Find the threads that bear on a question.

    Args:
        store: the knowledge base.
        text: the question.
        families: the table of families.
        where: which threads may answer.
        limit: hits wanted at most.
        frequency: in how many cards a word stands, for who has the postings in memory; else they are read.
    """
    question = parse_question(text, families)
    total = store.count("threads") if store.has("threads") else 0
    words = [w for w in question.words if w] or prose_words(text)
    if not total or not words:
        return ThreadAnswer(question, (), False, total)
    counts = {w: frequency(w) for w in words} if frequency else cards_holding(store, words)
    cards = max(store.count("cards"), 1)
    worth = {w: math.log(1 + (cards - counts.get(w, 0) + 0.5) / (counts.get(w, 0) + 0.5)) for w in words}
    asked = " ".join([*words, *wanted_paths(question)])
    columns = ["record", "words", "addressed", "addressed_by", "symbol", "hunk", "trust", "id"]
    rows = store.search_threads(asked, max(_CANDIDATES, limit), where.sql(), columns).to_pylist()
    whole = sum(worth.values()) or 1.0
    scored = []
    for row in rows:
        held = set(row["words"].split(" "))
        coverage = sum(v for w, v in worth.items() if w in held) / whole
        score = row["_score"] / rows[0]["_score"] * 0.5 + coverage * 0.5
        scored.append((row["trust"] != "synced", -score, row["id"], coverage, row))
    least = max((s[3] for s in scored), default=0.0) / 2
    # what is beside the question goes first; of the rest own sync stands above whatever somebody else collected
    scored = sorted((s for s in scored if s[3] >= least), key=lambda s: s[:3])
    hits = []
    for rank, (_, minus, _, coverage, row) in enumerate(scored[:limit], start=1):
        thread = msgspec.json.decode(row["record"], type=Thread)
        hits.append(
            ThreadHit(
                rank, thread, -minus, coverage, _telling(thread, worth), row["addressed"], row["addressed_by"],
                row["symbol"], row["hunk"],
            )
        )  # fmt: skip
    answered = bool(hits) and max(h.coverage for h in hits) >= _ANSWERED
    return ThreadAnswer(question, tuple(hits), answered, total)


def _telling(thread: Thread, worth: dict[str, float]) -> Comment:
    """The comment that holds most of what was asked, people's before bots'."""
    spoken = list(people([thread])) or list(thread.comments)

    def value(comment: Comment) -> float:
        held = set(prose_words(replied(comment.body)))
        return sum(v for w, v in worth.items() if w in held)

    return max(spoken, key=value)


def excerpt(comment: Comment, words: tuple[str, ...]) -> str:
    """The part of a comment around the first word that was asked for."""
    text = replied(comment.body).strip() or comment.body.strip()
    if len(text) <= _EXCERPT:
        return text
    flat = text.lower()
    at = min((flat.find(w) for w in words if flat.find(w) >= 0), default=0)
    start = max(0, min(at - _EXCERPT // 3, len(text) - _EXCERPT))
    return ("… " if start else "") + text[start : start + _EXCERPT].strip() + (" …" if start + _EXCERPT < len(text) else "")  # fmt: skip
