"""Answers on disk, so that a run that was killed goes on without asking again.

One JSON line an answer, keyed by a hash of model and conversation. A line that a kill cut off is no answer; the
next one begins on a line of its own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from kb.llm.client import Message


class JournalError(PrloreError):
    """The journal can't be read or written."""


class _Entry(msgspec.Struct, frozen=True):
    key: str
    text: str


def conversation_key(model: str, messages: Sequence[Message]) -> str:
    """Names a request: the same model asked the same thing."""
    digest = hashlib.sha256(model.encode())
    for message in messages:
        digest.update(f"\0{message.role}\0{message.content}".encode("utf-8", "replace"))
    return digest.hexdigest()


class Journal:
    """Answers by key.

    Raises:
        JournalError: the file can't be read or made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[str, str] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for line in path.read_bytes().split(b"\n") if path.exists() else []:
                try:
                    entry = msgspec.json.decode(line, type=_Entry)
                except msgspec.DecodeError:
                    continue
                self._answers[entry.key] = entry.text
        except OSError as exc:
            raise JournalError(
                f"can't use the journal {path}: {exc.strerror}; name another with --journal"
            ) from exc

    def get(self, key: str) -> str | None:
        """The answer of a request, None if it was not asked."""
        return self._answers.get(key)

    def put(self, key: str, text: str) -> None:
        """Keep an answer; it is on disk when this returns.

        Raises:
            JournalError: the disk is full or the file is not ours to write.
        """
        self._answers[key] = text
        line = msgspec.json.encode(_Entry(key, text))
        try:
            # a newline on both sides: what a kill left unfinished must not swallow this line
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, b"\n" + line + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as exc:
            raise JournalError(f"can't write the journal {self._path}: {exc.strerror}") from exc
