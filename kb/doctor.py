"""What is missing on this machine, and the one command that mends it."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

State = Literal["ok", "missing", "broken", "optional"]

_GIT_WANTED = (2, 36)  # --no-walk=unsorted with --diff-merges=first-parent, tried from this version on
_PACKAGES = ("lancedb", "pyarrow", "msgspec", "numpy", "unidiff", "tree_sitter", "yaml")
_EXTRAS = {
    "mcp": ("mcp",),
    "neural": ("sentence_transformers", "torch"),
    "train": ("sentence_transformers", "torch", "onnx"),
    "plots": ("matplotlib",),
    "ncu": ("ncu_report",),
    "sglang": ("sglang",),
    "vllm": ("vllm",),
    "trtllm": ("tensorrt_llm",),
}
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `mend` is a command or a sentence, empty when nothing is to be done."""

    name: str
    state: State
    found: str
    mend: str = ""


def run_checks(uri: str) -> list[Check]:
    """Look at everything prlore uses. Nothing is imported that is only probed: engines and torch stay out."""
    return [
        _python(),
        _git(),
        *_packages(),
        _own_packages(),
        _data(),
        _store(uri),
        _command(),
        _token(),
        _model(),
        _skills(),
        *_extras(),
        _gpu(),
    ]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Check(
        "python", "ok" if ok else "broken", found, "" if ok else _install("python3.12", "python@3.12")
    )


def _install(debian: str, brew: str) -> str:
    """The command of this platform's package manager."""
    if sys.platform == "darwin":
        return f"brew install {brew}"
    if shutil.which("apt-get") is None and shutil.which("dnf"):
        return f"sudo dnf install {debian}"
    return f"sudo apt-get install {debian}"


def _git() -> Check:
    path = shutil.which("git")
    if path is None:
        return Check("git", "missing", "not on PATH", _install("git", "git"))
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
    ).stdout
    numbers = re.search(r"(\d+)\.(\d+)", said)
    ok = numbers is not None and (int(numbers[1]), int(numbers[2])) >= _GIT_WANTED
    return Check("git", "ok" if ok else "broken", said.strip(), "" if ok else _install("git", "git"))


def _packages() -> list[Check]:
    checks = []
    for name in _PACKAGES:
        there = importlib.util.find_spec(name) is not None
        checks.append(
            Check(
                name,
                "ok" if there else "missing",
                "installed" if there else "not installed",
                "" if there else "pip install prlore",
            )
        )
    return checks


def _own_packages() -> Check:
    """Our top-level names are plain words; another distribution may bring one of them."""
    from importlib.metadata import packages_distributions

    owners = packages_distributions()
    foreign = {
        n: owners[n]
        for n in ("ingest", "kb", "analysis", "loop")
        if n in owners and set(owners[n]) != {"prlore"}
    }
    if foreign:
        name, who = next(iter(foreign.items()))
        return Check(
            "packages",
            "broken",
            f"{name!r} also belongs to {', '.join(who)}",
            "python3 -m venv ~/.venvs/prlore && ~/.venvs/prlore/bin/pip install prlore",
        )
    return Check("packages", "ok", "ingest, kb, analysis, loop are ours")


def _data() -> Check:
    from ingest.errors import PrloreError
    from kb.encoders.base import DEFAULT_ENCODER
    from kb.encoders.load import load_encoder
    from kb.families import load_families
    from kb.fusion import load_weights
    from kb.starter import load_starter_cards

    try:
        load_encoder(DEFAULT_ENCODER)
        load_weights()
        families, cards = load_families(), load_starter_cards()
    except PrloreError as exc:
        return Check("data", "broken", str(exc), "pip install --force-reinstall prlore")
    return Check(
        "data",
        "ok",
        f"{len(families.entries)} families, {len(cards)} embedded cards, word table and weights read",
    )


def _store(uri: str) -> Check:
    from ingest.errors import PrloreError
    from kb.store import Store

    try:
        store = Store.open(uri)
        cards, finished = store.count("cards"), store.is_finished()
    except PrloreError as exc:
        return Check(
            "knowledge base",
            "missing",
            str(exc),
            f"prlore ingest starter --kb {shlex.quote(uri)}",
        )
    if not finished:
        return Check(
            "knowledge base",
            "broken",
            f"{uri}: {cards} cards, indexes incomplete",
            f"prlore ingest starter --kb {shlex.quote(uri)}",
        )
    newest = max((t for t in store.scan("cards", ["merged_at"])["merged_at"].to_pylist()), default="")
    return Check("knowledge base", "ok", f"{uri}: {cards} cards, the newest of {newest[:10] or 'no date'}")


def _command() -> Check:
    """Agents and shells start us by name."""
    path = shutil.which("prlore")
    folder = Path(sys.executable).parent
    if path is None:
        return Check("prlore command", "optional", "not on PATH", f'export PATH="{folder}:$PATH"')
    return Check("prlore command", "ok", path)


def _model() -> Check:
    """The endpoint of reviews by a model; nothing is asked of it."""
    names = ("PRLORE_LLM_BASE_URL", "PRLORE_LLM_MODEL")
    absent = [n for n in names if not os.environ.get(n)]
    if absent:
        return Check(
            "model endpoint", "optional", f"{' and '.join(absent)} not set", f"export {absent[0]}=… (only reviews by a model need it)"
        )  # fmt: skip
    return Check("model endpoint", "ok", "in the environment")


def _skills() -> Check:
    from kb.skills.agents import AGENTS
    from kb.skills.bundle import SKILL

    held = [a.name for a in AGENTS.values() if (a.skills(Path.home()) / SKILL).is_dir()]
    if not held:
        return Check("agent skill", "optional", "installed for no agent", "prlore install --agent claude")
    return Check("agent skill", "ok", f"installed for {', '.join(held)}")


def _token() -> Check:
    if any(os.environ.get(n) for n in ("GITHUB_TOKEN", "GH_TOKEN")):
        return Check("GitHub token", "ok", "in the environment")
    gh = shutil.which("gh")
    if gh is not None:
        done = subprocess.run([gh, "auth", "token"], capture_output=True, timeout=_PROBE_SECONDS, check=False)
        if done.returncode == 0:
            return Check("GitHub token", "ok", "from gh")
    return Check("GitHub token", "optional", "none", "gh auth login (git histories need no token)")


def _extras() -> list[Check]:
    checks = []
    for extra, modules in _EXTRAS.items():
        absent = [m for m in modules if importlib.util.find_spec(m) is None]
        if absent:
            checks.append(
                Check(
                    f"[{extra}]",
                    "optional",
                    f"{', '.join(absent)} not installed",
                    f"pip install 'prlore[{extra}]'",
                )
            )
        else:
            checks.append(Check(f"[{extra}]", "ok", _versions(modules)))
    return checks


def _versions(modules: tuple[str, ...]) -> str:
    found = []
    for module in modules:
        try:
            found.append(f"{module} {version(module.replace('_', '-'))}")
        except PackageNotFoundError:
            found.append(module)
    return ", ".join(found)


def _gpu() -> Check:
    path = shutil.which("nvidia-smi")
    if path is None:
        return Check("GPU", "optional", "no nvidia-smi", "")
    query = [path, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Check("GPU", "broken", "nvidia-smi does not answer", "nvidia-smi -q")
    names = "; ".join(line.strip() for line in done.stdout.splitlines() if line.strip())
    return Check(
        "GPU",
        "ok" if done.returncode == 0 and names else "broken",
        names or "nvidia-smi failed",
        "" if names else "nvidia-smi -q",
    )
