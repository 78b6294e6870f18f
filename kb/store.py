"""The knowledge base on LanceDB: with `kb/indexing.py` the only module that imports lancedb.

Every table is written by appending whole batches. A batch is committed when its rows stand in the ledger
(`commits`); rows of a later batch number are what a killed run left behind and are removed before the next
write. So a store is always what its ledger says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# isort: off
import kb.quick_import  # noqa: F401  has to come before lancedb
import lancedb
from lancedb.query import MatchQuery, MultiMatchQuery
# isort: on

from kb import indexing
from kb.filters import Filter, quoted
from kb.kept_arrays import drop_kept
from kb.location import StoreError, first_line, lock_for_writing, manifest_mark
from kb.postings import build_postings
from kb.tables import (
    CHUNK_FIELD,
    ROW_TABLES,
    SCHEMAS,
    STORE_SCHEMA,
    THREAD_FIELD,
    VECTORS,
    LedgerRow,
    is_vectors,
    vectors_name,
    vectors_schema,
)


class Store:
    """An open knowledge base. Use `Store.open` or `Store.create`."""

    def __init__(self, uri: str, database: Any) -> None:
        self.uri = uri
        self._database = database
        self._open: dict[str, Any] = {}
        self._meta: dict[str, str] | None = None
        self._lock: IO[bytes] | None = None

    # opening -----------------------------------------------------------------------------------------

    @classmethod
    def open(cls, uri: str) -> Store:
        """Open an existing store.

        Raises:
            StoreError: nothing is there, it is no store of prlore, or its schema is of another version.
        """
        store = cls(uri, _connect(uri, must_exist=True))
        if store._schema_of("meta") != SCHEMAS["meta"]:
            names = store._table_names()  # not before: LanceDB takes .15 s to list its tables
            what = "is a LanceDB folder but no prlore knowledge base" if names else "holds no knowledge base"
            raise StoreError(f"{uri} {what}: fill one with `prlore ingest git` or name another with --kb")
        store._check_schema()
        return store

    def close(self) -> None:
        """Let another process write. The end of this process does the same."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

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
        store = cls(uri, _connect(uri, must_exist=False))
        names = store._table_names()
        readable = {name for name in names if store._schema_of(name) is not None}
        ours = {name for name in readable & SCHEMAS.keys() if store._schema_of(name) == SCHEMAS[name]}
        foreign = {n for n in (readable - ours) | (names - SCHEMAS.keys()) if not is_vectors(n)}
        if foreign and "meta" not in ours:
            raise StoreError(
                f"{uri} is a LanceDB folder but no prlore knowledge base: name another with --kb"
            )
        store._lock = lock_for_writing(uri)
        try:
            if "meta" in ours:
                store._check_schema()
            # an earlier prlore of this schema made fewer tables; those that are there are never made anew
            store._make_tables(readable if "meta" in ours else ours, meta)
        except BaseException:
            store.close()
            raise
        return store

    def _schema_of(self, name: str) -> pa.Schema | None:
        """A table's schema, None for a folder that a killed run left without one."""
        try:
            return self._database.open_table(name).schema
        except (OSError, RuntimeError, ValueError):
            return None

    def _make_tables(self, held: set[str], meta: Mapping[str, str]) -> None:
        try:
            for name, schema in SCHEMAS.items():
                if name != "meta" and name not in held:
                    self._database.create_table(name, schema=schema, mode="overwrite")
            if "meta" in held:
                return
            rows = {**meta, "schema": STORE_SCHEMA}  # last, since it makes the folder a store
            data = pa.table({"key": list(rows), "value": list(rows.values())}, schema=SCHEMAS["meta"])
            self._database.create_table("meta", data=data, mode="overwrite")
        except (OSError, RuntimeError, ValueError) as exc:
            raise StoreError(f"can't write {self.uri}: {first_line(exc)}") from exc

    def _table_names(self) -> set[str]:
        try:
            return set(self._database.list_tables(limit=1000).tables)
        except (OSError, RuntimeError, ValueError) as exc:
            raise StoreError(f"can't read {self.uri}: {first_line(exc)}") from exc

    def _table(self, name: str) -> Any:
        if name not in self._open:
            try:
                self._open[name] = self._database.open_table(name)
            except (OSError, RuntimeError, ValueError, FileNotFoundError) as exc:
                raise StoreError(f"{self.uri} lacks its table {name!r}: ingest into a new --kb") from exc
        return self._open[name]

    # meta --------------------------------------------------------------------------------------------

    def meta(self) -> dict[str, str]:
        """All entries of the meta table."""
        if self._meta is None:
            rows = self._table("meta").search().limit(1000).to_arrow()
            self._meta = dict(zip(rows["key"].to_pylist(), rows["value"].to_pylist(), strict=True))
        return dict(self._meta)

    def set_meta(self, entries: Mapping[str, str]) -> None:
        """Write meta entries, replacing those of the same key."""
        data = pa.table({"key": list(entries), "value": list(entries.values())}, schema=SCHEMAS["meta"])
        self._table("meta").merge_insert(
            "key"
        ).when_matched_update_all().when_not_matched_insert_all().execute(data)
        self._meta = None

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
            table = self._table(name)
            left = table.count_rows(f"batch > {int(batch)}")
            if left:
                table.delete(f"batch > {int(batch)}")
                removed += left
        return removed

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows to a table."""
        if rows.num_rows:
            self._table(name).add(rows)

    def commit_batch(self, rows: pa.Table) -> None:
        """Write ledger rows in one transaction, replacing those of the same commit: the batch now counts."""
        keys = ["repo", "sha"]
        self._table("commits").merge_insert(
            keys
        ).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def replace_vectors(self, rows: pa.Table, name: str = VECTORS) -> None:
        """Write vectors of cards anew, in one transaction."""
        self._table(name).merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(
            rows
        )

    def remove_cards(self, ids: Sequence[str]) -> None:
        """Remove cards with their chunks, links and vectors."""
        for part in _slices(ids, 500):
            names = ", ".join(quoted(i) for i in part)
            self._table("chunks").delete(f"card_id IN ({names})")
            self._table("links").delete(f"source IN ({names})")
            for vectors in self.vector_tables():
                self._table(vectors).delete(f"id IN ({names})")
            self._table("cards").delete(f"id IN ({names})")

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
        self._table("cards").merge_insert("id").when_matched_update_all().execute(rows)

    def replace_rows(self, name: str, rows: pa.Table, instead_of: str) -> None:
        """Write rows with ids; rows of a condition that are not among them go. One transaction."""
        table = self._table(name)
        if not table.count_rows(instead_of) and not rows.num_rows:
            return
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().when_not_matched_by_source_delete(
            instead_of
        ).execute(rows)  # fmt: skip

    def purge(self, names: Sequence[str]) -> None:
        """Make what was removed from tables unreadable: no older version and no old index keeps it."""
        for name in names:
            indexing.rebuild(self._table(name), indexing.INDEXED.get(name, indexing.Indexed()))
            self._open.pop(name, None)
        drop_kept(self.uri)

    def create_vectors(self, dimensions: int, name: str = VECTORS) -> None:
        """Make a table of vectors, empty; one that a killed run left behind has no rows that count."""
        if name in self._table_names():
            self._database.drop_table(name)
        self._database.create_table(name, schema=vectors_schema(dimensions))
        self._open.pop(name, None)

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
        indexing.compact(self._table(name) for name in (*SCHEMAS, *self.vector_tables()))
        for name, wanted in indexing.INDEXED.items():
            indexing.index_table(self._table(name), wanted)
        self._index_words()
        self.set_meta({"finished": self._state()})

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
        self._database.create_table("postings", data=data, mode="overwrite")
        self._open.pop("postings", None)

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
        except StoreError:
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

    def version_of(self, name: str) -> str:
        """What tells the state of a table that is open from every other, of another store in the same place too."""
        table = self._table(name)
        known = manifest_mark(self.uri, name, int(table.version))
        written = (
            [v["timestamp"] for v in table.list_versions() if v["version"] == table.version]
            if not known
            else []
        )
        return known or (f"{table.version} {written[0].isoformat()}" if written else "")

    def prewarm(self) -> None:
        """Read all search indexes into memory."""
        for name in ("cards", "chunks"):
            table = self._table(name)
            for index in table.list_indices():
                table.prewarm_index(index.name)

    def posting_rows(self) -> pa.Table:
        """The words of all cards, a row a field, as they were when the last ingest ended: see kb/stored_postings.py."""
        return self._scan("postings", None, list(SCHEMAS["postings"].names))


def _connect(uri: str, *, must_exist: bool) -> Any:
    is_local = "://" not in uri
    if is_local:
        path = Path(uri).expanduser()
        if path.exists() and not path.is_dir():
            raise StoreError(f"{uri} is a file, a knowledge base is a folder: name another with --kb")
        if must_exist and not path.is_dir():
            raise StoreError(
                f"no knowledge base at {uri}: fill one with `prlore ingest git`, or name it with --kb or PRLORE_KB"
            )
        uri = str(path)
    try:
        return lancedb.connect(uri)
    except (OSError, RuntimeError, ValueError) as exc:
        raise StoreError(f"can't open {uri}: {first_line(exc)}") from exc


def _slices(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (items[i : i + size] for i in range(0, len(items), size))
