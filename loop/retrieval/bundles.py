"""Evidence for the rows of a profile, the largest first.

A row becomes a bundle when a place in the tree leads to it and the knowledge base has a card that names its file, a symbol
or its operation. Widening looks further: other engines' cards, then cards that the search itself is less sure of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from kb.evidence import Bottleneck, EvidenceCard, evidence_for
from kb.search import Searcher
from kb.store import Store
from loop.gates.evidence import bears, ceiling_of, share_of
from loop.protocols import Trees
from loop.records import CardQuote, Comparison, EvidenceBundle, Policy, ProfileDigest, ProfileRow, TreeRef

_QUOTED_LINES = 12
_CARDS = 5
_ENGINES = {"sglang": "sglang", "vllm": "vllm", "trtllm": "trtllm"}


@dataclass(frozen=True, slots=True)
class NoBundle:
    """A row that became none: NO_PLACE, NO_CARD or CANNOT_PAY."""

    row_id: str
    share: float
    reason: str


@dataclass(frozen=True)
class Found:
    """What a profile gave.

    Attributes:
        bundles: the largest row first.
        without: rows that became none, the largest first; of those too small to pay only the first few.
    """

    bundles: tuple[EvidenceBundle, ...]
    without: tuple[NoBundle, ...]


class Retriever:
    """Asks one knowledge base.

    Args:
        store: an open store.
        searcher: over it.
        trees: where sources are looked up.
    """

    def __init__(self, store: Store, searcher: Searcher, trees: Trees) -> None:
        self._store, self._searcher, self._trees = store, searcher, trees

    def bundles(
        self,
        parent: TreeRef,
        profiles: Sequence[ProfileDigest],
        symptom: Comparison | None,
        policy: Policy,
        *,
        limit: int = 5,
        widen: int = 0,
        without: frozenset[str] = frozenset(),
    ) -> Found:
        """Evidence for one tree.

        Args:
            parent: the tree that the profiles are of.
            profiles: of its stages.
            symptom: the comparison that shows a gap, None without competitors.
            policy: for the smallest share that counts.
            limit: bundles at most.
            widen: 0 for cards of this engine that the search is sure of, 1 for all engines, 2 for unsure ones as well.
            without: families that are passed over.
        """
        paths = self._trees.paths(parent)
        found: list[EvidenceBundle] = []
        lacking: list[NoBundle] = []
        seen: set[tuple[str, str]] = set()
        for profile, row in _rows(profiles, parent.tree, policy.min_share, without):
            if len(found) >= limit:
                break
            location = self._location(parent, row, paths)
            if location is None:
                lacking.append(NoBundle(row.row_id, share_of(row), "NO_PLACE"))
                continue
            if (profile.stage, location.rpartition(":")[0] + row.family) in seen:
                continue  # one implementation is one piece of evidence
            bundle = self._bundle(parent, profile, row, location, symptom, widen)
            if bundle is None:
                lacking.append(NoBundle(row.row_id, share_of(row), "NO_CARD"))
                continue
            seen.add((profile.stage, location.rpartition(":")[0] + row.family))
            found.append(bundle)
        small = [
            (p, r) for p, r in _rows(profiles, parent.tree, 0.0, without) if share_of(r) < policy.min_share
        ]
        lacking += [NoBundle(row.row_id, share_of(row), "CANNOT_PAY") for _, row in small[:_CARDS]]
        return Found(tuple(found), tuple(lacking))

    def _bundle(
        self,
        parent: TreeRef,
        profile: ProfileDigest,
        row: ProfileRow,
        location: str,
        symptom: Comparison | None,
        widen: int,
    ) -> EvidenceBundle | None:
        share = share_of(row)
        empty = EvidenceBundle(
            symptom=symptom.id if symptom else "",
            metric=symptom.metric if symptom else "",
            gap=symptom.mean if symptom else 0.0,
            stage=profile.stage,
            profile=profile.id,
            row_id=row.row_id,
            share=share,
            location=location,
            tree=parent.tree,
            cards=(),
            expected=f"at most {ceiling_of(share):.1%} faster",
            ceiling=ceiling_of(share),
        )
        quotes = tuple(q for q in self._quotes(profile, row, location, widen) if bears(q, row, empty))
        return msgspec.structs.replace(empty, cards=quotes[:_CARDS]) if quotes else None

    def _quotes(
        self, profile: ProfileDigest, row: ProfileRow, location: str, widen: int
    ) -> Iterator[CardQuote]:
        path = location.rpartition(":")[0]
        symbol = row.symbols[0].rpartition(".")[2] if row.symbols else ""
        asked = Bottleneck(
            kernel=row.name,
            path=f"{path}:{symbol}" if symbol else path,
            stage="" if profile.stage == "all" else profile.stage,
            engine="" if widen else _ENGINES.get(profile.engine, ""),
        )
        answer = evidence_for(self._searcher, self._store, asked, limit=2 * _CARDS)
        if not answer.answered and widen < 2:
            return
        for card in (*answer.cards, *(answer.elsewhere if widen else ())):
            if not card.broken:
                yield from _quotes_of(card, path)

    def _location(self, parent: TreeRef, row: ProfileRow, paths: Sequence[str]) -> str | None:
        """`path:line` in the tree of the first of the row's places that is there."""
        for source in row.sources:
            place, _, line = source.rpartition(":")
            if not line.isdecimal():
                continue
            held = [p for p in paths if p == place or p.endswith("/" + place) or place.endswith("/" + p)]
            content = self._trees.read(parent, max(held, key=len)) if held else None
            if content is not None and 1 <= int(line) <= content.count(b"\n") + 1:
                return f"{max(held, key=len)}:{line}"
        return None


def _rows(
    profiles: Sequence[ProfileDigest], tree: str, least: float, without: frozenset[str]
) -> list[tuple[ProfileDigest, ProfileRow]]:
    rows = [
        (profile, row)
        for profile in profiles
        if profile.tree == tree
        for row in profile.rows
        if share_of(row) >= least and row.family not in without
    ]
    return sorted(rows, key=lambda pair: (-share_of(pair[1]), pair[0].stage, pair[1].row_id))


def _quotes_of(card: EvidenceCard, path: str) -> list[CardQuote]:
    """The card's excerpts as quotes, that of the row's own file first."""
    excerpts = sorted(card.excerpts, key=lambda e: e.path.rpartition("/")[2] != path.rpartition("/")[2])
    quotes = []
    for excerpt in excerpts:
        text = "\n".join(excerpt.text.rstrip("\n").split("\n")[:_QUOTED_LINES])
        if text.strip():
            quotes.append(CardQuote(card.id, excerpt.path, text, hashlib.sha256(text.encode()).hexdigest()))
    return quotes
