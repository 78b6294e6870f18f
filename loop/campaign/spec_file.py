"""SPEC.toml: what a person writes, checked and frozen into a CampaignSpec.

name = "qwen-cpu"

[target]                       # and [[competitors]] with the same keys
name = "vllm"                  # sglang, vllm, trtllm, fake
repository = "../vllm"         # a git repository of its source; left out: what is installed runs
base = "main"                  # frozen to a commit
python = "venv/bin/python"
flags = ["--max-num-seqs", "8"]
search = 8                     # trials of the flag search, equal for all engines
[model]
path = "models/tiny"
[[workloads]]
name = "chat"
input_len = 1000
output_len = 1000
[[proposers]]
kind = "backport"
[policy]                       # alpha, min_gain, metric …
[budgets]                      # rounds, candidates, wall_s, usd …
[sla]                          # p50_ttft_ms …
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from loop.campaign.errors import CampaignError
from loop.records import (
    Budgets,
    CampaignSpec,
    EngineSpec,
    ModelSpec,
    Policy,
    ProposerKind,
    ProposerSpec,
    Sla,
    Workload,
)

# (repository, revision) -> full hash of the commit
Resolve = Callable[[str, str], str]
_WEIGHTS = ("*.safetensors", "*.gguf", "*.bin", "*.pt", "config.json")
_TOKENIZER = ("tokenizer*", "vocab*", "merges*", "special_tokens_map.json")


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's shape: as the spec, with tables where it has pairs."""

    name: str
    target: dict[str, Any]
    model: ModelSpec
    workloads: list[dict[str, Any]]
    competitors: list[dict[str, Any]] = []
    sla: Sla = Sla()
    policy: dict[str, Any] = {}
    budgets: Budgets = Budgets()
    proposers: list[_Proposer] = []
    tests: list[str] = []
    hardware: str = ""
    kb: str | None = None
    parent: str | None = None


class _Proposer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: ProposerKind
    options: dict[str, str | int | float | bool | list[str]] = {}


def read_spec(path: Path, resolve: Resolve) -> CampaignSpec:
    """The spec of a file; relative paths are relative to it, revisions become commits, files digests.

    Raises:
        CampaignError: the file can't be read or says what makes no sense, with the place.
    """
    try:
        written = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _Written)
        engines = [_engine(table, path.parent, resolve) for table in (written.target, *written.competitors)]
        workloads = tuple(_as(Workload, table) for table in written.workloads)
        policy = _as(Policy, written.policy)
    except OSError as exc:
        raise CampaignError(f"can't read {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as exc:
        raise CampaignError(f"{path}: {exc}") from exc
    return CampaignSpec(
        name=written.name,
        target=engines[0],
        competitors=tuple(engines[1:]),
        model=_model(written.model, path.parent),
        workloads=workloads,
        sla=written.sla,
        policy=policy,
        budgets=written.budgets,
        proposers=tuple(ProposerSpec(p.kind, _options(p.options)) for p in written.proposers),
        tests=tuple(written.tests),
        hardware=written.hardware,
        kb=written.kb,
        parent=written.parent,
    )


def _as(kind: type[Any], table: dict[str, Any]) -> Any:
    """A tagged type from a table without its tag."""
    return msgspec.convert({**table, "artefact": kind.__name__}, kind)


def _engine(table: dict[str, Any], here: Path, resolve: Resolve) -> EngineSpec:
    table = dict(table)
    env = table.pop("env", {})
    pairs = [[str(k), str(v)] for k, v in env.items()] if isinstance(env, dict) else env
    engine = msgspec.convert({**table, "env": pairs}, EngineSpec)
    python = _placed(engine.python, here) if engine.python and "/" in engine.python else engine.python
    if engine.repository is None:
        return replace(engine, python=python)
    repository = _placed(engine.repository, here)
    base = resolve(repository, engine.base or "HEAD")
    return replace(engine, python=python, repository=repository, base=base)


def _placed(path: str, here: Path) -> str:
    return str((here / Path(path).expanduser()).absolute())


def _model(model: ModelSpec, here: Path) -> ModelSpec:
    folder = here / Path(model.path).expanduser()
    if not folder.is_dir():
        return model  # a name that the engine knows; it can't be digested
    return replace(
        model,
        path=str(folder.absolute()),
        weights=model.weights or _files_digest(folder, _WEIGHTS),
        tokenizer=model.tokenizer or _files_digest(folder, _TOKENIZER),
    )


def _files_digest(folder: Path, patterns: tuple[str, ...]) -> str:
    """sha256 over names and contents of the files that match."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    whole = hashlib.sha256()
    for path in found:
        with path.open("rb") as file:
            whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest() if found else ""


def _options(table: dict[str, str | int | float | bool | list[str]]) -> tuple[tuple[str, str], ...]:
    """Options as words; a list is JSON, so that an argv stays one."""
    return tuple(
        (key, msgspec.json.encode(value).decode() if isinstance(value, list) else str(value))
        for key, value in sorted(table.items())
    )
