"""Flags, environment variables and configuration keys in a diff, by rule.

A file gives names on its added and on its removed lines; a pull request adds a name that only added lines
have and removes one that only removed lines have, over all its files, so that a moved line counts as neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ingest.records import Facts, FileGroup, Hunk

_FLAG = r"--[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*"
# parser.add_argument("--name", … and the same with the name on the next line; clap's long = "name" in Rust
_FLAG_DEFINED = re.compile(r"add_argument\(((?:\s*[\"']-{1,2}[\w.-]+[\"']\s*,?)+)")
_CLAP = re.compile(r"#\[(?:arg|clap)\([^)\]]*long\s*=\s*\"([a-z][a-z0-9-]+)\"")
_FLAG_ALONE = re.compile(rf"^\s*[\"']({_FLAG})[\"'],?\s*(?:#.*)?$", re.MULTILINE)
_FLAG_USED = re.compile(rf"(?<![\w-])({_FLAG})(?![\w-])")
_FLAG_FILE = re.compile(r"arg|cli|launch|server|entrypoint|command|options", re.IGNORECASE)

_ENV_READ = re.compile(
    r"(?:environ(?:\.get|\.pop|\.setdefault)?\s*[\[(]|getenv\(|env::var\(|get_(?:bool|int|str|float)_?env(?:_var)?\(|"
    r"get_env\w*\()\s*f?[\"']([A-Z][A-Z0-9_]{2,})[\"']"
)
_ENV_DEFINED = re.compile(
    r"^\s*[\"']?((?:SGLANG|SGL|VLLM|TRTLLM|TLLM)_[A-Z0-9_]+)[\"']?\s*(?::|=)", re.MULTILINE
)
_ENV_NAMED = re.compile(
    r"(?<![\w])((?:SGLANG|SGL|VLLM|TRTLLM|TLLM|FLASHINFER|DEEPGEMM|DG|DEEPEP|MOONCAKE|NIXL)_[A-Z0-9_]{2,})\b(?!\s*\()"
)
_ENV_PREFIXES = ("SGL", "VLLM_", "TLLM_", "FLASHINFER_", "DEEPGEMM_", "DG_", "DEEPEP_", "MOONCAKE_", "NIXL_")
_NOT_ENV = re.compile(r"_(?:H|HPP|CUH|API|VERSION|EXPORT|INLINE|DISPATCH\w*|CHECK\w*|ASSERT\w*)$|_$")

# a dataclass field or pydantic field, `name: type = default`, in a file that holds settings
_FIELD = re.compile(r"^ {4}([a-z][a-z0-9_]{2,})\s*:\s*[A-Za-z\"'][^=\n]*(?:=.*)?$", re.MULTILINE)
_SETTINGS_FILE = re.compile(
    r"(^|/)(server_args|arg_utils|llm_args|[a-z_]*config[a-z_]*)\.py$|(^|/)(vllm/config|srt/configs)/"
)
_JSON_KEY = re.compile(r"^\s*\"([A-Za-z][\w.-]{2,60})\"\s*:", re.MULTILINE)

# command lines of the engines and of test runners, as tests, docs and CI hold them
_COMMAND = re.compile(
    r"(?:^|[\s\"'`$(])((?:[A-Z][A-Z0-9_]+=\S+\s+)*(?:python3?\s+-m\s+(?:sglang|vllm|tensorrt_llm|pytest|unittest|lm_eval)[\w.]*|"
    r"python3?\s+[\w./-]*(?:bench|test|eval)[\w./-]*\.py|pytest(?=\s+-|\s+\S*[/.])|vllm\s+(?:serve|bench)|sglang\s+serve|trtllm-(?:serve|bench|eval)|lm_eval|lm-eval)"
    r"(?:\s[^\"'`\n]*)?)",
    re.MULTILINE,
)  # fmt: skip
_COMMAND_CHARS = 300
# pull requests of the engines that comments in the code name
_PULL = re.compile(r"github\.com/(vllm-project/vllm|sgl-project/sglang|NVIDIA/TensorRT-LLM)/pull/(\d{1,7})\b")

_CODE_GROUPS: tuple[FileGroup, ...] = ("runtime", "kernel", "build")
_USE_GROUPS: tuple[FileGroup, ...] = ("test", "benchmark", "docs", "ci")
_MOST_COMMANDS = 12
_MOST = 64  # names kept of one kind: a generated file must not fill a card


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Names on one file's added (`new`) and removed (`old`) lines."""

    flags_new: frozenset[str] = frozenset()
    flags_old: frozenset[str] = frozenset()
    flags_used: frozenset[str] = frozenset()
    env_new: frozenset[str] = frozenset()
    env_old: frozenset[str] = frozenset()
    config_new: frozenset[str] = frozenset()
    config_old: frozenset[str] = frozenset()
    commands: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ()


_NONE = FileFacts()


def changed_text(hunks: Iterable[Hunk], mark: str) -> str:
    """The lines of one side, `+` or `-`, without their marks."""
    return "\n".join(line[1:] for hunk in hunks for line in hunk.text.split("\n") if line[:1] == mark)


def file_facts(path: str, group: FileGroup, added: str, removed: str) -> FileFacts:
    """Read the changed lines of one file."""
    if group in _USE_GROUPS:
        used = frozenset(_FLAG_USED.findall(added)) if "--" in added else frozenset()
        commands = _commands(added)
        return FileFacts(flags_used=used, commands=commands) if used or commands else _NONE
    if group == "config":
        if not path.endswith(".json") or "=" in path:  # tuned kernel tables have sizes for keys, not settings
            return _NONE
        return FileFacts(
            config_new=frozenset(_JSON_KEY.findall(added)), config_old=frozenset(_JSON_KEY.findall(removed))
        )
    if group not in _CODE_GROUPS:
        return _NONE
    settings = bool(_SETTINGS_FILE.search(path))
    new_keys, old_keys = (_fields(added), _fields(removed)) if settings else (frozenset(), frozenset())
    return FileFacts(
        flags_new=_flags(path, added), flags_old=_flags(path, removed),
        env_new=_env(added), env_old=_env(removed),
        config_new=new_keys, config_old=old_keys,
        pulls=named_pulls(added) if "/pull/" in added else (),
    )  # fmt: skip


def named_pulls(text: str) -> tuple[str, ...]:
    """Pull requests of the engines whose addresses a text holds, as `owner/name#N`."""
    return tuple(dict.fromkeys(f"{repo}#{number}" for repo, number in _PULL.findall(text)))


def _commands(text: str) -> tuple[str, ...]:
    """Command lines in a text, continued lines joined, in order of first sight."""
    found = (" ".join(m[1].split()) for m in _COMMAND.finditer(re.sub(r"\\\n\s*", " ", text)))
    return tuple(dict.fromkeys(c[:_COMMAND_CHARS] for c in found if " " in c))[:_MOST]


def _fields(text: str) -> frozenset[str]:
    """Fields of a settings class; a line that ends in a comma is a parameter of a function."""
    return frozenset(m[1] for m in _FIELD.finditer(text) if not m[0].rstrip().endswith(","))


def _flags(path: str, text: str) -> frozenset[str]:
    if "--" not in text and "long" not in text:
        return frozenset()
    spelled = " ".join(_FLAG_DEFINED.findall(text))
    names = set(_FLAG_USED.findall(spelled)) | {f"--{name}" for name in _CLAP.findall(text)}
    if _FLAG_FILE.search(path):
        names.update(_FLAG_ALONE.findall(text))
    return frozenset(names)


def _env(text: str) -> frozenset[str]:
    # what the patterns cannot do without is looked for first, which is many times faster
    names = set(_ENV_READ.findall(text)) if "env" in text else set()
    if any(prefix in text for prefix in _ENV_PREFIXES):
        names.update(_ENV_DEFINED.findall(text), _ENV_NAMED.findall(text))
    return frozenset(n for n in names if not _NOT_ENV.search(n))


def merge_facts(files: Iterable[FileFacts]) -> Facts:
    """Facts of a pull request from those of its files."""
    parts = [f for f in files if f is not _NONE]

    def union(name: str) -> set[str]:
        return {item for part in parts for item in getattr(part, name)}

    def net(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        new, old = union(f"{kind}_new"), union(f"{kind}_old")
        return tuple(sorted(new - old)[:_MOST]), tuple(sorted(old - new)[:_MOST])

    flags, env, config = net("flags"), net("env"), net("config")
    return Facts(
        flags_added=flags[0], flags_removed=flags[1], flags_used=tuple(sorted(union("flags_used"))[:_MOST]),
        env_added=env[0], env_removed=env[1], config_added=config[0], config_removed=config[1],
        commands=tuple(dict.fromkeys(c for part in parts for c in part.commands))[:_MOST_COMMANDS],
    )  # fmt: skip
