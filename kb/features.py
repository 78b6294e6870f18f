"""What ranking knows of every card for one question: a named number each, made for all cards at once.

Word scores stand twice: as a share of what a card with all the question's words would get, which compares between
questions, and as a share of the best card's, which compares within one. The list of names is the vocabulary of
data/fusion.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kb.card_index import CardIndex, Places, VectorSet
from kb.question import Question

Values = np.ndarray[Any, np.dtype[np.float32]]

FIELDS = {
    "title": "title_words",
    "path": "path_words",
    "introduced": "introduced_words",
    "changed": "changed_words",
    "diff": "diff_words",
    "description": "description_words",
    "review": "review_words",
}
SIDE_KINDS = ("test", "ci", "docs", "build")  # seldom what a question without these words is after
_NEIGHBOURS = 150
_COMMON = 0.35  # words that stand in more than this share of the cards tell nothing and cost most of the time
_MOST_SEARCHED = 40


@dataclass(frozen=True, slots=True)
class AskedWords:
    """The words of a question that are looked up: its own with weight 1, other names of them with less."""

    own: dict[str, float]
    all: dict[str, float]


def asked_words(question: Question, index: CardIndex) -> AskedWords:
    """Known words that tell something; of a very long question the rarest."""
    counts = {w: index.postings.any.frequency(w) for w in (*question.words, *question.other_names)}
    telling = {w for w, n in counts.items() if 0 < n <= _COMMON * len(index)}
    own = {w: 1.0 for w in question.words if w in telling} or {w: 1.0 for w in question.words if counts[w]}
    if len(own) > _MOST_SEARCHED:
        rarest = set(sorted(own, key=lambda w: counts[w])[:_MOST_SEARCHED])
        own = {w: v for w, v in own.items() if w in rarest}
    others = {w: v for w, v in question.other_names.items() if w in telling and w not in own}
    return AskedWords(own, own | others)


def word_features(
    index: CardIndex, words: AskedWords, exact: Mapping[str, list[str]], scope: Places
) -> dict[str, Values]:
    """Scores of the fields, and how much of the question a card holds anywhere.

    Args:
        index: all cards.
        words: what is looked up.
        exact: field -> whole paths and names that are looked up there as well.
        scope: the cards that count.
    """
    found: dict[str, Values] = {}
    within, chosen = _range(scope)
    for name, field in FIELDS.items():
        postings = index.postings.fields[field]
        if not len(postings.cards):
            continue
        asked = words.all | dict.fromkeys(exact.get(name, ()), 1.0)
        mine = postings.scores(asked, within)[chosen]
        ideal = postings.ideal(words.own or asked)
        best = float(mine.max(initial=0.0))
        found[name] = mine / max(ideal, 1e-6)
        found[f"{name} share"] = mine / best if best > 0 else mine
    found["coverage"] = _coverage(index, words.own, scope)
    found["coverage with other names"] = _coverage(index, words.all, scope)
    return found


def _coverage(index: CardIndex, words: Mapping[str, float], scope: Places) -> Values:
    """Share of the question's words, by how telling they are, that stand anywhere in a card."""
    within, chosen = _range(scope)
    return index.postings.any.shares(words, within)[chosen]


def _range(scope: Places) -> tuple[slice, slice | Places]:
    """The range of cards a scope lies in, and which of the range it is."""
    if not len(scope):
        return slice(0, 0), slice(0, 0)
    within = slice(int(scope[0]), int(scope[-1]) + 1)
    return within, slice(None) if within.stop - within.start == len(scope) else scope - within.start


def vector_features(name: str, cards: VectorSet, asked: Values, scope: Places) -> dict[str, Values]:
    """Cosines, and their place between the nearest card and the last of the neighbours."""
    if len(scope) == 0 or not asked.any():
        return {}
    cosines: Values = cards.vectors[as_slice(scope)] @ asked
    near = min(_NEIGHBOURS, len(cosines))
    least = float(np.partition(cosines, -near)[-near])
    best = float(cosines.max())
    share: Values = np.clip((cosines - least) / max(best - least, 1e-6), 0.0, 1.0).astype(np.float32)
    if cards.share < 1.0:  # a card that was never embedded is not judged by it
        lacking = ~cards.held[scope]
        cosines = np.where(
            lacking, np.float32(cosines[~lacking].mean() if not lacking.all() else 0.0), cosines
        )
        share = np.where(lacking, np.float32(0.0), share)
    return {name: cosines, f"{name} share": share}


def as_slice(scope: Places) -> slice | Places:
    """A scope without gaps as a slice, which copies nothing."""
    first, last = int(scope[0]), int(scope[-1])
    return slice(first, last + 1) if last - first + 1 == len(scope) else scope


def card_features(index: CardIndex, question: Question, scope: Places) -> dict[str, Values]:
    """What does not depend on words: families, kind, age, size."""
    found: dict[str, Values] = {"age": index.age[scope], "size": index.size[scope]}
    if question.families:
        member = index.of_families(question.families)[scope].astype(np.float32)
        found["family"] = member
        found["family focus"] = member / (1 + np.log(np.maximum(index.tags[scope], 1.0)))
    if question.kinds:
        found["kind"] = index.of_kinds(question.kinds)[scope]
    else:
        found["side kind"] = index.of_kinds(SIDE_KINDS)[scope]
    return found


def topic_feature(
    index: CardIndex, question: Question, member: Values, words: AskedWords, scope: Places
) -> Values:
    """For a question about a family: how much of its topic, the family's names left aside, a card of the family holds."""
    topic = {w: 1.0 for w in question.topic if w in words.own}
    topic |= {w: v for w, v in words.all.items() if w not in words.own}
    if not topic:
        return np.zeros(len(scope), np.float32)
    found: Values = _coverage(index, topic, scope) * member
    return found
