"""The access token: from the environment or from `gh`, and nowhere else. It is never an argument, and never printed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit

from ingest.errors import PrloreError

_VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN")
_PATIENCE = 20  # seconds for gh


class TokenError(PrloreError):
    """There is no token, or it can't be sent."""


class Token:
    """An access token that shows itself to nobody: printing, logging and pickling it give a mask."""

    __slots__ = ("_secret", "source")

    def __init__(self, secret: str, source: str) -> None:
        self._secret = secret
        self.source = source

    def reveal(self) -> str:
        """The token, for the one line that sends it."""
        return self._secret

    def redact(self, text: str) -> str:
        """A text without the token, should a server or a library have put it there."""
        return text.replace(self._secret, "***") if self._secret else text

    def strip_from(self, body: bytes) -> bytes:
        """An answer without the token, should somebody have published it there."""
        secret = self._secret.encode()
        return body.replace(secret, b"***") if secret and secret in body else body

    def __repr__(self) -> str:
        return f"Token(*** from {self.source})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a token is not written anywhere")


def find_token(api_url: str, environment: Mapping[str, str] | None = None) -> Token:
    """The token for an address.

    Raises:
        TokenError: none is set and `gh` has none, or it has characters that no token has.
    """
    environment = os.environ if environment is None else environment
    for name in _VARIABLES:
        secret = environment.get(name, "").strip()
        if secret:
            return _checked(secret, name)
    gh = shutil.which("gh", path=environment.get("PATH"))
    if gh is not None:
        host = (urlsplit(api_url).hostname or "").removeprefix("api.") or "github.com"
        try:
            done = subprocess.run(
                [gh, "auth", "token", "--hostname", host], capture_output=True, text=True, timeout=_PATIENCE,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0 and done.stdout.strip():
            return _checked(done.stdout.strip(), "gh")
    raise TokenError("no GitHub token: set GITHUB_TOKEN to a read-only one, or log in with `gh auth login`")


def _checked(secret: str, source: str) -> Token:
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise TokenError(f"the token from {source} has characters that no token has: set it anew")
    return Token(secret, source)
