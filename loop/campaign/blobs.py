"""The content store: files named by the sha256 of what they hold. Putting is idempotent, getting checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from loop.campaign.durable import write_whole
from loop.campaign.errors import Corrupt, full_disk_is_said
from loop.records import A, Artefact, Digest, canonical, decode

Redactor = Callable[[bytes], bytes]


class BlobStore:
    """Blobs below one folder.

    Attributes:
        sync: whether a blob is on disk before its name is given out; off only for campaigns that are thrown away.
        redact: what every text passes before it is stored.
    """

    def __init__(self, folder: Path, *, sync: bool = True, redact: Redactor | None = None) -> None:
        self.folder = folder
        self._sync = sync
        self._redact = redact

    def put(self, raw: bytes) -> Digest:
        """Keep bytes under their digest, once."""
        if self._redact is not None:
            raw = self._redact(raw)
        digest = hashlib.sha256(raw).hexdigest()
        path = self._path(digest)
        if not path.exists():
            with full_disk_is_said(self.folder):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, raw, sync=self._sync, mode=0o444)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Bytes by digest.

        Raises:
            Corrupt: there are none, or others.
        """
        try:
            raw = self._path(digest).read_bytes()
        except OSError as exc:
            raise Corrupt(f"the campaign has lost {digest[:12]} of its store {self.folder}") from exc
        if hashlib.sha256(raw).hexdigest() != digest:
            raise Corrupt(f"{digest[:12]} in {self.folder} is not what was stored")
        return raw

    def keep(self, artefact: Artefact) -> Digest:
        """Store an artefact; what redaction would change is refused, since its name would no longer be its id.

        Raises:
            Corrupt: it holds a secret.
        """
        digest = self.put(canonical(artefact))
        if digest != artefact.id:
            raise Corrupt(f"a {type(artefact).__name__} holds a secret and was not stored as it is")
        return digest

    def load(self, kind: type[A], digest: Digest) -> A:
        """An artefact by id.

        Raises:
            Corrupt: it is not there, or not of this kind.
        """
        try:
            return decode(kind, self.get(digest))
        except ValueError as exc:
            raise Corrupt(f"{digest[:12]} in {self.folder} is no {kind.__name__}: {exc}") from exc

    def digests(self) -> Iterator[Digest]:
        """All names, sorted."""
        for part in sorted(self.folder.glob("??")):
            yield from (part.name + path.name for path in sorted(part.iterdir()) if path.name[0] != ".")

    def _path(self, digest: Digest) -> Path:
        return self.folder / digest[:2] / digest[2:]
