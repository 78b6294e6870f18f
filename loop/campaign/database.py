"""The campaign's SQLite file: where it stands, its ledger, steps, blocks and charges.

A turn of the driver ends in one transaction that holds ledger rows, the new state and what it cost, so that none of
them can be there without the others. Ledger rows are chained by hash and can't be changed or removed.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loop.campaign.durable import passed
from loop.campaign.errors import CampaignError, Corrupt, full_disk_is_said
from loop.campaign.progress import FOLLOWS, Progress, State
from loop.records import Cost, Digest, LedgerRow, RowKind, canonical, decode

SCHEMA_VERSION = 1
_STATES = ", ".join(f"'{state}'" for state in State)
_SCHEMA = f"""
CREATE TABLE campaign (
  one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, spec TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ({_STATES})), progress BLOB NOT NULL, sha256 TEXT NOT NULL) STRICT;
CREATE TABLE ledger (
  seq INTEGER PRIMARY KEY, round INTEGER NOT NULL, candidate INTEGER NOT NULL, kind TEXT NOT NULL,
  row BLOB NOT NULL, hash TEXT NOT NULL UNIQUE, at REAL NOT NULL) STRICT;
CREATE UNIQUE INDEX once ON ledger (candidate, kind)
  WHERE kind IN ('attempt', 'verdict', 'optimization') AND candidate > 0;
CREATE TRIGGER ledger_stays BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_keeps BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE step (
  key TEXT PRIMARY KEY, task TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('running', 'done')),
  attempt INTEGER NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, boot TEXT NOT NULL,
  result TEXT NOT NULL, wall_s REAL NOT NULL) STRICT;
CREATE TABLE block (
  comparison TEXT NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL,
  PRIMARY KEY (comparison, place)) STRICT;
CREATE TABLE charge (
  step TEXT PRIMARY KEY, wall_s REAL NOT NULL, device_s REAL NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL) STRICT;
CREATE TABLE inbox (
  id INTEGER PRIMARY KEY, patch TEXT NOT NULL UNIQUE, evidence TEXT NOT NULL, source TEXT NOT NULL,
  taken INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE request (kind TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT;
"""


class Entry(msgspec.Struct, frozen=True):
    """What a turn adds to the ledger: the driver fills in the rest of the row."""

    kind: RowKind
    body: Digest
    text: str
    candidate: int | None = None


@dataclass(frozen=True)
class StepRow:
    """A step as the database has it; `started` and `boot` tell a process from another of the same number."""

    key: str
    task: Digest
    status: str
    attempt: int
    pid: int
    started: str
    boot: str
    result: Digest


@dataclass(frozen=True)
class Submission:
    """A patch that a person handed in; `evidence` may be empty."""

    number: int
    patch: Digest
    evidence: str
    source: str


class Database:
    """The file.

    Raises:
        CampaignError: it is not there, or of another version.
    """

    def __init__(self, path: Path, *, sync: bool = True, make: bool = False, read_only: bool = False) -> None:
        if not make and not path.is_file():
            raise CampaignError(
                f"there is no campaign in {path.parent}: `prlore loop init SPEC.toml` makes one"
            )
        self.path = path
        self._read_only = read_only
        try:
            self._db = self._connect("ro" if read_only else "rwc" if make else "rw")
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute(f"PRAGMA synchronous={'FULL' if sync else 'OFF'}")
            if make:
                self._db.executescript(f"BEGIN; {_SCHEMA}; COMMIT;")
            else:
                self._check_version()
        except sqlite3.DatabaseError as exc:
            if isinstance(exc, sqlite3.OperationalError) and make:
                raise
            raise Corrupt(f"{path} can't be read as a campaign: {exc}") from exc

    def _connect(self, mode: str) -> sqlite3.Connection:
        """A connection; a reader that finds a killed driver's log has to be let write to take it in."""
        place = self.path.absolute().as_uri()
        found = sqlite3.connect(f"{place}?mode={mode}", uri=True, isolation_level=None, timeout=30)
        if mode == "ro":
            try:
                found.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.OperationalError:
                found.close()
                found = sqlite3.connect(f"{place}?mode=rw", uri=True, isolation_level=None, timeout=30)
                found.execute("PRAGMA query_only=ON")
        return found

    def _check_version(self) -> None:
        found = self._db.execute("SELECT version FROM campaign").fetchone()
        if found is not None and found[0] != SCHEMA_VERSION:
            raise CampaignError(f"{self.path} was made by another version of prlore ({found[0]})")

    def close(self) -> None:
        """Fold the log into the file and close it; one file is left when nobody else has it open."""
        with full_disk_is_said(self.path.parent):
            try:
                if not self._read_only:
                    self._db.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError as exc:
                if "locked" not in str(exc):
                    raise
            finally:
                self._db.close()

    @contextmanager
    def _transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        with full_disk_is_said(self.path.parent):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                passed(f"before commit of {what}")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        passed(f"committed {what}")

    # ------------------------------------------------------------------------------------------ state and ledger

    def begin(self, spec: Digest, progress: Progress, entries: Sequence[Entry]) -> None:
        """The first transaction of a campaign."""
        raw = canonical(progress)
        with self._transaction("init") as db:
            db.execute(
                "INSERT INTO campaign VALUES (1, ?, ?, ?, ?, ?)",
                (SCHEMA_VERSION, spec, progress.state, raw, hashlib.sha256(raw).hexdigest()),
            )
            self._append(db, spec, progress, entries)

    def turn(self, old: Progress, new: Progress, entries: Sequence[Entry]) -> None:
        """State and ledger rows of one turn, together.

        Raises:
            CampaignError: the state may not follow, or somebody else moved on.
        """
        if new.state != old.state and new.state not in FOLLOWS[old.state]:
            raise CampaignError(f"{new.state} may not follow {old.state}")
        raw, before = canonical(new), hashlib.sha256(canonical(old)).hexdigest()
        with self._transaction(f"turn {old.state}") as db:
            changed = db.execute(
                "UPDATE campaign SET state = ?, progress = ?, sha256 = ? WHERE sha256 = ?",
                (new.state, raw, hashlib.sha256(raw).hexdigest(), before),
            ).rowcount
            if changed != 1:
                raise CampaignError("another process moved this campaign on")
            spec = db.execute("SELECT spec FROM campaign").fetchone()[0]
            self._append(db, spec, new, entries)

    def _append(self, db: sqlite3.Connection, spec: Digest, at: Progress, entries: Sequence[Entry]) -> None:
        last = db.execute("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone() or (0, "")
        seq, prev = last
        for entry in entries:
            seq += 1
            candidate = at.candidate if entry.candidate is None else entry.candidate
            row = LedgerRow(
                seq, spec, at.round, candidate, entry.kind, at.state, entry.body, entry.text, prev
            )
            prev = row.id
            db.execute(
                "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
                (seq, at.round, candidate, entry.kind, canonical(row), prev, time.time()),
            )

    def spec(self) -> Digest:
        """Id of the frozen spec."""
        return str(self._one("SELECT spec FROM campaign"))

    def progress(self) -> Progress:
        """Where the campaign is.

        Raises:
            Corrupt: what is stored is not what was stored.
        """
        row = self._db.execute("SELECT progress, sha256, state FROM campaign").fetchone()
        if row is None:
            raise CampaignError(
                f"the campaign in {self.path.parent} was never begun: remove it and init again"
            )
        raw, digest, state = row
        if hashlib.sha256(raw).hexdigest() != digest:
            raise Corrupt(f"the state in {self.path} is not what was stored")
        progress = msgspec.json.decode(raw, type=Progress)
        if progress.state != state:
            raise Corrupt(f"the state in {self.path} is not what was stored")
        return progress

    def ledger(self) -> list[LedgerRow]:
        """All rows; their chain is checked.

        Raises:
            Corrupt: a row was changed, lost or put in.
        """
        rows: list[LedgerRow] = []
        prev = ""
        for seq, kind, number, candidate, raw, digest in self._db.execute(
            "SELECT seq, kind, round, candidate, row, hash FROM ledger ORDER BY seq"
        ):
            if hashlib.sha256(raw).hexdigest() != digest:
                raise Corrupt(f"ledger row {seq} is not what was written")
            row = decode(LedgerRow, raw)
            if row.prev != prev or row.seq != seq or seq != len(rows) + 1:
                raise Corrupt(f"the ledger's chain is broken at row {seq}")
            if (row.kind, row.round, row.candidate) != (kind, number, candidate):
                raise Corrupt(f"ledger row {seq} stands under other keys than its own")
            prev = digest
            rows.append(row)
        return rows

    def times(self) -> dict[int, float]:
        """Wall clock of each row by number; for people, outside of the chain."""
        return dict(self._db.execute("SELECT seq, at FROM ledger"))

    # -------------------------------------------------------------------------------------------------- steps

    def step(self, key: str) -> StepRow | None:
        """A step by key."""
        row = self._db.execute(
            "SELECT key, task, status, attempt, pid, started, boot, result FROM step WHERE key = ?", (key,)
        ).fetchone()
        return StepRow(*row) if row else None

    def steps(self) -> list[StepRow]:
        """All steps."""
        found = self._db.execute(
            "SELECT key, task, status, attempt, pid, started, boot, result FROM step ORDER BY rowid"
        )
        return [StepRow(*row) for row in found]

    def intend(self, key: str, task: Digest, pid: int, started: str, boot: str) -> None:
        """Say that a process will do a step, before it is let loose."""
        with self._transaction("intent") as db:
            db.execute(
                "INSERT INTO step VALUES (?, ?, 'running', 1, ?, ?, ?, '', 0) ON CONFLICT (key) DO UPDATE"
                " SET attempt = attempt + 1, pid = excluded.pid, started = excluded.started, boot = excluded.boot",
                (key, task, pid, started, boot),
            )

    def finish(self, key: str, result: Digest, cost: Cost) -> None:
        """Mark a step done and charge it, once."""
        with self._transaction("step") as db:
            db.execute(
                "UPDATE step SET status = 'done', result = ?, wall_s = ? WHERE key = ? AND status = 'running'",
                (result, cost.seconds, key),
            )
            db.execute(
                "INSERT OR IGNORE INTO charge VALUES (?, ?, ?, ?, ?)",
                (key, cost.seconds, cost.device_s, cost.tokens, cost.usd),
            )

    def forget_step(self, key: str) -> None:
        """Let a step be done again after a failure that says nothing about its subject."""
        with self._transaction("retry") as db:
            db.execute("DELETE FROM step WHERE key = ?", (key,))

    def used(self) -> Cost:
        """What the campaign has used."""
        row = self._db.execute(
            "SELECT total(wall_s), total(device_s), CAST(total(tokens) AS INTEGER), total(usd) FROM charge"
        ).fetchone()
        return Cost(*row)

    def typical(self, prefix: str) -> float:
        """Seconds that recent steps of a kind took, newest weighing most; 0 without any."""
        rows = self._db.execute(
            "SELECT wall_s FROM step WHERE status = 'done' AND key LIKE ? ORDER BY rowid DESC LIMIT 8",
            (prefix.replace("%", "") + "%",),
        ).fetchall()
        weights = [0.5**i for i in range(len(rows))]
        return sum(w * r[0] for w, r in zip(weights, rows, strict=True)) / sum(weights) if rows else 0.0

    # -------------------------------------------------------------------------------------- blocks and requests

    def add_block(self, comparison: str, place: int, block: Digest) -> None:
        """Count a block; counting it twice is once."""
        with self._transaction("block") as db:
            db.execute("INSERT OR IGNORE INTO block VALUES (?, ?, ?)", (comparison, place, block))

    def blocks(self, comparison: str) -> list[Digest]:
        """Ids of a comparison's blocks in order."""
        found = self._db.execute("SELECT id FROM block WHERE comparison = ? ORDER BY place", (comparison,))
        return [row[0] for row in found]

    def comparisons(self) -> list[str]:
        """Keys of all comparisons that have blocks."""
        return [r[0] for r in self._db.execute("SELECT comparison FROM block GROUP BY 1 ORDER BY min(rowid)")]

    def submit(self, patch: Digest, evidence: str, source: str) -> bool:
        """Put a patch into the inbox; False when it is there already."""
        with self._transaction("submission") as db:
            done = db.execute(
                "INSERT OR IGNORE INTO inbox (patch, evidence, source) VALUES (?, ?, ?)",
                (patch, evidence, source),
            )
            return done.rowcount == 1

    def submissions(self) -> list[Submission]:
        """All patches handed in, in order."""
        return [
            Submission(*row)
            for row in self._db.execute("SELECT id, patch, evidence, source FROM inbox ORDER BY id")
        ]

    def request(self, kind: str, reason: str) -> None:
        """Ask the driver for something (`cancel`)."""
        with self._transaction("request") as db:
            db.execute("INSERT OR REPLACE INTO request VALUES (?, ?)", (kind, reason))

    def requested(self, kind: str) -> str | None:
        """The reason given with a request, None if there is none."""
        row = self._db.execute("SELECT reason FROM request WHERE kind = ?", (kind,)).fetchone()
        return str(row[0]) if row else None

    def sound(self) -> Iterable[str]:
        """What SQLite finds wrong with its own file."""
        try:
            found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(5)")]
        except sqlite3.DatabaseError as exc:
            return [str(exc)]
        return [] if found == ["ok"] else found

    def _one(self, sql: str) -> object:
        row = self._db.execute(sql).fetchone()
        if row is None:
            raise CampaignError(
                f"the campaign in {self.path.parent} was never begun: remove it and init again"
            )
        return row[0]
