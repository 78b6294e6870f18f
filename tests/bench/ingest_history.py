"""Measure an ingest of a real history against a bare `git log -p` of the same range, in the same run.

    python tests/bench/ingest_history.py --repo ~/src/sglang --name sgl-project/sglang --kb /tmp/kb

Prints wall seconds of both, their ratio, the peak memory of all processes together (proportional set size, which
counts a shared page once), and the wall seconds of a second run that finds nothing new.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path


def descendants(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += descendants(int(child))
    except OSError:
        pass
    return found


def memory_mib(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def run(argv: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MiB of a command and all its children."""
    started = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    peak = 0.0
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.2):
            peak = max(peak, sum(memory_mib(p) for p in descendants(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    elapsed = time.perf_counter() - started
    stop.set()
    watcher.join()
    if code != 0:
        sys.exit(f"{' '.join(argv)} ended with {code}")
    return elapsed, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True, help="clone or bare repository")
    parser.add_argument("--name", required=True, help="owner/name")
    parser.add_argument("--kb", required=True, help="folder of the store; removed first")
    parser.add_argument("--rev", default="HEAD")
    options = parser.parse_args()
    shutil.rmtree(options.kb, ignore_errors=True)
    git_dir = options.repo if not (Path(options.repo) / ".git").exists() else f"{options.repo}/.git"
    bare, _ = run(["git", f"--git-dir={git_dir}", "log", "-p", options.rev])
    prlore = [sys.executable, "-m", "loop", "ingest", "git", options.repo, "--repo", options.name]
    prlore += ["--rev", options.rev, "--kb", options.kb]
    first, peak = run(prlore)
    again, _ = run(prlore)
    print(f"git log -p      {bare:8.1f} s")
    print(f"first ingest    {first:8.1f} s  {first / bare:.1f} times git log -p, peak {peak:.0f} MiB")
    print(f"nothing new     {again:8.1f} s")


if __name__ == "__main__":
    main()
