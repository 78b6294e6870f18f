"""Streams completions from an OpenAI-compatible server and notes when each piece of text came.

aiohttp, because its parser is in C: the generator shares the machine with the server, and httpx needs four times the
CPU for a chunk. Times are read when a chunk is taken off the socket, before it is decoded.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from loop.load.prompts import TokenCounter
from loop.load.spec import LoadSpec, Reply

if TYPE_CHECKING:
    import aiohttp

_LARGEST_ANSWER = 16 << 20  # bytes; a server that never ends would fill the memory


class _Logprobs(msgspec.Struct):
    token_logprobs: list[float | None] | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Chunk).decode


@dataclass
class _Answer:
    """What has come so far."""

    times: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str | None = None
    claimed: int | None = None
    size: int = 0
    end: int = 0


async def send_all(
    spec: LoadSpec,
    prompts: Sequence[str],
    counter: TokenCounter,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> tuple[list[Reply], int]:
    """Send prompts and wait for all answers.

    Returns:
        A reply a prompt, in order, and the run's length in ns. Answers are counted after the run, not during it.
    """
    import aiohttp

    gate = asyncio.Semaphore(spec.concurrency)
    timeout = aiohttp.ClientTimeout(total=spec.timeout_s)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, read_bufsize=1 << 18) as session:
        start = clock()
        arrivals = _arrivals(spec, len(prompts))

        async def one(index: int) -> Reply:
            wait = arrivals[index] - (clock() - start) / 1e9
            if wait > 0:
                await asyncio.sleep(wait)
            async with gate:
                return await _send(session, spec, index, prompts[index], lambda: clock() - start)

        replies = await asyncio.gather(*(one(i) for i in range(len(prompts))))
    counted = [
        msgspec.structs.replace(
            reply, input_tokens=counter.count(reply.prompt), text_tokens=counter.count(reply.text)
        )
        for reply in replies
    ]
    return counted, max((reply.last_ns for reply in replies), default=0)


def _arrivals(spec: LoadSpec, count: int) -> list[float]:
    """Seconds from the start at which requests may be sent."""
    if spec.request_rate is None:
        return [0.0] * count
    rng, at, found = random.Random(f"{spec.seed}/arrivals"), 0.0, []
    for _ in range(count):
        found.append(at)
        at += rng.expovariate(spec.request_rate)
    return found


async def _send(
    session: aiohttp.ClientSession, spec: LoadSpec, index: int, prompt: str, now: Callable[[], int]
) -> Reply:
    import aiohttp

    body: dict[str, object] = {
        "model": spec.model, "prompt": prompt, "max_tokens": spec.output_len, "temperature": spec.temperature,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    if spec.ignore_eos:
        body["ignore_eos"] = True
    if spec.logprobs:
        body["logprobs"] = spec.logprobs
    answer, status, error = _Answer(), 0, None
    payload = msgspec.json.encode(body)
    sent = now()
    try:
        async with session.post(
            spec.url + spec.endpoint, data=payload, headers={"Content-Type": "application/json"}
        ) as response:
            status = response.status
            if status != 200:
                said = (await response.content.read(400)).decode("utf-8", "replace")
                error = f"HTTP {status}: {said}"
            else:
                await _read(response, answer, now)
    except TimeoutError:
        error = f"no end after {spec.timeout_s:g} s"
    except (aiohttp.ClientError, OSError, msgspec.DecodeError, ValueError) as exc:
        error = f"{type(exc).__name__}: {exc}"
    return Reply(
        index=index,
        prompt=prompt,
        input_tokens=0,
        sent_ns=sent,
        chunk_ns=tuple(answer.times),
        last_ns=answer.end or now(),
        text="".join(answer.texts),
        text_tokens=0,
        claimed_tokens=answer.claimed,
        finish=answer.finish,
        status=status,
        error=error,
        logprobs=tuple(answer.logprobs),
    )


async def _read(response: aiohttp.ClientResponse, answer: _Answer, now: Callable[[], int]) -> None:
    """Server-sent events until `[DONE]` or the end; a line may come in pieces."""
    async for line in response.content:
        at = now()
        answer.size += len(line)
        if answer.size > _LARGEST_ANSWER:
            raise ValueError("an answer without end")
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        chunk = _decode(data)
        if bytes(chunk.error) not in (b"", b"null"):
            raise ValueError(f"the server says {bytes(chunk.error)[:300].decode('utf-8', 'replace')}")
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            answer.claimed = chunk.usage.completion_tokens
        for choice in chunk.choices:
            if choice.text:
                answer.times.append(at)
                answer.end = at
                answer.texts.append(choice.text)
            if choice.logprobs is not None:
                answer.logprobs += [
                    value for value in choice.logprobs.token_logprobs or () if value is not None
                ]
            answer.finish = choice.finish_reason or answer.finish
