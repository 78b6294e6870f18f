"""A digest of a table's content that does not depend on how its rows fell into batches or files.

Every column is hashed by what its values are: presence, lengths, then bytes, each in a hash of its own, so that batches
only add up. Two tables have the same digest when they hold the same rows in the same order under the same schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class TableDigest:
    """Takes batches, gives a digest and counts rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._hashes: dict[str, Any] = {}
        self._seen: dict[str, int] = {}  # values of a column, of lists those below as well
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Rows that follow those before."""
        for name in self._schema.names:
            self._values(name, batch.column(name))
        self.rows += batch.num_rows

    def hexdigest(self) -> str:
        """Of everything added so far."""
        whole = hashlib.blake2b(digest_size=16)
        whole.update("\n".join(f"{f.name} {f.type} {f.nullable}" for f in self._schema).encode())
        for name in sorted(self._hashes):
            whole.update(name.encode() + b"\0" + self._hashes[name].digest())
        return whole.hexdigest()

    def _feed(self, name: str, data: Any) -> None:
        self._hashes.setdefault(name, hashlib.blake2b(digest_size=16)).update(data)

    def _values(self, name: str, values: pa.Array) -> None:
        if values.null_count:  # rows that have none; empty rows of lists have none below them
            self._feed(
                f"{name} null", _lengths(pa.array(np.flatnonzero(values.is_null()) + self._seen.get(name, 0)))
            )
        self._seen[name] = self._seen.get(name, 0) + len(values)
        kind = values.type
        if pa.types.is_fixed_size_list(kind):
            self._values(f"{name}[]", values.flatten())
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self._feed(f"{name} lengths", _lengths(values.value_lengths()))
            self._values(f"{name}[]", values.flatten())
        elif _is_bytes(kind):
            data = values.cast(pa.large_binary())
            self._feed(f"{name} lengths", _lengths(pc.binary_length(data)))
            offsets = np.frombuffer(data.buffers()[1], np.int64)[data.offset : data.offset + len(data) + 1]
            if len(data) and data.buffers()[2] is not None:
                self._feed(name, memoryview(data.buffers()[2])[int(offsets[0]) : int(offsets[-1])])
        else:
            whole = values.fill_null(False) if pa.types.is_boolean(kind) else values.fill_null(0)
            self._feed(name, np.ascontiguousarray(whole.to_numpy(zero_copy_only=False)).tobytes())


def digest_of(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> TableDigest:
    """The digest of batches."""
    digest = TableDigest(schema)
    for batch in batches:
        digest.add(batch)
    return digest


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _lengths(values: pa.Array) -> bytes:
    return bytes(np.asarray(values.fill_null(-1).to_numpy(zero_copy_only=False), np.int64).tobytes())
