"""The JSON objects in a file: one document, a list of them, one a line, or several after each other.

Clients append (`--append-result`, `--output-file` of SGLang), machines die while they do: a line that is cut off
costs that line, with a warning, and never the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import UnreadableResult

MAX_BYTES = 1 << 30  # results with every request's times are some MB; what is larger is something else


@dataclass(frozen=True)
class Document:
    """A JSON object and the hash of its text."""

    data: dict[str, Any]
    content: str


@dataclass(frozen=True)
class Documents:
    """What a file holds.

    Attributes:
        broken: how many lines or tails were not JSON.
    """

    documents: list[Document]
    broken: int = 0


def read_documents(path: Path) -> Documents:
    """All JSON objects of a file.

    Raises:
        UnreadableResult: the file can't be read, or holds no JSON object.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableResult(
                f"{path}: {path.stat().st_size >> 20} MB is too large for a benchmark result"
            )
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except (OSError, ValueError) as exc:  # ValueError: a name with a zero byte
        raise UnreadableResult(
            f"{path}: {getattr(exc, 'strerror', None) or exc}; name a result file"
        ) from None
    found = _whole(text) or _in_sequence(text)
    if not found.documents:
        raise UnreadableResult(
            f"{path}: no JSON object in it; expected the result file of vllm bench serve, sglang.bench_serving, "
            "guidellm, aiperf, genai-bench, or candidates.jsonl"
        )
    return found


def _whole(text: str) -> Documents | None:
    """One document, or a list of them."""
    value = _parse(text)
    if isinstance(value, dict):
        return Documents([_document(value, text)])
    if isinstance(value, list):
        rows = [_document(row, json.dumps(row, sort_keys=True)) for row in value if isinstance(row, dict)]
        return Documents(rows, len(value) - len(rows)) if rows else None
    return None


def _in_sequence(text: str) -> Documents:
    """One object a line, else objects one after the other."""
    documents, broken = [], 0
    for line in text.splitlines():
        if not line.strip():
            continue
        value = _parse(line)
        if isinstance(value, dict):
            documents.append(_document(value, line))
        else:
            broken += 1
    if documents:
        return Documents(documents, broken)
    documents = [_document(value, raw) for value, raw in _concatenated(text)]
    return Documents(documents)


def _concatenated(text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Pretty-printed objects behind each other."""
    decoder = json.JSONDecoder()
    at = 0
    while True:
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict):
            yield value, text[at:end]
        at = end


def _parse(text: str) -> Any:
    """JSON with NaN and Infinity, as Python clients write it; None for what isn't."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _document(value: dict[str, Any], text: str) -> Document:
    return Document(value, hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:16])
