"""An exhaustive sweep over 100,000 threads: building the index, look-ups, reading, searching; time and memory.

    .venv/bin/python tests/bench/sweep_threads.py

The baseline is one pass over all records of the same table. Times are of the processor, all
threads together. Exit status 1 when the index takes a second or more.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable

from ingest.github.records import Anchor, Author, Comment, Thread
from kb.families import load_families
from kb.filters import ThreadFilter
from kb.store import Store
from kb.threads.build import joined_rows
from kb.threads.reader import ThreadIndex
from kb.threads.search import search_threads

_WORDS = "cache radix kernel attention batch prefill decode tensor device stream graph expert token page block".split()
_PATHS = [f"python/sglang/srt/{a}/{b}_{i}.py" for a in ("models", "layers", "managers", "mem_cache") for b in _WORDS[:10] for i in range(25)]  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    """Seconds of work: of this process's processor time, so that others on the machine don't count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=100_000)
    args = parser.parse_args()
    chance, families = random.Random(0), load_families()

    def thread(n: int) -> Thread:
        body = " ".join(chance.choice(_WORDS) for _ in range(40))
        hunk = "@@ -1,20 +1,20 @@ def forward(self):\n" + "\n".join(
            f"+    x{i} = {chance.choice(_WORDS)}({n})" for i in range(20)
        )
        said = tuple(
            Comment(
                id=2 * n + i,
                body=body,
                author=Author(login=f"d{n % 900}"),
                created_at=f"2025-{1 + n % 12:02d}-01T00:00:00Z",
            )
            for i in range(2)
        )
        return Thread(
            id=f"a/b#{n // 5}/r{n}",
            repo="a/b",
            number=n // 5,
            kind="inline",
            comments=said,
            anchor=Anchor(path=chance.choice(_PATHS), line=n % 500, diff_hunk=hunk),
        )

    with tempfile.TemporaryDirectory() as folder, Store.create(folder, {"created_by": "bench"}) as store:
        for start in range(0, args.threads, 5000):
            store.append(
                "threads",
                joined_rows(
                    store, [thread(n) for n in range(start, min(start + 5000, args.threads))], families
                ),
            )
        store.finish()
        records = timed(lambda: store.rows_where("threads", "", ["record"]).num_rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        opened = Store.open(folder)
        index: list[ThreadIndex] = []
        built = timed(lambda: index.append(ThreadIndex(opened)))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        first = index[0]
        path = timed(lambda: first.at_path(_PATHS[7]))
        symbol = timed(lambda: first.at_symbol("forward"))
        family = timed(lambda: first.of_family("deepseek"))
        read = timed(lambda: first.read(first.at_path(_PATHS[7])))
        heads = timed(lambda: sum(1 for _ in first.heads()))
        search = timed(
            lambda: search_threads(opened, "radix cache page eviction", families, ThreadFilter(), 10)
        )
        again = timed(
            lambda: search_threads(
                opened, "attention kernel batch", families, ThreadFilter(paths=("mem_cache",)), 10
            )
        )
        print(
            f"{len(first)} threads: index {built * 1e3:.0f} ms and {grown / 1e3:.0f} MB more; path {path * 1e3:.1f} ms, symbol {symbol * 1e3:.1f} ms, "
            f"family {family * 1e3:.1f} ms, {len(first.at_path(_PATHS[7]))} whole threads {read * 1e3:.0f} ms, every head as an object {heads * 1e3:.0f} ms; "
            f"search {search * 1e3:.0f} ms cold, {again * 1e3:.0f} ms warm with a filter; all records read: {records * 1e3:.0f} ms"
        )
    sys.exit(1 if built >= 1 else 0)


if __name__ == "__main__":
    main()
