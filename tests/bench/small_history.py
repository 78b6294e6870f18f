"""A small history of an engine with what ingestion must get right, written by one `git fast-import`.

Twenty-four numbered commits: a model, a class introduced then changed, reverted and landed again, a flag
introduced then changed, a kernel, a rename, a deletion, a binary file, a file that does not parse, a hostile
title, a number used twice; and three commits without a number. `fillers` adds that many numbered commits below
them, so that an ingest takes several batches.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

EPOCH = 1_735_689_600  # 2025-01-01T00:00:00Z; each commit comes an hour after the one before
HOSTILE = (
    "Title with \x1b]0;owned\x07\x1b[31mred\x1b[0m <img src=x> [a](https://evil.example) `b` \u202egnp.exe"
)

_ARGS = '''"""Arguments of the server."""
import argparse


def add_cli_args(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tp-size",
        type=int,
        default=1,
    )
'''
_PREFILL = """    parser.add_argument(
        "--prefill-attention-backend",
        type=str,
        choices=["flashinfer", "fa3"],
        default=None,
    )
"""
_RADIX = '''# Copyright 2025 The engine team. Licensed under the Apache License 2.0
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import heapq
import threading
import time


class HiRadixCache:
    """A radix cache whose nodes may live in host memory."""

    def __init__(self, host_pool, threshold: int) -> None:
        self.host_pool = host_pool
        self.load_back_threshold = threshold

    def evict(self, count: int) -> int:
        leaves = sorted(self.leaves, key=lambda node: node.last_access)
        for node in leaves[:count]:
            self.host_pool.write_back(node.value)
        return count
'''
_HEAP = _RADIX.replace(
    "        leaves = sorted(self.leaves, key=lambda node: node.last_access)\n        for node in leaves[:count]:\n",
    "        for node in heapq.nsmallest(count, self.leaves, key=lambda node: node.last_access):\n",
)
_MODEL = '''import torch


class {name}ForCausalLM(torch.nn.Module):
    """A causal language model."""

    def __init__(self, config) -> None:
        super().__init__()
        self.layers = make_layers(config.num_hidden_layers, config)

    def forward(self, input_ids, positions, {extra}forward_batch):
        hidden = self.embed(input_ids)
        for layer in self.layers:
            hidden = layer(positions, hidden, forward_batch)
        return self.logits(hidden)
'''
_KERNEL = """#include <cuda_runtime.h>

template <typename T>
__global__ void rotary_inplace_kernel(T* query, T* key, const float* cos_sin, int head_size) {
  const int token = blockIdx.x;
  for (int i = threadIdx.x; i < head_size / 2; i += blockDim.x) {
    rotate_pair(query, key, cos_sin, token, i);
  }
}
"""
_TRITON = '''import triton
import triton.language as tl


@triton.jit
def gather_rotary_pairs(positions, cos_sin, out, BLOCK: tl.constexpr):
    """One program a token."""
    token = tl.program_id(0)
    pair = tl.arange(0, BLOCK)
    tl.store(out + token * BLOCK + pair, tl.load(cos_sin + tl.load(positions + token) * BLOCK + pair))
'''
_S = "python/sglang/srt"

# (message, changes): content by path, None deletes, ("R", old) renames and keeps the content
COMMITS: list[tuple[str, dict[str, str | bytes | tuple[str, str] | None]]] = [
    ("Initial commit", {"README.md": "An engine\n", f"{_S}/server_args.py": _ARGS,
                        f"{_S}/sampling/old_sampler.py": "def draw(logits):\n    return logits.argmax()\n"}),
    ("Support Ernie4.5 (#101)", {f"{_S}/models/ernie45.py": _MODEL.format(name="Ernie4_5_", extra="")}),
    ("Hierarchical cache that spills to host memory (#102)", {f"{_S}/mem_cache/hiradix_cache.py": _RADIX}),
    ("Separate attention backends of prefill and decode (#103)", {f"{_S}/server_args.py": _ARGS + _PREFILL}),
    ("Speed up eviction with a heap (#104)", {f"{_S}/mem_cache/hiradix_cache.py": _HEAP}),
    ("Allow fa4 for the prefill backend (#105)",
     {f"{_S}/server_args.py": _ARGS + _PREFILL.replace('"fa3"]', '"fa3", "fa4"]').replace(
         '"--prefill-attention-backend",', '"--prefill-attention-backend",  # also the default of decode')}),
    ("[Kernel] Rotary embedding in place (#106)", {"sgl-kernel/csrc/rotary.cu": _KERNEL}),
    ("[Docs] Explain the hierarchical cache (#107)",
     {"docs/hicache.md": "# Hierarchical cache\n\nStart with `--enable-hierarchical-cache`.\n"}),
    ('Revert "Speed up eviction with a heap (#104)" (#108)', {f"{_S}/mem_cache/hiradix_cache.py": _RADIX}),
    ("Reland speed up eviction with a heap (#104) (#109)", {f"{_S}/mem_cache/hiradix_cache.py": _HEAP}),
    ("Gather rotary pairs with Triton (#110)", {f"{_S}/layers/rotary_gather.py": _TRITON}),
    ("Move the rotary gather to its own folder (#111)",
     {f"{_S}/layers/rotary/gather.py": ("R", f"{_S}/layers/rotary_gather.py")}),
    ("typo", {"README.md": "An engine for serving\n"}),
    ("[Feature] Overlap host writes (#112)",
     {f"{_S}/mem_cache/host_pool.py": 'import os\n\n\nclass HostPool:\n    overlap = os.environ.get("SGLANG_HICACHE_OVERLAP")\n'}),
    ("[fork] A number used before (#103)", {"fork.txt": "a fork's own\n"}),
    ("Follow-up to #106: bf16 in the rotary kernel (#113)",
     {"sgl-kernel/csrc/rotary.cu": _KERNEL.replace("const float* cos_sin", "const __nv_bfloat16* cos_sin")}),
    ("Moss-VL with flashinfer prefill (#114)",
     {f"{_S}/models/moss_vl.py": _MODEL.format(name="MossVL", extra="vision_mask, ")}),
    ("Qwen3: share the rotary cache between layers (#115)", {f"{_S}/models/qwen3.py": _MODEL.format(name="Qwen3", extra="")}),
    ("[CI] Pin the runner (#116)", {".github/workflows/test.yml": "jobs:\n  test:\n    runs-on: h100\n"}),
    ("Test Ernie with tensor parallelism (#117)",
     {"test/srt/test_ernie45.py": 'def test_two_ranks(launch):\n    launch("--tp-size", "2")\n'}),
    ("Remove the old sampler (#118)", {f"{_S}/sampling/old_sampler.py": None}),
    (f"{HOSTILE} (#119)", {f"{_S}/utils/na\x1bme<b>.py": "def escape(title):\n    return title.strip()\n"}),
    ("Broken on purpose (#120)", {f"{_S}/utils/broken.py": "def half(:\n    return ((\n\nclass Quarter:\n    x = [\n"}),
    ("Logo (#121)", {"assets/logo.png": b"\x89PNG\r\n\x1a\n\0\0\0"}),
    ("fix #12 at last", {"README.md": "An engine for serving models\n"}),
    ("Upstream title of the Ernie rotary (#18856)",
     {f"{_S}/models/ernie45.py": _MODEL.format(name="Ernie4_5_", extra="deepstack, ")}),
    ("Merge pull request #122 from someone/branch\n\nDisable the radix cache for embeddings\n",
     {f"{_S}/embedding.py": "def disable_radix(args):\n    args.disable_radix_cache = True\n"}),
]  # fmt: skip

# another engine whose numbers are the same
OTHER: list[tuple[str, dict[str, str | bytes | tuple[str, str] | None]]] = [
    ("[Core] Prefix caching of block tables (#102)", {"vllm/v1/core/block_pool.py": "class BlockPool:\n    free = 0\n"}),
    ("[Model] Ernie4.5 (#103)", {"vllm/model_executor/models/ernie45.py": _MODEL.format(name="Ernie4_5_", extra="")}),
    ("[Bugfix] Block pool counts (#104)", {"vllm/v1/core/block_pool.py": "class BlockPool:\n    free = 1\n"}),
]  # fmt: skip


def write(path: Path, commits: list = COMMITS, fillers: int = 0) -> Path:
    """Create a bare repository at `path` that holds the commits on `main`."""
    git = ["git", "-c", "gc.auto=0", "-c", "core.hooksPath=/dev/null"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([*git, "init", "--quiet", "--bare", "--initial-branch=main", path], env=env, check=True)
    stream = b"".join(_command(i, *commit) for i, commit in enumerate([*_fillers(fillers), *commits]))
    command = [*git, f"--git-dir={path}", "fast-import", "--quiet"]
    subprocess.run(command, input=stream, env=env, check=True)
    return path


def _fillers(count: int) -> list[tuple[str, dict[str, str]]]:
    return [
        (f"Tune step {i} (#{1000 + i})", {f"python/sglang/srt/tuning/part_{i % 7}.py": f"def tune_{i}():\n    return {i}\n"})
        for i in range(count)
    ]  # fmt: skip


def _command(place: int, message: str, changes: dict[str, str | bytes | tuple[str, str] | None]) -> bytes:
    when = EPOCH + 3600 * place
    parts = [f"commit refs/heads/main\ncommitter A <a@example.com> {when} +0000\n".encode(), _data(message)]
    for path, content in changes.items():
        name = f'"{path}"'.encode()
        if content is None:
            parts.append(b"D %s\n" % name)
        elif isinstance(content, tuple):
            parts.append(f'R "{content[1]}" "{path}"\n'.encode())
        else:
            parts.append(b"M 100644 inline %s\n" % name + _data(content))
    return b"".join(parts)


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)
