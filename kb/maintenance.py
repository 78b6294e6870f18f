"""Upkeep of a store: leftovers out, small files merged, indexes brought up to date, old versions cleaned up.

Safe beside readers: what they see is published before anything older goes, and versions younger than `keep` stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from kb.open_tables import TableSize
from kb.store import Store


@dataclass(frozen=True, slots=True)
class Maintained:
    """What upkeep found and left: rows of killed runs that went, and every table before and after."""

    leftovers: int
    before: tuple[TableSize, ...]
    after: tuple[TableSize, ...]


def maintain(store: Store, keep: timedelta) -> Maintained:
    """Keep a store in order; safe to repeat and to kill.

    Args:
        store: open for writing.
        keep: how long versions stay for readers that are still at them.
    """
    before = store.sizes()
    leftovers = store.discard_after(store.last_batch())
    store.finish()
    store.clean_up(keep)
    return Maintained(leftovers, before, store.sizes())
