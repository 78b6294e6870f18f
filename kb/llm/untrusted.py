"""Text of strangers inside a prompt: fenced by a word nobody can guess, and without secrets.

A fence alone does not make a model obey us rather than the text. What counts is that nothing a model says is
believed: claims are checked against the diff, and the model has no tools.
"""

from __future__ import annotations

import re
import secrets

_SECRETS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}|"
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def nonce() -> str:
    """A word that no text written before this moment can hold."""
    return secrets.token_hex(8)


def fenced(text: str, word: str, label: str) -> str:
    """A stranger's text between two lines that only we can write."""
    body = redacted(text).replace(word, "")
    return f"<<<{label} {word}\n{body}\n{word} {label}>>>"


def redacted(text: str, *secret: str) -> str:
    """A text without what looks like a key, and without the given ones."""
    for word in secret:
        if word:
            text = text.replace(word, "[key]")
    return _SECRETS.sub("[secret]", text)
