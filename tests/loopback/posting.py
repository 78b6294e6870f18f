"""The loop-back GitHub's side of `POST /pulls/N/reviews`: anchors are checked as GitHub checks them, one bad one refuses all."""

from __future__ import annotations

import re
from typing import Any

from loopback.world import PEOPLE, World

_HEAD = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def hunks_of(patch: str) -> list[dict[str, set[int]]]:
    """The line numbers of each hunk by side."""
    found: list[dict[str, set[int]]] = []
    old = new = 0
    for row in patch.split("\n"):
        if head := _HEAD.match(row):
            old, new = int(head[1]), int(head[2])
            found.append({"LEFT": set(), "RIGHT": set()})
        elif found and row[:1] != "\\":
            if row[:1] != "+":
                found[-1]["LEFT"].add(old)
                old += 1
            if row[:1] != "-":
                found[-1]["RIGHT"].add(new)
                new += 1
    return found


def submit(world: World, number: int, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """(status, answer) of one review."""
    pull = world.pulls[number]
    if asked.get("event") not in ("COMMENT", "APPROVE", "REQUEST_CHANGES"):
        return 422, {"message": "Unprocessable Entity", "errors": ["event"]}
    if asked.get("commit_id") != pull.head:
        return 422, {
            "message": "Unprocessable Entity",
            "errors": ["commit_id is not part of the pull request"],
        }
    files = {f.path: hunks_of(f.patch) for f in pull.files}
    for comment in asked.get("comments", []):
        side, line, start = comment.get("side", "RIGHT"), comment["line"], comment.get("start_line")
        hunks = [h for h in files.get(comment["path"], []) if line in h[side]]
        if not hunks or (
            start is not None
            and not any(start in h[comment.get("start_side", side)] and start < line for h in hunks)
        ):
            return 422, {
                "message": "Unprocessable Entity",
                "errors": ["Pull request review thread line must be part of the diff"],
            }
    me = PEOPLE[10]
    made = world.review(
        number, me, {"COMMENT": "COMMENTED"}.get(asked["event"], asked["event"]), asked.get("body") or ""
    )
    for comment in asked.get("comments", []):
        world.comment(
            "inline", number, me, comment["body"], path=comment["path"], line=comment["line"], original_line=comment["line"],
            start_line=comment.get("start_line"), side=comment.get("side", "RIGHT"), review=made.id, commit=pull.head,
        )  # fmt: skip
    world.tick()
    return 200, {
        "id": made.id,
        "html_url": f"https://github.com/{world.repo}/pull/{number}#pullrequestreview-{made.id}",
    }
