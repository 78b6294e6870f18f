"""One writer at a time where a file can't be locked: a row of a table of the store that writers change in turn.

An update of a LanceDB table that says which row it expects is a compare-and-swap: of two that expect the same row one
commits, the other is tried again on what the first left and finds nothing to change. That rests on the conditional put
by which LanceDB commits a version. The holder moves the row's end forward while it works; a writer that was killed
leaves a row whose end passes. Ends are wall clock, so clocks of writers may differ by half a lease. A holder whose end
has passed stops before its next write.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kb.filters import quoted
from kb.location import StoreError
from kb.tables import WRITER, WRITERS

_SECONDS = 60.0
_LEAST = 1.0


def lease_seconds() -> float:
    """`PRLORE_KB_LEASE` in seconds, or a minute.

    Raises:
        StoreError: it is no number of at least 1.
    """
    text = os.environ.get("PRLORE_KB_LEASE", "")
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = 0.0
    if not _LEAST <= seconds < 86400:
        raise StoreError(
            f"PRLORE_KB_LEASE {text!r} is no number of seconds from 1 on: leave it out, or write 60"
        )
    return seconds


@dataclass(frozen=True, slots=True)
class Held:
    """Who writes: `epoch` counts the writers, `holder` is `machine/process/unique`, `until` in seconds since 1970."""

    epoch: int
    holder: str
    until: float


class Lease:
    """The right to write to a store, from `take` to `close` or to the end of this process."""

    def __init__(self, table: Any, uri: str, epoch: int, seconds: float) -> None:
        self._table = table
        self._uri = uri
        self._epoch = epoch
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="prlore-lease", daemon=True)

    @classmethod
    def take(cls, database: Any, uri: str) -> Lease:
        """Become the writer.

        Raises:
            StoreError: another one is at work, or was killed less than a lease and a half ago on another machine.
        """
        seconds = lease_seconds()
        table = _open(database)
        held = read_lease(table)
        left = held.until + seconds / 2 - time.time()
        if held.holder and left > 0 and not _is_gone(held.holder):
            raise StoreError(
                f"another prlore is writing to {uri}: wait for it to end; if it was killed, try again in {left:.0f} s"
            )
        me = f"{_machine()}/{os.getpid()} {_started(os.getpid())}/{uuid.uuid4().hex}"
        asked = time.monotonic()
        _swap(table, f"epoch = {held.epoch}", held.epoch + 1, me, time.time() + seconds)
        now = read_lease(table)  # an answer that was lost on the way is no defeat
        if now.holder != me:
            raise StoreError(f"another prlore began to write to {uri} at the same moment: wait for it to end")
        lease = cls(table, uri, now.epoch, seconds)
        lease._ends = asked + seconds
        lease._thread.start()
        return lease

    def check(self) -> None:
        """Raise unless this process may still write.

        Raises:
            StoreError: the lease could not be renewed in time, or another writer has it.
        """
        if self._lost or time.monotonic() > self._ends:
            raise StoreError(
                f"the right to write to {self._uri} ran out, since the storage did not answer: run it again, "
                "it goes on where it stopped"
            )

    def close(self) -> None:
        """Let others write."""
        self._stop.set()
        self._thread.join()
        try:
            _swap(self._table, f"epoch = {self._epoch}", self._epoch, "", 0.0)
        except StoreError:
            return  # it runs out by itself

    def _renew(self) -> None:
        wait = self._seconds / 3
        while not self._stop.wait(wait):
            asked = time.monotonic()
            try:
                held = read_lease(self._table)
                if held.epoch != self._epoch:
                    self._lost = True
                    return
                _swap(
                    self._table,
                    f"epoch = {self._epoch}",
                    self._epoch,
                    held.holder,
                    time.time() + self._seconds,
                )
                self._ends = asked + self._seconds
                wait = self._seconds / 3
            except StoreError:
                wait = self._seconds / 12


def read_lease(table: Any) -> Held:
    """The row of now."""
    table.checkout_latest()
    row = table.search().limit(1).to_arrow().to_pylist()[0]
    return Held(row["epoch"], row["holder"], row["until"])


def _open(database: Any) -> Any:
    """The table of writers, made with its one row by whoever is first."""
    try:
        return database.open_table(WRITERS)
    except ValueError:
        row = pa.Table.from_pylist([{"epoch": 0, "holder": "", "until": 0.0}], schema=WRITER)
        try:
            return database.create_table(WRITERS, data=row)
        except ValueError:
            return database.open_table(WRITERS)


def _swap(table: Any, where: str, epoch: int, holder: str, until: float) -> None:
    table.update(
        where=where, values_sql={"epoch": str(epoch), "holder": quoted(holder), "until": repr(until)}
    )


def _machine() -> str:
    """This boot of this machine and this space of process numbers, empty where that can't be said."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in ticks since boot; empty when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return ""


def _is_gone(holder: str) -> bool:
    """Whether a writer was a process of this machine that has ended."""
    machine, _, rest = holder.partition("/")
    pid, _, started = rest.partition("/")[0].partition(" ")
    return bool(machine and started) and machine == _machine() and _started(int(pid)) != started
