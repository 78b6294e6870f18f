"""Taking a person out of what GitHub sent: their name and their words, wherever they stand in a page."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from ingest.github.ledger import Ledger, author_hash
from ingest.github.pages import Page, page_of
from ingest.github.records import FORGOTTEN
from ingest.github.replay import all_rows

_WORDS = ("body", "bodyText", "bodyHTML", "title", "description")
_PLACES = ("head", "base")  # of a pull request: a fork's name is its owner's


def scrub(body: bytes, forgotten: Collection[str]) -> bytes:
    """A page without the words and names of forgotten authors; the same bytes where there are none."""
    if not forgotten:
        return body
    data = json.loads(body)
    return (
        json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") if _clean(data, forgotten) else body
    )


def _clean(node: Any, forgotten: Collection[str]) -> bool:
    """Clean a value in place; whether anything was there to clean."""
    changed = False
    if isinstance(node, list):
        for item in node:
            changed |= _clean(item, forgotten)
    if not isinstance(node, dict):
        return changed
    for key in ("user", "author"):
        person = node.get(key)
        if isinstance(person, dict) and _is(person, forgotten):
            changed = True
            for word in _WORDS:
                if isinstance(node.get(word), str):
                    node[word] = ""
            for place in _PLACES:
                if isinstance(node.get(place), dict):
                    node[place] = {k: node[place].get(k) for k in ("sha",)} | {"ref": ""}
    for key, value in node.items():
        if isinstance(value, dict) and _is(value, forgotten):
            changed = True
            kind = {k: value[k] for k in ("type", "__typename") if k in value}
            node[key] = {"login": FORGOTTEN, **kind}
        else:
            changed |= _clean(value, forgotten)
    return changed


def _is(person: dict[str, Any], forgotten: Collection[str]) -> bool:
    login = person.get("login")
    return isinstance(login, str) and author_hash(login) in forgotten


def forget_in_ledger(ledger: Ledger, login: str) -> int:
    """Write all pages anew without a person and remember to leave them out from now on; returns the changed pages.

    The new segments are written beside the old ones and take their place in one transaction of the ledger.
    """
    hashed = author_hash(login)
    with ledger.transaction() as db:
        db.execute("INSERT OR IGNORE INTO forgotten VALUES (?)", (hashed,))
    forgotten = ledger.forgotten()
    changed = ledger.rewrite(lambda page: _without(page, forgotten))
    ledger.rebuild(all_rows(ledger))
    ledger.vacuum()
    return changed


def _without(page: Page, forgotten: Collection[str]) -> Page:
    body = page.body.encode()
    clean = scrub(body, forgotten)
    if clean == body:
        return page
    # the mark of a page that we changed must not be sent again: the same mark would mean the same words
    return page_of(page.stream, page.url, clean, params=page.params, fetched_at=page.fetched_at)
