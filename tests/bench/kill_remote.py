"""Kill -9 a writer to a store on object storage at random moments, under faults of the storage, while a reader reads.

    .venv/bin/python tests/bench/kill_remote.py --kills 50 --faults .02

A SeaweedFS on loopback behind a proxy that answers a share of all requests with 500 or 503, breaks the connection, or
loses the answer of a request that was carried out. An older half of a made history is ingested, then the whole one, killed
again and again, over and over on new prefixes until there were enough kills. Meanwhile a reader opens the store, counts
and asks; what it sees must belong together. At the end of each round all tables must equal those of one clean run in a
folder. Exit status 1 when anything differs, a reader fails, or a run ends with an error.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import s3_server
from bench import kill_resume, small_history

from kb.filters import Filter
from kb.store import Store
from kb.stored_postings import stored_postings
from kb.tables import LINKS

REPO = "sgl-project/sglang"
OWN = ("finished", "snapshot", "store", "created_by", "encoder")


def ingest(uri: str, history: Path, rev: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "loop", "ingest", "git", str(history), "--repo", REPO, "--rev", rev, "--kb", uri,
        "--workers", "1", "--encoder", "none",
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def tables_of(uri: str) -> dict[str, object]:
    found = kill_resume.tables_of(Store.open(uri))
    keys = found["meta"]["key"].to_pylist()
    found["meta"] = found["meta"].filter([k not in OWN for k in keys])
    return found


def look(uri: str) -> list[str]:
    """What does not belong together in what a reader sees."""
    store = Store.open(uri)
    cards = set(store.scan("cards", ["id"])["id"].to_pylist())
    chunks = set(store.scan("chunks", ["card_id"])["card_id"].to_pylist())
    links = set(store.scan("links", [LINKS.names[1]])[LINKS.names[1]].to_pylist())
    words = set(stored_postings(store).ids)
    ledger = store.count("commits", Filter(repos=(REPO,)))
    said = (
        [f"{len(chunks - cards)} chunks and {len(links - cards)} links of no card"]
        if (chunks | links) - cards
        else []
    )
    said += [f"{len(cards ^ words)} cards without postings or the reverse"] if cards ^ words else []
    said += [f"{ledger} rows in the ledger, {len(cards)} cards"] if ledger < len(cards) else []
    return said


class Reader(threading.Thread):
    """Looks again and again until it is stopped."""

    def __init__(self, uri: str) -> None:
        super().__init__(daemon=True)
        self.uri, self.looks, self.errors = uri, 0, []
        self._halt = threading.Event()

    def run(self) -> None:
        while not self._halt.wait(0.2):
            try:
                self.errors += look(self.uri)
            except Exception as exc:
                self.errors.append(f"{type(exc).__name__}: {exc}")
            self.looks += 1

    def end(self) -> None:
        self._halt.set()
        self.join()


def finish(process: subprocess.Popen[bytes]) -> float:
    started = time.perf_counter()
    said = process.communicate()[1].decode()
    if process.returncode != 0:
        raise SystemExit(f"a run ended with {process.returncode}: {said}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--faults", type=float, default=0.02, help="share of the requests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fillers", type=int, default=300, help="commits of the history beside 27")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    # a broken connection is noticed at once, a silent one after this
    os.environ["PRLORE_STORAGE_OPTIONS"] = "timeout=2s"
    with tempfile.TemporaryDirectory() as folder, s3_server.S3Server(Path(folder) / "s3") as server:
        history = small_history.write(Path(folder) / "repo.git", fillers=options.fillers)
        os.environ["PRLORE_CACHE"] = str(Path(folder) / "cache")
        wanted = str(Path(folder) / "kb")
        for rev in ("HEAD~150" if options.fillers > 200 else "HEAD~10", "HEAD"):
            finish(ingest(wanted, history, rev))
        older = "HEAD~150" if options.fillers > 200 else "HEAD~10"
        with s3_server.Proxy(server.endpoint) as proxy:
            os.environ.update(s3_server.environment(proxy.endpoint))
            killed, rounds, looks, length = 0, 0, 0, 0.0
            left: Counter[int] = Counter()
            errors: list[str] = []
            while killed < options.kills:
                uri = f"s3://{s3_server.BUCKET}/round{rounds}"
                rounds += 1
                proxy.fault = s3_server.random_faults(options.faults, options.seed + rounds)
                length = max(length, finish(ingest(uri, history, older)))
                reader = Reader(uri)
                reader.start()
                while killed < options.kills:
                    process = ingest(uri, history, "HEAD")
                    try:
                        said = process.communicate(timeout=dice.uniform(0, length * 1.2))[1]
                    except subprocess.TimeoutExpired:
                        os.killpg(process.pid, signal.SIGKILL)
                        process.communicate()
                        killed += 1
                        continue
                    if process.returncode:
                        errors.append(said.decode())
                    break
                else:
                    finish(ingest(uri, history, "HEAD"))
                reader.end()
                looks += reader.looks
                errors += reader.errors
                errors += kill_resume.differences(tables_of(uri), tables_of(wanted), ("batch",))
                left[Store.open(uri).count("cards")] += 1
    print(
        f"{killed} kills in {rounds} rounds, {proxy.counts.faults} faults in {proxy.counts.total} requests, "
        f"{looks} looks of a reader, {len(errors)} errors, {dict(left)} cards"
    )
    for line, count in Counter(errors).most_common(20):
        print(f"  {count} x {line}")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
