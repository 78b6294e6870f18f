"""The one place that connects to LanceDB, and what stands between us and a store that is far away.

Whatever comes of a remote connection is wrapped, so that a failure of the storage is a `StoreError` of one line and
never looks like a table that is not there. A folder's objects are LanceDB's own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# isort: off
import kb.quick_import  # noqa: F401  has to come before lancedb
import lancedb
# isort: on

from kb.location import StoreError, first_line
from kb.object_storage import check_address, failure, is_remote, storage_options

_FAILURES = (OSError, RuntimeError, ValueError)
_WRAPPED = {"lancedb.db", "lancedb.table", "lancedb.query", "lancedb.merge"}


def connect(uri: str, *, must_exist: bool) -> Any:
    """A connection to the tables of a place.

    Raises:
        StoreError: the place is none, or can't be reached.
    """
    if is_remote(uri):
        check_address(uri)
        with _explained(uri):
            return Remote(lancedb.connect(uri, storage_options=storage_options()), uri)
    path = Path(uri).expanduser()
    if path.exists() and not path.is_dir():
        raise StoreError(f"{uri} is a file, a knowledge base is a folder: name another with --kb")
    if must_exist and not path.is_dir():
        raise StoreError(
            f"no knowledge base at {uri}: fill one with `prlore ingest git`, or name it with --kb or PRLORE_KB"
        )
    try:
        return lancedb.connect(str(path))
    except _FAILURES as exc:
        raise StoreError(f"can't open {uri}: {first_line(exc)}") from exc


class Remote:
    """An object of LanceDB, or the result of a call of one, whose failures are explained."""

    __slots__ = ("_inner", "_uri")

    def __init__(self, inner: Any, uri: str) -> None:
        self._inner = inner
        self._uri = uri

    def __getattr__(self, name: str) -> Any:
        with _explained(self._uri):  # some attributes are read from the storage
            value = getattr(self._inner, name)
        return functools.partial(self._call, value) if callable(value) else value

    def _call(self, method: Any, *args: Any, **options: Any) -> Any:
        with _explained(self._uri):
            result = method(*args, **options)
        return Remote(result, self._uri) if type(result).__module__ in _WRAPPED else result


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as exc:
        said = str(exc)
        if isinstance(exc, ValueError) and ("was not found" in said or "already exists" in said):
            raise  # of a table: the caller asks for that
        raise failure(uri, exc) from None
