"""Parse real merged diffs and compare their hunks with a numstat of its own.

    .venv/bin/python tests/bench/verify_diffs.py --repo PATH [--repo PATH] --commits 10000

The wrapper around unidiff is given each patch without its counts being believed: hunks are added up here and
compared, file by file, with what a second git process prints for `--numstat`. Exit status 1 when one differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from ingest.diffs import parse_hunks
from ingest.errors import DiffMismatch
from ingest.git import open_repository
from ingest.history import walk
from ingest.logstream import stream_commits

_AT_ONCE = 50
Counts = dict[str, tuple[int | None, int | None]]


def numstats(path: Path, shas: list[str]) -> dict[str, Counts]:
    """Counts of each file of each commit, read by git processes of our own; a commit that git can't read is left out."""
    found: dict[str, Counts] = {}
    for start in range(0, len(shas), _AT_ONCE):
        part = shas[start : start + _AT_ONCE]
        done = _log(path, part)
        if done.returncode == 0:
            found |= _parsed(done.stdout)
            continue
        for sha in part:  # git ends at the first object that is missing
            single = _log(path, [sha])
            if single.returncode == 0:
                found |= _parsed(single.stdout)
    return found


def _log(path: Path, shas: list[str]) -> subprocess.CompletedProcess[bytes]:
    names = "".join(f"{sha}\n" for sha in shas).encode()
    command = ["git", f"--git-dir={path}", "-c", "core.quotePath=false", "-c", "diff.renameLimit=1000", "log", "--no-walk=unsorted", "--stdin", "-z", "--numstat", "-M", "--diff-merges=first-parent", "--format=%x01%H"]  # fmt: skip
    return subprocess.run(
        command, input=names, capture_output=True, check=False, env={**os.environ, "GIT_NO_LAZY_FETCH": "1"}
    )


def _parsed(out: bytes) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for block in out.split(b"\x01")[1:]:
        sha, *rest = block.split(b"\0")
        fields = [f.lstrip(b"\n") for f in rest]
        counts: Counts = {}
        while fields:
            field = fields.pop(0)
            if not field:
                continue
            added, removed, name = field.split(b"\t")
            if not name:  # a rename: its two names follow
                fields.pop(0)
                name = fields.pop(0)
            counts[name.decode("utf-8", "replace")] = (
                (None, None) if added == b"-" else (int(added), int(removed))
            )
        found[sha.decode().strip()] = counts
    return found


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repo", action="append", required=True, type=Path, help="git directory; may be repeated"
    )
    parser.add_argument("--commits", type=int, default=10_000, help="merged pull requests in all")
    args = parser.parse_args()
    wrong: list[str] = []
    commits = files = unread = 0
    started = time.perf_counter()
    for path in args.repo:
        with open_repository(path) as repository:
            numbered = [c.head.sha for c in walk(repository, "HEAD") if c.subject.number is not None]
            chosen = numbered[-(args.commits // len(args.repo) + 300) :]
            truth = numstats(path, chosen)
            for commit in stream_commits(repository, chosen):
                if commit.problem or commit.sha not in truth:
                    unread += 1
                    continue
                commits += 1
                counts = truth[commit.sha]
                if {f.entry.path for f in commit.files} != counts.keys():
                    wrong.append(f"{commit.sha[:12]}: other files")
                for file in commit.files:
                    files += 1
                    wanted = counts.get(file.entry.path, (-1, -1))
                    try:
                        hunks = parse_hunks(file.patch, *wanted)
                    except DiffMismatch as exc:
                        wrong.append(f"{commit.sha[:12]} {file.entry.path}: {exc}")
                        continue
                    found = (sum(h.added for h in hunks), sum(h.removed for h in hunks))
                    if wanted != (None, None) and found != wanted:
                        wrong.append(f"{commit.sha[:12]} {file.entry.path}: {found}, numstat {wanted}")
    seconds = time.perf_counter() - started
    print(f"{commits} merged diffs, {files} files in {seconds:.0f} s, {unread} that git can't read; {len(wrong)} differ from numstat")  # fmt: skip
    print("\n".join(wrong[:20]))
    sys.exit(1 if wrong or commits < args.commits else 0)


if __name__ == "__main__":
    main()
