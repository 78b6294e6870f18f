"""Kill -9 an ingest at random moments, run it again, and compare its tables with those of one clean run.

    .venv/bin/python tests/bench/kill_resume.py --repo PATH --name OWNER/NAME --limit N --kills 200

A round starts from an empty folder, or from a copy of --base. It starts the ingest, kills its whole process
group after a random delay, starts it again, and so on until a run ends by itself. Delays are uniform over the
time that a clean run took; every third counts from the first index file, so that it falls into the last phase. After each
round all columns of all tables are compared. Exit status 1 when anything differs or a run fails.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ingest.errors import PrloreError
from kb.filters import Filter
from kb.store import Store
from kb.tables import SCHEMAS, vectors_schema

KEYS = {
    "cards": ("id",), "chunks": ("card_id", "ordinal"), "links": ("source", "kind", "target"), "vectors": ("id",),
    "commits": ("repo", "sha"), "postings": ("field",), "pulls": ("id",), "threads": ("id",), "meta": ("key",),
}  # fmt: skip
_LAST_PHASE = 3  # every which kill falls into it
_PATIENCE = 1800  # seconds after which a run counts as stuck


def tables_of(store: Store) -> dict[str, pa.Table]:
    """All columns of all tables of a store, each sorted by its key."""
    tables = {}
    for name, keys in KEYS.items():
        if name != "vectors" or store.has_vectors():
            rows = store.scan(name, (SCHEMAS.get(name) or vectors_schema(1)).names)
            tables[name] = rows.sort_by([(key, "ascending") for key in keys])
    return tables


def differences(
    found: dict[str, pa.Table], wanted: dict[str, pa.Table], but: tuple[str, ...] = ()
) -> list[str]:
    """What differs between two stores, a line each, columns in `but` left aside; empty when nothing does."""
    lines = [f"{name}: only one store has it" for name in sorted(found.keys() ^ wanted.keys())]
    for name in sorted(found.keys() & wanted.keys()):
        mine, theirs = (
            t[name].drop_columns([c for c in but if c in t[name].column_names]) for t in (found, wanted)
        )
        if mine.num_rows != theirs.num_rows:
            lines.append(f"{name}: {mine.num_rows} rows, {theirs.num_rows} wanted")
            continue
        for column in mine.column_names:
            if mine[column].combine_chunks() != theirs[column].combine_chunks():
                pairs = zip(mine[column].to_pylist(), theirs[column].to_pylist(), strict=True)
                at, (one, other) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
                key = [theirs[k][at].as_py() for k in KEYS[name]]
                lines.append(f"{name}.{column} of {key}: {one!r:.200} is not {other!r:.200}")
    return lines


@dataclass(frozen=True, slots=True)
class Run:
    """How one process went: seconds, exit status (None: killed), and what it said on stderr."""

    seconds: float
    status: int | None
    said: str


class Ingest:
    """One ingest command that can be started again and again over one folder."""

    def __init__(self, args: list[str], scratch: Path) -> None:
        self._args = [sys.executable, "-m", "loop", "ingest", "git", *args]
        self._log = scratch / "stderr"
        (scratch / "tmp").mkdir()  # killed processes leave their temporary files
        self._env = {**os.environ, "TMPDIR": str(scratch / "tmp")}

    def run(self, kb: Path, delay: float | None = None, *, indexing: bool = False) -> Run:
        """Run to the end, or kill the whole process group after `delay` seconds, counted from its first index file."""
        started = time.perf_counter()
        before = index_files(kb)
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [*self._args, "--kb", str(kb)], stdout=subprocess.DEVNULL, stderr=log, env=self._env, start_new_session=True
            )  # fmt: skip
            while indexing and process.poll() is None and not index_files(kb) - before:
                time.sleep(0.01)
            try:
                status: int | None = process.wait(_PATIENCE if delay is None else delay)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                status = None
        return Run(time.perf_counter() - started, status, self._log.read_text("utf-8", "replace"))


def state_of(kb: Path, repo: str, commits: int) -> str:
    """What a killed run left."""
    try:
        store = Store.open(str(kb))
        known = store.count("commits", Filter(repos=(repo,)))
        if known < commits:
            return "partly written" if known or store.count("chunks") else "empty"
        return "complete" if store.is_finished() else "not indexed"
    except PrloreError:
        return "empty"


def index_files(kb: Path) -> set[Path]:
    """Files of all search indexes."""
    return set(kb.glob("*.lance/_indices/*"))


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", required=True, help="the history")
    parser.add_argument("--name", required=True, help="its repository, owner/name")
    parser.add_argument("--rev", help="revision to walk")
    parser.add_argument("--limit", type=int, help="only the newest N pull requests")
    parser.add_argument("--since", help="only commits from this day on")
    parser.add_argument("--base", type=Path, help="a store that every round starts from")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    command = [args.repo, "--repo", args.name]
    for option in ("rev", "limit", "since"):
        if getattr(args, option) is not None:
            command += [f"--{option}", str(getattr(args, option))]
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="prlore-kill-") as folder:
        return _rounds(Ingest(command, Path(folder)), Path(folder), args, chance)


def _rounds(ingest: Ingest, scratch: Path, args: argparse.Namespace, chance: random.Random) -> int:
    clean_kb = _fresh(scratch / "clean", args.base)
    first = ingest.run(clean_kb)
    if first.status != 0:
        return _fail(f"the clean run ended with {first.status}", first.said)
    wanted = tables_of(Store.open(str(clean_kb)))
    again_kb = _fresh(scratch / "again", args.base)
    before, started = index_files(again_kb), time.time()
    clean = ingest.run(again_kb)  # the files of the history are in memory now, as they will be in the rounds
    store = Store.open(str(again_kb))
    if lines := differences(tables_of(store), wanted):
        return _fail("two clean runs differ", "\n".join(lines))
    indexed = [p.stat().st_mtime for p in index_files(again_kb) - before]
    last_phase = clean.seconds - (min(indexed, default=started) - started)
    commits = store.count("commits", Filter(repos=(args.name,)))
    kills = rounds = 0
    states: Counter[str] = Counter()
    while kills < args.kills:
        kb = _fresh(scratch / "kb", args.base)
        while True:
            indexing = kills % _LAST_PHASE == _LAST_PHASE - 1
            delay = chance.uniform(0, last_phase if indexing else clean.seconds)
            run = ingest.run(kb, delay, indexing=indexing) if kills < args.kills else ingest.run(kb)
            if run.status is not None:
                break
            kills += 1
            states[state_of(kb, args.name, commits)] += 1
        if run.status != 0:
            return _fail(f"after {kills} kills a run ended with {run.status}", run.said)
        rounds += 1
        resumed = Store.open(str(kb))
        lines = differences(tables_of(resumed), wanted)
        if lines or not resumed.is_finished():
            return _fail(
                f"after {kills} kills the tables differ", "\n".join(lines) or "the indexes are incomplete"
            )
    told = ", ".join(f"{n} {state}" for state, n in states.most_common())
    print(f"{kills} kills (left {told}) in {rounds} rounds of {clean.seconds:.1f} s: tables identical, "
          f"{wanted['cards'].num_rows} cards, {wanted['chunks'].num_rows} chunks, {commits} commits")  # fmt: skip
    return 0


def _fresh(kb: Path, base: Path | None) -> Path:
    shutil.rmtree(kb, ignore_errors=True)
    if base is not None:
        shutil.copytree(base, kb)
    return kb


def _fail(what: str, said: str) -> int:
    print(f"{what}:\n{said.strip()}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
