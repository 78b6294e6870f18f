"""Search and replace blocks, applied exactly: what is searched for stands in the file once, or nothing is changed.

No fuzzy matching: a block that lands elsewhere than meant is a change nobody proposed. What does not match comes back as a
problem with the nearest lines of the file, for one turn of repair.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

_NEAREST = 12  # lines shown around the nearest match


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One edit of one file; an empty `search` makes a new file."""

    path: str
    search: str
    replace: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A block that was not applied; `nearest` are lines of the file that it may have meant."""

    place: int
    path: str
    what: str
    nearest: str = ""


def apply_blocks(
    files: Mapping[str, str], blocks: Sequence[Block], editable: frozenset[str] | None = None
) -> tuple[dict[str, str], list[Problem]]:
    """New contents of the changed files, and the blocks that could not be applied.

    Args:
        files: contents of the files as they are.
        blocks: in the order given; a later one sees what an earlier one did.
        editable: paths that may be changed or made; all of `files` and new ones where None.
    """
    after: dict[str, str] = {}
    problems: list[Problem] = []
    for place, block in enumerate(blocks, start=1):
        now = after.get(block.path, files.get(block.path))
        problem = _problem(block, now, editable)
        if problem:
            problems.append(
                Problem(
                    place, block.path, problem, _nearest(block.search, now) if now and block.search else ""
                )
            )
        elif now is None or not block.search:
            after[block.path] = _ended(block.replace)
        else:
            after[block.path] = now.replace(block.search, block.replace)
    return {path: text for path, text in after.items() if text != files.get(path)}, problems


def _problem(block: Block, now: str | None, editable: frozenset[str] | None) -> str:
    if editable is not None and block.path not in editable:
        return "this file may not be changed"
    if not block.search:
        return "" if now is None else "an empty search is for new files, and this one exists"
    if now is None:
        return "there is no such file"
    count = now.count(block.search)
    if count == 1:
        return "the replacement is what was searched for" if block.search == block.replace else ""
    return (
        "what is searched for is not in the file"
        if count == 0
        else f"what is searched for is in the file {count} times"
    )


def _nearest(search: str, text: str) -> str:
    """Lines of the file around the one most like the first telling line of the search."""
    wanted = next((line for line in search.split("\n") if len(line.strip()) > 3), "")
    lines = text.split("\n")
    close = difflib.get_close_matches(wanted, lines, n=1, cutoff=0.5) if wanted else []
    if not close:
        return ""
    at = lines.index(close[0])
    return "\n".join(lines[max(0, at - 2) : at + _NEAREST])


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
