"""From a question to topics and tasks of the map, or to nothing when no topic is meant."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from kb.sourcemap.topics import SourceMap, Task, Topic
from kb.words import prose_words

_STOP = frozenset(
    "where is are the a an of for in to and or on with do does how i my new code source file folder folders files path "
    "sglang vllm trtllm tensorrt llm find which what class".split()
)
_ENOUGH = 0.6  # share of the question's weight that the best phrase must hold
_CLOSE = 0.85  # further topics must score as much of the best
_MOST = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A topic or task that fits a question, with the share (0..1) of the question that it holds."""

    item: Topic | Task
    score: float


def asked_words(question: str) -> list[str]:
    """The words of a question that can tell topics apart."""
    american = re.sub(r"(?i)isation\b", "ization", question)  # quantisation, serialisation
    return [w for w in dict.fromkeys(prose_words(american)) if w not in _STOP]


def match(source_map: SourceMap, question: str) -> list[Match]:
    """Topics and tasks that fit a question, best first; empty when none does."""
    words = asked_words(question)
    if not words:
        return []
    items: tuple[Topic | Task, ...] = (*source_map.topics, *source_map.tasks)
    phrases = {item.id: [_phrase(p) for p in (item.id, item.name, *item.words)] for item in items}
    spread = Counter(w for found in phrases.values() for w in frozenset().union(*found))
    weight = {w: math.log(1 + len(items) / (1 + spread[w])) for w in {*words, *spread}}
    whole = sum(weight[w] for w in words)
    scored = []
    for item in items:
        everything = frozenset().union(*phrases[item.id])
        held = sum(weight[w] for w in words if w in everything) / whole
        best = max(_closeness(words, phrase, weight) for phrase in phrases[item.id])
        scored.append(Match(item, round(0.5 * held + 0.5 * best, 4)))
    scored.sort(key=lambda m: -m.score)
    top = scored[0].score
    return [m for m in scored[:_MOST] if m.score >= _ENOUGH and m.score >= _CLOSE * top]


def _closeness(words: Sequence[str], phrase: frozenset[str], weight: dict[str, float]) -> float:
    """How nearly a phrase is the question: shared weight over all weight of the two."""
    either = sum(weight[w] for w in {*words, *phrase})
    return sum(weight[w] for w in words if w in phrase) / either if either else 0.0


@cache
def _phrase(text: str) -> frozenset[str]:
    return frozenset(w for w in prose_words(text.replace("_", " ")) + prose_words(text) if w not in _STOP)
