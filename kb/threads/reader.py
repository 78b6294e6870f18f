"""Reading threads: the narrow columns of all of them at once, whole threads one by one.

    index = ThreadIndex(store)
    rows = index.at_path("python/sglang/srt/server_args.py")
    for thread in index.read(rows): …

The index holds no text: about 60 MB for 100,000 threads, read in a fraction of a second, so that a sweep can be
exhaustive. Its rows are numbers into its columns; look-ups return them in order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.github.records import Addressed, Comment, Description, Thread, ThreadKind, Trust
from kb.filters import ThreadFilter, one_of
from kb.store import Store

_COLUMNS = (
    "id", "card_id", "repo", "number", "kind", "path", "line", "symbol", "hunk", "families", "addressed",
    "addressed_by", "resolved", "humans", "trust", "created_at",
)  # fmt: skip
Rows = np.ndarray[Any, np.dtype[np.int64]]


class ThreadHead(NamedTuple):
    """What a sweep knows of a thread without reading it. `line` is 0 where there is none, `resolved` None where unknown."""

    id: str
    card_id: str
    repo: str
    number: int
    kind: ThreadKind
    path: str
    line: int
    symbol: str
    hunk: str
    families: tuple[str, ...]
    addressed: Addressed
    addressed_by: str
    resolved: bool | None
    humans: int
    trust: Trust
    created_at: str


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of a comment that something rests on: enough to find them again and to prove them unchanged.

    `sha256` is of the whole comment as it was written, `text` the part that is quoted.
    """

    thread_id: str
    comment_id: int
    sha256: str
    text: str


class ThreadIndex:
    """The narrow columns of all threads that pass a filter, in memory."""

    def __init__(self, store: Store, where: ThreadFilter | None = None) -> None:
        self._store = store
        condition = where.sql() if where else ""
        if store.has("threads"):
            table = store.rows_where("threads", condition, list(_COLUMNS), row_id=True)
            table = table.sort_by([("created_at", "ascending"), ("id", "ascending")])
        else:
            table = pa.table({name: pa.array([], pa.string()) for name in (*_COLUMNS, "_rowid")})
        # few different values stand many times: numbers into a list of them are smaller and compare faster
        self._table = pa.table(
            {n: table[n].combine_chunks() if n in ("families", "id") else _compact(table[n]) for n in table.column_names}
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self._table.num_rows)

    # look-ups ----------------------------------------------------------------------------------------

    def all(self) -> Rows:
        """Every thread."""
        return np.arange(len(self), dtype=np.int64)

    def of_pull(self, card_id: str) -> Rows:
        """Threads of `owner/name#N`."""
        return self._equal("card_id", card_id)

    def at_path(self, path: str) -> Rows:
        """Threads on a file, by its whole path."""
        return self._equal("path", path)

    def under(self, folder: str) -> Rows:
        """Threads on files of a folder and those below it."""
        return self._where_value("path", lambda paths: pc.starts_with(paths, folder.rstrip("/") + "/"))

    def at_symbol(self, name: str) -> Rows:
        """Threads on a definition: its qualified name, or the end of one."""
        wanted = name.replace("::", ".")

        def fits(symbols: Any) -> Any:
            dotted = pc.replace_substring(symbols, "::", ".")
            return pc.or_(pc.equal(dotted, wanted), pc.ends_with(dotted, f".{wanted}"))

        return self._where_value("symbol", fits)

    def of_family(self, slug: str) -> Rows:
        """Threads of a model family."""
        families = self._table["families"].combine_chunks()
        if not len(families):
            return self.all()
        hit = pc.equal(pc.list_flatten(families), slug)
        parents = pc.list_parent_indices(families).filter(hit)
        rows: Rows = np.unique(parents.to_numpy(zero_copy_only=False).astype(np.int64))
        return rows

    def of_kind(self, kind: ThreadKind) -> Rows:
        """Threads of a kind."""
        return self._equal("kind", kind)

    def older_than(self, moment: str) -> Rows:
        """Threads begun before a time, ISO 8601 in UTC: what a pull request of that time could have known."""
        return self._where(pc.less(_plain(self._table["created_at"]), moment))

    def _equal(self, column: str, value: str) -> Rows:
        return self._where_value(column, lambda values: pc.equal(values, value))

    def _where_value(self, column: str, test: Callable[[Any], Any]) -> Rows:
        """Rows whose value in a text column passes a test; each different value is tested once."""
        held = self._table[column].combine_chunks()
        if not pa.types.is_dictionary(held.type):
            return self._where(test(held))
        return self._where(test(held.dictionary).take(held.indices))

    def _where(self, mask: Any) -> Rows:
        found = pc.indices_nonzero(pc.fill_null(mask, False))
        rows: Rows = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return rows

    # columns -----------------------------------------------------------------------------------------

    def column(self, name: str, rows: Rows | None = None) -> list[Any]:
        """One of the narrow columns, of some rows or of all."""
        column = self._table[name].combine_chunks()
        return _values(column if rows is None else column.take(pa.array(rows)))

    def one_of(self, column: str, values: Iterable[str]) -> Rows:
        """Threads of which a text column has one of some values."""
        wanted = pa.array(list(values), pa.string())
        return self._where_value(column, lambda held: pc.is_in(held, wanted))

    def heads(self, rows: Rows | None = None) -> Iterator[ThreadHead]:
        """What is known without reading, row by row."""
        table = self._table if rows is None else self._table.take(pa.array(rows))
        for batch in table.select(_COLUMNS).to_batches(16384):
            columns = {n: _values(batch.column(n)) for n in _COLUMNS}
            columns["families"] = [tuple(f or ()) for f in columns["families"]]
            columns["line"] = [line or 0 for line in columns["line"]]
            yield from map(ThreadHead._make, zip(*columns.values(), strict=True))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {i: n for n, i in enumerate(self._table["id"].to_pylist())}

    def row(self, thread_id: str) -> int | None:
        """The row of a thread, None where there is none."""
        return self._places.get(thread_id)

    def words(self, rows: Rows | Sequence[int]) -> list[str]:
        """The searched words of threads, in the order of the rows: much cheaper than whole threads."""
        if not len(rows):
            return []
        stored = self._table["_rowid"].take(pa.array(rows)).to_pylist()
        found = self._store.rows_at("threads", stored, ["words"])
        words = dict(zip(found["_rowid"].to_pylist(), found["words"].to_pylist(), strict=True))
        return [words[i] for i in stored]

    def read(self, rows: Rows | Sequence[int]) -> list[Thread]:
        """Whole threads, in the order of the rows."""
        if not len(rows):
            return []
        stored = self._table["_rowid"].take(pa.array(rows)).to_pylist()
        found = self._store.rows_at("threads", stored, ["record"]).to_pylist()
        records = {r["_rowid"]: r["record"] for r in found}
        return [msgspec.json.decode(records[i], type=Thread) for i in stored]


def read_thread(store: Store, thread_id: str) -> Thread | None:
    """One thread by its id, None where it is not held."""
    if not store.has("threads"):
        return None
    found = store.rows_where("threads", one_of("id", [thread_id]), ["record"])["record"].to_pylist()
    return msgspec.json.decode(found[0], type=Thread) if found else None


def read_descriptions(store: Store, ids: Iterable[str]) -> dict[str, Description]:
    """Descriptions of pull requests by id, those that are held."""
    wanted = list(ids)
    if not wanted or not store.has("pulls"):
        return {}
    rows = store.rows_where("pulls", one_of("id", wanted), ["id", "record"]).to_pylist()
    return {r["id"]: msgspec.json.decode(r["record"], type=Description) for r in rows}


def quote(thread: Thread, comment: Comment, text: str) -> Quote:
    """A quotation of a comment.

    Raises:
        ValueError: the comment does not say so.
    """
    if text not in comment.body:
        raise ValueError("not in the comment")
    return Quote(thread.id, comment.id, comment.sha256, text)


def holds(thread: Thread, claimed: Quote) -> bool:
    """Whether a quotation still stands as it was taken."""
    return any(
        c.id == claimed.comment_id and c.sha256 == claimed.sha256 and claimed.text in c.body
        for c in thread.comments
        if thread.id == claimed.thread_id
    )


def _compact(column: Any) -> Any:
    joined = column.combine_chunks()
    return joined.dictionary_encode() if pa.types.is_string(joined.type) else joined


def _values(column: Any) -> list[Any]:
    """A column as a list; each different value of a dictionary is made once."""
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    values = column.dictionary.to_pylist()
    return [values[i] for i in column.indices.to_pylist()]


def _plain(column: Any) -> Any:
    joined = column.combine_chunks()
    return joined.cast(pa.string()) if pa.types.is_dictionary(joined.type) else joined
