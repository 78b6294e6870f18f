"""Which endpoint and model to use: from the environment, so that no key stands in a file or a command line.

PRLORE_LLM_BASE_URL   `https://host/v1`, what comes before `/chat/completions`: vLLM, SGLang, Ollama, hosted services
PRLORE_LLM_MODEL      the model's name there
PRLORE_LLM_API_KEY    its key, where it wants one
PRLORE_LLM_PRICE      `IN,OUT`: USD per million prompt and completion tokens, for --max-usd
PRLORE_LLM_TIMEOUT    seconds one answer may take, 120 where it is not set
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ingest.errors import PrloreError

_TIMEOUT = 120.0


class LlmSettingsError(PrloreError):
    """The environment names no usable endpoint."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens of prompt and completion."""

    prompt: float
    completion: float


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """An endpoint and a model. The key is kept out of every representation."""

    base_url: str
    model: str
    timeout: float = _TIMEOUT
    price: Price | None = None
    api_key: str = ""

    def __repr__(self) -> str:
        return f"LlmSettings({self.base_url!r}, {self.model!r})"


def settings_from(environment: Mapping[str, str] = os.environ) -> LlmSettings:
    """The settings that the environment holds.

    Raises:
        LlmSettingsError: a variable is missing or can't be used; the message names it.
    """
    base = environment.get("PRLORE_LLM_BASE_URL", "").rstrip("/")
    model = environment.get("PRLORE_LLM_MODEL", "")
    if not base:
        raise LlmSettingsError(
            "no model endpoint: set PRLORE_LLM_BASE_URL, for example http://localhost:8000/v1"
        )
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", base):
        raise LlmSettingsError(
            "PRLORE_LLM_BASE_URL is no http(s) address without user or query: write http://host:port/v1"
        )
    if not model:
        raise LlmSettingsError("no model named: set PRLORE_LLM_MODEL to its name at the endpoint")
    try:
        timeout = float(environment.get("PRLORE_LLM_TIMEOUT") or _TIMEOUT)
    except ValueError:
        timeout = 0.0
    if not 0 < timeout < 86_400:
        raise LlmSettingsError("PRLORE_LLM_TIMEOUT is no number of seconds: write 120")
    return LlmSettings(
        base,
        model,
        timeout,
        _price(environment.get("PRLORE_LLM_PRICE", "")),
        environment.get("PRLORE_LLM_API_KEY", ""),
    )


def _price(text: str) -> Price | None:
    if not text:
        return None
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        prompt = completion = -1.0
    if not (prompt >= 0 and completion >= 0):
        raise LlmSettingsError(
            "PRLORE_LLM_PRICE is no pair of prices: write USD per million tokens as 0.27,1.10"
        )
    return Price(prompt, completion)
