"""The generator's process: a specification on standard input, replies on standard output.

It draws its prompts and warms the server, says `Ready`, and waits for a line: whoever asked reads the server's CPU
clock before and after. Nothing that takes time happens between that line and `Done` but the load itself.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

from loop.load.client import send_all
from loop.load.errors import LoadFailed
from loop.load.prompts import TokenCounter, draw_prompts
from loop.load.spec import Done, LoadSpec, Ready, Refused, Word


def main() -> int:
    """One run."""
    try:
        spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=LoadSpec)
        import aiohttp

        counter, prompts, warm = _prepare(spec)
        if warm:
            asyncio.run(send_all(spec, warm, counter))
    except (LoadFailed, msgspec.DecodeError, ImportError) as exc:
        _say(Refused(f"{exc}"))
        return 1
    _say(Ready(f"aiohttp {aiohttp.__version__}"))
    if not sys.stdin.buffer.readline():
        return 1
    before = time.process_time_ns()
    replies, duration = asyncio.run(send_all(spec, prompts, counter))
    used = time.process_time_ns() - before
    _say(Done(len(replies), duration, used))
    for reply in replies:
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _prepare(spec: LoadSpec) -> tuple[TokenCounter, list[str], list[str]]:
    from pathlib import Path

    counter = TokenCounter(Path(spec.tokenizer))
    if spec.prompts:
        return counter, list(spec.prompts), []
    length, shared = spec.input_len, spec.shared_prefix
    prompts = draw_prompts(counter, spec.seed, spec.num_prompts, length, shared)
    return counter, prompts, draw_prompts(counter, f"{spec.seed}/warm", spec.warmup, length, shared)


def _say(word: Word) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
