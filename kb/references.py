"""References to pull requests and repositories as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

ENGINES = {"sglang": "sgl-project/sglang", "vllm": "vllm-project/vllm", "trtllm": "NVIDIA/TensorRT-LLM"}
_NAMES = {
    **ENGINES,
    "sgl": "sgl-project/sglang",
    "tensorrt-llm": "NVIDIA/TensorRT-LLM",
    "tensorrtllm": "NVIDIA/TensorRT-LLM",
    "tensorrt_llm": "NVIDIA/TensorRT-LLM",
    "trt-llm": "NVIDIA/TensorRT-LLM",
}

_URL = re.compile(r"https?://(?:www\.)?github\.com/([\w.-]+/[\w.-]+)/(?:pull|issues)/(\d{1,7})\b[^\s]*")
_NUMBERED = re.compile(r"(?<![\w/.-])(?:([A-Za-z][\w.-]*(?:/[\w.-]+)?)\s?)?#(\d{1,7})\b")
_WORDED = re.compile(
    # GitHub's longest name has 100 characters; without a limit every word of a long run would be read to its end
    r"\b(?:([A-Za-z][\w.-]{0,99}(?:/[\w.-]{1,100})?)\s+)?(?:PR|pull request)\s*[#:]?\s*(\d{1,7})\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A pull request named in a text; `repo` is empty when only the number is given."""

    repo: str
    number: int


def repository_of(name: str) -> str | None:
    """`owner/name` for a repository or engine name, None for anything else."""
    known = _NAMES.get(name.lower())
    if known:
        return known
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return next((r for r in ENGINES.values() if r.lower() == name.lower()), name)
    return None


def engine_of(repo: str) -> str:
    """The short engine name of an upstream repository, or the repository itself."""
    return next((engine for engine, name in ENGINES.items() if name == repo), repo)


def parse_card_id(text: str) -> Reference | None:
    """A whole text as one reference: `sglang#18856`, `owner/name#5`, `#5`, `5`, or a URL."""
    stripped = text.strip()
    if re.fullmatch(r"\d{1,7}", stripped):
        return Reference("", int(stripped))
    found, rest = take_references(stripped)
    return found[0] if len(found) == 1 and not rest.strip() else None


def take_references(text: str) -> tuple[list[Reference], str]:
    """References in a text, and the text without them.

    A word before `#N` that names no repository stays in the text: in `fixes #12` only `#12` is taken.
    """
    found: list[Reference] = []

    def take(match: re.Match[str]) -> str:
        name, number = match[1] or "", int(match[2])
        repo = repository_of(name) if name else ""
        reference = Reference(repo or "", number)
        if reference not in found:
            found.append(reference)
        return " " if repo or not name else f" {name} "

    for pattern in (_URL, _WORDED, _NUMBERED):
        text = pattern.sub(take, text)
    return found, text
