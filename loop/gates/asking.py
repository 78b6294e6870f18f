"""Questions whose answers are compared word for word: one server, tokens with their probabilities, any number at a time.

The load generator measures and keeps digests; this keeps texts. Times don't matter here.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from ingest.errors import PrloreError

_TIMEOUT_S = 300.0
_LARGEST = 16 << 20
# a proxy of the surroundings must not stand between us and our own server
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoAnswer(PrloreError):
    """A server did not answer a question."""


class _Logprobs(msgspec.Struct):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    error: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Answer(msgspec.Struct, frozen=True):
    """An answer, token by token.

    Attributes:
        tokens: as the server cuts them; chunks of text where it names no tokens.
        logprobs: of the tokens, empty where the server gives none.
        tops: the most likely tokens at each place with their logprobs, empty where the server gives none.
        finish: the server's reason for ending.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...] = ()
    tops: tuple[dict[str, float], ...] = ()
    finish: str = ""

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a server: greedy continuations.

    Attributes:
        tokens: of an answer at most; `ignore_eos` makes it exactly so many.
        tops: alternatives asked for at each place.
    """

    url: str
    model: str
    tokens: int
    tops: int = 2
    ignore_eos: bool = False
    endpoint: str = "/v1/completions"


def ask_all(asked: Asked, prompts: Sequence[str], at_once: int = 1) -> list[Answer]:
    """Answers in the order of the prompts.

    Raises:
        NoAnswer: the server refuses, breaks off, or takes more than five minutes for one.
    """
    if at_once == 1:
        return [_ask(asked, prompt) for prompt in prompts]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda prompt: _ask(asked, prompt), prompts))


def _ask(asked: Asked, prompt: str) -> Answer:
    body = {
        "model": asked.model, "prompt": prompt, "max_tokens": asked.tokens, "temperature": 0, "stream": True,
        "logprobs": asked.tops, "ignore_eos": asked.ignore_eos,
    }  # fmt: skip
    request = urllib.request.Request(
        asked.url + asked.endpoint, msgspec.json.encode(body), {"Content-Type": "application/json"}
    )
    parts = _Parts()
    try:
        with _opener.open(request, timeout=_TIMEOUT_S) as answer:
            read = 0
            for line in answer:
                read += len(line)
                if read > _LARGEST:
                    raise NoAnswer(f"{asked.url}: an answer of over {_LARGEST >> 20} MiB")
                data = line.removeprefix(b"data:").strip()
                if line.startswith(b"data:") and data != b"[DONE]":
                    parts.add(_decode(data))
    except urllib.error.HTTPError as exc:
        said = exc.read(300).decode("utf-8", "replace")
        exc.close()
        raise NoAnswer(f"{asked.url}: HTTP {exc.code} {said}") from exc
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as exc:
        raise NoAnswer(f"{asked.url}: {type(exc).__name__} {exc}") from exc
    return parts.whole()


class _Parts:
    """An answer while it comes."""

    def __init__(self) -> None:
        self._tokens: list[str] = []
        self._logprobs: list[float | None] = []
        self._tops: list[dict[str, float] | None] = []
        self._finish = ""

    def add(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            raise NoAnswer(bytes(chunk.error)[:300].decode("utf-8", "replace"))
        for choice in chunk.choices:
            self._finish = choice.finish_reason or self._finish
            told = choice.logprobs
            tokens = (told.tokens if told else None) or ([choice.text] if choice.text else [])
            self._tokens += tokens
            if told and told.token_logprobs and len(told.token_logprobs) == len(tokens):
                self._logprobs += told.token_logprobs
            if told and told.top_logprobs and len(told.top_logprobs) == len(tokens):
                self._tops += told.top_logprobs

    def whole(self) -> Answer:
        count = len(self._tokens)
        # some first tokens have no probability; a partial list would be misaligned, so it counts as none
        logprobs = tuple(p for p in self._logprobs if p is not None)
        tops = tuple(t for t in self._tops if t is not None)
        return Answer(
            tuple(self._tokens),
            logprobs if len(logprobs) == count else (),
            tops if len(tops) == count else (),
            self._finish,
        )
