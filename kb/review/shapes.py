"""What a model is asked to answer with, checked on arrival."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kb.cards import ClaimField

_Line = Annotated[int, msgspec.Meta(ge=0)]


class SaidAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a hunk: its id in the prompt, the side, first and last line number, and a piece of them word for word."""

    hunk: str
    first: _Line
    last: _Line
    quote: str
    side: Literal["new", "old"] = "new"


class SaidClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim with the lines that prove it."""

    field: ClaimField
    text: str
    anchors: tuple[SaidAnchor, ...]
    radius: tuple[str, ...] = ()


class SaidNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that the change states."""

    value: str
    unit: str
    workload: str
    anchors: tuple[SaidAnchor, ...]


class SaidCard(msgspec.Struct, frozen=True, kw_only=True):
    """The answer about one part of a diff."""

    claims: tuple[SaidClaim, ...]
    numbers: tuple[SaidNumber, ...] = ()


class MergedClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim made of others, named by their ids."""

    field: ClaimField
    text: str
    of: tuple[str, ...]
    radius: tuple[str, ...] = ()


class MergedCard(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request to merge."""

    claims: tuple[MergedClaim, ...]
