"""Kill -9 a sync at random moments, run it again, and compare tables and ledger with those of one clean run.

    .venv/bin/python tests/bench/kill_sync.py --kills 200

Every round starts from a copy of a knowledge base with cards, so that joins and card words are written as well.
Delays are uniform over the time that a clean run took, start-up of Python included. Exit status 1 when anything
differs or a run fails.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import small_history
from hub import Hub
from kill_resume import differences, tables_of
from loopback.server import TOKEN

from kb.store import Store

_REPO = "acme/engine"
_PATIENCE = 600


def ledger_rows(kb: Path) -> dict[str, list[tuple[object, ...]]]:
    """What the ledger holds besides its pages."""
    database = sqlite3.connect(kb / "pages" / _REPO.replace("/", "+") / "ledger.sqlite")
    tables = ("pull", "comment", "review", "thread", "work", "dirty", "cursor")
    rows = {t: database.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() if t != "dirty" else database.execute("SELECT * FROM dirty").fetchall() for t in tables}  # fmt: skip
    database.close()
    return rows


def state_of(kb: Path) -> str:
    """What a killed run left."""
    try:
        held = ledger_rows(kb)
    except sqlite3.Error:
        return "nothing"
    if not held["pull"]:
        return "nothing"
    if held["work"] or not held["cursor"]:
        return "fetching"
    return "writing" if held["dirty"] else "written"


class Sync:
    """The command over one folder."""

    def __init__(self, url: str, scratch: Path) -> None:
        self._args = [sys.executable, "-m", "loop", "ingest", "github", _REPO, "--api-url", url]
        self._log = scratch / "stderr"
        self._env = {**os.environ, "GITHUB_TOKEN": TOKEN}

    def run(self, kb: Path, delay: float | None = None) -> tuple[float, int | None, str]:
        """(seconds, status or None when killed, what it said)."""
        started = time.perf_counter()
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [*self._args, "--kb", str(kb)], stdout=subprocess.DEVNULL, stderr=log, env=self._env, start_new_session=True
            )  # fmt: skip
            try:
                status: int | None = process.wait(_PATIENCE if delay is None else delay)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                status = None
        return time.perf_counter() - started, status, self._log.read_text("utf-8", "replace")


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pulls", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    size = {
        "pulls": args.pulls,
        "inline": 3 * args.pulls,
        "conversation": 3 * args.pulls,
        "reviews": 2 * args.pulls,
        "issues": 50,
    }
    with tempfile.TemporaryDirectory(prefix="prlore-kill-sync-") as folder, Hub(**size, spread=400) as hub:
        scratch = Path(folder)
        base = scratch / "base"
        history = small_history.write(scratch / "history.git")
        subprocess.run([sys.executable, "-m", "loop", "ingest", "git", str(history), "--repo", _REPO, "--kb", str(base)], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        return rounds(Sync(hub.url, scratch), scratch, base, args.kills, chance)


def rounds(sync: Sync, scratch: Path, base: Path, wanted_kills: int, chance: random.Random) -> int:
    """Kill until enough is killed."""
    clean = scratch / "clean"
    shutil.copytree(base, clean)
    seconds, status, said = sync.run(clean)
    if status != 0:
        print(f"the clean run ended with {status}:\n{said}")
        return 1
    tables, ledger = tables_of(Store.open(str(clean))), ledger_rows(clean)
    kills = done = 0
    states: Counter[str] = Counter()
    while kills < wanted_kills:
        kb = scratch / "kb"
        shutil.rmtree(kb, ignore_errors=True)
        shutil.copytree(base, kb)
        while True:
            _, status, said = sync.run(
                kb, chance.uniform(0.2, seconds * 1.05) if kills < wanted_kills else None
            )
            if status is not None:
                break
            kills += 1
            states[state_of(kb)] += 1
        done += 1
        store = Store.open(str(kb))
        lines = differences(tables_of(store), tables)
        found = ledger_rows(kb)
        lines += [
            f"ledger {t}: {len(found[t])} rows, {len(ledger[t])} wanted"
            for t in ledger
            if found[t] != ledger[t]
        ]
        if status != 0 or lines or not store.is_finished():
            print(f"after {kills} kills (status {status}):", *lines[:20], said, sep="\n")
            return 1
    told = ", ".join(f"{n} {state}" for state, n in states.most_common())
    print(f"{kills} kills (left {told}) in {done} rounds of {seconds:.1f} s: tables and ledger identical, "
          f"{tables['pulls'].num_rows} pull requests, {tables['threads'].num_rows} threads, {tables['cards'].num_rows} cards")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
