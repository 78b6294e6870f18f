"""Clients for tests: a clock that does not wait, and one sync with all its parts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.github.client import Client
from ingest.github.ledger import open_ledger
from ingest.github.pace import Clock, Pace
from ingest.github.sync import SyncReport, sync
from ingest.github.tokens import Token
from loopback.server import TOKEN, Loopback


@dataclass
class Naps:
    """Sleeping, written down. Time goes on by itself only as far as it was slept."""

    taken: list[float] = field(default_factory=list)
    ahead: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.ahead += seconds

    def now(self) -> float:
        return time.time() + self.ahead

    def clock(self) -> Clock:
        return Clock(self.now, self.sleep, lambda: 0.5)


def client_of(hub: Loopback, naps: Naps | None = None, most: int | None = None, token: str = TOKEN) -> Client:
    naps = naps or Naps()
    return Client(Token(token, "the test"), hub.url, Pace(most_requests=most, clock=naps.clock()))


def sync_once(
    hub: Loopback, folder: Path, *, most: int | None = None, **options: Any
) -> tuple[SyncReport, int]:
    """(report, requests) of one sync."""
    repo = options.pop("repo", hub.world.repo)
    with open_ledger(folder, repo) as ledger, client_of(hub, most=most) as client:
        report = sync(ledger, client, **options)
        return report, client.pace.counts.requests


def rows_of(folder: Path, repo: str = "acme/engine") -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a ledger but its pages."""
    import sqlite3

    database = sqlite3.connect(folder / repo.replace("/", "+") / "ledger.sqlite")
    try:
        return {
            t: sorted(database.execute(f"SELECT * FROM {t}").fetchall())
            for t in ("pull", "comment", "review", "thread", "work", "dirty", "cursor")
        }
    finally:
        database.close()
