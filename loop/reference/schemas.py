"""JSON schemas of what prlore stores and prints in a typed form."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ingest.github.records import Description, Thread
from kb.cards import Card
from kb.evidence import EvidenceBundle

# file -> (type, where it is met)
TYPES: dict[str, tuple[Any, str]] = {
    "card.json": (Card, "`prlore show --json`, `prlore card export --format json`, column `card` of the table `cards`"),
    "evidence.json": (EvidenceBundle, "`prlore evidence --json`"),
    "thread.json": (Thread, "column `record` of the table `threads`"),
    "description.json": (Description, "column `record` of the table `pulls`"),
}  # fmt: skip


def schema_files() -> dict[str, str]:
    """The schema files by name, draft 2020-12."""
    return {name: _schema(kind) for name, (kind, _) in TYPES.items()}


def _schema(kind: Any) -> str:
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def json_page() -> str:
    """The page of JSON outputs."""
    lines = [
        "# JSON", "",
        "Every command that prints something takes `--json`. Text of strangers stands there as it was written: a program that",
        "shows it has to make it harmless. Typed outputs have a schema beside this page:", "",
        "| schema | where it is met |", "|---|---|",
        *(f"| [`schemas/{name}`](schemas/{name}) | {where} |" for name, (_, where) in TYPES.items()), "",
        "The objects of `query --json`, `query --threads --json` and `eval retrieval --json` are described in the README, which a",
        "test holds against what is printed. The tools of `prlore mcp` publish their own input and output schemas.", "",
    ]  # fmt: skip
    return "\n".join(lines)
