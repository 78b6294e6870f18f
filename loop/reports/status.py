"""What `status` says."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kb.reports.safe import one_line
from loop.campaign.folder import Folder
from loop.reports.story import read

_LAST = 8


class Idea(msgspec.Struct, frozen=True):
    """Evidence that a patch can be handed in for."""

    id: str
    stage: str
    row: str
    share: float
    location: str
    cards: tuple[str, ...]


class Status(msgspec.Struct, frozen=True):
    """Where a campaign is; `used` against `allowed` where a budget is set."""

    name: str
    state: str
    round: int
    candidates: int
    accepted: int
    weak_rounds: int
    end: str
    end_reason: str
    best_commit: str
    flags: tuple[str, ...]
    used: dict[str, float]
    allowed: dict[str, float]
    evidence: tuple[Idea, ...]
    last: tuple[str, ...]


def status_of(path: Path) -> Status:
    """Read it.

    Raises:
        PrloreError: there is no campaign, or it is not what was stored.
    """
    story = read(Folder(path.absolute()))
    at, budgets = story.at, story.spec.budgets
    allowed = {
        name: float(bound)
        for name, bound in (
            ("rounds", budgets.rounds),
            ("candidates", budgets.candidates),
            ("wall_s", budgets.wall_s),
            ("device_s", budgets.device_s),
            ("tokens", budgets.tokens),
            ("usd", budgets.usd),
        )
        if bound is not None
    }
    current = at.best.tree if at.best else ""
    return Status(
        name=story.spec.name,
        state=str(at.state),
        round=at.round,
        candidates=at.candidate,
        accepted=len(at.accepted),
        weak_rounds=at.weak,
        end=str(at.end or ""),
        end_reason=at.end_reason,
        best_commit=at.best.commit if at.best else "",
        flags=at.flags,
        used={
            "rounds": at.round,
            "candidates": at.candidate,
            "wall_s": story.used.seconds,
            "device_s": story.used.device_s,
            "tokens": story.used.tokens,
            "usd": story.used.usd,
        },
        allowed=allowed,
        evidence=tuple(
            Idea(digest, b.stage, b.row_id, b.share, b.location, tuple(c.card_id for c in b.cards))
            for digest, b in story.bundles.items()
            if b.tree == current
        ),
        last=tuple(row.text for row in story.rows[-_LAST:]),
    )


def as_text(found: Status) -> str:
    """For a terminal."""
    lines = [
        f"{one_line(found.name)}: {found.end or found.state}"
        + (f" ({one_line(found.end_reason)})" if found.end_reason else ""),
        f"round {found.round}, {found.candidates} candidates, {found.accepted} accepted, {found.weak_rounds} weak rounds",
        "used " + ", ".join(_use(name, used, found.allowed.get(name)) for name, used in found.used.items()),
    ]
    if found.best_commit:
        lines.append(f"incumbent {found.best_commit[:12]} {one_line(' '.join(found.flags))}".rstrip())
    lines += ["last:", *(f"  {one_line(text)}" for text in found.last)]
    if found.evidence:
        lines.append("evidence for `prlore loop submit CAMPAIGN PATCH --evidence ID`:")
        lines += [
            f"  {idea.id[:12]}  {idea.stage} {one_line(idea.row)} {idea.share:.1%} at {one_line(idea.location)}"
            f" ({', '.join(map(one_line, idea.cards))})"
            for idea in found.evidence
        ]
    return "\n".join(lines)


def _use(name: str, used: float, allowed: float | None) -> str:
    return f"{name} {used:g}" + (f" of {allowed:g}" if allowed is not None else "")
