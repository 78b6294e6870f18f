"""A coding agent's session replayed over MCP: calls, latencies, payload sizes.

    python tests/bench/agent_session.py --kb KB [--patch FILE] [--rounds 10]

The session is what an agent does with a bottleneck: it looks what is held, searches for the kernel, opens the cards of the best
hits, their diffs and threads, asks for precedents at the file, and has its patch reviewed. It is played by the SDK's own client
against a real process over stdin; every round asks about another bottleneck, so that nothing is answered from a cache.
The baseline in the same run is one `prlore query` process a question.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

BOTTLENECKS = [
    {"kernel": "fused_moe_kernel", "stage": "decode", "repo": "sglang"},
    {
        "kernel": "void flashinfer::BatchPrefillWithPagedKVCacheKernel<128>",
        "stage": "prefill",
        "repo": "sglang",
    },
    {"source": "python/sglang/srt/layers/moe/topk.py:select_experts", "repo": "sglang"},
    {"kernel": "flash::FlashAttnFwdSm90<128>", "stage": "decode", "repo": "vllm"},
    {"question": "host RAM keeps growing with the L3 backend of hierarchical cache", "repo": "sglang"},
    {"kernel": "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "stage": "decode", "repo": "sglang"},
    {"kernel": "per_token_group_quant_8bit_kernel", "repo": "sglang"},
    {"kernel": "triton_poi_fused_rms_norm", "stage": "decode", "repo": "vllm"},
    {"question": "CUDA graph capture fails with speculative decoding", "repo": "vllm"},
    {"source": "vllm/v1/core/kv_cache_manager.py:allocate_slots", "repo": "vllm"},
    {"kernel": "apply_rotary_pos_emb_triton", "family": "deepseek", "repo": "sglang"},
    {"kernel": "deep_gemm::fp8_gemm_kernel", "stage": "prefill", "repo": "sglang"},
    {"question": "scheduler overhead between decode steps", "repo": "sglang"},
    {"kernel": "mla_decode", "family": "deepseek", "repo": "sglang"},
    {"question": "LoRA adapters make the batch slower", "repo": "vllm"},
    {"kernel": "topk_softmax_kernel", "repo": "vllm"},
    {"question": "prefix cache hit rate drops with chunked prefill", "repo": "sglang"},
    {"kernel": "gptq_marlin", "repo": "vllm"},
    {"question": "data parallel attention idle ranks", "repo": "sglang"},
    {"kernel": "moe_align_block_size_kernel", "repo": "sglang"},
]


_SERVER = 0


class Played:
    """What calls took: milliseconds and bytes of the structured answer, by tool."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.work: dict[str, list[float]] = defaultdict(list)
        self.sizes: dict[str, list[int]] = defaultdict(list)
        self.errors: list[str] = []

    async def call(self, client: Client, tool: str, **arguments: object) -> dict:
        started, before = time.perf_counter(), _processor_ms()
        result = await client.call_tool(tool, arguments)
        self.work[tool].append(_processor_ms() - before)
        self.times[tool].append((time.perf_counter() - started) * 1000)
        self.sizes[tool].append(len(json.dumps(result.structured_content or {}, ensure_ascii=False).encode()))
        if result.is_error:
            self.errors.append(f"{tool}: {result.content[0].text}")
            return {}
        return result.structured_content


async def play(client: Client, played: Played, bottleneck: dict, patch: str) -> None:
    """One session."""
    found = await played.call(client, "search_evidence", **bottleneck)
    for hit in found.get("hits", [])[:2]:
        card = await played.call(client, "get_card", card=hit["id"])
        await played.call(client, "get_card", card=hit["id"], part="diff")
        for thread in card.get("threads", [])[:2]:
            await played.call(client, "get_thread", thread=thread)
        files = await played.call(client, "get_card", card=hit["id"], part="files")
        for file in files.get("files", [])[:1]:
            await played.call(client, "find_precedents", path=file["path"])
    words = bottleneck.get("question") or str(bottleneck.get("kernel") or bottleneck.get("source"))
    await played.call(client, "find_precedents", text=words, repo=bottleneck["repo"])
    if found.get("next_cursor"):
        await played.call(client, "search_evidence", **bottleneck, cursor=found["next_cursor"])
    if patch:
        await played.call(client, "review_patch", patch=patch, repo=bottleneck["repo"])


async def session(kb: str, rounds: int, patch: str) -> tuple[Played, float, float, int]:
    """All rounds: what was played, seconds to the handshake and to the first answer, the server's peak memory in MiB."""
    played, started = Played(), time.perf_counter()
    server = StdioServerParameters(command=sys.executable, args=["-m", "loop", "mcp", "--kb", kb], env=dict(os.environ))  # fmt: skip
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        handshake = time.perf_counter() - started
        await client.call_tool("kb_status", {})
        first = time.perf_counter() - started
        await played.call(client, "kb_status")
        await played.call(client, "list_families")
        can_review = patch if any(t.name == "review_patch" for t in tools) else ""
        for number in range(rounds):
            await play(client, played, BOTTLENECKS[number % len(BOTTLENECKS)], can_review)
        memory = _peak_of_children()
    return played, handshake, first, memory


def _children() -> list[int]:
    """Our child processes: the server."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        if int(fields.get("PPid", "0")) == os.getpid():
            found.append(int(status.parent.name))
    return found


def _processor_ms() -> float:
    """CPU time of the server so far: what a call costs whatever else the machine does. Its clock is named by its id."""
    global _SERVER
    _SERVER = _SERVER or _children()[0]
    return time.clock_gettime((~_SERVER << 3) | 2) * 1000


def _peak_of_children() -> int:
    """The largest VmHWM among our children, in MiB."""
    peaks = [0]
    for child in _children():
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
        peaks.append(int(fields["VmHWM"].split()[0]) // 1024)
    return max(peaks)


def baseline(kb: str, rounds: int) -> list[float]:
    """The same questions, a process each."""
    times = []
    for bottleneck in BOTTLENECKS[:rounds]:
        words = bottleneck.get("question") or str(bottleneck.get("kernel") or bottleneck.get("source"))
        command = [sys.executable, "-m", "loop", "query", "--json", "--kb", kb, "--repo", bottleneck["repo"], "--", words]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append((time.perf_counter() - started) * 1000)
    return times


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def main() -> None:
    """Play and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kb", required=True)
    parser.add_argument("--patch", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--baseline", type=int, default=3, help="questions asked by a process each")
    options = parser.parse_args()
    patch = options.patch.read_text("utf-8") if options.patch else ""
    played, handshake, first, memory = anyio.run(session, options.kb, options.rounds, patch)
    print(
        "| tool | calls | p50 ms | p95 ms | max ms | CPU p50 ms | CPU p95 ms | p50 KiB | max KiB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for tool, times in played.times.items():
        sizes = [s / 1024 for s in played.sizes[tool]]
        work = played.work[tool]
        row = (
            *(statistics.median(times), percentile(times, 0.95), max(times)),
            *(statistics.median(work), percentile(work, 0.95), statistics.median(sizes), max(sizes)),
        )
        print(f"| {tool} | {len(times)} | " + " | ".join(f"{v:.1f}" for v in row) + " |")
    print(f"\nhandshake {handshake:.2f} s, first answer {first:.2f} s, server's peak memory {memory} MiB")
    if options.baseline:
        print(
            f"baseline, one `prlore query` process a question: p50 {statistics.median(baseline(options.kb, options.baseline)):.0f} ms"
        )
    print("\n".join(f"error: {e}" for e in played.errors[:10]))
    search = percentile(played.times["search_evidence"], 0.95)
    sys.exit(0 if search < 100 and not played.errors else 1)


if __name__ == "__main__":
    main()
