"""The terminal: JSON everywhere, completion, colours on terminals alone, and strangers' text that can't control it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import unicodedata

import click
import pytest
from bench import small_history
from click.testing import CliRunner

from kb.reports.paint import painted
from kb.reports.safe import escaped, json_line
from loop.cli import cli, main

# commands whose output is for people, files or shells alone
NO_JSON = {
    "mcp": "speaks a protocol",
    "completion": "a script",
    "site build": "writes pages",
    "site serve": "serves pages",
    "card edit": "opens an editor",
    "card export": "writes files",
    "embed": "writes vectors",
    "train data": "writes files",
    "train encoder": "writes files",
    "train fusion": "writes files",
    "train static": "writes files",
    "starter facts": "writes files",
    "starter check": "a list of lines",
    "eval review-cases": "writes JSON lines",
    "bench rows": "JSON lines are all it prints",
}


def leaves(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    names = command.list_commands(context)
    return [leaf for n in names for leaf in leaves(command.get_command(context, n), f"{path} {n}".strip())]


LEAVES = dict(leaves(cli))


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_that_prints_something_takes_json(path):
    options = {o for p in LEAVES[path].params for o in p.opts}
    assert "--json" in options or path in NO_JSON or path.startswith("loop ")


def test_json_and_format_json_are_the_same(tmp_path):
    uri = str(tmp_path / "kb")
    run = CliRunner().invoke
    run(cli, ["ingest", "starter", "--kb", uri])
    short = run(cli, ["show", "sglang#19743", "--json", "--kb", uri]).output
    assert json.loads(short)["id"] == "sgl-project/sglang#19743"
    assert short == run(cli, ["show", "sglang#19743", "--format", "json", "--kb", uri]).output
    assert run(cli, ["show", "sglang#19743", "--kb", uri]).output.startswith("# sgl-project")


# completion -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_what_the_shell_reads(tmp_path, shell):
    script = CliRunner().invoke(cli, ["completion", shell]).output
    assert "_PRLORE_COMPLETE" in script
    found = shutil.which(shell)
    if found:
        path = tmp_path / "script"
        path.write_text(script)
        assert subprocess.run([found, "-n", str(path)], check=False, capture_output=True).returncode == 0


def completed(monkeypatch, words: str, at: int) -> list[str]:
    """What bash is told for a line."""
    env = {"_PRLORE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = subprocess.run(
        [sys.executable, "-c", "from loop.cli import main; main()"], capture_output=True, text=True, env={**os.environ, **env}, check=False
    )  # fmt: skip
    return [line.split(",", 1)[1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "at", "wanted"),
    [
        ("prlore st", 1, {"status", "starter"}),
        ("prlore query --fa", 2, {"--family"}),
        ("prlore query --repo vll", 3, {"vllm", "vllm-project/vllm"}),
        ("prlore query --family moss", 3, {"moss-vl"}),
        ("prlore install --agent c", 3, {"claude", "codex", "cursor"}),
    ],
)
def test_commands_options_families_and_repositories_complete(monkeypatch, words, at, wanted):
    assert wanted <= set(completed(monkeypatch, words, at))


def test_the_nearest_name_is_told(capsys):
    for args, near in ((["qurey", "x"], "'query'"), (["ingest", "gti"], "'git'"), (["families", "deepsek"], "deepseek")):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main([*args, *(["--kb", os.devnull] if args[0] == "families" else [])])
        err = capsys.readouterr().err
        assert ended.value.code == 2
        assert err.count("\n") == 1
        if args[0] != "families":  # that one needs a store
            assert near in err


# strangers' text --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("hostile")
    history = small_history.write(folder / "sglang.git")
    uri = str(folder / "kb")
    done = CliRunner().invoke(
        cli, ["ingest", "git", str(history), "--repo", "sgl-project/sglang", "--kb", uri]
    )
    assert done.exit_code == 0
    return uri


@pytest.mark.parametrize(
    "args",
    [
        ("query", "title with red escape"),
        ("query", "title with red escape", "--json"),
        ("query", "sglang#119", "--explain"),
        ("show", "sglang#119"),
        ("show", "sglang#119", "--json"),
        ("evidence", "--path", "name.py:escape"),
        ("evidence", "--path", "name.py:escape", "--json"),
        ("families", "ernie45"),
        ("family", "ernie45"),
        ("status", "--list", "no-number"),
        ("review", "--card", "sglang#119"),
        ("gate", "--all"),
    ],
    ids=" ".join,
)
def test_no_foreign_text_controls_the_terminal(hostile, tmp_path, monkeypatch, args):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    out = CliRunner().invoke(cli, [*args, "--kb", hostile]).output
    assert out.strip()
    assert not [c for c in out if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")]


def test_json_keeps_what_it_escapes():
    value = {"t": "a\u202eb\x1b\x9b\u200b\u00e9漢"}
    line = json_line(value)
    assert json.loads(line) == value
    assert "\u202e" not in line
    assert "é漢" in line
    assert escaped('"plain"') == '"plain"'


def test_an_error_that_quotes_is_harmless(capsys):
    with pytest.raises(SystemExit):
        main(["show", "\x1b]0;owned\x07\u202ex"])
    err = capsys.readouterr().err
    assert not {"\x1b", "\x07", "\u202e"} & set(err)


# colours --------------------------------------------------------------------------------------------


def on_terminal(*args: str, **env: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "loop", *args], stdout=theirs, stderr=subprocess.DEVNULL, env={**clean, "TERM": "xterm", **env}
    )  # fmt: skip
    os.close(theirs)
    chunks = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks += chunk
    os.close(ours)
    assert process.wait() == 0
    return chunks.decode()


def test_colours_are_for_terminals(hostile, monkeypatch):
    asked = ("query", "HiRadixCache", "--limit", "1", "--kb", hostile)
    shown = on_terminal(*asked)
    assert "\x1b[36m" in shown or "\x1b[1m" in shown
    assert "\x1b[" not in on_terminal(*asked, NO_COLOR="1")
    assert "\x1b[" not in CliRunner().invoke(cli, list(asked)).output
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert painted(" 1. a/b#1  2026-01-01  t") == " 1. a/b#1  2026-01-01  t"
