"""Validation lanes: what a change says, by the files it touches and the commands it holds, that one should run."""

from __future__ import annotations

from typing import Literal, NamedTuple

from kb.cards import Card

LaneKind = Literal["test", "benchmark", "command", "flag", "prose"]


class Lane(NamedTuple):
    """One thing to run or to set: a test or benchmark file, a command line, a launch flag, or advice in prose."""

    kind: LaneKind
    text: str


def validation_lanes(card: Card) -> tuple[Lane, ...]:
    """The lanes of a card: what people wrote first, then what its diff implies."""
    tests = [f.path for f in card.files if f.group == "test" and f.status != "deleted"]
    benches = [f.path for f in card.files if f.group == "benchmark" and f.status != "deleted"]
    flags = dict.fromkeys((*card.facts.flags_added, *card.facts.flags_used))
    lanes = [Lane("prose", text) for text in card.validation]
    lanes += [Lane("test", path) for path in tests]
    lanes += [Lane("benchmark", path) for path in benches]
    lanes += [Lane("command", command) for command in card.facts.commands]
    lanes += [Lane("flag", flag) for flag in flags]
    return tuple(lanes)
