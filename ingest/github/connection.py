"""The connection that PyGithub is given: it follows nothing, reads no more than it should, and keeps the bytes.

PyGithub follows a 301 without its query, and a 302 to whatever host is named. Here a redirect is an exception,
and the client decides.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, RequestsResponse
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    ContentDecodingError,
    InvalidHeader,
    Timeout,
)

from ingest.github.retry import PatientRetry

MOST_BYTES = 64 << 20  # of one decoded answer: a page of 100 pull requests is about 2 MB
_CONNECT, _READ = 15, 60  # seconds
BROKEN = (ChunkedEncodingError, ContentDecodingError, ConnectionError, Timeout, InvalidHeader)


class Redirected(Exception):
    """The server wants the request to go elsewhere."""

    def __init__(self, location: str) -> None:
        super().__init__("redirected")
        self.location = location


class TooLarge(Exception):
    """An answer has more bytes than any that GitHub gives."""


class Connection:
    """One connection to one host, in the form that PyGithub's requester takes. `body` is the last answer's bytes."""

    def __init__(self, base_url: str, retry: PatientRetry) -> None:
        parts = urlsplit(base_url)
        made = HTTPSRequestsConnectionClass if parts.scheme == "https" else HTTPRequestsConnectionClass
        self._inner = made(parts.hostname or "", parts.port, retry=retry, timeout=_READ)
        self.host = self._inner.host
        self.body = b""
        self._request: tuple[str, str, Any, dict[str, str]] = ("GET", "/", None, {})

    def request(self, verb: str, url: str, input: Any, headers: dict[str, str], stream: bool = False) -> None:
        """Take note of a request; PyGithub asks for the answer next."""
        self._request = (verb, url, input, headers)

    def getresponse(self) -> RequestsResponse:
        """Send it.

        Raises:
            Redirected: the answer is a redirect, whatever its kind.
            TooLarge: the answer does not end where it should.
        """
        verb, url, data, headers = self._request
        inner = self._inner
        answer = inner.session.request(
            verb, f"{inner.protocol}://{inner.host}:{inner.port}{url}", headers=headers, data=data,
            timeout=(_CONNECT, _READ), verify=inner.verify, allow_redirects=False, stream=True,
        )  # fmt: skip
        with answer:
            if answer.status_code in (301, 302, 303, 307, 308) and "location" in answer.headers:
                raise Redirected(answer.headers["location"])
            parts, size = [], 0
            for part in answer.iter_content(1 << 16):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise TooLarge
        self.body = b"".join(parts)
        answer._content = self.body
        answer.encoding = "utf-8"  # no guessing: GitHub's answers are UTF-8
        return RequestsResponse(answer)

    def close(self) -> None:
        """Close the sockets."""
        self._inner.close()
