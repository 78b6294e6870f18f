"""From a question to ranked hits: candidates from every field, from chunks and from vectors, mixed by one rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from kb.cards import Anchor, Card, Excerpt, Status, decode_card
from kb.encoders.base import NO_ENCODER, Encoder, load_encoder
from kb.excerpts import best_window
from kb.families import Families, load_families
from kb.filters import Filter
from kb.fusion import Contribution, Weights, load_weights, mix
from kb.question import Question, parse_question, path_terms
from kb.store import Store

_FIELDS = {
    "title": "title_words", "path": "path_words", "introduced": "introduced_words", "changed": "changed_words",
    "diff": "diff_words", "description": "description_words", "review": "review_words",
}  # fmt: skip
_CARDS_A_FIELD = 200
_CHUNKS = 300
_NEIGHBOURS = 200
_COMMON = 0.35  # words that stand in more than this share of the cards tell nothing and cost most of the time
_EXCERPTS = 2


@dataclass(frozen=True, slots=True)
class Hit:
    """One found card with the reasons. `excerpts` are chosen for the question."""

    rank: int
    card: Card
    score: float
    why: tuple[Contribution, ...]
    excerpts: tuple[Excerpt, ...]
    anchors: tuple[Anchor, ...]

    @property
    def status(self) -> Status:
        """Who stands behind the card's prose."""
        return self.card.status


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first; `answered` is whether the best of them fits at all, `confidence` how surely (0..1)."""

    question: Question
    hits: tuple[Hit, ...]
    answered: bool
    confidence: float
    unknown_words: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(slots=True)
class _Candidate:
    signals: dict[str, float]
    chunk: tuple[str, int] | None = None


class Searcher:
    """Answers questions from one store. Not for threads; opens what it needs once."""

    def __init__(self, store: Store, families: Families | None = None, weights: Weights | None = None) -> None:
        self._store = store
        self._families = families or load_families()
        self._weights = weights or load_weights()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="prlore-search")

    @cached_property
    def _encoder(self) -> Encoder | None:
        return load_encoder(self._store.meta().get("encoder", NO_ENCODER))

    @cached_property
    def _vectors(self) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Ids, unit vectors, and repositories of all cards."""
        ids, vectors = self._store.vectors()
        return ids, vectors.astype(np.float32), np.array([i.rpartition("#")[0] for i in ids])

    @cached_property
    def _cards(self) -> int:
        return self._store.count("cards")

    def search(self, text: str, where: Filter | None = None, limit: int = 10) -> Answer:
        """Answer a question.

        Args:
            text: the question.
            where: which cards may answer.
            limit: hits wanted at most.
        """
        where = where or Filter()
        question = parse_question(text, self._families)
        counts = self._store.word_counts([*question.words, *question.exact, *path_terms(question)])
        candidates: dict[str, _Candidate] = {}
        named = self._named(question, where)
        for card_id in named:
            candidates[card_id] = _Candidate({"reference": 1.0})
        words = self._searched(question, counts)
        if words or question.exact or question.paths:
            self._gather(question, words, where, candidates)
        ranked = self._rank(question, where, candidates, limit)
        hits = self._hits(question, ranked, counts)
        answered, confidence = self._judge(question, hits, named, counts, candidates)
        missing = tuple(
            f"{r.repo}#{r.number}" for r in question.references if not any(_is_reference(i, r.repo, r.number) for i in named)
        )
        unknown = tuple(w for w in question.words if w not in counts)
        return Answer(question, hits, answered, confidence, unknown, missing)

    # candidates --------------------------------------------------------------------------------------

    def _named(self, question: Question, where: Filter) -> list[str]:
        found: list[str] = []
        for reference in question.references:
            ids = self._store.cards_of_number(reference.number, reference.repo or None)
            if not reference.repo and where.repos:
                ids = [i for i in ids if i.rpartition("#")[0] in where.repos]
            found += ids
        return list(dict.fromkeys(found))

    def _searched(self, question: Question, counts: Mapping[str, int]) -> list[str]:
        """The words that are worth searching: known, and not in a third of all cards unless nothing else is left."""
        known = [w for w in question.words if counts.get(w)]
        telling = [w for w in known if counts[w] <= _COMMON * self._cards]
        return telling or known

    def _gather(
        self, question: Question, words: Sequence[str], where: Filter, candidates: dict[str, _Candidate]
    ) -> None:
        text = " ".join(words)
        exact = list(question.exact)
        searches = {}
        for signal, field in _FIELDS.items():
            query = text
            if signal == "path":
                query = " ".join([text, *path_terms(question)])
            elif signal in ("introduced", "changed") and exact:
                query = " ".join([text, *exact])
            if query.strip():
                searches[signal] = self._pool.submit(
                    self._store.search_cards, query, field, _CARDS_A_FIELD, where, ["id"]
                )
        chunks = None
        if text:
            chunks = self._pool.submit(
                self._store.search_chunks, text, _CHUNKS, where.only_repos, ["card_id", "ordinal"]
            )
        neighbours = self._pool.submit(self._neighbours, question, where)
        for signal, future in searches.items():
            self._add(candidates, signal, future.result(), "id")
        if chunks is not None:
            self._add(candidates, "chunk", chunks.result(), "card_id")
        for card_id, cosine in neighbours.result():
            candidates.setdefault(card_id, _Candidate({})).signals["vector"] = cosine

    def _add(self, candidates: dict[str, _Candidate], signal: str, rows: pa.Table, column: str) -> None:
        """Scores of one list, as shares of its best: BM25 scores of different fields don't compare."""
        scores = rows["_score"].to_pylist()
        ids = rows[column].to_pylist()
        ordinals = rows["ordinal"].to_pylist() if signal == "chunk" else None
        for i, (card_id, score) in enumerate(zip(ids, scores, strict=True)):
            candidate = candidates.setdefault(card_id, _Candidate({}))
            if score / scores[0] > candidate.signals.get(signal, 0.0):
                candidate.signals[signal] = score / scores[0]
            if ordinals is not None and candidate.chunk is None:
                candidate.chunk = (card_id, ordinals[i])

    def _neighbours(self, question: Question, where: Filter) -> list[tuple[str, float]]:
        if self._encoder is None or not self._store.has_vectors():
            return []
        ids, vectors, repos = self._vectors
        vector = self._encoder.encode([question.text])[0]
        if not len(ids) or not vector.any():
            return []
        cosines = vectors @ vector
        if where.repos:
            cosines = np.where(np.isin(repos, where.repos), cosines, -1.0)
        best = np.argpartition(-cosines, min(_NEIGHBOURS, len(ids) - 1))[:_NEIGHBOURS]
        return [(ids[i], float(cosines[i])) for i in best if cosines[i] > 0]

    # ranking -----------------------------------------------------------------------------------------

    def _rank(
        self, question: Question, where: Filter, candidates: dict[str, _Candidate], limit: int
    ) -> list[tuple[str, _Candidate, float, tuple[Contribution, ...]]]:
        if not candidates:
            return []
        weights = self._weights.signals
        columns = ["id", "families", "path_text", "symbol_text", "merged_at"]
        first = sorted(candidates, key=lambda i: -mix(candidates[i].signals, weights)[0])[:150]
        rows = {r["id"]: r for r in self._store.cards_by_id(first, columns, where).to_pylist()}
        scored = []
        for card_id in first:
            row = rows.get(card_id)
            if row is None:  # found through a chunk or a vector, kept out by the filter
                continue
            candidate = candidates[card_id]
            _exact_signals(question, row, candidate.signals)
            score, why = mix(candidate.signals, weights)
            scored.append((card_id, candidate, score, why, row["merged_at"]))
        scored.sort(key=lambda s: (-s[2], s[4], s[0]))
        return [(card_id, candidate, score, why) for card_id, candidate, score, why, _ in scored[:limit]]

    def _hits(
        self,
        question: Question,
        ranked: Sequence[tuple[str, _Candidate, float, tuple[Contribution, ...]]],
        counts: Mapping[str, int],
    ) -> tuple[Hit, ...]:
        ids = [card_id for card_id, *_ in ranked]
        cards = {
            i: decode_card(c)
            for i, c in zip(*(self._store.cards_by_id(ids, ["id", "card"])[k].to_pylist() for k in ("id", "card")), strict=True)
        }
        places = [c.chunk for _, c, *_ in ranked if c.chunk is not None]
        texts = self._store.chunk_texts(places)
        worth = {w: self._telling(w, counts) for w in question.words}
        hits = []
        for rank, (card_id, candidate, score, why) in enumerate(ranked, start=1):
            card = cards[card_id]
            excerpts = list(card.excerpts)
            if candidate.chunk in texts:
                path, hunk, text = texts[candidate.chunk]
                _, window = best_window(text, worth)
                chosen = Excerpt(path=path, hunk=hunk.partition(" @@")[0] + " @@", text=window)
                excerpts = [chosen, *(e for e in excerpts if e.path != path)]
            hits.append(Hit(rank, card, score, why, tuple(excerpts[:_EXCERPTS]), card.anchors))
        return tuple(hits)

    # deciding ----------------------------------------------------------------------------------------

    def _telling(self, word: str, counts: Mapping[str, int]) -> float:
        """Inverse document frequency of a word over all cards, as BM25 has it; unknown words tell most."""
        n, df = max(self._cards, 1), counts.get(word, 0)
        return math.log(1 + (n - df + 0.5) / (df + 0.5))

    def _judge(
        self, question: Question, hits: Sequence[Hit], named: Sequence[str], counts: Mapping[str, int],
        candidates: Mapping[str, _Candidate],
    ) -> tuple[bool, float]:  # fmt: skip
        """Whether the best hits fit: a logistic rule over what of the question they hold."""
        if question.references and named:
            return True, 1.0
        if not hits or question.only_references:
            return False, 0.0
        signals = self._answer_signals(question, hits, counts, candidates)
        rule = self._weights.answer
        logit = rule.get("bias", 0.0) + sum(rule.get(name, 0.0) * value for name, value in signals.items())
        confidence = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
        return confidence >= self._weights.threshold, confidence

    def _answer_signals(
        self, question: Question, hits: Sequence[Hit], counts: Mapping[str, int], candidates: Mapping[str, _Candidate]
    ) -> dict[str, float]:
        top = [h.card.id for h in hits[:5]]
        held = self._store.card_words(top)
        worth = {w: self._telling(w, counts) for w in question.words}
        total = sum(worth.values()) or 1.0
        cover = [sum(v for w, v in worth.items() if w in held.get(i, ())) / total for i in top]
        return {
            "coverage": max(cover, default=0.0),
            "coverage_first": cover[0] if cover else 0.0,
            "unknown": sum(v for w, v in worth.items() if w not in counts) / total,
            "vector": max((c.signals.get("vector", 0.0) for c in candidates.values()), default=0.0),
            "agreement": min(len([s for s in candidates[top[0]].signals if s in _FIELDS]) / 4, 1.0) if top else 0.0,
        }


def _is_reference(card_id: str, repo: str, number: int) -> bool:
    name, _, digits = card_id.rpartition("#")
    return int(digits) == number and (not repo or name == repo)


def _exact_signals(question: Question, row: Mapping[str, Any], signals: dict[str, float]) -> None:
    """Signals that need the card's own row: families, whole paths, whole names."""
    if question.families:
        shared = set(question.families) & set(row["families"])
        if shared:
            signals["family"] = 1.0
    if question.paths:
        paths = row["path_text"].lower().split("\n")
        if any(p == q or p.endswith("/" + q) for p in paths for q in question.paths):
            signals["exact path"] = 1.0
    if question.names or question.exact:
        held = row["symbol_text"].lower().split("\n")
        parts = {p for name in held for p in name.replace("::", ".").split(".")} | set(held)
        if any(n.lower() in parts or n.lower().replace("::", ".").split(".")[-1] in parts for n in question.names):
            signals["exact symbol"] = 1.0
        if any(n in parts for n in question.exact):
            signals["exact name"] = 1.0


