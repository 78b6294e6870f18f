"""How artefacts are named: by the sha256 of their canonical JSON, which covers their type."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeVar

import msgspec

Digest = str  # sha256, hexadecimal, of bytes in the campaign's content store

Stage = Literal["prefill", "decode", "all"]
Word = Literal["FASTER", "SLOWER", "TIED", "UNDECIDED"]
Outcome = Literal["pass", "fail", "not_evaluated", "quarantine"]
ProposerKind = Literal["backport", "human", "flags", "llm", "agent", "scripted"]
MetricName = Literal["output_throughput", "cpu_seconds_per_token"]

A = TypeVar("A", bound="Artefact")


class Artefact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="artefact", tag=True):
    """Anything that is named by its content; the name covers the type."""

    @property
    def id(self) -> Digest:
        """sha256 of the canonical JSON."""
        return hashlib.sha256(canonical(self)).hexdigest()


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of an artefact: stored inside it, never by itself."""


def canonical(value: msgspec.Struct) -> bytes:
    """Canonical JSON: fields in the order of the type, mapping keys sorted, no blanks, UTF-8."""
    return msgspec.json.encode(value, order="deterministic")


def decode(kind: type[A], raw: bytes) -> A:
    """An artefact from its JSON; unknown or missing fields are errors.

    Raises:
        msgspec.DecodeError: the bytes are not this artefact.
    """
    return msgspec.json.decode(raw, type=kind)
