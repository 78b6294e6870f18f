"""What a thread hangs on in the merged change, and whether the change met it.

*Addressed* has no opinion in it: the lines that were commented on, as the stored hunk shows them, either stand
in the merged diff as they were, or they don't; or what a suggestion block asked for stands there. GitHub's
`outdated` is not enough: it also says so when lines above have moved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.github.records import Addressed, Anchor, Thread
from kb.cards import Card
from kb.threads.diff import DiffLine, MergedFile

_TELLING = 8  # letters and digits that make a line recognisable
_MOST_ABOVE = 3  # lines above that are taken along where it is not
_DEFINITION = re.compile(
    r"\b(?:def|class|fn|struct|enum|trait|impl|namespace|__global__\s+void)\s+([A-Za-z_]\w*)"
)


@dataclass(frozen=True, slots=True)
class Join:
    """A thread's place in the merged change. `line` counts on the side of the anchor, 0 where it was not found."""

    hunk: str = ""
    line: int = 0
    symbol: str = ""
    addressed: Addressed = "unknown"
    addressed_by: str = ""


def join(thread: Thread, card: Card | None, files: Mapping[str, MergedFile]) -> Join:
    """Join a thread to its card; without one only the stored hunk is known."""
    anchor = thread.anchor
    if not anchor.path:
        return Join()
    if card is None or not card.sha or card.coverage.state != "complete":
        return Join(symbol=_named(anchor))
    file = files.get(anchor.path)
    place = _place(anchor, file)
    symbol = _symbol(card, anchor, place)
    hunk = place.hunk if place else ""
    line = (place.new if anchor.side != "old" else place.old) if place else 0
    addressed, by = _addressed(thread, card, file, place)
    return Join(hunk, line, symbol, addressed, by)


def anchored_lines(anchor: Anchor) -> list[tuple[str, str]]:
    """(mark, text) of the commented lines, from the stored hunk, which ends with the last of them."""
    skipped = "-" if anchor.side != "old" else "+"
    rows = [(r[:1] or " ", r[1:]) for r in anchor.diff_hunk.split("\n")[1:] if r[:1] != "\\"]
    rows = [r for r in rows if r[0] != skipped]
    last = anchor.original_line or anchor.line or 0
    first = anchor.original_start_line or anchor.start_line or last
    count = max(1, min(last - first + 1, len(rows))) if last else 1
    return rows[-count:]


def _block(anchor: Anchor) -> list[str]:
    """The commented lines, with lines above while they could stand anywhere."""
    skipped = "-" if anchor.side != "old" else "+"
    rows = [r[1:] for r in anchor.diff_hunk.split("\n")[1:] if r[:1] not in (skipped, "\\")]
    count = len(anchored_lines(anchor))
    while count < len(rows) and count <= _MOST_ABOVE and _telling(rows[-count:]) < _TELLING:
        count += 1
    return rows[-count:] if rows else []


def _telling(rows: list[str]) -> int:
    return sum(c.isalnum() for row in rows for c in row)


def _place(anchor: Anchor, file: MergedFile | None) -> DiffLine | None:
    block = _block(anchor)
    if file is None or not block or not _telling(block):
        return None
    return file.find(block, anchor.side or "new")


def _addressed(
    thread: Thread, card: Card, file: MergedFile | None, place: DiffLine | None
) -> tuple[Addressed, str]:
    """Whether the anchored lines changed before the merge, and by what it shows."""
    if card.merged_at and thread.created_at > card.merged_at:
        return "unknown", ""  # said after the merge: nothing could follow from it here
    if file is None or file.status == "deleted":
        return "yes", "file gone"
    for comment in thread.comments:
        for suggestion in comment.suggestions:
            wanted = suggestion.text.split("\n")
            if _telling(wanted) >= _TELLING and file.find(wanted, "new"):
                return "yes", "suggestion taken"
    if thread.kind == "file" or not _telling(_block(thread.anchor)):
        return "unknown", ""
    if place is not None:
        return "no", ""
    if not file.complete:
        return "unknown", ""
    marks = {mark for mark, _ in anchored_lines(thread.anchor)}
    if marks & {"+", "-"}:
        return "yes", "lines changed"
    # context lines: outside of the merged hunks they are as they were
    removed = {line.text.strip() for line in file.lines if line.mark == "-"}
    touched = any(text.strip() in removed for _, text in anchored_lines(thread.anchor))
    return ("yes", "lines changed") if touched else ("no", "")


def _symbol(card: Card, anchor: Anchor, place: DiffLine | None) -> str:
    """The innermost definition around the place in the merged file, or what the stored hunk names."""
    in_file = [s for s in card.symbols if s.path == anchor.path]
    if place is not None and place.new:
        around = [s for s in in_file if s.change != "removed" and s.start <= place.new <= s.end]
        if around:
            return min(around, key=lambda s: s.end - s.start).name
    named = _named(anchor)
    if named:
        fitting = [s.name for s in in_file if s.name.replace("::", ".").split(".")[-1] == named]
        return fitting[0] if len(fitting) == 1 else named
    return ""


def _named(anchor: Anchor) -> str:
    """The definition that the stored hunk opens last before its end, or the one in its header."""
    head, *rows = anchor.diff_hunk.split("\n")
    skipped = "-" if anchor.side != "old" else "+"
    for row in reversed(rows):
        found = _DEFINITION.search(row) if row[:1] != skipped else None
        if found:
            return found[1]
    found = _DEFINITION.search(head.partition(" @@")[2])
    return found[1] if found else ""
