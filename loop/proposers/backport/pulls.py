"""Pull requests for a piece of evidence out of the knowledge base: its own cards first, then later ones.

What came before the target is in it, so the search asks for what was merged afterwards: performance changes of the same file, performance
changes by the same words, then any change of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from kb.cards import Card
from kb.evidence import Bottleneck
from kb.filters import Filter
from kb.references import ENGINES
from kb.search import Searcher
from loop.proposers.backport.history import Pull
from loop.records import EvidenceBundle
from loop.retrieval.cards import StoredCards

_MORE = 15  # of each question
_PERF = "perf"


class CardPulls:
    """`Pulls` over one store.

    Args:
        cards: of the store.
        searcher: over it; without one only the bundle's own cards are looked at.
        engine: the target's name, whose repository alone counts.
    """

    def __init__(self, cards: StoredCards, searcher: Searcher | None, engine: str) -> None:
        self._cards, self._searcher, self._repo = cards, searcher, ENGINES.get(engine, "")

    def pulls(self, bundle: EvidenceBundle, after: str) -> Iterator[Pull]:
        """Pull requests that bear on it, best first."""
        for quote in bundle.cards:
            card = self._cards.card(quote.card_id)
            if card is not None:
                yield from self._of(card)
        if self._searcher is None:
            return
        path = bundle.location.rpartition(":")[0]
        question = Bottleneck(path=path, stage="" if bundle.stage == "all" else bundle.stage).question()
        repos = (self._repo,) if self._repo else ()
        for where in (
            Filter(repos=repos, kinds=(_PERF,), paths=(path,), after=after),
            Filter(repos=repos, kinds=(_PERF,), after=after),
            Filter(repos=repos, paths=(path,), after=after),
        ):
            for hit in self._searcher.search(question, where, _MORE).hits:
                yield from self._of(hit.card)

    def reverted_by(self, pull: Pull) -> str | None:
        """The pull request that took it back, None where none did."""
        return self._cards.reverted_by(pull.id)

    def _of(self, card: Card) -> Iterator[Pull]:
        if card.sha and card.parent and (not self._repo or card.repo == self._repo):
            yield Pull(card.id, card.sha, card.parent, card.title, card.kind == _PERF)
