"""Which concern a text speaks of: a reviewer's comment, or the title of a fix. Words of the text alone decide.

Paths and categories of files say nothing of what somebody worried about, so they are not asked. A text gets at most two
concerns, the ones most of its telling words belong to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from kb.critique.findings import CONCERNS, Concern

# words of kb/words.py (lower case, singular); a text is asked for them as `(^| )word( |$)`
_WORDS: Mapping[Concern, str] = {
    "correctness": "bug wrong incorrect broken break crash crashe fail failure failing failed error exception assert assertion assertionerror "
    "nan inf accuracy correctness regression race deadlock hang typeerror valueerror keyerror indexerror attributeerror mismatch overflow "
    "corrupt corrupted corruption none nonetype garbage garbled edge invalid missing off-by-one bugfix uninitialized duplicate stale",
    "performance": "perf performance slow slower slowdown fast faster latency throughput overhead speedup ttft itl tpot optimize optimization "
    "bottleneck benchmark sync d2h h2d cpu-bound blocking hot overlap",
    "GPU/kernel": "kernel cuda triton gpu hip rocm amd sm90 sm100 sm120 hopper blackwell graph cudagraph capture replay ptx cutlass flashinfer "
    "flashattention fa3 fa4 shared-memory warp block illegal smem tma deepgemm cutedsl tilelang aiter xpu npu",
    "memory/cache": "memory oom leak cache kv kvcache radix pool evict eviction allocation allocator allocate free page block-table prefix hicache "
    "offload fragmentation mem buffer mamba-pool",
    "distributed": "distributed nccl allreduce allgather reduce-scatter tp pp dp ep cp rank world-size broadcast disaggregation pd mooncake nixl "
    "deepep rdma multinode multi-node parallel allto all2all collective communicator dpattention eplb",
    "API compatibility": "api backward compatibility compatible deprecated deprecate default flag argument openai protocol signature interface "
    "breaking cli serverarg endpoint schema parser streaming request response",
    "model/quantisation": "model weight checkpoint quant quantization quantisation fp8 fp4 nvfp4 mxfp4 int4 int8 awq gptq lora loader loading "
    "moe expert rope rotary mla tokenizer processor multimodal vision mtp eagle dtype scale",
    "tests": "test unittest ci flaky coverage testcase pytest fixture",
    "docs": "doc docs docstring documentation readme comment typo example",
    "build": "build compile dependency cmake docker dockerfile import version pin wheel package install torch-version setup pyproject",
    "observability": "log logging logger metric metrics prometheu trace tracing profile profiler warning telemetry",
    "maintainability": "refactor rename cleanup clean duplicate-code readability simplify style naming dead unused hardcode hardcoded helper "
    "nit abstraction copy-paste",
}
# words that several concerns share say less
_STRONG: Mapping[str, float] = {
    "oom": 3.0, "leak": 3.0, "deadlock": 2.0, "hang": 1.5, "nccl": 2.0, "crash": 2.0, "accuracy": 2.0, "nan": 2.0, "typo": 2.0,
    "flaky": 3.0, "bug": 1.5, "wrong": 1.5, "incorrect": 1.5, "slow": 2.0, "regression": 1.2, "illegal": 2.0, "cudagraph": 1.5,
    "deprecated": 2.0, "docstring": 2.0, "doc": 1.5, "refactor": 2.0, "log": 1.5, "logging": 1.5, "metric": 2.0, "test": 1.2, "perf": 2.0,
    "fp8": 1.2, "quant": 1.2, "lora": 1.2, "kv": 1.2, "cache": 1.1, "unused": 2.0, "nit": 1.0, "weight": 1.2, "disaggregation": 1.5,
    "block": 0.4, "none": 0.6, "missing": 0.7, "graph": 0.8, "parallel": 0.8, "model": 0.6, "default": 0.8, "request": 0.5, "response": 0.5,
    "free": 0.6, "page": 0.7, "import": 0.6, "version": 0.7, "scale": 0.6, "capture": 0.7, "buffer": 0.6, "hot": 0.6, "edge": 0.6,
    "sync": 0.8, "blocking": 0.6, "comment": 0.8, "example": 0.8, "profile": 0.8, "trace": 0.8, "warning": 0.8, "kernel": 1.1, "gpu": 0.7,
    "error": 1.0, "fail": 1.2, "failure": 1.2,
}  # fmt: skip
_RANK = {c: i for i, c in enumerate(CONCERNS)}
_SECOND = 0.6  # share of the first concern's worth that a second one needs


@cache
def _owners() -> dict[str, list[Concern]]:
    owners: dict[str, list[Concern]] = {}
    for concern, words in _WORDS.items():
        for word in words.split():
            owners.setdefault(word.replace("-", ""), []).append(concern)
    return owners


def concerns_of(words: str) -> tuple[Concern, ...]:
    """The concerns of a text, the stronger first; none where no word tells.

    Args:
        words: the text as words of `kb/words.py`, joined by blanks.
    """
    worth: dict[Concern, float] = {}
    owners = _owners()
    for word in sorted(owners.keys() & words.split(" ")):  # in one order, so that sums are the same twice
        for concern in owners[word]:
            worth[concern] = worth.get(concern, 0.0) + _STRONG.get(word, 1.0)
    if not worth:
        return ()
    if len(worth) == 1:
        return tuple(worth)
    ranked = sorted(worth, key=lambda c: (-worth[c], _RANK[c]))
    first = worth[ranked[0]]
    return tuple(c for c in ranked[:2] if worth[c] >= _SECOND * first)


# what a reviewer of these engines asks to see; searched in the words of a thread, `(^| )…( |$)` around each
EVIDENCE_ASKED: Mapping[str, str] = {
    "benchmark numbers": r"benchmark|bench|throughput|latency|ttft|itl|speedup|perf",
    "accuracy evaluation": r"accuracy|gsm8k|mmlu|eval|lmeval|gpqa|mmmu|aime",
    "a unit test": r"unittest|unit|testcase|pytest|test",
    "a profile or trace": r"profile|profiler|trace|nsys|ncu",
    "documentation": r"doc|docs|docstring|documentation|readme",
}


def word_pattern(alternatives: str) -> str:
    """A pattern that finds words in a joined list of them."""
    return rf"(?:^| )(?:{alternatives})(?: |$)"


NIT = word_pattern("nit|minor|typo|style|naming|rename|optional")
_ASKS = re.compile(
    r"\b(?:could you|can you|can we|could we|please|pls|plz|should|shall|need(?:s)? to|have to|must|why|what if|would|don't|do not|instead|"
    r"wrong|bug|break|fail|crash|leak|slow|remove|avoid|missing|forget|forgot|rename|move|add|check|make sure|ensure|nit)\b|\?|请|应该|需要|为什么|建议|问题|是否",
    re.IGNORECASE,
)


def asks_for_something(body: str) -> bool:
    """Whether a comment wants a change or an answer, rather than thanking or reporting."""
    return bool(_ASKS.search(body))
