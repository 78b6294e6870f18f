"""Where the parts of a campaign lie, and who may drive it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loop.campaign.blobs import BlobStore, Redactor
from loop.campaign.database import Database
from loop.campaign.errors import Busy, CampaignError
from loop.campaign.seeds import Seeds
from loop.records import CampaignSpec


@dataclass(frozen=True)
class Folder:
    """A campaign's folder.

    Attributes:
        path: absolute.
        sync: whether writes wait for the disk; off only for campaigns that are thrown away.
    """

    path: Path
    sync: bool = True

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "campaign.db"

    @property
    def objects(self) -> Path:
        """The content store."""
        return self.path / "objects"

    @property
    def secret(self) -> Path:
        """The seed that the spec commits to; only the driver's user may read it."""
        return self.path / "seed"

    @property
    def spool(self) -> Path:
        """Where steps work; empty between them."""
        return self.path / "spool"

    @property
    def views(self) -> Path:
        """Rendered Markdown, plots and report: made from the rest, never read."""
        return self.path / "run"

    @property
    def git(self) -> Path:
        """The driver's own git directory of the target's source."""
        return self.path / "source.git"

    @property
    def builds(self) -> Path:
        """Checkouts by tree: can be made again at any time."""
        return self.path / "builds"

    def blobs(self, redact: Redactor | None = None) -> BlobStore:
        """The content store."""
        return BlobStore(self.objects, sync=self.sync, redact=redact)

    def open(self, *, read_only: bool = False) -> Database:
        """The database.

        Raises:
            CampaignError: there is none.
        """
        return Database(self.database, sync=self.sync, read_only=read_only)

    def seeds(self) -> Seeds:
        """The secret seed.

        Raises:
            CampaignError: it was lost.
        """
        try:
            return Seeds(self.secret.read_bytes())
        except OSError as exc:
            raise CampaignError(
                f"the seed of the campaign in {self.path} is lost: it can't be driven on"
            ) from exc

    def spec(self, database: Database) -> CampaignSpec:
        """The frozen spec."""
        return self.blobs().load(CampaignSpec, database.spec())

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Be the only driver; the kernel takes the lock back from whoever is killed.

        Raises:
            Busy: another process drives it.
        """
        if not self.database.is_file():
            raise CampaignError(
                f"there is no campaign in {self.path}: `prlore loop init SPEC.toml` makes one"
            )
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise Busy(
                    f"another process drives the campaign in {self.path}; `prlore loop status` shows it"
                ) from exc
            yield
        finally:
            os.close(handle)
