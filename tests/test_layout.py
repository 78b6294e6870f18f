"""The layout that a newcomer can hold: what stands at the top, who may import whom, who owns what from outside."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ingest", "kb", "analysis", "loop")
TRACKED = [
    name
    for name in subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True, text=True
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]
SOURCES = [name for name in TRACKED if name.endswith(".py") and name.split("/")[0] in PACKAGES]

WANTED = {"pyproject.toml", "README.md", "ingest", "kb", "analysis", "loop", "data", "tests"}
METADATA = {
    "Makefile",
    "LICENSE",
    "NOTICE",
    "CHANGELOG.md",
    "AGENTS.md",
    "CLAUDE.md",
    ".ci",
    ".gitignore",
    ".pre-commit-hooks.yaml",
    "docs",
}

# package -> packages of ours that it may import
LEFT = {
    "ingest": {"ingest"},
    "kb": {"ingest", "kb"},
    "analysis": {"analysis"},
    "loop": {"ingest", "kb", "analysis", "loop"},
}
# from outside -> the only files that may import it
OWNERS = {
    "lancedb": {"kb/store.py", "kb/indexing.py", "kb/connection.py"},
    "github": {"ingest/github/client.py", "ingest/github/connection.py", "ingest/github/retry.py"},
    "requests": {"ingest/github/connection.py"},
    "urllib3": {"ingest/github/retry.py"},
    "sqlite3": {"ingest/github/ledger.py", "loop/campaign/database.py", "loop/campaign/errors.py"},
    "unidiff": {"ingest/diffs.py"},
    "tree_sitter": {"ingest/outline.py", "ingest/calls.py"},
    "httpx": {"kb/llm/client.py"},
    "sentence_transformers": {"kb/encoders/transformer.py", "kb/training/run.py", "kb/training/static.py"},
    "onnxruntime": {"kb/encoders/onnx_session.py", "kb/training/export.py"},
    "tokenizers": {"kb/encoders/onnx_session.py", "loop/load/prompts.py"},
    "aiohttp": {"loop/load/client.py", "loop/load/__main__.py"},
    "optuna": {"loop/fair/search.py"},
    "matplotlib": {"analysis/bench/plots.py", "loop/reports/plots.py"},
    "scipy": {
        "analysis/bench/intervals.py",
        "loop/stats/eprocess.py",
        "loop/stats/decide.py",
        "loop/stats/intervals.py",
    },
    "jinja2": {"loop/site/pages.py"},
    "pygments": {"loop/site/highlight.py"},
    "markdown_it": {"loop/site/prose.py"},
    "nh3": {"loop/site/prose.py"},
    "ncu_report": {"analysis/counters/report_file.py"},
    "mcp": {"kb/mcp/server.py", "kb/mcp/http.py"},
    "pydantic": {"kb/mcp/server.py", "kb/mcp/shapes.py"},
    "uvicorn": {"kb/mcp/http.py"},
    "starlette": {"kb/mcp/http.py"},
}
# the only files that start processes
STARTERS = {
    "ingest/git.py",
    "ingest/github/tokens.py",
    "kb/doctor.py",
    "loop/campaign/processes.py",  # steps of a campaign
    "loop/engines/process.py",  # servers and the load generator
    "loop/engines/supervisor.py",  # becomes a server's parent, so that none outlives its driver
    "loop/sandbox/limits.py",  # becomes the command, after it has bound itself
    "loop/sandbox/run.py",  # tests and agents
}
ON_DEMAND = {
    "torch",
    "matplotlib",
    "ncu_report",
    "optuna",
    "sentence_transformers",
    "transformers",
    "sglang",
    "vllm",
    "tensorrt_llm",
}


@functools.cache
def syntax(name: str) -> ast.Module:
    """A file's tree; nobody changes it."""
    return ast.parse((ROOT / name).read_text("utf-8"))


@functools.cache
def imports(name: str, *, everywhere: bool = True) -> set[str]:
    """Modules a file imports, at its top level alone unless `everywhere`; type-checking blocks don't count there."""
    tree = syntax(name)
    nodes = list(ast.walk(tree)) if everywhere else top_level(tree)
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), (
        f"{name}: a relative import"
    )
    return found


def top_level(node: ast.AST) -> list[ast.AST]:
    """Statements that run when a module is imported."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        found += [child, *top_level(child)]
    return found


def roots(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def test_the_top_level_is_as_agreed():
    found = {name.split("/")[0] for name in TRACKED}
    assert found - METADATA == WANTED


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_one_way(name):
    package = name.split("/")[0]
    assert roots(imports(name)) & set(PACKAGES) <= LEFT[package]
    assert "tests" not in roots(imports(name))


@pytest.mark.parametrize("name", SOURCES)
def test_engines_and_models_are_loaded_on_demand(name):
    assert not roots(imports(name, everywhere=False)) & ON_DEMAND


@pytest.mark.parametrize("module", OWNERS)
def test_what_comes_from_outside_has_one_owner(module):
    users = {
        name
        for name in SOURCES
        if any(r == module or r.startswith(f"{module}_") for r in roots(imports(name)))
    }
    assert users <= OWNERS[module]


@pytest.mark.parametrize("name", SOURCES)
def test_processes_are_started_in_one_place(name):
    calls = [node.func for node in ast.walk(syntax(name)) if isinstance(node, ast.Call)]
    started = {
        ast.unparse(call)
        for call in calls
        if re.match(r"subprocess\.|os\.(system|popen|exec|spawn|posix_spawn|fork)", ast.unparse(call))
    }
    assert not started or name in STARTERS


def test_the_root_of_the_command_line_imports_nothing_of_ours():
    assert not roots(imports("loop/cli.py", everywhere=False)) & set(PACKAGES)


def test_modules_that_are_named_in_strings_are_there():
    from loop.cli import COMMANDS

    for module, attribute, _ in COMMANDS.values():
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_can_be_read_in_one_sitting(name):
    assert len((ROOT / name).read_text("utf-8").splitlines()) <= 480


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_opens_with_what_it_is_for(name):
    assert ast.get_docstring(syntax(name))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_ours_and_typed(package):
    assert packages_distributions().get(package, ["prlore"]) == ["prlore"]
    assert Path(find_spec(package).origin).parent == ROOT / package
    assert f"{package}/py.typed" in TRACKED


def test_the_wheel_holds_the_packages_and_the_data():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [*PACKAGES, "data"]
    assert not roots({d.split(">")[0] for d in project["project"]["dependencies"]}) & {
        "torch",
        "sentence-transformers",
        "sglang",
        "vllm",
    }
    assert set(project["project"]["optional-dependencies"]) == {
        "neural",
        "train",
        "mcp",
        "plots",
        "ncu",
        "tune",
        "sglang",
        "vllm",
        "trtllm",
    }


def test_every_dependency_has_its_reason():
    lines = (
        (ROOT / "pyproject.toml")
        .read_text("utf-8")
        .split("dependencies = [\n", 1)[1]
        .split("\n]", 1)[0]
        .splitlines()
    )
    assert [line for line in lines if not line.partition("#")[2].strip()] == []


def test_no_file_names_a_place_of_one_machine():
    places = tuple(f"/{name}/" for name in ("work", "root", "home"))
    found = []
    for name in TRACKED:
        raw = (ROOT / name).read_bytes()
        if b"\0" not in raw[:4096]:
            text = raw.decode("utf-8", "replace")
            found += [
                (name, p)
                for p in places
                if any(before + p in text for before in ("\n", " ", '"', "'", "`", "=", "("))
            ]
    assert found == []


def test_nothing_is_written_into_the_packages():
    assert [n for n in TRACKED if n.endswith((".pyc", ".log", ".tmp", ".orig", ".rej"))] == []
    assert sys.version_info >= (3, 11)
