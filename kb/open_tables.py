"""The tables of one open store: opened once, at the versions that belong together, written by whoever may write.

`kb/store.py` says what is in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Self

import pyarrow as pa

from kb.location import MissingTable, StoreError, first_line, manifest_mark
from kb.object_storage import is_remote
from kb.snapshots import STORE_ID, pinned, snapshot_entry
from kb.table_digest import TableDigest
from kb.tables import SCHEMAS, WRITERS, is_vectors
from kb.writer_lease import Lease


@dataclass(frozen=True, slots=True)
class TableSize:
    """How a table is stored."""

    name: str
    rows: int
    files: int
    versions: int


class OpenTables:
    """LanceDB's tables below one address, by name."""

    def __init__(self, uri: str, database: Any) -> None:
        self.uri = uri
        self._database = database
        self._open: dict[str, Any] = {}
        self._meta: dict[str, str] | None = None
        self._lock: IO[bytes] | Lease | None = None
        self._pins: dict[str, int] | None = None  # of a writer, or of a folder

    def close(self) -> None:
        """Let another process write. The end of this process does the same."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if exc[0] is None and self._lock is not None:
                self.publish()
        finally:
            self.close()

    def _schema_of(self, name: str) -> pa.Schema | None:
        """A table's schema, None for a folder that a killed run left without one."""
        try:
            return self._database.open_table(name).schema
        except (OSError, RuntimeError, ValueError):
            return None

    def _table_names(self) -> set[str]:
        try:
            return set(self._database.list_tables(limit=1000).tables)
        except (OSError, RuntimeError, ValueError) as exc:
            raise StoreError(f"can't read {self.uri}: {first_line(exc)}") from exc

    def _table(self, name: str) -> Any:
        if name not in self._open:
            try:
                version = (self._pins or {}).get(name) if name != "meta" else None
                self._open[name] = self._database.open_table(name, version=version)
            except (OSError, RuntimeError, ValueError, FileNotFoundError) as exc:
                raise MissingTable(f"{self.uri} lacks its table {name!r}: ingest into a new --kb") from exc
        return self._open[name]

    def _writable(self, name: str) -> Any:
        if isinstance(self._lock, Lease):
            self._lock.check()
        return self._table(name)

    def publish(self) -> None:
        """Show readers of a store on object storage the tables as they are now; in a folder they see them anyway."""
        if is_remote(self.uri):
            names = sorted(self._table_names() - {"meta", WRITERS})
            versions = {name: int(self._writable(name).version) for name in names}
            if versions != pinned(self.meta()):
                self.set_meta(snapshot_entry(versions))

    def meta(self) -> dict[str, str]:
        """All entries of the meta table."""
        if self._meta is None:
            rows = self._table("meta").search().limit(1000).to_arrow()
            self._meta = dict(zip(rows["key"].to_pylist(), rows["value"].to_pylist(), strict=True))
        return dict(self._meta)

    def set_meta(self, entries: Mapping[str, str]) -> None:
        """Write meta entries, replacing those of the same key."""
        data = pa.table({"key": list(entries), "value": list(entries.values())}, schema=SCHEMAS["meta"])
        self._writable("meta").merge_insert(
            "key"
        ).when_matched_update_all().when_not_matched_insert_all().execute(data)
        self._meta = None

    def _rewrite(self, name: str, rows: pa.Table) -> None:
        """Make a table anew; on object storage as a next version, so that readers keep theirs."""
        if self._schema_of(name) == rows.schema and is_remote(self.uri):
            self._writable(name).add(rows, mode="overwrite")
            return
        if is_remote(self.uri) and name in self._table_names():
            self._database.drop_table(name)
        self._database.create_table(name, data=rows, mode="create" if is_remote(self.uri) else "overwrite")
        self._open.pop(name, None)

    def schema(self, name: str) -> pa.Schema:
        """The columns of a table."""
        return self._table(name).schema

    def stream(self, name: str, rows: int) -> Iterator[pa.RecordBatch]:
        """All rows of a table in the order in which they are stored, batch by batch."""
        columns = self._table(name).schema.names
        yield from self._table(name).search().select(columns).limit(None).to_batches(rows)

    def write_stream(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> TableDigest:
        """Make a table of nothing but these rows; returns their digest."""
        digest = TableDigest(schema)

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                digest.add(batch)
                yield batch

        self._rewrite(name, schema.empty_table())
        self._writable(name).add(pa.RecordBatchReader.from_batches(schema, counted()))
        return digest

    def content_tables(self) -> list[str]:
        """Names of the tables that hold content; the last batch's ledger comes last."""
        names = self._table_names() & (SCHEMAS.keys() | {n for n in self._table_names() if is_vectors(n)})
        return sorted(names - {"meta"}, key=lambda n: (n == "commits", n))

    def sizes(self) -> tuple[TableSize, ...]:
        """How every table is stored."""
        found = []
        for name in sorted(self._table_names()):
            table = self._database.open_table(name)
            stats = table.stats()
            files = int(stats["fragment_stats"]["num_fragments"])
            found.append(TableSize(name, int(stats["num_rows"]), files, len(table.list_versions())))
        return tuple(found)

    def version_of(self, name: str) -> str:
        """What tells the state of a table that is open from every other, of another store in the same place too."""
        table = self._table(name)
        if self.meta().get(STORE_ID):
            return f"{self.meta()[STORE_ID]} {table.version}"
        known = manifest_mark(self.uri, name, int(table.version))
        written = (
            [v["timestamp"] for v in table.list_versions() if v["version"] == table.version]
            if not known
            else []
        )
        return known or (f"{table.version} {written[0].isoformat()}" if written else "")
