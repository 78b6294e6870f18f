"""The table of faults: what GitHub, a proxy in front of it or the line to it can do to an answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_HTML = b"<!DOCTYPE html><html><body><h1>Whoa there!</h1><p>Unicorn!</p></body></html>"
_SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", "documentation_url": "https://docs.github.com/"}  # fmt: skip
_PRIMARY = {
    "message": "API rate limit exceeded for user ID 1.",
    "documentation_url": "https://docs.github.com/",
}


@dataclass(frozen=True)
class Fault:
    """What is sent in an answer's place. `break_at` is how much of the body goes out before the line is cut."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    break_at: float | None = None  # share of the true answer
    cut: float | None = None  # share of the true answer, announced as the whole
    hang_up: bool = False
    spent: bool = False  # quota headers say that nothing is left, and come back in a second
    content: str = "application/json; charset=utf-8"


def _json(status: int, data: Any, **headers: str) -> Fault:
    return Fault(status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(data).encode())


FAULTS: dict[str, Fault] = {
    "429 secondary": _json(429, _SECONDARY),
    "429 secondary, Retry-After": _json(429, _SECONDARY, Retry_After="1"),
    "429 without a body": Fault(429),
    "429 primary": Fault(429, body=json.dumps(_PRIMARY).encode(), spent=True),
    "403 secondary": _json(403, _SECONDARY),
    "403 secondary, Retry-After": _json(403, _SECONDARY, Retry_After="1"),
    "403 abuse": _json(
        403,
        {
            "message": "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again."
        },
    ),
    "403 primary": Fault(403, body=json.dumps(_PRIMARY).encode(), spent=True),
    "500": Fault(500, body=b"", content="text/html"),
    "502": Fault(502, body=_HTML, content="text/html"),
    "503, Retry-After": Fault(503, {"Retry-After": "1"}, _HTML, content="text/html"),
    "truncated body": Fault(break_at=0.5),
    "cut JSON": Fault(cut=0.5),
    "empty body": Fault(cut=0.0),
    "HTML with status 200": Fault(200, body=_HTML, content="text/html"),
    "hung up": Fault(hang_up=True),
}
GRAPHQL_FAULTS: dict[str, Fault] = {
    "query timed out": _json(200, {"data": None, "errors": [{"message": "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub bug."}]}),
    "query quota spent": _json(200, {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1."}]}),
    "resource limits": _json(200, {"errors": [{"type": "RESOURCE_LIMITS_EXCEEDED", "message": "Resource limits for this query exceeded."}]}),
}  # fmt: skip


@dataclass
class Switch:
    """Faults that are on: which, for which requests, how many times, after how many answered rightly."""

    name: str
    times: int = 1
    path: str = ""
    after: int = 0

    def applies(self, path: str) -> bool:
        if self.times <= 0 or not re.search(self.path, path):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True

    @property
    def fault(self) -> Fault:
        return FAULTS.get(self.name) or GRAPHQL_FAULTS[self.name]
