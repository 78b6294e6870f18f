"""The documentation does what it says: its commands run, its links lead somewhere, its reference is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from docs_sandbox import Sandbox, blocks

from loop.cli import COMMANDS, cli
from loop.reference.configuration import SETTINGS
from loop.reference.pages import outdated, pages
from tests.test_docs import parse

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in DOCS.rglob("*.md") if p.parent.name != "reference")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch):
    found = list(blocks((ROOT / page).read_text("utf-8")))
    assert all(set(block.marks) <= {"network", "gpu", "minutes"} for block in found)
    offline = [block for block in found if not block.marks]
    if not offline:
        pytest.skip("no command here can run offline")
    sandbox = Sandbox(tmp_path / "home", monkeypatch)
    for line in (line for block in offline for line in block.lines):
        sandbox.run(line)


# lines of the README that can't run here, and what they need
NEEDS = {
    r"https://|ingest github|prlore watch|review --pr": "the network",
    r"git diff main|review --card|eval review": "a branch, or a history with its diffs",
    r"card review": "a model's endpoint",
    r"card edit": "a person with an editor",
    r"ingest dossier|ingest corpus|card import": "documents of others, or cards that somebody verified",
    r"prlore where": "an engine's whole tree",
    r"prlore mcp|site serve": "a client",
    r"--campaign ": "a campaign that ran",
    r"prlore ncu|ncu --csv": "a report of Nsight Compute",
    r"prlore loop": "an engine and minutes",
    r"prlore train": "a GPU or minutes",
    r"python tests/bench|^make ": "minutes",
}


def test_the_commands_of_the_readme_run(tmp_path, monkeypatch):
    lines = [line for b in blocks((ROOT / "README.md").read_text("utf-8")) for line in b.lines]
    sandbox = Sandbox(tmp_path / "home", monkeypatch)
    sandbox.fill_for_the_readme()
    ran, failed = 0, []
    for line in lines:
        if not any(re.search(pattern, line) for pattern in NEEDS):
            try:
                sandbox.run(line)
            except AssertionError as exc:
                failed.append(str(exc))
            ran += 1
    assert failed == []
    assert ran >= 30


def test_nothing_is_excused_that_is_not_there():
    text = (ROOT / "README.md").read_text("utf-8")
    assert [p for p in NEEDS if not re.search(p, text, re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_need_more_parse(page):
    for block in blocks((ROOT / page).read_text("utf-8")):
        for line in block.lines if block.marks else ():
            for part in re.split(r"&&", line):
                if re.match(r"\s*prlore\b", part):
                    assert parse(part).help


@pytest.mark.parametrize("page", [*PAGES, "README.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in LINK.findall(path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).resolve().exists(), target


def test_every_page_can_be_reached_from_the_first():
    seen, todo = set(), [DOCS / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [(page.parent / t).resolve() for t in LINK.findall(page.read_text("utf-8")) if "://" not in t]
    assert set(DOCS.rglob("*.md")) <= seen


def test_the_reference_is_current():
    assert outdated(DOCS / "reference") == [], "run `make docs`"


def test_a_reference_that_is_not_current_is_found(tmp_path):
    run = CliRunner().invoke
    assert run(cli, ["reference", "--out", str(tmp_path)]).exit_code == 0
    assert run(cli, ["reference", "--out", str(tmp_path), "--check"], standalone_mode=False).return_value == 0
    (tmp_path / "cli.md").write_text("old")
    (tmp_path / "tables.md").unlink()
    told = run(cli, ["reference", "--out", str(tmp_path), "--check"], standalone_mode=False)
    assert told.return_value == 1
    assert {Path(line.split()[-1]).name for line in told.output.splitlines()} == {"cli.md", "tables.md"}


def test_every_command_and_column_is_in_the_reference():
    from kb.tables import SCHEMAS

    made = pages()
    assert all(f"## prlore {name}\n" in made["cli.md"] for name in COMMANDS)
    assert "| `merged_at` | string | ISO 8601 in UTC" in made["tables.md"]
    assert all(f"| `{field.name}` |" in made["tables.md"] for schema in SCHEMAS.values() for field in schema)


def test_every_variable_that_is_read_is_in_the_reference():
    read = set()
    for package in ("ingest", "kb", "analysis", "loop"):
        for path in (ROOT / package).rglob("*.py"):
            if "reference" not in path.parts:
                read |= set(
                    re.findall(
                        r'"(PRLORE_[A-Z_]+|GITHUB_TOKEN|GH_TOKEN|GIT_SSL_\w+)"', path.read_text("utf-8")
                    )
                )
    assert read <= {s.name for s in SETTINGS}
    assert len(read) >= 9


def test_the_session_in_the_readme_is_what_is_printed(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text("utf-8")
    session = re.search(r"(?ms)^```text\n(\$ prlore .*?)^```", text)[1]
    sandbox = Sandbox(tmp_path / "home", monkeypatch)
    sandbox.run("prlore ingest starter")
    for line, told in re.findall(r"(?ms)^\$ (prlore [^\n]*)\n(.*?)(?=^\$ |\Z)", session):
        # what stands below depends on scores, which another processor or better weights may change
        printed, written = (
            re.sub(r"\d\.\d\d", "N", out.strip().split("\n")[0]) for out in (sandbox.run(line), told)
        )
        assert printed == written
