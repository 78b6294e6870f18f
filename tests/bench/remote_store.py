"""What a knowledge base on object storage costs: copying it, and asking it with and without the cache of arrays.

    .venv/bin/python tests/bench/remote_store.py --kb KB --questions 12

A SeaweedFS on loopback behind a proxy that counts requests and bytes; `--delay` adds seconds to each request, as a network
does. `empty cache` is the first question of a machine, a process each with a cache folder of its own; `kept cache` a
process each with the arrays kept; `open` one process that has answered before. The same questions go to the folder, in the
same run, as the baseline.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import s3_server

from kb.search import Searcher
from kb.store import Store

QUESTIONS = (
    "host RAM keeps growing with the L3 backend of hierarchical cache", "fused_moe_kernel takes a quarter of decode",
    "cuda graph capture fails with speculative decoding", "prefill attention backend for blackwell",
    "chunked prefill starves decode", "fp8 block scale gemm deepgemm", "radix cache eviction order",
    "detokenizer is the bottleneck at high request rate", "expert parallel load balancing", "structured output grammar overhead",
    "pinned memory copies block the scheduler", "allreduce fused with rmsnorm",
)  # fmt: skip


def line(what: str, seconds: list[float], proxy: s3_server.Proxy | None, before: tuple[int, int]) -> None:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    text = f"{what:24} n={len(seconds):3}  p50 {statistics.median(seconds) * 1e3:7.0f} ms  p95 {p95 * 1e3:7.0f} ms"
    if proxy is not None:
        asked = (proxy.counts.total - before[0]) / len(seconds)
        text += f"  {asked:6.1f} requests  {(proxy.counts.read - before[1]) / len(seconds) / 2**20:8.2f} MiB read a question"
    print(text, flush=True)


def ask(uri: str, question: str, cache: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "loop", "query", question, "--kb", uri, "--json"],
        stdout=subprocess.DEVNULL, check=True, env={**os.environ, "PRLORE_CACHE": cache},
    )  # fmt: skip
    return time.perf_counter() - started


def measure(what: str, uri: str, questions: list[str], proxy: s3_server.Proxy | None, folder: str) -> None:
    def now() -> tuple[int, int]:
        return (proxy.counts.total, proxy.counts.read) if proxy else (0, 0)

    before = now()
    few = questions[:3]
    line(
        f"{what}, empty cache", [ask(uri, q, f"{folder}/{what}{i}") for i, q in enumerate(few)], proxy, before
    )
    before = now()
    line(f"{what}, kept cache", [ask(uri, q, f"{folder}/{what}0") for q in questions], proxy, before)
    os.environ["PRLORE_CACHE"] = f"{folder}/{what}0"
    searcher = Searcher(Store.open(uri))
    for question in questions[:2]:
        searcher.search(question)
    before, seconds = now(), []
    for question in questions[2:]:
        started = time.perf_counter()
        searcher.search(question)
        seconds.append(time.perf_counter() - started)
    line(f"{what}, open", seconds, proxy, before)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kb", required=True)
    parser.add_argument("--questions", type=int, default=len(QUESTIONS))
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each request")
    parser.add_argument("--maintain", action="store_true", help="upkeep as well")
    options = parser.parse_args()
    questions = list(QUESTIONS[: options.questions])
    with (
        tempfile.TemporaryDirectory() as folder,
        s3_server.S3Server(Path(folder) / "s3") as server,
        s3_server.Proxy(server.endpoint) as proxy,
    ):
        os.environ.update(s3_server.environment(proxy.endpoint))
        uri = f"s3://{s3_server.BUCKET}/team"
        works = [("copy", ["copy", options.kb, uri])]
        works += [("maintain", ["maintain", "--kb", uri])] if options.maintain else []
        for what, words in works:
            before, started = (
                (proxy.counts.total, proxy.counts.read, proxy.counts.written),
                time.perf_counter(),
            )
            subprocess.run([sys.executable, "-m", "loop", "kb", *words], check=True)
            print(
                f"{what}: {time.perf_counter() - started:.0f} s, {proxy.counts.total - before[0]} requests, "
                f"{(proxy.counts.read - before[1]) / 2**20:.0f} MiB read, {(proxy.counts.written - before[2]) / 2**20:.0f} MiB written",
                flush=True,
            )
        proxy.delay = options.delay
        measure("folder", options.kb, questions, None, folder)
        measure("s3", uri, questions, proxy, folder)


if __name__ == "__main__":
    main()
