"""What the gate can find wrong with a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "identity", "counts", "coverage", "files", "group", "symbols", "links", "status",
    "no excerpt", "excerpt not in diff", "excerpt header", "excerpt length", "excerpt says nothing", "excerpt repeated",
    "without code", "too short", "shallow", "template", "missing part", "names nothing", "foreign name",
    "shared sentence", "no anchor", "anchor", "not word for word", "number", "unsafe text", "family", "source",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a card does not pass: the sort of defect, and what exactly."""

    card: str
    what: str
    reason: Reason = "identity"


Finding = tuple[Reason, str]
