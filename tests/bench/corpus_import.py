"""Import a generated corpus of the public schema, 128 MiB as a file, with everything a stranger's file may hold.

    .venv/bin/python tests/bench/corpus_import.py

The baseline is unpacking and decoding the same file and nothing else. Exit status 1 when it takes longer than the
limit, or when a line that should be left out is not named, or one that should be kept is not there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

REPO = "sgl-project/sglang"
_SUFFIX = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = "the this cache radix kernel attention batch prefill decode tensor device stream graph expert token page block should we why not move here think instead maybe overlap buffer copy launch shape dtype".split()  # fmt: skip


def text(chance: random.Random, words: int) -> str:
    """Prose and names with the entropy of real reviews: it packs about 3 to 1."""
    return " ".join(chance.choice(WORDS) if chance.random() < 0.6 else "".join(chance.choices(_SUFFIX, k=chance.randrange(4, 9))) for _ in range(words))  # fmt: skip


def rows(chance: random.Random, shares: list[str]):
    """Rows without end, in the mix of the public corpus."""
    comment = 10_000
    thread = 0
    while True:
        thread += 1
        number = 1 + thread // 2
        kind = chance.choices(("inline_review_thread", "pr_conversation", "review_submission"), (18, 11, 3))[
            0
        ]
        said = []
        for _ in range(1 + min(int(chance.expovariate(0.75)), 140)):
            comment += 1
            said.append({"kind": "x", "id": comment, "node_id": f"N{comment}", "in_reply_to_id": None, "created_at": "2025-03-04T05:06:07Z", "updated_at": "2025-03-04T05:06:07Z", "html_url": f"https://github.com/{REPO}/pull/{number}#r{comment}", "author": {"login": f"dev{chance.randrange(900)}", "type": "User", "is_agent": False, "association": "MEMBER"}, "body": chance.choice(shares), "body_language_hint": "en_or_ascii", "state": "COMMENTED" if kind == "review_submission" else None})  # fmt: skip
        name = {
            "inline_review_thread": said[0]["id"],
            "pr_conversation": f"pr-conversation-{number}-{thread}",
            "review_submission": f"review-submissions-{number}",
        }[kind]
        yield {
            "schema_version": 2, "row_type": kind, "source": {"repo": REPO, "years": [2025], "collection": "x"}, "thread_id": name,
            "pull_request": {"number": number if kind != "pr_conversation" else 200_000 + thread, "node_id": "P", "title": f"Change {number}", "state": "closed", "draft": False, "created_at": "2025-03-01T00:00:00Z", "updated_at": "2025-03-05T00:00:00Z", "closed_at": "2025-03-05T00:00:00Z", "merged_at": "2025-03-05T00:00:00Z", "html_url": "https://evil.example/", "labels": ["x"], "author": {"login": "pat", "type": "User", "is_agent": False}},
            "path": f"python/sglang/srt/part{chance.randrange(60)}/file{chance.randrange(20)}.py" if kind == "inline_review_thread" else "", "code_language": "python",
            "diff_hunk": "@@ -10,40 +10,44 @@ def forward(self):\n" + "\n".join(f"{chance.choice('+- ')}    {chance.choice(shares)[:90]}" for _ in range(60)) if kind == "inline_review_thread" else "",
            "commit_id": "a" * 40, "original_commit_id": "b" * 40, "line": chance.choice([None, 12]), "original_line": 12, "start_line": None, "original_start_line": None, "side": "RIGHT", "subject_type": "line",
            "comments": said, "categories": ["performance"], "human_reviewer_comment_count": 1, "agent_reviewer_comment_count": 0, "comment_language_hints": ["en_or_ascii"],
        }  # fmt: skip


def hostile(good: dict[str, object]) -> list[bytes]:
    """Lines that must be left out, each for another reason."""

    def changed(**more: object) -> bytes:
        return json.dumps({**good, "thread_id": 1, **more}).encode()

    return [
        b"{", b"null", b"[1, 2]", b"\xff\xfe\x00", b'{"schema_version": 2}', changed(schema_version=1), changed(path="../../etc/passwd"),
        changed(path="/etc/passwd"), changed(path="a\nb"), changed(source={"repo": "x'; DROP TABLE"}), changed(comments=[]),
        changed(comments=[{"id": -1}]), changed(comments=[{"id": 1, "author": {"login": "<script>"}}]), changed(thread_id="x"),
        changed(pull_request={"number": -4}), changed(comments=[{"id": 1, "created_at": "yesterday"}]), b"[" * 100_000, b'{"a": "' + b"x" * (17 << 20) + b'"}',
        json.dumps(good).encode(),
    ]  # fmt: skip


def write(path: Path, size: int, chance: random.Random) -> tuple[int, int, list[int]]:
    """(kept lines, comments, numbers of the lines that must be named)."""
    shares = [text(chance, chance.randrange(8, 160)) for _ in range(40_000)]
    source = rows(chance, shares)
    kept = comments = number = 0
    bad: list[int] = []
    first: dict[str, object] | None = None
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as file:
        while raw.tell() < size:
            row = next(source)
            first = first or row
            number, kept, comments = number + 1, kept + 1, comments + len(row["comments"])
            file.write(json.dumps(row).encode() + b"\n")
            if kept == 5000:
                for line in hostile(first):
                    number += 1
                    bad.append(number)
                    file.write(line + b"\n")
    with path.open("ab") as raw:  # a download that broke off
        member = gzip.compress(json.dumps(next(source)).encode() * 3 + b"\n")
        raw.write(member[: len(member) // 2])
    bad.append(number + 1)
    return kept, comments, bad


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prlore-corpus-") as folder:
        path, kb = Path(folder) / "corpus.jsonl.gz", Path(folder) / "kb"
        kept, comments, bad = write(path, args.mib << 20, random.Random(0))
        started = time.perf_counter()
        unpacked = decoded = 0
        try:
            with gzip.open(path) as file:
                for line in file:
                    unpacked += len(line)
                    try:
                        msgspec.json.decode(line)
                        decoded += 1
                    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                        pass
        except EOFError:
            pass
        base = time.perf_counter() - started
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "loop", "ingest", "corpus", str(path), "--kb", str(kb), "--json"],
            stdout=subprocess.PIPE,
        )
        peak = 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace")
                peak = max(
                    [peak, *(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM"))]
                )
            except OSError:
                pass
            time.sleep(0.1)
        assert process.stdout is not None
        found = json.loads(process.stdout.read())
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    named = [p["line"] for p in found["problems"]]
    print(
        f"{path.name}: {args.mib} MiB, {unpacked >> 20} MiB unpacked; {found['lines']} lines, {found['threads']} threads, {found['comments']} comments "
        f"in {seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of processor), {peak / 1e3:.0f} MB at most; unpacking and decoding alone: {base:.1f} s"
    )
    print(f"left out by line: {len(named)} of {len(bad)} wanted")
    complete = found["comments"] + 0 == comments and named == bad
    if not complete:
        print("differs:", sorted(set(named) ^ set(bad))[:20], found["comments"], comments, kept)
    sys.exit(0 if complete and seconds <= args.limit else 1)


if __name__ == "__main__":
    main()
