"""The search indexes of a store: which columns of which tables have one, and how they are brought up to date.

Beside `kb/store.py` the only module that imports lancedb.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

# isort: off
import kb.quick_import  # noqa: F401  has to come before lancedb
from lancedb.index import FTS, Bitmap, BTree, LabelList
# isort: on

from kb.tables import CARD_FIELDS, CHUNK_FIELD, THREAD_FIELD

_FTS_MEMORY_MIB = 256
_MOST_FRAGMENTS = 4
_NEVER = timedelta(days=36500)


@dataclass(frozen=True, slots=True)
class Indexed:
    """The indexed columns of a table, by kind of index."""

    words: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


INDEXED: dict[str, Indexed] = {
    "cards": Indexed(CARD_FIELDS, few=("repo",), many=("id",), lists=("families",)),
    "chunks": Indexed((CHUNK_FIELD,), few=("repo",), many=("card_id",)),
    "threads": Indexed((THREAD_FIELD,), few=("repo",), many=("card_id", "id")),
    "pulls": Indexed(many=("id",)),
}


def words_index() -> FTS:
    """Words are split and lowered by `kb.words`; the index takes them as they are."""
    return FTS(
        base_tokenizer="whitespace", with_position=False, lower_case=False, stem=False, remove_stop_words=False,
        ascii_folding=False, max_token_length=200, memory_limit=_FTS_MEMORY_MIB,
    )  # fmt: skip


def index_table(table: Any, wanted: Indexed, *, clean_up: bool = True) -> None:
    """Make the indexes a table lacks and bring the others up to date; a table without rows has none."""
    if not table.count_rows():
        return
    held = {name for index in table.list_indices() for name in index.columns}
    for columns, config in (
        (wanted.words, words_index), (wanted.few, Bitmap), (wanted.many, BTree), (wanted.lists, LabelList),
    ):  # fmt: skip
        for column in columns:
            if column not in held:
                table.create_index(column, config=config(), replace=True)
    if any(_unindexed(table, index.name) for index in table.list_indices()):
        table.optimize(cleanup_older_than=None if clean_up else _NEVER)


def is_indexed(table: Any, wanted: Indexed) -> bool:
    """Whether every row of a table is covered by its word indexes and by every index it has."""
    indices = table.list_indices()
    if table.count_rows() and not set(wanted.words) <= {c for i in indices for c in i.columns}:
        return False
    return not any(_unindexed(table, index.name) for index in indices)


def compact(tables: Iterable[Any], *, clean_up: bool = True) -> None:
    """Merge the small files of tables, and unless readers may need them drop versions older than an hour."""
    for table in tables:
        if table.stats()["fragment_stats"]["num_fragments"] > _MOST_FRAGMENTS:
            table.optimize(cleanup_older_than=timedelta(hours=1) if clean_up else _NEVER)


def clean_up(table: Any, keep: timedelta) -> None:
    """Drop the versions of a table that are older than `keep`, but for the newest."""
    table.optimize(cleanup_older_than=keep)


def rebuild(table: Any, wanted: Indexed) -> None:
    """Make the word indexes anew and drop all older versions of a table: what was removed from it is then gone."""
    _keep_newest(table)
    if table.count_rows():
        for column in wanted.words:
            table.create_index(column, config=words_index(), replace=True)
    _keep_newest(table)


def _keep_newest(table: Any) -> None:
    with warnings.catch_warnings():  # that readers of older versions fail is what is wanted
        warnings.simplefilter("ignore", UserWarning)
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def _unindexed(table: Any, index: str) -> int:
    stats = table.index_stats(index)
    return int(stats.num_unindexed_rows) if stats is not None else 0
