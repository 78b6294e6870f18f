"""Cursors: where a list goes on. They hold a place and a fingerprint of the question, and no state is kept here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

from ingest.errors import PrloreError

T = TypeVar("T")
_FARTHEST = 1_000_000


class CursorError(PrloreError):
    """A cursor that no answer gave, or that belongs to another question."""


def fingerprint(*asked: object) -> str:
    """What a cursor is bound to: the tool and its arguments but for the cursor."""
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()[:12]


def start_of(cursor: str, bound: str) -> int:
    """The place that a cursor means, 0 for none.

    Raises:
        CursorError: it is none of ours, or of another question.
    """
    if not cursor:
        return 0
    try:
        place, _, of = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition(":")
        start = int(place)
    except (ValueError, binascii.Error) as exc:
        raise CursorError("this is no cursor: pass next_cursor of an answer, or leave it out") from exc
    if of != bound or not 0 <= start <= _FARTHEST:
        raise CursorError(
            "this cursor is of another question: pass it with the arguments of the call that gave it"
        )
    return start


def cursor_at(start: int, bound: str) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(f"{start}:{bound}".encode()).decode()


def page_of(items: Sequence[T], start: int, limit: int, bound: str) -> tuple[list[T], str]:
    """Some items from a place on, and the cursor of what follows, empty at the end."""
    end = start + limit
    return list(items[start:end]), cursor_at(end, bound) if end < len(items) else ""
