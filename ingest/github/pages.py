"""The bronze store: every answer as it was received, compressed, appended, never changed but by `forget`.

A segment is a file of gzip members, one a page, each one JSON line: `zcat` reads it. What a killed run appended
but did not enter into the ledger is cut off when the archive is opened again.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingest.errors import PrloreError

_SEGMENT_BYTES = 64 << 20
_LEVEL = 5
_MOST_BYTES = 256 << 20  # of one decompressed page


class ArchiveError(PrloreError):
    """The archive of pages can't be written, or is damaged."""


class Page(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer.

    Attributes:
        stream: what it is a page of: `pulls`, `inline`, `conversation`, `reviews`, `resolution`, `counts`, …
        url: path and query, or `graphql`.
        params: of a GraphQL query, as JSON.
        fetched_at: by GitHub's clock.
        sha256: of the body.
    """

    stream: str
    url: str
    params: str = ""
    etag: str = ""
    status: int = 200
    fetched_at: str = ""
    sha256: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands: segment number, first byte, length."""

    segment: int
    offset: int
    length: int


def page_of(stream: str, url: str, body: bytes, *, params: str = "", etag: str = "", fetched_at: str = "") -> Page:  # fmt: skip
    """A page from an answer's bytes."""
    return Page(
        stream=stream, url=url, params=params, etag=etag, fetched_at=fetched_at,
        sha256=hashlib.sha256(body).hexdigest(), body=body.decode("utf-8", "replace"),
    )  # fmt: skip


class Segments:
    """The files of an archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, segment: int) -> Path:
        return self._folder / f"pages-{segment:05d}.jsonl.gz"

    def cut_to(self, end: Place | None) -> int:
        """Cut off what stands behind the last page that counts; returns the bytes cut."""
        cut = 0
        for path in sorted(self._folder.glob("pages-*.jsonl.gz")):
            segment = int(path.name[6:11])
            keep = 0 if end is None or segment > end.segment else path.stat().st_size
            if end is not None and segment == end.segment:
                keep = end.offset + end.length
            size = path.stat().st_size
            if size > keep:
                cut += size - keep
                os.truncate(path, keep)
        return cut

    def keep_only(self, segments: Collection[int]) -> int:
        """Delete files that hold no page; returns their bytes."""
        freed = 0
        for path in self._folder.glob("pages-*.jsonl.gz"):
            if int(path.name[6:11]) not in segments:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def append(self, page: Page, after: Place | None) -> Place:
        """Append a page behind the last one and see it to the disk.

        Raises:
            ArchiveError: the disk takes no more.
        """
        raw = gzip.compress(msgspec.json.encode(page) + b"\n", _LEVEL, mtime=0)
        segment, offset = (after.segment, after.offset + after.length) if after else (1, 0)
        if offset >= _SEGMENT_BYTES:
            segment, offset = segment + 1, 0
        try:
            with self._path(segment).open("ab") as file:
                file.truncate(offset)
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise ArchiveError(f"can't write pages to {self._folder}: {exc.strerror or exc}; make room and run again") from exc  # fmt: skip
        return Place(segment, offset, len(raw))

    def read(self, place: Place) -> Page:
        """A page.

        Raises:
            ArchiveError: its bytes are damaged.
        """
        try:
            with self._path(place.segment).open("rb") as file:
                file.seek(place.offset)
                raw = file.read(place.length)
            inflate = zlib.decompressobj(wbits=31)
            line = inflate.decompress(raw, _MOST_BYTES)
            if not inflate.eof:
                raise ValueError("cut short")
            page = msgspec.json.decode(line, type=Page)
        except (OSError, ValueError, zlib.error) as exc:
            raise ArchiveError(f"page {place.segment}:{place.offset} in {self._folder} is damaged ({exc}): fetch into a new --pages folder") from exc  # fmt: skip
        if hashlib.sha256(page.body.encode()).hexdigest() != page.sha256:
            raise ArchiveError(f"page {place.segment}:{place.offset} in {self._folder} is not what was received: fetch into a new --pages folder")  # fmt: skip
        return page

    def read_all(self, places: Iterator[Place]) -> Iterator[Page]:
        """Pages in order."""
        return (self.read(place) for place in places)
