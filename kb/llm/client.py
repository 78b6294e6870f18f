"""One answer from a chat endpoint: time-limited, size-limited, retried, counted. The only importer of httpx here.

The endpoint is asked for JSON of a schema (`response_format: json_schema`); one that refuses the parameter is asked for
any JSON object, then for plain text. What comes back is parsed and checked in kb/llm/answers.py all the same.
"""

from __future__ import annotations

import email.utils
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ingest.errors import PrloreError
from kb.llm.budget import Budget, Usage, estimated_tokens
from kb.llm.settings import LlmSettings
from kb.llm.untrusted import redacted

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 4
_FIRST_PAUSE = 1.0  # seconds; doubled after each failure
_LONGEST_PAUSE = 60.0
_LARGEST_ANSWER = 4 << 20  # bytes
_RETRIED = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_ANSWER_TOKENS = 4096


class LlmError(PrloreError):
    """The endpoint gave no answer that can be read; trying again later may help."""


class LlmRefused(LlmError):
    """The endpoint refuses: wrong key, no such model, or a request it can't take. No retry helps."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, whether it was cut at the token limit, and what it took."""

    text: str
    is_cut: bool
    usage: Usage


class ChatClient:
    """Asks one model. Safe to use from one thread.

    Args:
        settings: endpoint and model.
        budget: what may be spent.
        sleep: how to wait between attempts.
        answer_tokens: the longest answer.
    """

    def __init__(
        self, settings: LlmSettings, budget: Budget, sleep: Callable[[float], None] = time.sleep, answer_tokens: int = _ANSWER_TOKENS
    ) -> None:  # fmt: skip
        self.settings = settings
        self.budget = budget
        self._sleep = sleep
        self._answer_tokens = answer_tokens
        self._formats = ["json_schema", "json_object", ""]
        self._http: httpx.Client | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> ChatClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        """The model's answer.

        Args:
            messages: the conversation.
            schema: JSON schema of the answer.

        Raises:
            BudgetSpent: the answer could exceed the budget.
            LlmRefused: the endpoint refuses the request.
            LlmError: no answer came in the given time and attempts.
        """
        self.budget.ask(sum(estimated_tokens(m.content) for m in messages), self._answer_tokens)
        problem = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(self._pause)
            self._pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * random.uniform(0.75, 1.25)
            try:
                return self._once(messages, schema)
            except LlmRefused:
                raise
            except LlmError as exc:
                problem = str(exc)
        raise LlmError(f"no answer from {self.settings.base_url} in {_ATTEMPTS} attempts: {problem}")

    def _once(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Completion:
        while True:
            status, headers, body = self._post(self._request(messages, schema))
            if (
                status in (400, 422)
                and schema is not None
                and len(self._formats) > 1
                and _is_about_format(body)
            ):
                self._formats.pop(0)  # this endpoint does not know it; it is not asked again
                continue
            break
        if status in _RETRIED:
            self._pause = max(self._pause, _retry_after(headers))
            raise LlmError(f"status {status}")
        if status != 200:
            raise LlmRefused(
                f"{self.settings.base_url} refuses: status {status}, {self._said(body)}; check PRLORE_LLM_MODEL and PRLORE_LLM_API_KEY"
            )
        return self._read(messages, body)

    def _request(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "temperature": 0,
            "max_tokens": self._answer_tokens,
            "stream": False,
        }
        if schema is not None and self._formats[0] == "json_schema":
            named = {"name": "answer", "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        elif schema is not None and self._formats[0]:
            request["response_format"] = {"type": self._formats[0]}
        return request

    def _post(self, request: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body; the whole exchange is bounded in time, not only its pauses."""
        import httpx

        if self._http is None:
            timeout = httpx.Timeout(self.settings.timeout, connect=min(10.0, self.settings.timeout))
            # redirects would carry the key elsewhere
            self._http = httpx.Client(timeout=timeout, follow_redirects=False)
        headers = {"Authorization": f"Bearer {self.settings.api_key}"} if self.settings.api_key else {}
        deadline = time.monotonic() + self.settings.timeout
        body = bytearray()
        try:
            with self._http.stream(
                "POST", f"{self.settings.base_url}/chat/completions", json=request, headers=headers
            ) as response:
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _LARGEST_ANSWER:
                        raise LlmRefused(
                            f"{self.settings.base_url} sends more than {_LARGEST_ANSWER >> 20} MiB: no chat endpoint does"
                        )
                    if time.monotonic() > deadline:
                        raise LlmError(f"no whole answer in {self.settings.timeout:g} s")
                return response.status_code, response.headers, bytes(body)
        except httpx.TimeoutException as exc:
            raise LlmError(f"no answer in {self.settings.timeout:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
            raise LlmError(redacted(f"{type(exc).__name__}: {exc}", self.settings.api_key)) from exc

    def _read(self, messages: Sequence[Message], body: bytes) -> Completion:
        try:
            answer = json.loads(body)
            choice = answer["choices"][0]
            text = choice["message"]["content"] or ""
            if not isinstance(text, str):
                raise TypeError("content is no text")
        except (ValueError, KeyError, IndexError, TypeError) as exc:
            raise LlmError(f"what came back is no chat completion: {self._said(body)}") from exc
        usage = _usage(answer.get("usage"), messages, text)
        self.budget.spend(usage)
        return Completion(text, choice.get("finish_reason") == "length", usage)

    def _said(self, body: bytes) -> str:
        """The beginning of a body, for people: no key, one line."""
        return " ".join(redacted(body[:300].decode("utf-8", "replace"), self.settings.api_key).split())

    _pause: float = 0.0


def _usage(said: object, messages: Sequence[Message], text: str) -> Usage:
    """Tokens as the endpoint counts them; estimated where it does not say."""
    if isinstance(said, dict):
        prompt, completion = said.get("prompt_tokens"), said.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0:
            return Usage(prompt, completion)
    return Usage(sum(estimated_tokens(m.content) for m in messages), estimated_tokens(text))


def _is_about_format(body: bytes) -> bool:
    lowered = body[:4000].lower()
    return any(
        word in lowered
        for word in (b"response_format", b"json_schema", b"json_object", b"guided", b"grammar", b"schema")
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the endpoint asks to wait, at most a minute."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        moment = email.utils.parsedate_to_datetime(text) if text[:1].isalpha() else None
        seconds = (moment - datetime.now(UTC)).total_seconds() if moment else 0.0
    return min(max(seconds, 0.0), _LONGEST_PAUSE)
