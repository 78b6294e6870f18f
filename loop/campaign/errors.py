"""What stops a driver, as a user should see it; every one leaves a campaign that `prlore loop resume` goes on with.

CampaignError             any of them
+-- Busy                  another driver holds the campaign
+-- Corrupt               something stored is not what was stored
+-- DiskFull              no space left where the campaign lives
+-- ClockJump             the wall clock was set while measuring
+-- StepFailed            a step's process ended without a result
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import PrloreError


class CampaignError(PrloreError):
    """A campaign can't go on; nothing that was measured is lost."""


class Busy(CampaignError):
    """Another process drives this campaign."""


class Corrupt(CampaignError):
    """A stored thing differs from its digest, its chain or its type."""


class DiskFull(CampaignError):
    """Writing failed for want of space."""


class ClockJump(CampaignError):
    """The wall clock moved against the monotonic one."""


class StepFailed(CampaignError):
    """A step ended without a result; `reason` says what its process left."""


@contextmanager
def full_disk_is_said(folder: Path) -> Iterator[None]:
    """Turn what a full disk raises into one line.

    Raises:
        DiskFull: no space was left.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise _full(folder) from exc
    except sqlite3.OperationalError as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise
        raise _full(folder) from exc


def _full(folder: Path) -> DiskFull:
    return DiskFull(
        f"no space left for the campaign in {folder}: free some, then `prlore loop resume {folder}`"
    )
