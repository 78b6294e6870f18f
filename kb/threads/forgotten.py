"""Authors whose words are not kept: remembered by a hash of their login, in the store itself."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ingest.github.ledger import author_hash
from ingest.github.records import FORGOTTEN, Author, Description, Thread
from kb.store import Store

_KEY = "forgotten"
R = TypeVar("R", Thread, Description)


def forgotten_hashes(store: Store) -> frozenset[str]:
    """Hashes of the forgotten authors."""
    return frozenset(store.meta().get(_KEY, "").split())


def remember_to_forget(store: Store, login: str) -> None:
    """Leave an author out from now on."""
    store.set_meta({_KEY: " ".join(sorted({*forgotten_hashes(store), author_hash(login)}))})


def without_forgotten(record: R, hashes: frozenset[str]) -> R:
    """A thread or description in which nothing of forgotten authors stands; that they wrote stays."""
    if not hashes:
        return record
    if isinstance(record, Description):
        if not _is(record.author, hashes):
            return record
        return msgspec.structs.replace(record, author=_nobody(record.author), body="", title="")
    if not any(_is(c.author, hashes) for c in record.comments):
        return record
    comments = tuple(
        msgspec.structs.replace(c, author=_nobody(c.author), body="", suggestions=()) if _is(c.author, hashes) else c
        for c in record.comments
    )  # fmt: skip
    return msgspec.structs.replace(record, comments=comments)


def _is(author: Author, hashes: frozenset[str]) -> bool:
    return bool(author.login) and author_hash(author.login) in hashes


def _nobody(author: Author) -> Author:
    return msgspec.structs.replace(author, login=FORGOTTEN)
