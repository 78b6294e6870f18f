"""Anchors of claims: finding the anchored lines in a diff, and proving them by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from ingest.errors import PrloreError
from ingest.records import ChangedFile, Hunk
from kb.cards import Anchor


class AnchorError(PrloreError):
    """An anchor that does not hold: no such file, lines outside any hunk, nothing changed there, another hash."""


def resolve_anchor(anchor: Anchor, files: Sequence[ChangedFile]) -> Anchor:
    """The anchor with its hunk and the hash of its lines.

    Args:
        anchor: path, side and lines; its hunk and hash are checked when they are given.
        files: the pull request's files with their hunks.

    Raises:
        AnchorError: the anchor does not hold; the message says why.
    """
    place = f"{anchor.path}:{anchor.lines[0]}-{anchor.lines[1]} ({anchor.side})"
    hunks = [h for f in files if anchor.path in (f.path, f.entry.old_path) for h in f.hunks]
    if not hunks:
        raise AnchorError(f"{place}: the diff has no such file")
    for hunk in hunks:
        lines = _side(hunk, anchor.side)
        first, last = anchor.lines
        if first in lines and last in lines and first <= last:
            picked = [lines[n] for n in range(first, last + 1)]
            if anchor.hunk and anchor.hunk != hunk.header:
                raise AnchorError(f"{place}: these lines stand in {hunk.header}, not in {anchor.hunk}")
            if not any(changed for _, changed in picked):
                raise AnchorError(f"{place}: none of these lines was changed")
            digest = hashlib.sha256("\n".join(text for text, _ in picked).encode()).hexdigest()
            if anchor.sha256 and anchor.sha256 != digest:
                raise AnchorError(f"{place}: the lines are others than those that were anchored")
            return msgspec.structs.replace(anchor, hunk=hunk.header, sha256=digest)
    raise AnchorError(f"{place}: no hunk holds these lines")


def _side(hunk: Hunk, side: str) -> dict[int, tuple[str, bool]]:
    """Line number -> (text, was it changed) on one side of a hunk."""
    mark = "+" if side == "new" else "-"
    number = hunk.new_start if side == "new" else hunk.old_start
    lines: dict[int, tuple[str, bool]] = {}
    for line in hunk.text.split("\n"):
        if line[:1] in (mark, " "):
            lines[number] = (line[1:], line[:1] == mark)
            number += 1
    return lines
