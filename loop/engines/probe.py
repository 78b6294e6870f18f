"""What an interpreter has installed, asked in a process of its own: no engine is ever imported here."""

from __future__ import annotations

import functools
import hashlib
import shutil
import sys
from pathlib import Path

import msgspec

from loop.engines.errors import EngineFailed
from loop.engines.process import environment, output_of
from loop.records import Launch

# Finding a package imports no more than its parents; a distribution's version is in its metadata.
_QUESTION = """
import hashlib, importlib.metadata as m, importlib.util as u, json, sys
package, *names = sys.argv[1:]
spec = u.find_spec(package)
versions = {}
for d in m.distributions():
    if d.metadata["Name"]: versions.setdefault(d.metadata["Name"].lower(), d.version)
listed = "\\n".join(f"{k}=={v}" for k, v in sorted(versions.items()))
print(json.dumps({"origin": spec.origin if spec and spec.origin else None,
    "version": next((versions[n] for n in names if n in versions), None),
    "environment": hashlib.sha256(listed.encode()).hexdigest(), "executable": sys.executable}))
"""
_PROBE_S, _HELP_S = 60.0, 240.0


class Found(msgspec.Struct, frozen=True):
    """What an interpreter says of a package.

    Attributes:
        origin: file of the package's `__init__`, None where there is none.
        version: of its distribution.
        environment: sha256 over the names and versions of all installed distributions.
        executable: the interpreter.
    """

    origin: str | None
    version: str | None
    environment: str
    executable: str


def interpreter(launch: Launch) -> str:
    """The interpreter of an engine: the campaign's word, else ours.

    Raises:
        EngineFailed: there is none of that name.
    """
    found = shutil.which(launch.python) if launch.python else sys.executable
    if found is None:
        raise EngineFailed(f"no interpreter {launch.python!r}; name the python of the engine's environment")
    return found


@functools.lru_cache(maxsize=64)
def ask(
    python: str,
    package: str,
    distributions: tuple[str, ...],
    env: tuple[tuple[str, str], ...],
    cwd: Path | None = None,
) -> Found:
    """Where a package would be loaded from, and what is installed.

    Asked once, as an environment is not changed while a step runs.

    Raises:
        EngineFailed: the interpreter can't say.
    """
    text = output_of(
        [python, "-c", _QUESTION, package, *distributions],
        environment(dict(env)),
        timeout_s=_PROBE_S,
        cwd=cwd,
    )
    try:
        return msgspec.json.decode(text.strip().splitlines()[-1], type=Found)
    except (msgspec.DecodeError, IndexError) as exc:
        raise EngineFailed(f"{python} did not say what it has: {text[-200:]}") from exc


@functools.lru_cache(maxsize=64)
def help_of(command: tuple[str, ...], env: tuple[tuple[str, str], ...], key: str) -> str:
    """An engine's `--help`, remembered beside the other caches under what it depends on.

    Args:
        command: with the options that ask for help.
        env: variables beyond the allowed ones.
        key: changes when the answer may: version, environment, source tree.
    """
    from analysis.sidecar import cache_folder

    name = hashlib.sha256("\0".join((*command, key)).encode()).hexdigest()[:24]
    kept = cache_folder() / "engines" / f"{name}.help"
    try:
        return kept.read_text("utf-8")
    except OSError:
        pass
    text = output_of(command, environment(dict(env)), timeout_s=_HELP_S)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_text(text, "utf-8")
        part.replace(kept)
    except OSError:
        pass  # it is asked again next time
    return text
