"""What a candidate may change, by path and mode alone.

`code`       what is measured: sources, kernels, tuned configurations, build lists of kernels
`companion`  tests, documents and benchmarks that come with a change; tests are always run from the campaign's base
`outside`    nothing a measurement can depend on in a frozen environment: pins, CI, images, instructions for agents. A
             proposer leaves them out; a candidate that still has them is refused
`forbidden`  files that run by themselves, reach out of the tree or reconfigure git
"""

from __future__ import annotations

import re
import sys
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from ingest.paths import group_of

Place = Literal["code", "companion", "outside", "forbidden"]

# searched in the lower-cased path; the first that matches decides
_RULES: tuple[tuple[Place, str, re.Pattern[str]], ...] = (
    ("outside", "CI", re.compile(r"^\.(github|buildkite|gitlab|circleci|azure)(/|-|$)|(^|/)jenkinsfile|^ci/|^scripts/ci/|^\.pre-commit|(^|/)\.?mergify|codeowners$")),
    ("forbidden", "GIT_FILE", re.compile(r"(^|/)\.git(/|$)|(^|/)\.git(attributes|modules|config)$|(^|/)git~\d")),
    ("outside", "GIT_FILE", re.compile(r"(^|/)\.gitignore$|(^|/)\.git[^/]*$")),
    ("forbidden", "STARTUP_HOOK", re.compile(r"(^|/)(sitecustomize|usercustomize)(\.py|/|\.[^/]*\.so$)|\.(pth|egg-link|pyc|pyo)$|(^|/)__pycache__/|(^|/)[^/]*\.(dist|egg)-info/")),
    ("outside", "TEST_HOOK", re.compile(r"(^|/)conftest\.py$|(^|/)(pytest|tox)\.(ini|toml)$|(^|/)\.?(noxfile\.py|coveragerc)$")),
    ("outside", "DEPENDENCY", re.compile(r"(^|/)(pyproject[^/]*\.toml|setup\.(py|cfg)|manifest\.in|constraints[^/]*\.txt|pipfile|environment\.ya?ml|package(-lock)?\.json|cargo\.(toml|lock)|go\.(mod|sum))$|(^|/)requirements[^/]*(/|\.txt$|\.in$)|\.lock$|^3rdparty/|^third_party/|^cmake/external_projects/")),
    ("outside", "IMAGE", re.compile(r"(^|/)(dockerfile[^/]*|docker|\.devcontainer)(/|$)|\.dockerfile$|(^|/)\.dockerignore$|(^|/)makefile$")),
    ("outside", "AGENT_FILE", re.compile(r"(^|/)(agents|claude|gemini)\.md$|(^|/)\.(claude|cursor|codex|aider[^/]*|opencode|windsurf)(/|$)|(^|/)\.(cursorrules|mcp\.json)$|(^|/)copilot-instructions\.md$")),
    ("outside", "DOT_FILE", re.compile(r"^\.[^/]+$|(^|/)\.env$")),
)  # fmt: skip
_ODD = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# a module of one of these names at the root of the import path is taken for the real one
_TAKEN = frozenset(sys.stdlib_module_names) | frozenset(
    "torch numpy triton transformers tokenizers safetensors fastapi starlette uvicorn uvloop aiohttp httpx requests pydantic "
    "zmq msgspec msgpack psutil pytest xgrammar outlines flashinfer sgl_kernel cuda cupy ray openai prometheus_client orjson".split()
)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Where a path belongs; `reason` is a code where it may not be changed."""

    place: Place
    reason: str = ""


def rule_on(path: str) -> Ruling:
    """The ruling on a path of a patch, whatever stands in the file."""
    parts = path.split("/")
    if _ODD.search(path) or any(p in ("", ".", "..") or p != p.strip() or p.endswith(".") for p in parts):
        return Ruling("forbidden", "PATH")
    lowered = path.lower()
    for place, reason, pattern in _RULES:
        if pattern.search(lowered):
            return Ruling(place, reason)
    return Ruling("companion" if group_of(path) in ("test", "docs", "benchmark", "ci") else "code")


def shadows(path: str, held: Container[str]) -> bool:
    """Whether a new module takes the name of the standard library's or of a library the engines use.

    Args:
        path: of a new file.
        held: paths of the whole tree.
    """
    folder, _, name = path.rpartition("/")
    module = name.removesuffix(".py")
    if name == "__init__.py":
        folder, _, module = folder.rpartition("/")
    elif "." in module:
        if not name.endswith((".so", ".pyd")):
            return False
        module = name.split(".")[0]
    elif not name.endswith(".py"):
        return False
    inside = f"{folder}/__init__.py" if folder else "__init__.py"
    return module in _TAKEN and inside not in held
