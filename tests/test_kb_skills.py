"""The skill for coding agents: what is written, where, and that nothing of a person's is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from kb.datafiles import data_file
from kb.reports.skills import SkillError, check_skill
from kb.skills.agents import AGENTS
from kb.skills.bundle import SKILL, skill_bundle, wanted
from kb.skills.install import LIST, install, uninstall
from kb.starter_build import add_starter
from kb.store import Store
from loop.cli import COMMANDS, cli

FILES = {"SKILL.md": "one", "references/a.md": "two"}


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    place = str(tmp_path_factory.mktemp("skills") / "kb")
    with Store.create(place, {}) as store:
        add_starter(store)
    return place


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "home").mkdir()

    def call(*args: str):
        return CliRunner().invoke(cli, [str(a) for a in args])

    return call


def tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in folder.rglob("*") if p.is_file()}


def test_the_shipped_skill_keeps_the_limits_of_the_format():
    text = data_file("skill", "SKILL.md").read_text("utf-8")
    check_skill({"SKILL.md": text}, SKILL)
    front = yaml.safe_load(text.split("---\n")[1])
    # Codex keeps the list of all skills in 8,000 characters: ours must not fill it
    assert len(front["description"]) <= 400
    assert "Use " in front["description"]
    assert len(text.splitlines()) < 100


def test_the_skill_names_commands_and_tools_that_are_there():
    text = data_file("skill", "SKILL.md").read_text("utf-8")
    assert set(re.findall(r"`prlore ([a-z]+)", text)) <= set(COMMANDS)
    shapes = Path(data_file().parent, "kb", "mcp", "server.py").read_text("utf-8")
    named = set(re.findall(r"`((?:search|find|get|review|list|kb)_\w+)`", text))
    assert len(named) == 7
    assert all(f"def {name}(" in shapes for name in named)


@pytest.mark.parametrize("agent", AGENTS)
def test_each_agent_finds_it_and_it_goes_again(run, tmp_path, agent):
    folder = tmp_path / "home" / AGENTS[agent].folder / SKILL
    would = run("install", "--agent", agent, "--dry-run")
    assert (would.exit_code, folder.exists()) == (0, False)
    assert f"would write: {folder / 'SKILL.md'}" in would.output
    assert run("install", "--agent", agent).exit_code == 0
    assert set(tree(folder)) == {"SKILL.md", LIST}
    again = run("install", "--agent", agent)
    assert "unchanged" in again.output
    assert "prlore mcp" in again.output.replace('", "args": ["', " ") or "mcp" in again.output
    assert run("uninstall", "--agent", agent).exit_code == 0
    assert not folder.exists()
    assert run("uninstall", "--agent", agent).exception is not None


def test_a_project_has_its_own_with_family_manuals(run, tmp_path, uri):
    project = tmp_path / "project"
    project.mkdir()
    args = ("install", "--agent", "claude", "--project", project, "--family", "moss-vl", "--family", "vllm:ernie45", "--kb", uri)  # fmt: skip
    done = run(*args, "--json")
    told = json.loads(done.output)
    folder = project / ".claude" / "skills" / SKILL
    assert told["folder"] == str(folder)
    held = tree(folder)
    manuals = [name for name in held if name.startswith("references/")]
    assert len(manuals) == 2
    assert all(f"({name})" in held["SKILL.md"] for name in manuals)
    check_skill({n: t for n, t in held.items() if n != LIST}, SKILL)
    assert "sgl-project/sglang" in held["references/sglang-moss-vl.md"] or "#23454" in held["references/sglang-moss-vl.md"]  # fmt: skip
    run("install", "--agent", "claude", "--project", project)
    assert set(tree(folder)) == {"SKILL.md", LIST}  # manuals that were not asked for again went


def test_an_unknown_family_or_engine_is_one_line(run, uri):
    assert "nearest" in str(run("install", "--agent", "claude", "--family", "deepsek", "--kb", uri).exception)
    with pytest.raises(SkillError, match="ENGINE:FAMILY"):
        wanted("llama.cpp:x")
    assert wanted("vllm:ernie45") == ("ernie45", "vllm")
    assert wanted("ernie45") == ("ernie45", "sglang")


def test_what_somebody_changed_is_kept(tmp_path):
    folder = tmp_path / "skills" / "prlore"
    install(folder, FILES)
    (folder / "SKILL.md").write_text("mine")
    (folder / "notes.md").write_text("mine too")
    with pytest.raises(SkillError, match="--force"):
        install(folder, {**FILES, "SKILL.md": "newer"})
    assert tree(folder)["SKILL.md"] == "mine"
    changes = {c.path.name: c.what for c in uninstall(folder)}
    assert changes == {"SKILL.md": "kept, changed by you", "a.md": "remove"}
    assert tree(folder) == {"SKILL.md": "mine", "notes.md": "mine too"}
    with pytest.raises(SkillError, match="changed by somebody"):
        install(folder, FILES)  # a folder that is not ours is not taken over
    install(folder, FILES, force=True)
    assert tree(folder)["SKILL.md"] == "one"
    uninstall(folder, force=True)
    assert tree(folder) == {"notes.md": "mine too"}


def test_a_list_that_points_elsewhere_removes_nothing(tmp_path):
    folder, outside = tmp_path / "prlore", tmp_path / "outside.md"
    outside.write_text("keep")
    install(folder, FILES)
    (folder / LIST).write_text(json.dumps({"files": {"../outside.md": "0", str(outside): "0"}}))
    uninstall(folder, force=True)
    assert outside.read_text() == "keep"


def test_without_families_no_store_is_needed():
    assert set(skill_bundle(None, [], None)) == {"SKILL.md"}
