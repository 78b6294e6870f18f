"""From a question to ranked hits: every card scored by words and vectors, the best looked at closely, mixed by one rule."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kb.aliases import Aliases
from kb.card_index import CardIndex, Places, VectorSet
from kb.cards import Anchor, Card, Excerpt, Status, decode_card
from kb.encoders.base import NO_ENCODER, Encoder
from kb.encoders.load import load_encoder
from kb.encoders.mini import MINI_ENCODER
from kb.excerpts import best_window
from kb.families import Families, load_families
from kb.features import (
    SIDE_KINDS,
    AskedWords,
    Values,
    asked_words,
    card_features,
    topic_feature,
    vector_features,
    word_features,
)
from kb.filters import Filter
from kb.fusion import Contribution, Weights, load_weights, logistic, mix, score
from kb.question import Question, parse_question, wanted_names, wanted_paths
from kb.reranker import Reranker, load_reranker
from kb.store import Store
from kb.texts import code_text
from kb.words import name_ends

_CHUNKS = 40
_MOST_SEARCHED = 8  # words of a question that are looked up in the chunks of its hits, the rarest ones
_CANDIDATES = 120  # cards that are ranked by everything that is known of them
_LOOKED_AT = 60  # of those, cards whose own names are compared with the question's
_EXCERPTS = 2
_SHOWN = 5  # hits whose lines are chosen for the question; the others show those of their cards
_JUDGED = 5  # hits whose words decide whether anything fits
_ROW = ["id", "card", "title", "path_text", "symbol_text", "diff_words"]
_ORIGIN = ("adds path", "introduces symbol", "introduces name")
_EXACT = ("exact path", "adds path", "introduces symbol", "changes symbol", "introduces name", "changes name")
_ENOUGH_VECTORS = 0.9  # share of the cards that need a vector before the tuned model ranks


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
class Candidate:
    """A card looked at closely: its signals by name."""

    card_id: str
    signals: dict[str, float]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its mixed score and what each signal gave."""

    candidate: Candidate
    score: float
    why: tuple[Contribution, ...]

    @property
    def card_id(self) -> str:
        """The card."""
        return self.candidate.card_id


@dataclass(frozen=True, slots=True)
class Gathered:
    """A question's candidates, and what was looked up for them."""

    question: Question
    words: AskedWords
    named: tuple[str, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class _Models:
    """What is read beside the index: encoders by name, the reranker."""

    encoders: dict[str, Encoder]
    reranker: Reranker | None


class Searcher:
    """Answers questions from one store. Not for threads; opens what it needs once.

    Args:
        store: the store.
        families: the table of families.
        weights: how signals are mixed.
        rerank: whether the cross-encoder reads the best candidates.
        tuned: whether the tuned model's vectors count where the store has them.
        aliases: the table of other names.
    """

    def __init__(
        self, store: Store, families: Families | None = None, weights: Weights | None = None, *,
        rerank: bool = True, tuned: bool = True, aliases: Aliases | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._families = families or load_families()
        self._weights = weights or load_weights()
        self._rerank = rerank
        self._tuned = tuned
        self._aliases = aliases
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="prlore-search")
        # models and the index are read beside each other: a question from the command line waits for the slowest alone
        self._loading: Future[_Models] = self._pool.submit(self._load_models)

    def _load_models(self) -> _Models:
        encoders: dict[str, Encoder] = {}
        first = load_encoder(self._store.meta().get("encoder", NO_ENCODER))
        if first is not None:
            encoders[first.name] = first
        if self._store.has_vectors(MINI_ENCODER):
            mini = load_encoder(MINI_ENCODER)
            if mini is not None:
                encoders.setdefault(mini.name, mini)
        return _Models(encoders, load_reranker() if self._rerank else None)

    @cached_property
    def index(self) -> CardIndex:
        """All cards in memory."""
        return CardIndex(self._store)

    @cached_property
    def _models(self) -> _Models:
        return self._loading.result()

    @cached_property
    def _vectors(self) -> dict[str, VectorSet]:
        """Vector sets by the name of their signal: `tuned` for the shipped transformer, `cosine` for what ingest made."""
        sets: dict[str, VectorSet] = {}
        for name, encoder in self._models.encoders.items():
            found = self.index.stored_vectors(encoder)
            if name == MINI_ENCODER:
                if self._tuned and found.share >= _ENOUGH_VECTORS:
                    sets["tuned"] = found
            elif found.share:
                sets["cosine"] = found
        return sets

    @property
    def signals_of(self) -> str:
        """Which of the weight sets fits this store: `tuned` where it has the tuned model's vectors, else `light`."""
        return "tuned" if "tuned" in self._vectors else "light"

    def warm(self) -> None:
        """Load what questions need into memory: for a process that answers many."""
        self._store.prewarm()
        _ = (self._vectors, self.index)

    def search(self, text: str, where: Filter | None = None, limit: int = 10) -> Answer:
        """Answer a question.

        Args:
            text: the question.
            where: which cards may answer.
            limit: hits wanted at most.
        """
        found = self.gather(text, where)
        question = found.question
        rows = _Rows(self._store, self.index)
        ranked = self.rank(found, limit, rows)
        hits = self._hits(question, ranked, rows)
        answered, confidence = self._judge(found, ranked)
        missing = tuple(
            f"{r.repo}#{r.number}"
            for r in question.references
            if not any(_is_reference(i, r.repo, r.number) for i in found.named)
        )
        anywhere = self.index.postings.any
        unknown = tuple(w for w in question.words if not anywhere.frequency(w))
        return Answer(question, hits, answered, confidence, unknown, missing)

    # candidates --------------------------------------------------------------------------------------

    def gather(self, text: str, where: Filter | None = None) -> Gathered:
        """The cards worth a close look for a question, with all their signals but the reranker's."""
        where = where or Filter()
        question = parse_question(text, self._families, self._aliases)
        named = self._named(question, where)
        index = self.index
        words = asked_words(question, index)
        if not (words.own or question.exact or question.paths):
            return Gathered(question, words, tuple(named), tuple(self._referred(question, named)))
        vectors = {
            name: self._pool.submit(s.encoder.encode, [question.english]) for name, s in self._vectors.items()
        }
        scope = index.scope(where)
        features = word_features(index, words, _exact_terms(question), scope)
        features |= card_features(index, question, scope)
        if "family" in features:
            features["topic"] = topic_feature(index, question, features["family"], words, scope)
        for name, future in vectors.items():
            features |= vector_features(name, self._vectors[name], future.result()[0], scope)
        chosen = self._choose(features, scope, [i for i in named if i in index.place])
        found = self._candidates(features, scope, chosen, frozenset(named))
        self._look_closely(question, found)
        return Gathered(question, words, tuple(named), tuple(found))

    def _named(self, question: Question, where: Filter) -> list[str]:
        found: list[str] = []
        for reference in question.references:
            ids = self._store.cards_of_number(reference.number, reference.repo or None)
            if not reference.repo and where.repos:
                ids = [i for i in ids if i.rpartition("#")[0] in where.repos]
            found += ids
        found = list(dict.fromkeys(found))
        if where and found:
            allowed = set(self._store.cards_by_id(found, ["id"], where)["id"].to_pylist())
            found = [i for i in found if i in allowed]
        return found

    def _referred(self, question: Question, named: Sequence[str]) -> list[Candidate]:
        """The cards of a question that is nothing but references; of those of one number docs, CI and tests come last."""
        side = self.index.of_kinds(() if question.kinds else SIDE_KINDS)
        place = self.index.place
        return [
            Candidate(
                i,
                {"reference": 1.0, "side kind": float(side[place[i]])} if i in place else {"reference": 1.0},
            )
            for i in named
        ]

    def _choose(self, features: Mapping[str, Values], scope: Places, also: Sequence[str]) -> Places:
        """Places in the scope of the best cards by what is known of all, and of those that were named."""
        weights = self._weights.of(self.signals_of)
        total = np.zeros(len(scope), np.float32)
        for name, values in features.items():
            total += np.float32(weights.get(name, 0.0)) * values
        most = min(_CANDIDATES, len(scope))
        best = np.argpartition(-total, most - 1)[:most] if most else np.zeros(0, np.int64)
        places = np.array(sorted(self.index.place[i] for i in also if i in self.index.place), np.int64)
        at = np.searchsorted(scope, places)
        at = (
            at[(at < len(scope)) & (scope[np.minimum(at, max(len(scope) - 1, 0))] == places)]
            if len(scope)
            else at[:0]
        )
        return np.union1d(best, at)

    def _candidates(
        self, features: Mapping[str, Values], scope: Places, chosen: Places, named: frozenset[str]
    ) -> list[Candidate]:
        names = list(features)
        rows = np.stack([features[n][chosen] for n in names], axis=1).tolist() if len(chosen) else []
        found = []
        for place, row in zip(scope[chosen].tolist(), rows, strict=True):
            card_id = self.index.ids[place]
            signals = dict(zip(names, row, strict=True))
            if card_id in named:
                signals["reference"] = 1.0
            found.append(Candidate(card_id, signals))
        return found

    def _look_closely(self, question: Question, candidates: Sequence[Candidate]) -> None:
        """Signals that need a card's own names."""
        if not (question.paths or question.names or question.exact):
            return
        weights = self._weights.of(self.signals_of)
        best = heapq.nlargest(_LOOKED_AT, candidates, key=lambda c: score(c.signals, weights))
        for found in best:
            if found.card_id in self.index.place:
                _exact_signals(question, *self.index.names_of(found.card_id), found.signals)
        if question.only_names:
            _mark_origin(candidates)

    # ranking -----------------------------------------------------------------------------------------

    def rank(self, found: Gathered, limit: int, rows: _Rows | None = None) -> list[Ranked]:
        """The best candidates, best first; the reranker reads the first of them. `rows` keeps what it fetched."""
        weights = self._weights.of(self.signals_of)
        ranked = self._scored(found.candidates, weights)
        reader = self._models.reranker if self._rerank and not found.question.only_names else None
        rule = self._weights.rerank
        if reader is not None and len(ranked) > 1 and rule.cards and found.words.own:
            rows = rows or _Rows(self._store, self.index)
            rows.of([r.card_id for r in ranked[: max(rule.cards, min(limit, _CANDIDATES))]])
            self.read(reader, found.question, ranked[: rule.cards], rows)
            least = min(r.candidate.signals["reranker"] for r in ranked[: rule.cards])
            for r in ranked[rule.cards :]:
                r.candidate.signals["reranker"] = least
            ranked = self._scored([r.candidate for r in ranked], weights)
        return [Ranked(r.candidate, *mix(r.candidate.signals, weights)) for r in ranked[:limit]]

    def _scored(self, candidates: Sequence[Candidate], weights: Mapping[str, float]) -> list[Ranked]:
        """Candidates by their score, which signal gave what left aside."""
        ranked = [Ranked(c, score(c.signals, weights), ()) for c in candidates]
        ranked.sort(key=self._order)
        return ranked

    def read(
        self, reader: Reranker, question: Question, ranked: Sequence[Ranked], rows: _Rows | None = None
    ) -> None:
        """Let the cross-encoder score some candidates."""
        rows = rows or _Rows(self._store, self.index)
        held = rows.of([r.card_id for r in ranked])
        texts = [
            f"{r['title']} . {code_text(r['path_text'], r['symbol_text'], r['diff_words'])}" for r in held
        ]
        for found, logit in zip(ranked, reader.scores(question.english, texts), strict=True):
            found.candidate.signals["reranker"] = float(logit)

    def _order(self, ranked: Ranked) -> tuple[bool, float, bytes, str]:
        """Imported cards stand behind all own ones; then by score, the older first where that is the same."""
        place = self.index.place.get(ranked.card_id)
        if place is None:
            return False, -ranked.score, b"", ranked.card_id
        return (
            bool(self.index.imported[place]),
            -ranked.score,
            bytes(self.index.merged_at[place]),
            ranked.card_id,
        )

    def _hits(self, question: Question, ranked: Sequence[Ranked], rows: _Rows) -> tuple[Hit, ...]:
        """The hits with their cards, each with the lines that fit the question best."""
        ids = [r.card_id for r in ranked]
        shown = [i for i in ids if i in self.index.place][:_SHOWN]
        pieces = self._pool.submit(self._chunks, question, shown)
        cards = {row["id"]: decode_card(row["card"]) for row in rows.of(ids)}
        chunks = pieces.result()
        anywhere = self.index.postings.any
        worth = {w: anywhere.telling(w) for w in question.words}
        hits = []
        for rank, found in enumerate(ranked, start=1):
            card = cards[found.card_id]
            excerpts = list(card.excerpts)
            if found.card_id in chunks:
                path, text = chunks[found.card_id]
                window = best_window(text, worth, path)
                chosen = Excerpt(path=path, hunk=window.hunk, text=window.text)
                excerpts = [chosen, *(e for e in excerpts if e.path != path)]
            hits.append(Hit(rank, card, found.score, found.why, tuple(excerpts[:_EXCERPTS]), card.anchors))
        return tuple(hits)

    def _chunks(self, question: Question, card_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Card -> (path, text) of the piece of its diff that holds most of the question's words."""
        anywhere = self.index.postings.any
        known = {w for w in question.words if anywhere.frequency(w)}
        rarest = heapq.nlargest(_MOST_SEARCHED, known, key=anywhere.telling)
        if not rarest or not card_ids:
            return {}
        rows = self._store.search_chunks(" ".join(rarest), _CHUNKS, card_ids)
        found: dict[str, tuple[str, str]] = {}
        for row in rows.select(["card_id", "path", "text"]).to_pylist():
            found.setdefault(row["card_id"], (row["path"], row["text"]))
        return found

    # deciding ----------------------------------------------------------------------------------------

    def _judge(self, found: Gathered, ranked: Sequence[Ranked]) -> tuple[bool, float]:
        """Whether the best hits fit: a logistic rule over what of the question they hold."""
        question = found.question
        if question.references and found.named:
            return True, 1.0
        if not ranked or question.only_references:
            return False, 0.0
        rule = self._weights.answer[self.signals_of]
        confidence = logistic(self.answer_signals(found, ranked), rule)
        return confidence >= self._weights.threshold, confidence

    def answer_signals(self, found: Gathered, ranked: Sequence[Ranked]) -> dict[str, float]:
        """What the decision rests on: see the README's section on confidence."""
        anywhere = self.index.postings.any
        worth = {w: anywhere.telling(w) for w in found.question.words}
        total = sum(worth.values()) or 1.0
        places = [self.index.place.get(r.card_id, -1) for r in ranked[:_JUDGED]]
        cover = [sum(v for w, v in worth.items() if anywhere.holds(w, p)) / total for p in places]
        best = [r.candidate.signals for r in ranked[:_JUDGED]]
        return {
            "coverage": max(cover),
            "coverage of the first": cover[0],
            "unknown words": sum(v for w, v in worth.items() if not anywhere.frequency(w)) / total,
            "cosine": max(s.get("cosine", 0.0) for s in best),
            "tuned": max(s.get("tuned", 0.0) for s in best),
            "reranker": max(s.get("reranker", 0.0) for s in best) / 10,
            "lead": ranked[0].score - ranked[min(_JUDGED, len(ranked)) - 1].score,
            "exact": max(max(s.get(n, 0.0) for n in _EXACT) for s in best[:3]),
        }


class _Rows:
    """Rows of the store that one question needs, each read once."""

    def __init__(self, store: Store, index: CardIndex) -> None:
        self._store = store
        self._index = index
        self._held: dict[str, dict[str, Any]] = {}

    def of(self, card_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of some cards, in their order."""
        lacking = [i for i in card_ids if i not in self._held]
        known = [i for i in lacking if i in self._index.place]
        found = self._store.cards_at(self._index.stored_at(known), _ROW).to_pylist() if known else []
        if len(known) < len(lacking):  # named, but written after the last ingest was finished
            found += self._store.cards_by_id(
                [i for i in lacking if i not in self._index.place], _ROW
            ).to_pylist()
        self._held |= {row["id"]: row for row in found}
        return [self._held[i] for i in card_ids]


def _exact_terms(question: Question) -> dict[str, list[str]]:
    """Whole paths and names that are looked up in the fields that hold such."""
    names = wanted_names(question)
    return {"path": wanted_paths(question), "introduced": names, "changed": names}


def _is_reference(card_id: str, repo: str, number: int) -> bool:
    name, _, digits = card_id.rpartition("#")
    return int(digits) == number and (not repo or name == repo)


def _mark_origin(candidates: Sequence[Candidate]) -> None:
    """Where a question is nothing but a name, the cards that bring it into being."""
    for candidate in candidates:
        if any(name in candidate.signals for name in _ORIGIN):
            candidate.signals["origin"] = 1.0


def _exact_signals(
    question: Question, paths: Sequence[str], symbols: Sequence[str], signals: dict[str, float]
) -> None:
    """Signals that need the card's own names: whole paths, whole symbols, whole flags and variables."""
    if question.paths:
        for mark, signal in (("+", "adds path"), ("", "exact path")):
            marked = [line[1:] for line in paths if line.startswith(mark)]
            if any(p == q or p.endswith("/" + q) for p in marked for q in question.paths):
                signals[signal] = 1.0
    if not question.names and not question.exact:
        return
    new = {n for line in symbols if line.startswith("+") for n in name_ends(line[1:])}
    old = {n for line in symbols if not line.startswith("+") for n in name_ends(line[1:])}
    names = [n.lower().replace("::", ".") for n in question.names]
    for kind, wanted in (("symbol", names), ("name", list(question.exact))):
        if any(n in new for n in wanted):
            signals[f"introduces {kind}"] = 1.0
        elif any(n in old for n in wanted):
            signals[f"changes {kind}"] = 1.0
