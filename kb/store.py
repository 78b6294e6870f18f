"""The knowledge base on LanceDB: with `kb/connection.py` and `kb/indexing.py` the only module that imports lancedb.

Every table is written by appending whole batches. A batch is committed when its rows stand in the ledger
(`commits`); rows of a later batch number are what a killed run left behind and are removed before the next
write. So a store is always what its ledger says. What readers see on object storage: kb/snapshots.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# isort: off
import kb.quick_import  # noqa: F401  has to come before lancedb
from lancedb.query import MatchQuery, MultiMatchQuery
# isort: on

from kb import indexing
from kb.connection import connect
from kb.filters import Filter, quoted
from kb.kept_arrays import drop_kept
from kb.location import MissingTable, StoreError, first_line, lock_for_writing
from kb.object_storage import is_remote
from kb.open_tables import OpenTables
from kb.postings import build_postings
from kb.snapshots import STORE_ID, pinned
from kb.tables import (
    CHUNK_FIELD,
    ROW_TABLES,
    SCHEMAS,
    STORE_SCHEMA,
    THREAD_FIELD,
    VECTORS,
    WRITERS,
    LedgerRow,
    is_vectors,
    vectors_name,
    vectors_schema,
)
from kb.writer_lease import Lease


class Store(OpenTables):
    """An open knowledge base. Use `Store.open` or `Store.create`."""

    # opening -----------------------------------------------------------------------------------------

    @classmethod
    def open(cls, uri: str) -> Store:
        """Open an existing store.

        Raises:
            StoreError: nothing is there, it is no store of prlore, or its schema is of another version.
        """
        store = cls(uri, connect(uri, must_exist=True))
        if store._schema_of("meta") != SCHEMAS["meta"]:
            names = store._table_names()  # not before: LanceDB takes .15 s to list its tables
            what = "is a LanceDB folder but no prlore knowledge base" if names else "holds no knowledge base"
            raise StoreError(f"{uri} {what}: fill one with `prlore ingest git` or name another with --kb")
        store._check_schema()
        if is_remote(uri):
            store._pins = pinned(store.meta())
        return store

    def _check_schema(self) -> None:
        version = self.meta().get("schema", "?")
        if version != STORE_SCHEMA:
            raise StoreError(
                f"{self.uri} has store schema {version}, this prlore reads {STORE_SCHEMA}: "
                "ingest into a new --kb, or use the prlore that wrote it"
            )

    @classmethod
    def create(cls, uri: str, meta: Mapping[str, str]) -> Store:
        """Open a store for writing, made first where there is none. In a folder there is one writer at a time.

        Raises:
            StoreError: the place holds something else, can't be written, or another process writes to it.
        """
        store = cls(uri, connect(uri, must_exist=False))
        names, readable, ours = store._held()
        foreign = {n for n in (readable - ours) | (names - SCHEMAS.keys()) if not is_vectors(n)}
        if foreign and "meta" not in ours:
            raise StoreError(
                f"{uri} is a LanceDB folder but no prlore knowledge base: name another with --kb"
            )
        store._lock = Lease.take(store._database, uri) if is_remote(uri) else lock_for_writing(uri)
        try:
            if is_remote(uri):  # another writer may have ended meanwhile
                _, readable, ours = store._held()
            if "meta" in ours:
                store._check_schema()
            # an earlier prlore of this schema made fewer tables; those that are there are never made anew
            store._make_tables(readable if "meta" in ours else ours, meta)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def begin(cls, uri: str) -> Store:
        """Open a place that holds no store, to be filled and then made one with `complete`.

        Raises:
            StoreError: it holds something, can't be written, or another process writes to it.
        """
        store = cls(uri, connect(uri, must_exist=False))
        store._lock = Lease.take(store._database, uri) if is_remote(uri) else lock_for_writing(uri)
        names, _, ours = store._held()
        if "meta" in ours or any(n not in SCHEMAS and not is_vectors(n) for n in names):
            store.close()
            raise StoreError(f"{uri} holds something already: name a place that is empty")
        return store

    def complete(self, meta: Mapping[str, str]) -> None:
        """Make a place that was filled a store: the tables it lacks, and what is known of it, last."""
        _, readable, _ = self._held()
        self._make_tables(readable - {"meta"}, meta)
        self._open.clear()

    def clean_up(self, keep: timedelta) -> None:
        """Drop versions of tables that are older than `keep`. Publish first what readers are to see."""
        for name in sorted(self._table_names()):
            if isinstance(self._lock, Lease):
                self._lock.check()
            indexing.clean_up(self._database.open_table(name), keep)
        self._open.clear()

    def _held(self) -> tuple[set[str], set[str], set[str]]:
        """Names of all tables, of those that can be read, and of those with a schema of ours."""
        names = self._table_names() - {WRITERS}
        schemas = {name: self._schema_of(name) for name in names}
        readable = {name for name, schema in schemas.items() if schema is not None}
        return names, readable, {n for n in readable & SCHEMAS.keys() if schemas[n] == SCHEMAS[n]}

    def _make_tables(self, held: set[str], meta: Mapping[str, str]) -> None:
        # LanceDB fails to overwrite a table of object storage that is none; what is one is in `held`
        mode = "create" if is_remote(self.uri) else "overwrite"
        try:
            for name, schema in SCHEMAS.items():
                if name != "meta" and name not in held:
                    self._database.create_table(name, schema=schema, mode=mode)
            if "meta" in held:
                return
            own = {STORE_ID: uuid4().hex} if is_remote(self.uri) else {}
            rows = {**meta, **own, "schema": STORE_SCHEMA}  # last, since it makes the folder a store
            data = pa.table({"key": list(rows), "value": list(rows.values())}, schema=SCHEMAS["meta"])
            self._database.create_table("meta", data=data, mode=mode)
        except (OSError, RuntimeError, ValueError) as exc:
            raise StoreError(f"can't write {self.uri}: {first_line(exc)}") from exc

    # writing -----------------------------------------------------------------------------------------

    def ledger(self, repo: str) -> dict[str, LedgerRow]:
        """What is known of a repository's commits, by full commit name."""
        columns = ["sha", "number", "outcome", "committed_at", "batch"]
        rows = self._scan("commits", f"repo = {quoted(repo)}", columns)
        return {
            sha: LedgerRow(sha, number, outcome, at, batch)
            for sha, number, outcome, at, batch in zip(*(rows[c].to_pylist() for c in columns), strict=True)
        }

    def ledger_rows(self, repo: str, shas: Sequence[str]) -> list[dict[str, Any]]:
        """Whole ledger rows of some commits."""
        if not shas:
            return []
        names = ", ".join(quoted(sha) for sha in shas)
        where = f"repo = {quoted(repo)} AND sha IN ({names})"
        rows: list[dict[str, Any]] = self._scan("commits", where, list(SCHEMAS["commits"].names)).to_pylist()
        return rows

    def last_batch(self) -> int:
        """Number of the last committed batch, 0 in an empty store."""
        batches = self._scan("commits", None, ["batch"])["batch"]
        return int(pc.max(batches).as_py() or 0)

    def discard_after(self, batch: int) -> int:
        """Remove rows of batches behind `batch`, the leftovers of a killed run; returns how many."""
        removed = 0
        for name in (*ROW_TABLES, *self.vector_tables()):
            table = self._writable(name)
            left = table.count_rows(f"batch > {int(batch)}")
            if left:
                table.delete(f"batch > {int(batch)}")
                removed += left
        return removed

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows to a table."""
        if rows.num_rows:
            self._writable(name).add(rows)

    def commit_batch(self, rows: pa.Table) -> None:
        """Write ledger rows in one transaction, replacing those of the same commit: the batch now counts."""
        keys = ["repo", "sha"]
        self._writable("commits").merge_insert(
            keys
        ).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def replace_vectors(self, rows: pa.Table, name: str = VECTORS) -> None:
        """Write vectors of cards anew, in one transaction."""
        self._writable(name).merge_insert(
            "id"
        ).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def remove_cards(self, ids: Sequence[str]) -> None:
        """Remove cards with their chunks, links and vectors."""
        for part in _slices(ids, 500):
            names = ", ".join(quoted(i) for i in part)
            self._writable("chunks").delete(f"card_id IN ({names})")
            self._writable("links").delete(f"source IN ({names})")
            for vectors in self.vector_tables():
                self._writable(vectors).delete(f"id IN ({names})")
            self._writable("cards").delete(f"id IN ({names})")

    def rewrite_cards(self, ids: Sequence[str], changes: Mapping[str, Sequence[Any]]) -> None:
        """Write new values of some columns of cards, in one transaction.

        Args:
            ids: the cards.
            changes: for each column its new values, in the order of `ids`.
        """
        if not ids:
            return
        old = self.cards_by_id(ids)
        place = {name: i for i, name in enumerate(old["id"].to_pylist())}
        rows = old.take(pa.array([place[i] for i in ids]))
        for column, values in changes.items():
            at = rows.schema.get_field_index(column)
            rows = rows.set_column(
                at, rows.schema.field(at), pa.array(list(values), rows.schema.field(at).type)
            )
        self._writable("cards").merge_insert("id").when_matched_update_all().execute(rows)

    def replace_rows(self, name: str, rows: pa.Table, instead_of: str) -> None:
        """Write rows with ids; rows of a condition that are not among them go. One transaction."""
        table = self._writable(name)
        if not table.count_rows(instead_of) and not rows.num_rows:
            return
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().when_not_matched_by_source_delete(
            instead_of
        ).execute(rows)  # fmt: skip

    def purge(self, names: Sequence[str]) -> None:
        """Make what was removed from tables unreadable: no older version and no old index keeps it."""
        for name in names:
            indexing.rebuild(self._writable(name), indexing.INDEXED.get(name, indexing.Indexed()))
            self._open.pop(name, None)
        drop_kept(self.uri)

    def create_vectors(self, dimensions: int, name: str = VECTORS) -> None:
        """Make a table of vectors, empty; one that a killed run left behind has no rows that count."""
        self._rewrite(name, vectors_schema(dimensions).empty_table())

    def vector_tables(self) -> list[str]:
        """Names of the tables of vectors."""
        return sorted(n for n in self._table_names() if is_vectors(n))

    def vector_table(self, encoder: str) -> str:
        """The table that holds an encoder's vectors: the main one for the encoder of the store."""
        return VECTORS if self.meta().get("encoder") == encoder else vectors_name(encoder)

    def has_vectors(self, encoder: str | None = None) -> bool:
        """Whether the store holds vectors, of one encoder if it is named."""
        return self.has(self.vector_table(encoder) if encoder else VECTORS)

    def finish(self) -> None:
        """Bring the search indexes up to date, merge small files, gather postings. Safe to repeat."""
        indexing.compact(
            (self._writable(name) for name in (*SCHEMAS, *self.vector_tables())),
            clean_up=not is_remote(self.uri),
        )
        for name, wanted in indexing.INDEXED.items():
            indexing.index_table(self._writable(name), wanted, clean_up=not is_remote(self.uri))
        self._index_words()
        self.set_meta({"finished": self._state()})
        self.publish()

    def _state(self) -> str:
        """What the indexes and postings have to cover: the last batch and the number of cards."""
        return f"{self.last_batch()}:{self.count('cards')}"

    def is_finished(self) -> bool:
        """Whether every row is covered by the search indexes."""
        held = self._table_names()
        if not all(
            indexing.is_indexed(self._table(name), wanted)
            for name, wanted in indexing.INDEXED.items()
            if name in held
        ):
            return False
        return not self.count("cards") or self.meta().get("finished") == self._state()

    def _index_words(self) -> None:
        ids = self._scan("cards", None, ["id"])["id"].to_pylist()
        data = build_postings(ids, lambda field: self._scan("cards", None, [field])[field])
        self._rewrite("postings", data)

    # reading -----------------------------------------------------------------------------------------

    def is_blank(self, field: str) -> bool:
        """Whether no card has a word in a searched field."""
        return not self._scan("cards", f"{field} != ''", ["id"], 1).num_rows

    def count(self, name: str, where: Filter | None = None) -> int:
        """Rows of a table."""
        return int(self._table(name).count_rows(where.sql() if where else None))

    def _scan(self, name: str, where: str | None, columns: list[str], limit: int | None = None) -> pa.Table:
        search = self._table(name).search().select(columns).limit(limit)
        return (search.where(where) if where else search).to_arrow()

    def scan(
        self, name: str, columns: list[str], where: Filter | None = None, *, row_id: bool = False
    ) -> pa.Table:
        """Columns of all rows of a table that pass a filter, with `_rowid` if wanted."""
        search = self._table(name).search().select(columns).limit(None).with_row_id(row_id)
        return (search.where(where.sql()) if where else search).to_arrow()

    def has(self, name: str) -> bool:
        """Whether the store has a table; one of an earlier prlore lacks some."""
        try:
            return self._table(name) is not None
        except MissingTable:
            return False

    def rows_where(self, name: str, where: str, columns: Sequence[str], *, row_id: bool = False) -> pa.Table:
        """Columns of the rows that a condition of `kb.filters` holds for."""
        search = self._table(name).search().select(list(columns)).limit(None).with_row_id(row_id)
        return (search.where(where) if where else search).to_arrow()

    def rows_at(self, name: str, rows: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Columns of rows by the `_rowid` that a scan or a search gave, in no order, with `_rowid`."""
        return self._table(name).take_row_ids(list(rows)).select(list(columns)).with_row_id().to_arrow()

    def search_threads(self, words: str, limit: int, condition: str, columns: list[str]) -> pa.Table:
        """Full-text search of the threads: the columns, `_rowid` and `_score`, best first."""
        search = self._table("threads").search(MatchQuery(words, THREAD_FIELD), query_type="fts").with_row_id(True)  # fmt: skip
        if condition:
            search = search.where(condition, prefilter=True)
        return search.select([*columns, "_score"]).limit(limit).to_arrow()

    def cards_by_id(
        self, ids: Sequence[str], columns: Sequence[str] | None = None, where: Filter | None = None
    ) -> pa.Table:
        """Rows of the given cards that pass a filter, in no order."""
        names = ", ".join(quoted(i) for i in ids) or "''"
        condition = f"id IN ({names})" + (f" AND {where.sql()}" if where else "")
        search = self._table("cards").search().where(condition).limit(len(ids) or 1)
        return (search.select(list(columns)) if columns else search).to_arrow()

    def cards_at(self, rows: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Columns of cards by the `_rowid` that a scan gave, in no order."""
        return self._table("cards").take_row_ids(list(rows)).select(list(columns)).to_arrow()

    def chunks_of(self, ids: Sequence[str]) -> pa.Table:
        """`card_id`, `path` and `text` of all chunks of some cards, card by card, each in the order of its diff."""
        names = ", ".join(quoted(i) for i in ids) or "''"
        rows = self._scan("chunks", f"card_id IN ({names})", ["card_id", "ordinal", "path", "text"])
        return rows.sort_by([("card_id", "ascending"), ("ordinal", "ascending")])

    def ids_of_origin(self, origin: str) -> list[str]:
        """Ids of the cards that came one way: `git` or `starter`."""
        return list(self._scan("cards", f"origin = {quoted(origin)}", ["id"])["id"].to_pylist())

    def cards_of_number(self, number: int, repo: str | None = None) -> list[str]:
        """Ids of all cards with a number."""
        where = f"number = {int(number)}" + (f" AND repo = {quoted(repo)}" if repo else "")
        return sorted(self._scan("cards", where, ["id"], 100)["id"].to_pylist())

    def links_to(self, card_id: str) -> list[tuple[str, str]]:
        """(kind, id) of the pull requests that name this one."""
        rows = self._scan("links", f"target = {quoted(card_id)}", ["kind", "source"])
        return sorted(zip(rows["kind"].to_pylist(), rows["source"].to_pylist(), strict=True))

    def search_cards(
        self, words: str, fields: Mapping[str, float], limit: int, where: Filter | None, columns: list[str]
    ) -> pa.Table:
        """Full-text search of card fields with boosts, a card's best field counting: columns and `_score`, best first."""
        if len(fields) == 1:
            query = MatchQuery(words, next(iter(fields)))
        else:
            query = MultiMatchQuery(words, list(fields), boosts=list(fields.values()))
        return self._search("cards", query, limit, where, columns)

    def search_chunks(self, words: str, limit: int, card_ids: Sequence[str]) -> pa.Table:
        """Full-text search of the chunks of some cards: `card_id`, `path`, `text` and `_score`, best first."""
        within = "card_id IN (" + ", ".join(quoted(i) for i in card_ids) + ")"
        search = self._table("chunks").search(MatchQuery(words, CHUNK_FIELD), query_type="fts")
        return (
            search.where(within, prefilter=True)
            .select(["card_id", "path", "text", "_score"])
            .limit(limit)
            .to_arrow()
        )

    def _search(
        self,
        name: str,
        query: Any,
        limit: int,
        where: Filter | None,
        columns: list[str],
        *,
        row_id: bool = False,
    ) -> pa.Table:
        search = self._table(name).search(query, query_type="fts").with_row_id(row_id)
        if where is not None and where:
            search = search.where(where.sql(), prefilter=True)
        return search.select([*columns, "_score"]).limit(limit).to_arrow()

    def vectors(self, encoder: str) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float16]]]:
        """Ids and unit vectors (n, dimensions) of all cards by one encoder."""
        rows = self._scan(self.vector_table(encoder), None, ["id", "vector"])
        flat = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return rows["id"].to_pylist(), flat.reshape(rows.num_rows, rows.schema.field("vector").type.list_size)

    def prewarm(self) -> None:
        """Read all search indexes into memory."""
        for name in ("cards", "chunks"):
            table = self._table(name)
            for index in table.list_indices():
                table.prewarm_index(index.name)

    def posting_rows(self) -> pa.Table:
        """The words of all cards, a row a field, as they were when the last ingest ended: see kb/stored_postings.py."""
        return self._scan("postings", None, list(SCHEMAS["postings"].names))


def _slices(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (items[i : i + size] for i in range(0, len(items), size))
