"""Hunks of one file's patch. The only user of unidiff.

unidiff misreads paths, renames and combined diffs, so it never sees them: paths, status, modes and counts
come from `--raw --numstat -z`, and unidiff is given the hunks alone, under a header made here.
"""

from __future__ import annotations

import io
import re

import unidiff

from ingest.errors import DiffMismatch
from ingest.records import Hunk

_HUNK_AT_LINE_START = re.compile(rb"^@@ -", re.MULTILINE)
_HEADER = "--- a/file\n+++ b/file\n"


def decode(raw: bytes) -> str:
    """Bytes of a repository as text: UTF-8, undecodable bytes replaced, so that any store takes it."""
    return raw.decode("utf-8", "replace")


def parse_hunks(patch: bytes, added: int | None, removed: int | None) -> tuple[Hunk, ...]:
    """Parse the patch of one file, everything from its `diff --git` line on.

    Args:
        patch: as git printed it; mode changes, pure renames and binary files have no hunk.
        added: lines added by numstat, None for a binary file.
        removed: lines removed by numstat, None for a binary file.

    Raises:
        DiffMismatch: the hunks don't add up to the given counts, or this is a combined diff.
    """
    if patch.startswith((b"diff --cc", b"diff --combined")):
        raise DiffMismatch("a combined diff has no single parent: read merges against their first parent")
    starts = [m.start() for m in _HUNK_AT_LINE_START.finditer(patch)]
    if not starts or added is None or removed is None:
        if added or removed:
            raise DiffMismatch(f"numstat counts +{added} -{removed}, the patch has no hunk")
        return ()
    # a type change is a removal and an addition, each below a header of its own
    ends = [
        patch.find(b"\ndiff --git ", start, end) + 1 or end
        for start, end in zip(starts, [*starts[1:], len(patch)], strict=True)
    ]
    # one character a byte, so that slices of text and of bytes agree and nothing is lost while parsing
    parsed: list[unidiff.Hunk] = []
    for start, end in _sections(starts, ends):
        try:
            lines = io.StringIO(_HEADER + patch[start:end].decode("latin-1"), newline="\n")
            files = unidiff.PatchSet(lines, metadata_only=True)  # the text is taken from the patch below
        except unidiff.UnidiffParseError as exc:
            raise DiffMismatch(f"unidiff can't read the hunks: {exc}") from exc
        parsed += files[0]
    counted = (sum(h.added for h in parsed), sum(h.removed for h in parsed))
    if counted != (added, removed) or len(parsed) != len(starts):
        raise DiffMismatch(
            f"numstat counts +{added} -{removed} in {len(starts)} hunks, "
            f"parsed +{counted[0]} -{counted[1]} in {len(parsed)}"
        )
    hunks = []
    for hunk, start, end in zip(parsed, starts, ends, strict=True):
        body = patch.index(b"\n", start) + 1
        hunks.append(
            Hunk(
                old_start=hunk.source_start,
                old_lines=hunk.source_length,
                new_start=hunk.target_start,
                new_lines=hunk.target_length,
                section=decode(hunk.section_header.encode("latin-1")).strip(),
                text=decode(patch[body:end]),
                added=hunk.added,
                removed=hunk.removed,
            )
        )
    return tuple(hunks)


def _sections(starts: list[int], ends: list[int]) -> list[tuple[int, int]]:
    """Join neighbouring hunks: one range a file section."""
    ranges = [(starts[0], ends[0])]
    for start, end in zip(starts[1:], ends[1:], strict=True):
        if start == ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges
