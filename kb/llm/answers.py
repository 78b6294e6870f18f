"""From a model's text to a typed answer: JSON found in it, decoded and checked by msgspec."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL)


class AnswerError(Exception):
    """A model's text is no answer of the wanted shape. The message can be shown to the model."""


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """The JSON schema of a type, in one piece and closed, as endpoints want it."""
    (schema,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    whole: dict[str, Any] = definitions.pop(kind.__name__) if "$ref" in schema else dict(schema)
    if definitions:
        whole = {**whole, "$defs": definitions}
    return whole


def parse_answer(text: str, kind: type[T]) -> T:
    """The answer in a model's text: the text itself, a fenced block of it, or its first JSON object.

    Raises:
        AnswerError: there is none, or it has another shape.
    """
    text = _THINKING.sub("", text).strip()
    problem = "the answer holds no JSON object"
    fence = _FENCE.search(text)
    for candidate in (text, fence[1] if fence else "", _first_object(text)):
        if not candidate.startswith("{"):
            continue
        try:
            return msgspec.json.decode(candidate.encode("utf-8", "replace"), type=kind)
        except (msgspec.DecodeError, RecursionError) as exc:
            problem = str(exc)
    raise AnswerError(problem[:300])


def _first_object(text: str) -> str:
    start = text.find("{")
    if start < 0:
        return ""
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return ""
    return text[start:end]
