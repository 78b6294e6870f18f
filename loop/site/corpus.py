"""What the site needs of all cards at once, newest first, and the whole rows of some of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from kb.families import Families, load_families
from kb.family_views import touched
from kb.filters import one_of
from kb.references import engine_of
from kb.store import Store
from loop.site.card_pages import CardRow, ThreadRow
from loop.site.places import Held, card_page
from loop.site.search_index import IndexedCard

_COLUMNS = (
    "id", "repo", "number", "title", "merged_at", "kind", "status", "families", "path_text", "title_words",
    "introduced_words", "path_words", "description_words", "changed_words",
)  # fmt: skip
BATCH = 400  # cards whose rows are in memory at once


@dataclass(frozen=True, slots=True)
class Head:
    """A card as lists show it; `place` counts from the newest."""

    id: str
    repo: str
    title: str
    day: str
    kind: str
    status: str
    families: tuple[str, ...]
    path_text: str
    row_id: int

    @property
    def engine(self) -> str:
        """Short engine name."""
        return engine_of(self.repo)

    @property
    def month(self) -> str:
        """`2026-03`, empty when the day is unknown."""
        return self.day[:7]


@dataclass
class Corpus:
    """All cards of a store that can have a page.

    Attributes:
        heads: newest first.
        indexed: the same cards as the browser's index needs them.
        refused: ids that make no file's name; they get no page.
        families: the family table.
    """

    heads: list[Head]
    indexed: list[IndexedCard]
    refused: list[str]
    families: Families
    linked: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @cached_property
    def held(self) -> Held:
        """Which cards have a page."""
        return Held.of(h.id for h in self.heads)

    @cached_property
    def by_family(self) -> dict[str, list[Head]]:
        """Cards of each family that has one, newest first."""
        found: defaultdict[str, list[Head]] = defaultdict(list)
        known = {f.slug for f in self.families.entries}
        for head in self.heads:
            for slug in head.families:
                if slug in known:
                    found[slug].append(head)
        return dict(sorted(found.items()))

    @cached_property
    def path_families(self) -> dict[str, frozenset[str]]:
        """Every path of the cards -> families whose file it is."""
        paths = {path for head in self.heads for path in touched(head.path_text)}
        return {path: frozenset(self.families.of_path(path)) for path in paths}

    @cached_property
    def family_names(self) -> dict[str, str]:
        """Slug -> name of the families that have a card."""
        return {f.slug: f.name for f in self.families.entries if f.slug in self.by_family}


def read_corpus(store: Store) -> Corpus:
    """Read all cards' columns, and the links between pull requests."""
    table = store.scan("cards", list(_COLUMNS), row_id=True)
    order = pa.compute.sort_indices(
        table, sort_keys=[("merged_at", "descending"), ("number", "descending"), ("repo", "ascending")]
    )
    heads: list[Head] = []
    indexed: list[IndexedCard] = []
    refused: list[str] = []
    for row in _rows(table.take(order)):
        if card_page(row["id"]) is None:
            refused.append(row["id"])
            continue
        families = tuple(row["families"])
        day = row["merged_at"][:10]
        heads.append(
            Head(row["id"], row["repo"], row["title"], day, row["kind"], row["status"], families, row["path_text"], row["_rowid"])
        )  # fmt: skip
        indexed.append(
            IndexedCard(
                row["repo"], row["number"], row["title"], day, row["kind"], row["status"], families, row["title_words"],
                row["introduced_words"], row["path_words"], row["description_words"], row["changed_words"],
            )
        )  # fmt: skip
    return Corpus(heads, indexed, refused, load_families(), _links(store))


def _rows(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    for batch in table.to_batches(2048):
        yield from batch.to_pylist()


def _links(store: Store) -> dict[str, list[tuple[str, str]]]:
    """Card -> (kind, id) of the pull requests that name it."""
    rows = store.scan("links", ["source", "kind", "target"])
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for source, kind, target in zip(
        *(rows[c].to_pylist() for c in ("source", "kind", "target")), strict=True
    ):
        found[target].append((kind, source))
    return {target: sorted(links) for target, links in found.items()}


def card_rows(store: Store, corpus: Corpus, heads: Sequence[Head]) -> list[CardRow]:
    """Whole rows of some cards, in their order, with threads and description."""
    table = store.cards_at([h.row_id for h in heads], ["id", "card"])
    cards = dict(zip(table["id"].to_pylist(), table["card"].to_pylist(), strict=True))
    threads: defaultdict[str, list[tuple[str, ThreadRow]]] = defaultdict(list)
    where = one_of("card_id", [h.id for h in heads])
    if store.has("threads"):
        columns = ["card_id", "created_at", "record", "addressed", "addressed_by"]
        rows = store.rows_where("threads", where, columns)
        for card, at, *rest in zip(*(rows[c].to_pylist() for c in columns), strict=True):
            threads[card].append((at, ThreadRow(*rest)))
    descriptions: dict[str, str] = {}
    if store.has("pulls"):
        rows = store.rows_where("pulls", one_of("id", [h.id for h in heads]), ["id", "record"])
        descriptions = dict(zip(rows["id"].to_pylist(), rows["record"].to_pylist(), strict=True))
    return [
        CardRow(
            cards[h.id], tuple(corpus.linked.get(h.id, ())), tuple(t for _, t in sorted(threads[h.id])), descriptions.get(h.id, ""),
        )
        for h in heads
        if h.id in cards
    ]  # fmt: skip
