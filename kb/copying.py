"""A knowledge base moved to another place, table by table, each read back and held against what was sent.

The rows travel as a stream, so memory does not grow with the store. Indexes are made at the new place. The table `meta`
comes last: a copy that was killed holds no knowledge base, and the next one begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from kb.location import StoreError
from kb.snapshots import own_entries
from kb.store import Store
from kb.table_digest import digest_of
from kb.tables import SCHEMAS

_ROWS = 8192  # in a batch


@dataclass(frozen=True, slots=True)
class Copied:
    """A table that stands at the new place as it was at the old."""

    name: str
    rows: int
    digest: str


def copy_store(source: str, target: str) -> list[Copied]:
    """Copy a store to a place that holds none.

    Raises:
        StoreError: the source is no store, the target holds something, or a table did not arrive as it was sent.
    """
    old = Store.open(source)
    with Store.begin(target) as new:
        copied = [_copy(old, new, name) for name in old.content_tables()]
        entries = {k: v for k, v in old.meta().items() if k not in (*own_entries(), "schema", "finished")}
        new.complete(entries)
        new.finish()
    made = Store.open(target)
    for table in copied:
        if table.name != "postings" and made.count(table.name) != table.rows:
            raise StoreError(
                f"{target}: {table.name} has {made.count(table.name)} rows, {table.rows} were copied"
            )
    return copied


def _copy(old: Store, new: Store, name: str) -> Copied:
    schema = old.schema(name)
    wanted = SCHEMAS.get(name)
    if wanted is not None and schema != wanted:
        raise StoreError(
            f"{old.uri}: the table {name} has columns of another prlore: copy with the one that wrote it"
        )
    sent = new.write_stream(name, schema, old.stream(name, _ROWS))
    there = digest_of(schema, new.stream(name, _ROWS))
    if (there.rows, there.hexdigest()) != (sent.rows, sent.hexdigest()) or new.schema(name) != schema:
        raise StoreError(
            f"{new.uri}: {name} arrived with {there.rows} rows and digest {there.hexdigest()}, sent were {sent.rows} "
            f"and {sent.hexdigest()}: copy again"
        )
    return Copied(name, sent.rows, sent.hexdigest())
