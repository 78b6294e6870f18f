"""A first sync and one without changes against the loop-back GitHub at SGLang's size: requests, memory, rows a second.

    .venv/bin/python tests/bench/sync_scale.py

21,000 pull requests, 150,000 comments and reviews, and 6,000 comments of plain issues that the same list has.
The baseline is the same number of pages fetched and thrown away. Exit status 1 when a budget is missed: 3,500
requests for the first sync, 10 for the second, 1 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from hub import Hub
from loopback.server import TOKEN

FIRST, SECOND, MEMORY = 3500, 10, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """One process: seconds, of them on a processor, its highest resident memory in bytes, and what it printed."""

    seconds: float
    processor: float
    memory: int
    said: dict[str, object]


def prlore(*args: str) -> Run:
    """Run a command and watch its memory."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "loop", *args, "--json"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "GITHUB_TOKEN": TOKEN},
    )  # fmt: skip
    peak = 0

    def look() -> None:
        nonlocal peak
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace")
                peak = max(
                    peak,
                    *(
                        int(line.split()[1]) * 1024
                        for line in status.splitlines()
                        if line.startswith("VmHWM")
                    ),
                )
            except (OSError, ValueError, TypeError):
                pass
            time.sleep(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    out, _ = process.communicate()
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"prlore {' '.join(args)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(time.perf_counter() - started, processor, peak, json.loads(out))


def fetch_only(url: str, pages: int) -> float:
    """Seconds to fetch as many pages and throw them away."""
    started = time.perf_counter()
    for page in range(1, pages + 1):
        request = urllib.request.Request(
            f"{url}/repos/acme/engine/pulls/comments?per_page=100&page={page}",
            headers={"Authorization": f"token {TOKEN}", "User-Agent": "bench"},
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()
    return time.perf_counter() - started


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--keep", help="a folder for the knowledge base, kept")
    args = parser.parse_args()
    size = {k: int(v * args.scale) for k, v in {"pulls": 21_000, "inline": 51_000, "conversation": 57_000, "reviews": 42_000, "issues": 6_000}.items()}  # fmt: skip
    rows = size["pulls"] + size["inline"] + size["conversation"] + size["reviews"]
    with Hub(**size, spread=600) as hub, tempfile.TemporaryDirectory() as scratch:
        kb = args.keep or f"{scratch}/kb"
        sample = max(1, size["inline"] // 100)
        base = fetch_only(hub.url, sample) / sample
        before = hub.requests()
        runs = []
        for _ in range(3):
            run = prlore("ingest", "github", "acme/engine", "--api-url", hub.url, "--kb", kb)
            runs.append((run, hub.requests() - before))
            before = hub.requests()
        pages = sum(p.stat().st_size for p in Path(kb).rglob("pages-*.gz"))
        replay = prlore("ingest", "replay", "--kb", kb)
    failed = False
    for (run, requests), name, most in zip(runs, ("first sync", "no-change sync", "no-change sync"), (FIRST, SECOND, SECOND), strict=True):  # fmt: skip
        said = run.said
        print(
            f"{name}: {requests} requests (budget {most}), {said['unchanged']} answered 304, {said['graphql_points']} points, "
            f"{run.seconds:.1f} s ({run.processor:.1f} s of processor), {run.memory / 1e6:.0f} MB at most; "
            f"{said['pull_requests']} pull requests and {said['threads']} threads written"
        )
        failed |= requests > most or run.memory > MEMORY or requests != said["requests"]
    first, requests = runs[0]
    print(
        f"{rows} rows in {first.seconds:.1f} s: {rows / first.seconds:.0f} rows a second from GitHub to searchable tables, {rows / first.processor:.0f} a second of processor; "
        f"fetching alone, as many requests thrown away: {base * requests:.1f} s"
    )
    print(
        f"pages kept: {pages / 1e6:.1f} MB; replay: {replay.seconds:.1f} s ({replay.processor:.1f} s of processor), {replay.memory / 1e6:.0f} MB"
    )
    failed |= replay.memory > MEMORY
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
