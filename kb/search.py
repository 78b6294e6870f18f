"""From a question to ranked hits: candidates from every field, from chunks and from vectors, mixed by one rule."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from kb.cards import Anchor, Card, Excerpt, Status, decode_card
from kb.catalogue import Catalogue, load_catalogue
from kb.encoders.base import NO_ENCODER, Encoder, Vectors, load_encoder
from kb.excerpts import best_window
from kb.families import Families, load_families
from kb.filters import Filter
from kb.fusion import Contribution, Weights, load_weights, mix, score
from kb.question import Question, parse_question, wanted_names, wanted_paths
from kb.store import Store
from kb.tables import CARD_FIELDS
from kb.words import name_ends

# signal -> card fields with their boosts; of several fields a card's best counts. A call costs about 2 ms before it
# searches anything, so that fields that say the same sort of thing share one.
_FIELDS: dict[str, dict[str, float]] = {
    "title": {"title_words": 1.0, "description_words": 0.7, "review_words": 0.5},
    "path": {"path_words": 1.0},
    "symbol": {"introduced_words": 1.0, "changed_words": 0.6},
    "diff": {"diff_words": 1.0},
}
_CARDS_A_FIELD = 60
_CHUNKS = 80
_MOST_SEARCHED = 11  # words of a long question that are looked up, the rarest ones
_NEIGHBOURS = 150
_COMMON = 0.35  # words that stand in more than this share of the cards tell nothing and cost most of the time
_EXCERPTS = 2
_JUDGED = 5  # hits whose words decide whether anything fits
_TOPIC_SIGNALS = ("path", "symbol", "diff")  # searched within the families a question names
_SIDE_KINDS = ("test", "ci", "docs", "build")  # seldom what a question without these words is after
_LOOKED_AT = 40  # candidates whose own names are compared with the question's
_ORIGIN = ("adds path", "introduces symbol", "introduces name")
_EXACT = ("exact path", "adds path", "introduces symbol", "changes symbol", "introduces name", "changes name")


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
    """A card under consideration; `chunk` is the row of its best chunk, None where none was found."""

    signals: dict[str, float]
    chunk: int | None = None


@dataclass(frozen=True, slots=True)
class _Ranked:
    card_id: str
    candidate: _Candidate
    score: float
    why: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class _VectorTable:
    """Vectors of all cards, repository by repository: `spans` says which rows are whose."""

    ids: list[str]
    vectors: Vectors
    spans: dict[str, slice]
    rows: dict[str, int]


class Searcher:
    """Answers questions from one store. Not for threads; opens what it needs once."""

    def __init__(
        self, store: Store, families: Families | None = None, weights: Weights | None = None
    ) -> None:
        self._store = store
        self._families = families or load_families()
        self._weights = weights or load_weights()
        self._terms: dict[str, int] | None = None
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="prlore-search")

    @cached_property
    def _encoder(self) -> Encoder | None:
        return load_encoder(self._store.meta().get("encoder", NO_ENCODER))

    @cached_property
    def _vectors(self) -> _VectorTable:
        if self._encoder is None or not self._store.has_vectors():
            return _VectorTable([], np.zeros((0, 1), np.float32), {}, {})
        ids, vectors = self._store.vectors()
        repos = [i.rpartition("#")[0] for i in ids]
        order = sorted(range(len(ids)), key=repos.__getitem__)
        ids, repos = [ids[i] for i in order], [repos[i] for i in order]
        spans = {r: slice(bisect_left(repos, r), bisect_right(repos, r)) for r in dict.fromkeys(repos)}
        return _VectorTable(ids, vectors[order].astype(np.float32), spans, {c: i for i, c in enumerate(ids)})

    @cached_property
    def _catalogue(self) -> Catalogue:
        return load_catalogue(self._store)

    @cached_property
    def _fields(self) -> dict[str, dict[str, float]]:
        """The card fields that hold anything in this store, by signal."""
        held = {f for fields in _FIELDS.values() for f in fields if not self._store.is_blank(f)}
        return {
            signal: {f: boost for f, boost in fields.items() if f in held}
            for signal, fields in _FIELDS.items()
            if held & fields.keys()
        }

    @property
    def _cards(self) -> int:
        return len(self._catalogue.row)

    def warm(self) -> None:
        """Load what questions need into memory: for a process that answers many. Takes about two seconds at 32k cards."""
        self._store.prewarm()
        self._terms = self._store.word_counts(None)
        _ = (self._vectors, self._catalogue, self._fields)

    def _word_counts(self, words: Sequence[str]) -> dict[str, int]:
        if self._terms is None:
            return self._store.word_counts(words)
        return {w: self._terms[w] for w in words if w in self._terms}

    def search(self, text: str, where: Filter | None = None, limit: int = 10) -> Answer:
        """Answer a question.

        Args:
            text: the question.
            where: which cards may answer.
            limit: hits wanted at most.
        """
        where = where or Filter()
        question = parse_question(text, self._families)
        counts = self._word_counts(list(question.words))
        candidates: dict[str, _Candidate] = {}
        named = self._named(question, where)
        for card_id in named:
            candidates[card_id] = _Candidate({"reference": 1.0})
        words = self._searched(question, counts)
        if words or question.exact or question.paths:
            self._gather(question, words, where, candidates)
        ranked = self._rank(question, where, candidates, limit)
        hits, held = self._hits(question, ranked, counts)
        answered, confidence = self._judge(question, ranked, named, counts, held)
        missing = tuple(
            f"{r.repo}#{r.number}"
            for r in question.references
            if not any(_is_reference(i, r.repo, r.number) for i in named)
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
        found = list(dict.fromkeys(found))
        if where and found:
            allowed = set(self._store.cards_by_id(found, ["id"], where)["id"].to_pylist())
            found = [i for i in found if i in allowed]
        return found

    def _searched(self, question: Question, counts: Mapping[str, int]) -> list[str]:
        """The words that are worth searching: known, and not in a third of all cards unless nothing else is left."""
        known = [w for w in question.words if counts.get(w)]
        telling = [w for w in known if counts[w] <= _COMMON * self._cards] or known
        if len(telling) > _MOST_SEARCHED:
            rarest = set(sorted(telling, key=lambda w: counts[w])[:_MOST_SEARCHED])
            telling = [w for w in telling if w in rarest]
        return telling

    def _gather(
        self, question: Question, words: Sequence[str], where: Filter, candidates: dict[str, _Candidate]
    ) -> None:
        text = " ".join(words)
        paths, exact = wanted_paths(question), wanted_names(question)
        searches = {}
        # a family's tags are nearly complete, so that what remains to be told apart is its topic
        focused = bool(question.families and question.topic) and not where.families
        within = replace(where, families=question.families) if focused else where
        topic = " ".join(w for w in question.topic if w in words) or text
        for signal, fields in self._fields.items():
            query = text
            scope = where
            if focused and signal in _TOPIC_SIGNALS:
                query, scope = topic, within
            if signal == "path":
                query = " ".join([query, *paths])
            elif signal == "symbol" and exact:
                query = " ".join([query, *exact])
            if query.strip():
                searches[signal] = self._pool.submit(
                    self._store.search_cards, query, fields, _CARDS_A_FIELD, scope, ["id"]
                )
        chunks = None
        if text:
            chunks = self._pool.submit(
                self._store.search_chunks, text, _CHUNKS, where.only_repos, ["card_id"]
            )
        neighbours = self._pool.submit(self._neighbours, question, where)
        for signal, future in searches.items():
            self._add(candidates, signal, future.result(), "id")
        if chunks is not None:
            self._add(candidates, "chunk", chunks.result(), "card_id")
        self._add_cosines(candidates, *neighbours.result())

    def _add_cosines(
        self, candidates: dict[str, _Candidate], near: Sequence[int], cosines: Vectors | None
    ) -> None:
        """Cosines of all candidates, and their place between the nearest card and the last of the neighbours."""
        if cosines is None or not len(near):
            return
        table = self._vectors
        for row in near:
            candidates.setdefault(table.ids[row], _Candidate({}))
        best, least = float(cosines[near[0]]), float(cosines[near[-1]])
        for card_id, candidate in candidates.items():
            place = table.rows.get(card_id)
            if place is not None and cosines[place] > 0:
                candidate.signals["cosine"] = float(cosines[place])
                if best > least:
                    candidate.signals["vector"] = max(0.0, (float(cosines[place]) - least) / (best - least))

    def _add(self, candidates: dict[str, _Candidate], signal: str, rows: pa.Table, column: str) -> None:
        """Scores of one list, as shares of its best: BM25 scores of different fields don't compare."""
        scores = rows["_score"].to_pylist()
        places = rows["_rowid"].to_pylist() if signal == "chunk" else None
        for i, card_id in enumerate(rows[column].to_pylist()):
            candidate = candidates.setdefault(card_id, _Candidate({}))
            if scores[i] / scores[0] > candidate.signals.get(signal, 0.0):
                candidate.signals[signal] = scores[i] / scores[0]
                if places is not None:
                    candidate.chunk = places[i]

    def _neighbours(self, question: Question, where: Filter) -> tuple[list[int], Vectors | None]:
        """Rows of the nearest cards, nearest first, and the cosines of all rows; -1 where the filter says no."""
        table = self._vectors
        if self._encoder is None or not table.ids:
            return [], None
        vector = self._encoder.encode([question.text])[0]
        if not vector.any():
            return [], None
        cosines = np.full(len(table.ids), -1.0, np.float32)
        for span in [table.spans[r] for r in where.repos or table.spans if r in table.spans]:
            cosines[span] = table.vectors[span] @ vector
        best = np.argpartition(-cosines, min(_NEIGHBOURS, len(table.ids)) - 1)[:_NEIGHBOURS]
        best = best[cosines[best] > 0]
        return best[np.argsort(-cosines[best], kind="stable")].tolist(), cosines

    # ranking -----------------------------------------------------------------------------------------

    def _rank(
        self, question: Question, where: Filter, candidates: dict[str, _Candidate], limit: int
    ) -> list[_Ranked]:
        catalogue, weights = self._catalogue, self._weights.signals
        # rows that a writer has not finished name cards that are not there yet
        candidates = {i: c for i, c in candidates.items() if i in catalogue.row}
        wanted = frozenset(question.families)
        for card_id, candidate in candidates.items():
            tags = catalogue.families_of(card_id) if wanted else wanted
            if wanted & tags:
                candidate.signals["family"] = 1.0
                candidate.signals["family focus"] = 1 / (1 + math.log(len(tags)))
            kind = catalogue.kinds[catalogue.row[card_id]]
            if kind in question.kinds:
                candidate.signals["kind"] = 1.0
            elif kind in _SIDE_KINDS and not question.kinds:
                candidate.signals["side kind"] = 1.0
        if where != where.only_repos:  # chunks and vectors know no other filter
            allowed = self._store.cards_by_id(list(candidates), ["id"], where)["id"].to_pylist()
            candidates = {card_id: candidates[card_id] for card_id in allowed}
        first = heapq.nlargest(
            max(_LOOKED_AT, 2 * limit), candidates, key=lambda i: score(candidates[i].signals, weights)
        )
        if question.paths or question.names or question.exact:
            columns = ["id", "path_text", "symbol_text"]
            for row in self._store.cards_at(catalogue.stored_at(first), columns).to_pylist():
                _exact_signals(question, row, candidates[row["id"]].signals)
            if question.only_names:
                _mark_origin(candidates, first)
        ranked = [_Ranked(i, candidates[i], *mix(candidates[i].signals, weights)) for i in first]
        ranked.sort(key=lambda r: (-r.score, catalogue.merged_at[catalogue.row[r.card_id]], r.card_id))
        return ranked[:limit]

    def _hits(
        self, question: Question, ranked: Sequence[_Ranked], counts: Mapping[str, int]
    ) -> tuple[tuple[Hit, ...], dict[str, set[str]]]:
        """The hits, and all words of each card among the first few."""
        cards: dict[str, Card] = {}
        words: dict[str, set[str]] = {}
        places = self._catalogue.stored_at(r.card_id for r in ranked)
        for row in self._store.cards_at(places, ["id", "card", *CARD_FIELDS]).to_pylist():
            cards[row["id"]] = decode_card(row["card"])
            words[row["id"]] = {w for f in CARD_FIELDS for w in row[f].split(" ")}
        texts = self._store.chunk_texts([r.candidate.chunk for r in ranked if r.candidate.chunk is not None])
        worth = {w: self._telling(w, counts) for w in question.words}
        hits = []
        for rank, found in enumerate(ranked, start=1):
            card = cards[found.card_id]
            excerpts = list(card.excerpts)
            if found.candidate.chunk in texts:
                path, text = texts[found.candidate.chunk]
                window = best_window(text, worth)
                chosen = Excerpt(path=path, hunk=window.hunk, text=window.text)
                excerpts = [chosen, *(e for e in excerpts if e.path != path)]
            hits.append(Hit(rank, card, found.score, found.why, tuple(excerpts[:_EXCERPTS]), card.anchors))
        return tuple(hits), words

    # deciding ----------------------------------------------------------------------------------------

    def _telling(self, word: str, counts: Mapping[str, int]) -> float:
        """Inverse document frequency of a word over all cards, as BM25 has it; unknown words tell most."""
        n, df = max(self._cards, 1), counts.get(word, 0)
        return math.log(1 + (n - df + 0.5) / (df + 0.5))

    def _judge(
        self, question: Question, ranked: Sequence[_Ranked], named: Sequence[str], counts: Mapping[str, int],
        held: Mapping[str, set[str]],
    ) -> tuple[bool, float]:  # fmt: skip
        """Whether the best hits fit: a logistic rule over what of the question they hold."""
        if question.references and named:
            return True, 1.0
        if not ranked or question.only_references:
            return False, 0.0
        signals = self._answer_signals(question, ranked, counts, held)
        rule = self._weights.answer
        logit = rule.get("bias", 0.0) + sum(rule.get(name, 0.0) * value for name, value in signals.items())
        confidence = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
        return confidence >= self._weights.threshold, confidence

    def _answer_signals(
        self,
        question: Question,
        ranked: Sequence[_Ranked],
        counts: Mapping[str, int],
        held: Mapping[str, set[str]],
    ) -> dict[str, float]:
        """What the decision rests on, each 0..1: see the README's section on confidence."""
        worth = {w: self._telling(w, counts) for w in question.words}
        total = sum(worth.values()) or 1.0
        cover = [sum(v for w, v in worth.items() if w in held[r.card_id]) / total for r in ranked[:_JUDGED]]
        first = ranked[0].candidate.signals
        return {
            "coverage": max(cover),
            "coverage of the first": cover[0],
            "unknown words": sum(v for w, v in worth.items() if w not in counts) / total,
            "cosine": max(r.candidate.signals.get("cosine", 0.0) for r in ranked[:_JUDGED]),
            "agreement": min(sum(name in _FIELDS for name in first) / 4, 1.0),
            "exact": max(max(r.candidate.signals.get(n, 0.0) for n in _EXACT) for r in ranked[:3]),
        }


def _is_reference(card_id: str, repo: str, number: int) -> bool:
    name, _, digits = card_id.rpartition("#")
    return int(digits) == number and (not repo or name == repo)


def _mark_origin(candidates: Mapping[str, _Candidate], card_ids: Sequence[str]) -> None:
    """Where a question is nothing but a name, the cards that bring it into being."""
    for card_id in card_ids:
        signals = candidates[card_id].signals
        if any(name in signals for name in _ORIGIN):
            signals["origin"] = 1.0


def _exact_signals(question: Question, row: Mapping[str, Any], signals: dict[str, float]) -> None:
    """Signals that need the card's own names: whole paths, whole symbols, whole flags and variables."""
    if question.paths:
        lines = row["path_text"].lower().split("\n")
        for mark, signal in (("+", "adds path"), ("", "exact path")):
            paths = [line[1:] for line in lines if line.startswith(mark)]
            if any(p == q or p.endswith("/" + q) for p in paths for q in question.paths):
                signals[signal] = 1.0
    if not question.names and not question.exact:
        return
    lines = row["symbol_text"].lower().split("\n")
    new = {n for line in lines if line.startswith("+") for n in name_ends(line[1:])}
    old = {n for line in lines if not line.startswith("+") for n in name_ends(line[1:])}
    names = [n.lower().replace("::", ".") for n in question.names]
    for kind, wanted in (("symbol", names), ("name", list(question.exact))):
        if any(n in new for n in wanted):
            signals[f"introduces {kind}"] = 1.0
        elif any(n in old for n in wanted):
            signals[f"changes {kind}"] = 1.0
