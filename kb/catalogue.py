"""What ranking needs of every card, held in memory: who it is, when it was merged, which families it concerns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kb.store import Store


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Parallel columns over all cards of a store; `row` finds a card's place, `row_ids` where the store has it."""

    row: dict[str, int]
    row_ids: list[int]
    repos: np.ndarray[Any, Any]
    merged_at: list[str]
    kinds: list[str]
    families: Any  # a pyarrow list column: one card's tags are read when they are asked for

    def stored_at(self, card_ids: Iterable[str]) -> list[int]:
        """Where the store has cards."""
        return [self.row_ids[self.row[i]] for i in card_ids]

    def families_of(self, card_id: str) -> frozenset[str]:
        """A card's family tags."""
        return frozenset(self.families[self.row[card_id]].as_py())


def load_catalogue(store: Store) -> Catalogue:
    """Read the columns of all cards."""
    rows = store.scan("cards", ["id", "repo", "merged_at", "kind", "families"], row_id=True)
    ids = rows["id"].to_pylist()
    return Catalogue(
        row={card_id: i for i, card_id in enumerate(ids)},
        row_ids=rows["_rowid"].to_pylist(),
        repos=np.array(rows["repo"].to_pylist()),
        merged_at=rows["merged_at"].to_pylist(),
        kinds=rows["kind"].to_pylist(),
        families=rows["families"].combine_chunks(),
    )
