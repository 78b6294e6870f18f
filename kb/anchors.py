"""Anchors of claims: finding the anchored text, and proving it by hash.

Lines are looked for in a diff, characters in the commit message, the description or a review thread. What a store
does not hold uncut can't be proven from it and is told apart from what is wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ingest.errors import PrloreError
from ingest.records import Hunk
from kb.cards import Anchor, Card
from kb.diff_lines import LONGEST_LINE
from kb.stored_diff import Diff


class AnchorError(PrloreError):
    """An anchor that does not hold: no such file, lines outside any hunk, nothing changed there, another hash."""


class AnchorUnseen(AnchorError):
    """An anchor into text that is not held here whole: neither proven nor refuted."""


class Discussion(Protocol):
    """What was written about a pull request outside its diff."""

    def description(self, card_id: str) -> str | None:
        """The pull request's description, None where it is not held."""

    def thread(self, card_id: str, thread: str) -> str | None:
        """The text of one review thread, None where there is no such thread."""


@dataclass(frozen=True, slots=True)
class NoDiscussion:
    """A store without synced threads."""

    def description(self, card_id: str) -> str | None:
        """Nothing."""
        return None

    def thread(self, card_id: str, thread: str) -> str | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Found:
    """Anchored text, and the anchor with its hunk and hash."""

    anchor: Anchor
    text: str


def resolve_anchor(anchor: Anchor, diff: Diff) -> Found:
    """Find the lines of a `diff` anchor.

    Args:
        anchor: path, side and lines; its hunk and hash are checked when they are given.
        diff: the pull request's diff.

    Raises:
        AnchorUnseen: the diff is held in part, and not this part.
        AnchorError: the anchor does not hold; the message says why.
    """
    first, last = anchor.lines
    place = f"{anchor.path}:{first}-{last} ({anchor.side})"
    files = diff.named(anchor.path)
    if not files:
        raise AnchorError(f"{place}: the diff has no such file")
    for hunk in (h for f in files for h in f.hunks):
        lines = side_lines(hunk, anchor.side)
        if first in lines and last in lines and first <= last:
            return _checked(anchor, place, hunk, [lines[n] for n in range(first, last + 1)])
    if not all(f.whole for f in files):
        raise AnchorUnseen(f"{place}: the store does not hold these lines")
    raise AnchorError(f"{place}: no hunk holds these lines")


def _checked(anchor: Anchor, place: str, hunk: Hunk, picked: Sequence[tuple[str, bool]]) -> Found:
    if anchor.hunk and anchor.hunk != hunk.header:
        raise AnchorError(f"{place}: these lines stand in {hunk.header}, not in {anchor.hunk}")
    if not any(changed for _, changed in picked):
        raise AnchorError(f"{place}: none of these lines was changed")
    if any(len(text) + 1 >= LONGEST_LINE for text, _ in picked):
        raise AnchorUnseen(f"{place}: a line is too long to be held whole")
    text = "\n".join(text for text, _ in picked)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if anchor.sha256 and anchor.sha256 != digest:
        raise AnchorError(f"{place}: the lines are others than those that were anchored")
    return Found(msgspec.structs.replace(anchor, hunk=hunk.header, sha256=digest), text)


def resolve_any(anchor: Anchor, card: Card, diff: Diff, discussion: Discussion) -> Found:
    """Find what an anchor points to, wherever that is.

    Raises:
        AnchorUnseen: the text is not held here.
        AnchorError: the anchor does not hold.
    """
    if anchor.source == "diff":
        return resolve_anchor(anchor, diff)
    name = f"{anchor.source} {anchor.thread}".strip()
    text: str | None = card.message
    if anchor.source == "description":
        text = discussion.description(card.id)
    elif anchor.source == "thread":
        text = discussion.thread(card.id, anchor.thread)
        if text is None:
            raise AnchorError(f"{name}: there is no such review thread")
    if text is None:
        raise AnchorUnseen(f"{name}: no description is held")
    first, last = anchor.span
    if not 0 <= first < last <= len(text):
        raise AnchorError(f"{name}: it has {len(text)} characters, the anchor names {first} to {last}")
    digest = hashlib.sha256(text[first:last].encode()).hexdigest()
    if anchor.sha256 and anchor.sha256 != digest:
        raise AnchorError(f"{name}: characters {first} to {last} are others than those that were anchored")
    return Found(msgspec.structs.replace(anchor, sha256=digest), text[first:last])


def side_lines(hunk: Hunk, side: str) -> dict[int, tuple[str, bool]]:
    """Line number -> (text, was it changed) on one side of a hunk."""
    mark = "+" if side == "new" else "-"
    number = hunk.new_start if side == "new" else hunk.old_start
    lines: dict[int, tuple[str, bool]] = {}
    for line in hunk.text.split("\n"):
        if line[:1] in (mark, " "):
            lines[number] = (line[1:], line[:1] == mark)
            number += 1
    return lines
