"""Ways to rank the cards of a store for a question, ours and those it is held against, behind one interface.

All are deterministic: equal scores are ordered by repository and number. The plain ones share one index in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ingest.errors import PrloreError
from kb.ablation import ALIASES, without
from kb.aliases import Aliases
from kb.card_index import CardIndex, VectorSet
from kb.encoders.base import NO_ENCODER
from kb.encoders.load import load_encoder
from kb.encoders.mini import MINI_ENCODER
from kb.families import Families
from kb.filters import Filter
from kb.fusion import load_weights
from kb.question import parse_question
from kb.search import Searcher
from kb.store import Store
from kb.tables import CARD_FIELDS

RRF_CONSTANT = 60  # Cormack, Clarke and Büttcher 2009
_FUSED = 200  # ranks of each list that count in a fusion of ranks
OURS, NO_RERANK, LIGHT = "ours", "no-rerank", "light"
MIXED = (OURS, NO_RERANK, LIGHT)
RANKINGS: Mapping[str, str] = {
    OURS: "what query does",
    NO_RERANK: "ours, nothing read by the reranker",
    LIGHT: "ours as in a store without the tuned model's vectors",
    "bm25": "BM25 of every field, summed",
    "fts": "LanceDB full-text search over the fields, the best field counting",
    "static": "cosine of the vectors that ingest made",
    "tuned": "cosine of the tuned model's vectors",
    "rrf": "reciprocal ranks of bm25 and of all vectors, summed",
}


class RankingError(PrloreError):
    """A ranking that there is none of, or that a store can't give."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Card ids, best first; `confidence` grows with how sure it is that something fits, on a scale of the ranking's own."""

    ids: tuple[str, ...]
    confidence: float


class Ranker(Protocol):
    """A way to rank cards."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def warm(self) -> None:
        """Load what questions need."""
        ...

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """The best cards for a question among those that a filter lets pass, `limit` at most."""
        ...


class Mixed:
    """Ours: a searcher, decision included."""

    def __init__(self, searcher: Searcher, name: str = OURS) -> None:
        self.name = name
        self._searcher = searcher

    def warm(self) -> None:
        """Load index, vectors and models."""
        self._searcher.warm()

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """As `prlore query` does, excerpts and all."""
        answer = self._searcher.search(text, where, limit)
        return Listing(tuple(h.card.id for h in answer.hits), answer.confidence)


class FieldWords:
    """Exact BM25 of every field, summed; the question's words as they are, without other names."""

    name = "bm25"

    def __init__(self, index: CardIndex, families: Families) -> None:
        self._index, self._families = index, families

    def warm(self) -> None:
        """Nothing to load."""

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """Cards with any of the words."""
        words = dict.fromkeys(plain_words(text, self._families), 1.0)
        total = sum(self._index.postings.fields[f].scores(words) for f in CARD_FIELDS)
        return _best(self._index, np.asarray(total), where, limit)


class FullText:
    """LanceDB's own full-text search: BM25 of each field, the best field counting."""

    name = "fts"

    def __init__(self, store: Store, families: Families) -> None:
        self._store, self._families = store, families
        self._fields: dict[str, float] = {}

    def warm(self) -> None:
        """Read the search indexes into memory."""
        self._store.prewarm()
        self._fields = {f: 1.0 for f in CARD_FIELDS if not self._store.is_blank(f)}

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """Cards with any of the words."""
        words = " ".join(plain_words(text, self._families))
        if not words or not self._fields:
            return Listing((), 0.0)
        rows = self._store.search_cards(words, self._fields, limit, where, ["id"])
        found = sorted(
            zip(rows["_score"].to_pylist(), rows["id"].to_pylist(), strict=True), key=lambda r: (-r[0], r[1])
        )
        return Listing(tuple(i for _, i in found), found[0][0] if found else 0.0)


class Cosines:
    """One set of vectors alone."""

    def __init__(self, name: str, index: CardIndex, vectors: VectorSet) -> None:
        self.name = name
        self._index, self._vectors = index, vectors

    def warm(self) -> None:
        """Nothing to load."""

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """The nearest cards."""
        cosines = self._vectors.vectors @ self._vectors.encoder.encode([text])[0]
        return _best(self._index, np.where(self._vectors.held, cosines, -2.0), where, limit, least=-1.5)


class ReciprocalRanks:
    """Several rankings fused by rank alone."""

    name = "rrf"

    def __init__(self, parts: Sequence[Ranker]) -> None:
        self._parts = parts

    def warm(self) -> None:
        """Load what the parts need."""
        for part in self._parts:
            part.warm()

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """Cards by the sum of 1 / (60 + rank)."""
        scores: dict[str, float] = {}
        for part in self._parts:
            for rank, card_id in enumerate(part.rank(text, where, _FUSED).ids, start=1):
                scores[card_id] = scores.get(card_id, 0.0) + 1 / (RRF_CONSTANT + rank)
        best = sorted(scores, key=lambda i: (-scores[i], i))[:limit]
        return Listing(tuple(best), scores[best[0]] if best else 0.0)


def plain_words(text: str, families: Families) -> tuple[str, ...]:
    """Content words of a question by the code-aware rule, nothing translated and nothing added."""
    return parse_question(text, families, Aliases(())).words


def _best(
    index: CardIndex, scores: np.ndarray[Any, Any], where: Filter, limit: int, least: float = 0.0
) -> Listing:
    """The best of a filter's cards with more than the least score."""
    scope = index.scope(where)
    mine = scores[scope]
    order = np.argsort(-mine, kind="stable")[:limit]
    order = order[mine[order] > least]
    ids = tuple(index.ids[i] for i in scope[order].tolist())
    return Listing(ids, float(mine[order[0]]) if len(order) else 0.0)


class Rankings:
    """Makes rankings of one store by name."""

    def __init__(self, store: Store, families: Families) -> None:
        self._store, self._families = store, families

    @cached_property
    def index(self) -> CardIndex:
        """What the plain rankings share."""
        return CardIndex(self._store)

    def make(self, name: str, ablated: Sequence[str] = ()) -> Ranker:
        """A ranking, of ours some signals taken out.

        Raises:
            RankingError: no such ranking, signals taken out of one that has none, or vectors that the store lacks.
            UnknownSignal: no such signal.
        """
        if name in MIXED:
            return self._mixed(name, ablated)
        if ablated:
            raise RankingError(f"{name} mixes no signals: --without goes with --ranking {', '.join(MIXED)}")
        makers: dict[str, Callable[[], Ranker]] = {
            "bm25": lambda: FieldWords(self.index, self._families),
            "fts": lambda: FullText(self._store, self._families),
            "static": lambda: self._cosines("static"),
            "tuned": lambda: self._cosines("tuned"),
            "rrf": self._reciprocal,
        }
        if name not in makers:
            raise RankingError(f"no ranking {name!r}: name one of {', '.join(RANKINGS)}")
        return makers[name]()

    def _mixed(self, name: str, ablated: Sequence[str]) -> Ranker:
        weights = without(load_weights(), ablated)
        searcher = Searcher(
            self._store, self._families, weights, rerank=name != NO_RERANK and weights.rerank.cards > 0, tuned=name != LIGHT,
            aliases=Aliases(()) if ALIASES in ablated else None,
        )  # fmt: skip
        return Mixed(searcher, " ".join((name, *(f"without {a}" for a in ablated))))

    def _cosines(self, name: str) -> Cosines:
        found = self._vector_set(name)
        if found is None:
            remedy = "make them with `prlore embed`" if name == "tuned" else "ingest into a new --kb"
            raise RankingError(f"{self._store.uri} has no {name} vectors: {remedy}, or name another ranking")
        return Cosines(name, self.index, found)

    def _vector_set(self, name: str) -> VectorSet | None:
        encoder = self._store.meta().get("encoder", NO_ENCODER) if name == "static" else MINI_ENCODER
        if encoder == NO_ENCODER or not self._store.has_vectors(encoder):
            return None
        if name == "static" and encoder == MINI_ENCODER:  # that one is called tuned
            return None
        loaded = load_encoder(encoder)
        return self.index.stored_vectors(loaded) if loaded is not None else None

    def _reciprocal(self) -> ReciprocalRanks:
        held = [n for n in ("static", "tuned") if self._vector_set(n) is not None]
        return ReciprocalRanks([self.make("bm25"), *(self.make(n) for n in held)])
