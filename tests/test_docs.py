"""What the README says works: every command line in it parses, and every command is in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from kb.reports.answers import answer_json
from kb.search import Answer, Hit
from loop.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
AGENTS = (ROOT / "AGENTS.md").read_text("utf-8")


def command_lines(text: str) -> list[str]:
    """`prlore …` in fenced blocks and in inline code."""
    fenced = re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", text)
    lines = [
        line.strip().removeprefix("$ ")
        for block in fenced
        for line in re.sub(r"\\\n\s*", "", block).splitlines()
    ]
    inline = re.findall(r"`(prlore [^`]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    return [
        re.sub(r"\s#\s.*$", "", line) for line in (*lines, *inline) if re.match(r"(?:\S*/)?prlore\b", line)
    ]


def parse(line: str) -> click.Command:
    """The command of a line; fails as the command line would."""
    args = shlex.split(line)[1:]
    # with its settings: click keeps the first help option that it makes for a command
    command, context = cli, click.Context(cli, info_name="prlore", **cli.context_settings)
    while isinstance(command, click.Group) and args and not args[0].startswith("-"):
        name, found, args = command.resolve_command(context, args)
        command, context = found, click.Context(found, info_name=name, parent=context)
    if "--help" not in args and not isinstance(command, click.Group):
        command.make_context(command.name, list(args), parent=context.parent)
    return command


@pytest.mark.parametrize("line", [*command_lines(README), *command_lines(AGENTS)])
def test_a_command_line_parses(line):
    assert parse(line).help


def test_the_readme_has_command_lines():
    assert len(command_lines(README)) >= 7


@pytest.mark.parametrize(
    "line", ["prlore qury x", "prlore ingest git x", "prlore show", "prlore query x --limit many"]
)
def test_a_wrong_command_line_would_be_found(line):
    with pytest.raises(click.UsageError):
        parse(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert re.search(rf"prlore {name}\b", README)


@pytest.mark.parametrize(
    "name",
    [
        "--repo",
        "--family",
        "--path",
        "--symbol",
        "--kind",
        "--after",
        "--before",
        "--explain",
        "--kb",
        "--since",
        "--limit",
        "--rev",
        "--unmatched",
        "--list",
    ],
)
def test_options_that_matter_are_in_the_readme(name):
    assert re.search(rf"(?<![\w-]){name}(?![\w-])", README)


def test_the_contract_in_the_readme_is_what_is_printed():
    from kb.cards import Card
    from kb.question import Question

    card = Card(id="a/b#1", title="t", kind="other", status="extracted", origin="git")
    found = answer_json(Answer(Question("q"), (Hit(1, card, 1.0, (), (), ()),), True, 1.0, (), ()), 1.0)
    section = README.split("## `query --json`", 1)[1].split("\n## ", 1)[0]
    for key in (*found, *found["hits"][0]):
        assert f"`{key}`" in section, key


@pytest.mark.parametrize("text", [README, AGENTS])
def test_files_that_are_named_are_there(text):
    for name in re.findall(r"`((?:ingest|kb|analysis|loop|data|tests|\.ci)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name


def test_the_makefile_has_the_two_commands():
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"))
    assert {"demo", "test"} <= set(targets)
    assert "make demo" in README
    assert "make test" in README


def test_agents_of_any_make_read_the_same_rules():
    assert (ROOT / "CLAUDE.md").read_text("utf-8").strip() == "@AGENTS.md"
