"""Review of a 1,000-line diff over 100,000 threads and 32,000 cards: time, memory, and whether the bytes are the same twice.

    .venv/bin/python tests/bench/critique_speed.py --kb KB [--threads 100000]

KB is a store of a real history (`prlore ingest git`). It is copied, threads on its own files are generated into the
copy, and one diff of about 1,000 changed lines is put together from its most changed files. The review runs as a
command of its own, as users run it, so that start and imports count; the baseline is `prlore status` on the same store.
Exit status 1 when the fastest of three reviews takes 2 s, one takes 600 MB, or two differ: run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from ingest.github.records import Anchor, Author, Comment, Thread
from kb.cards import decode_card
from kb.families import load_families
from kb.filters import Filter
from kb.store import Store
from kb.stored_diff import Diff, stored_diffs
from kb.threads.joins import Join
from kb.threads.rows import thread_rows

_SAID = (
    "Could you add a test for {name} here? It is wrong when the batch is empty.", "nit: rename {name}",
    "Please post benchmark numbers for {name}, throughput and latency.", "This leaks memory when {name} fails.",
    "Why is {name} called on every rank? all_reduce should be enough.", "LGTM, thanks for {name}",
)  # fmt: skip
_LINES = 1000
_SECONDS, _MB = 2.0, 600.0


def add_threads(store: Store, repo: str, wanted: int) -> None:
    """Threads on the store's own files, more on those that change often."""
    chance, families = random.Random(0), load_families()
    rows = store.scan("cards", ["id", "card"], Filter(repos=(repo,)))
    places: list[tuple[str, str, str]] = []
    for text in rows["card"].to_pylist():
        card = decode_card(text)
        places += [(card.id, s.path, s.name) for s in card.symbols[:20]] or [
            (card.id, f.path, "") for f in card.files[:3]
        ]
    for start in range(0, wanted, 10_000):
        made = []
        for n in range(start, min(start + 10_000, wanted)):
            card_id, path, symbol = chance.choice(places)
            name = symbol.split(".")[-1] or Path(path).stem
            number = int(card_id.rpartition("#")[2])
            kind = chance.choices(("inline", "conversation", "review"), (56, 34, 10))[0]
            mark = {"inline": f"r{n}", "conversation": "conversation", "review": f"v{n}"}[kind]
            said = tuple(
                Comment(id=3 * n + i, author=Author(login=f"dev{chance.randrange(900)}", role="maintainer"), created_at=f"2025-{1 + n % 12:02d}-01T00:00:00Z",
                        body=chance.choice(_SAID).format(name=name) + " " + " ".join(chance.choice(_SAID).split()[0] for _ in range(20)))
                for i in range(2)
            )  # fmt: skip
            anchor = (
                Anchor(path=path, side="new", line=10, diff_hunk=f"@@ -1,3 +1,4 @@\n+    {name}()")
                if kind == "inline"
                else Anchor()
            )
            thread = Thread(
                id=f"{repo}#{number}/{mark}-{n}",
                repo=repo,
                number=number,
                kind=kind,
                anchor=anchor,
                comments=said,
            )  # type: ignore[arg-type]
            made.append(
                (
                    thread,
                    Join(symbol=symbol if kind == "inline" else "", addressed="yes" if n % 3 else "no"),
                    None,
                )
            )
        store.append("threads", thread_rows(made, families))
    store.finish()


def big_diff(store: Store, repo: str) -> bytes:
    """About 1,000 changed lines in files that change most, one hunk after another from the newest pull requests."""
    rows = store.scan("cards", ["id", "merged_at"], Filter(repos=(repo,))).to_pylist()
    newest = [r["id"] for r in sorted(rows, key=lambda r: r["merged_at"])[-600:]]
    cards = [decode_card(t) for t in store.cards_by_id(newest, ["card"])["card"].to_pylist()]
    hot = {
        p
        for p, _ in Counter(
            f.path for c in cards for f in c.files if f.group in ("runtime", "kernel")
        ).most_common(25)
    }
    parts: dict[str, list[str]] = {}
    lines = 0
    diffs: dict[str, Diff] = stored_diffs(store, cards)
    for card in sorted(cards, key=lambda c: c.id):
        for file in diffs[card.id].files:
            if file.path not in hot or file.path in parts or not file.whole or lines >= _LINES:
                continue
            parts[file.path] = [f"{h.header}\n{h.text}" for h in file.hunks]
            lines += sum(h.added + h.removed for h in file.hunks)
    text = "".join(f"--- a/{p}\n+++ b/{p}\n" + "".join(hunks) for p, hunks in parts.items())
    print(f"a diff of {lines} changed lines in {len(parts)} files")
    return text.encode("utf-8", "replace")


def prepare(place: str, patch: Path, repo: str, threads: int) -> None:
    """Put the threads into the store and write the diff."""
    with Store.create(place, {}) as store:
        add_threads(store, repo, threads)
        patch.write_bytes(big_diff(store, repo))
        print(f"{store.count('cards')} cards, {store.count('threads')} threads", flush=True)


def run(*args: str) -> tuple[bytes, float, float, float]:
    """(output, wall s, processor s, MB at most) of a command."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "loop", *args], stdout=out)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        out.seek(0)
        return out.read(), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kb", required=True)
    parser.add_argument("--repo", default="sgl-project/sglang")
    parser.add_argument("--threads", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place, patch = str(Path(folder) / "kb"), Path(folder) / "big.patch"
        shutil.copytree(args.kb, place)
        # in a process of its own: the peak of a child begins at what its parent holds when it is started
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(prepare, place, patch, args.repo, args.threads).result()
        _, wall, spent, memory = run("status", "--kb", place)
        print(f"baseline, prlore status: {wall:.2f} s, {spent:.2f} s of processor, {memory:.0f} MB")
        outputs, best, most = [], float("inf"), 0.0
        for _ in range(3):
            out, wall, spent, memory = run(
                "review", str(patch), "--kb", place, "--repo", args.repo, "--format", "json"
            )
            outputs.append(out)
            best, most = min(best, wall), max(most, memory)
            print(f"review: {wall:.2f} s, {spent:.2f} s of processor, {memory:.0f} MB, {len(out)} bytes")
    same = len(set(outputs)) == 1
    print("the same bytes" if same else "different bytes")
    sys.exit(0 if same and best < _SECONDS and most < _MB else 1)


if __name__ == "__main__":
    main()
