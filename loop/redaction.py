"""Secrets taken out of everything that a campaign stores, before it is stored.

Two nets: the exact values of secret environment variables (as they are, and as JSON, URLs and Base64 write them), and the
shapes of well-known tokens. Entropy is no sign here, since digests and blob names fill every artefact. Text that is
compressed with gzip is looked into. What is not a secret is not touched, byte for byte.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
import zlib
from collections.abc import Iterable, Mapping
from gzip import compress

_MARK = b"[secret]"
_SHORTEST = 8  # a shorter value would blacken ordinary words
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?|APIKEY|AUTH|COOKIE|SESSION|DSN|PAT)(?:_|$)|(?:API|ACCESS|PRIVATE|SECRET|SIGNING|ENCRYPTION|SSH|ACCOUNT)_?KEY|_KEY$",
    re.IGNORECASE,
)
# values under such names that say where a secret is, or how, and are none
_NOT_SECRET = re.compile(r"^(?:/[\w./-]*|true|false|yes|no|none|null|\d+(?:\.\d+)?)$", re.IGNORECASE)
_SHAPES = re.compile(
    rb"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    rb"|xox[abeprs]-[\w-]{10,}|nvapi-[\w-]{20,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|sq0csp-[\w-]{43}|SK[0-9a-f]{32}|dckr_pat_[\w-]{20,}"
    rb"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----.{0,20000}?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    rb"|(?<=://)[^\s/:@\"']{1,80}:[^\s/@\"']{3,200}(?=@)"
    rb"|(?i:(?<=bearer )|(?<=authorization: basic ))[\w.~+/=-]{16,}",
    re.DOTALL,
)
_GZIP = b"\x1f\x8b"
_LARGEST_INFLATED = 1 << 30


def secret_values(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Values of the variables whose names say that they are secret."""
    return frozenset(
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and not _NOT_SECRET.match(value)
    )


class Redactor:
    """Takes secrets out of bytes.

    Args:
        values: exact values; those of the environment where none are given.
        shapes: whether what only looks like a token goes as well. Not in source trees: there it is public, and a file that is
            changed elsewhere must not change there.
    """

    def __init__(self, values: Iterable[str] | None = None, *, shapes: bool = True) -> None:
        self._shapes = shapes
        known = secret_values() if values is None else values
        forms = {form for value in known if len(value) >= _SHORTEST for form in _forms(value)}
        # the longest first, or a part of a secret would be left standing
        self._exact = (
            re.compile(b"|".join(re.escape(f) for f in sorted(forms, key=len, reverse=True)))
            if forms
            else None
        )

    def __call__(self, raw: bytes) -> bytes:
        """The bytes without secrets; the same object where there is none."""
        if raw.startswith(_GZIP):
            return self._inside(raw)
        return self._plain(raw)

    def text(self, text: str) -> str:
        """The same for text."""
        return self(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def finds(self, raw: bytes) -> bool:
        """Whether there is a secret."""
        return self(raw) is not raw

    def _plain(self, raw: bytes) -> bytes:
        clean = self._exact.sub(_MARK, raw) if self._exact else raw
        clean = _SHAPES.sub(_MARK, clean) if self._shapes else clean
        return raw if clean == raw else clean

    def _inside(self, raw: bytes) -> bytes:
        inflater = zlib.decompressobj(wbits=31)
        try:
            text = inflater.decompress(raw, _LARGEST_INFLATED)
            while inflater.eof and inflater.unused_data.startswith(_GZIP):
                rest, inflater = inflater.unused_data, zlib.decompressobj(wbits=31)
                text += inflater.decompress(rest, _LARGEST_INFLATED)
        except zlib.error:
            return self._plain(raw)
        clean = self._plain(text)
        return raw if clean is text else compress(clean, mtime=0)


def _forms(value: str) -> Iterable[bytes]:
    """A secret as text, JSON, URLs and Base64 write it; Base64 at each of its three offsets, without the outer characters."""
    raw = value.encode("utf-8", "surrogateescape")
    yield raw
    yield json.dumps(value)[1:-1].encode()
    yield urllib.parse.quote(value, safe="").encode()
    yield urllib.parse.quote_plus(value).encode()
    yield raw.hex().encode()
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * offset + raw).rstrip(b"=")
            inner = whole[(offset * 8 + 5) // 6 : -1] if offset else whole[:-1]
            if len(inner) >= _SHORTEST:
                yield inner
