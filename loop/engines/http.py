"""Short questions to a server on this machine: health, version, profiler. Load goes through `loop.load`, never here."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any

import msgspec

from loop.engines.errors import EngineFailed

_LARGEST = 4 << 20

# a proxy of the surroundings must not stand between us and our own server
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_BROKEN = (OSError, http.client.HTTPException, msgspec.DecodeError)


def responds(url: str) -> bool:
    """Whether a route answers with 200."""
    try:
        with _opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except _BROKEN:
        return False


def get_json(url: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """An object from a route; empty where there is no such route or no object.

    Raises:
        EngineFailed: the server doesn't answer.
    """
    try:
        with _opener.open(url, timeout=timeout_s) as answer:
            found = msgspec.json.decode(answer.read(_LARGEST) or b"{}")
            return found if isinstance(found, dict) else {}
    except urllib.error.HTTPError as exc:
        exc.close()
        return {}
    except _BROKEN as exc:
        raise EngineFailed(f"{url}: {exc}") from exc


def post_json(url: str, body: dict[str, Any], timeout_s: float = 120.0) -> bytes:
    """What a route answers to an object.

    Raises:
        EngineFailed: it refuses, or does not answer.
    """
    request = urllib.request.Request(url, msgspec.json.encode(body), {"Content-Type": "application/json"})
    try:
        with _opener.open(request, timeout=timeout_s) as answer:
            said: bytes = answer.read(_LARGEST)
            return said
    except urllib.error.HTTPError as exc:
        text = exc.read(400).decode("utf-8", "replace")
        exc.close()
        raise EngineFailed(f"{url}: HTTP {exc.code} {text}") from exc
    except _BROKEN as exc:
        raise EngineFailed(f"{url}: {exc}") from exc
