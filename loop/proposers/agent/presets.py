"""How the known agents are called: one run without questions, edits in the folder it starts in, the task on standard input or in a file.

Sources: each agent's own manual of its non-interactive mode. An option of the spec, `template`, takes the place of a preset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from loop.records import ProposerSpec
from loop.sandbox.templates import Template, parse_template


@dataclass(frozen=True, slots=True)
class Preset:
    """An agent.

    Attributes:
        template: its command; `{task:path}` is the file with the task, `{text:text}` the task itself, `{model:word}` the model.
        keys: variables that it may read its one credential and its endpoint from.
        stdin: whether the task comes on standard input.
    """

    template: Template
    keys: tuple[str, ...]
    stdin: bool = False


PRESETS = {
    "claude": Preset(
        parse_template(
            "claude -p --output-format json --max-turns 40 --permission-mode acceptEdits --allowedTools Read,Edit,Write,Grep,Glob --model {model:word}"
        ),
        ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        stdin=True,
    ),
    "codex": Preset(
        parse_template(
            "codex exec --sandbox workspace-write --skip-git-repo-check --json --model {model:word} -"
        ),
        ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        stdin=True,
    ),
    "aider": Preset(
        parse_template(
            "aider --yes-always --no-auto-commits --no-dirty-commits --no-gitignore --no-check-update --no-show-model-warnings "
            "--analytics-disable --no-stream --model {model:word} --message-file {task:path}"
        ),
        ("OPENAI_API_KEY", "OPENAI_API_BASE", "ANTHROPIC_API_KEY"),
    ),
    "opencode": Preset(
        parse_template("opencode run --model {model:word} {text:text}"),
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    ),
    "mini": Preset(
        parse_template("mini --yolo --exit-immediately --model {model:word} --task {text:text}"),
        ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "MSWEA_COST_TRACKING"),
    ),
}


def words_of(option: str) -> tuple[str, ...]:
    """An option of a spec that holds several words: a list there, or text with blanks or commas between."""
    if option.startswith("["):
        try:
            return tuple(msgspec.json.decode(option.encode(), type=list[str]))
        except msgspec.DecodeError:
            return ()
    return tuple(option.replace(",", " ").split())


def credentials_of(proposers: Iterable[ProposerSpec]) -> tuple[str, ...]:
    """Names of the variables that a spec's agents may read their credential from; a step that proposes sees no others."""
    found: dict[str, None] = {}
    for proposer in proposers:
        options = dict(proposer.options)
        if proposer.kind == "agent":
            preset = PRESETS.get(options.get("agent", ""))
            names = (
                words_of(options.get("keys", "")) if "template" in options else preset.keys if preset else ()
            )
            found |= dict.fromkeys(names)
    return tuple(found)
