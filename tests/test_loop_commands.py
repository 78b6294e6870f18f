"""`prlore loop` on the command line: one line for what a user can mend, and a campaign from SPEC.toml to export."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from ingest.git import make_repository
from loop.campaign.spec_file import read_spec
from loop.cli import cli, main
from loop.selftest.run import SelfTest, as_text, selftest
from loop.workbench.simulated import Noise

SPEC = """
name = "small"
hardware = "none"
[target]
name = "simulated"
[model]
path = "nothing"
[[workloads]]
name = "chat"
input_len = 32
output_len = 64
num_prompts = 4
concurrency = 1
[policy]
max_candidates = 2
aa_pairs = 4
max_pairs = 12
weak_rounds = 1
[budgets]
candidates = 2
[[proposers]]
kind = "scripted"
options = { gains = "0.0,0.04", run = "0.004", start = "0.001", drift = "0.01" }
"""


def said(*args):
    return CliRunner().invoke(cli, list(args), auto_envvar_prefix="PRLORE")


def test_from_a_spec_to_an_export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(SPEC)
    assert "frozen as small" in said("loop", "init", "spec.toml").output
    done = said("loop", "run", "small")
    assert done.exit_code == 0, done.output
    assert "accept: measured" in done.stderr
    assert "BUDGET: 2 candidates" in done.stdout
    assert json.loads(said("loop", "status", "small", "--json").stdout)["accepted"] == 1
    assert "small: BUDGET" in said("loop", "status", "small").stdout
    assert "as stored" in said("loop", "verify", "small").stdout
    assert json.loads(said("loop", "verify", "small", "--json").stdout)["problems"] == []
    assert said("loop", "report", "small").stdout.startswith("# small")
    assert said("loop", "resume", "small", "--quiet").exit_code == 0
    assert "files" in said("loop", "export", "small", "--to", "out").stdout
    (tmp_path / "small" / "seed").write_bytes(b"x" * 32)
    changed = said("loop", "verify", "small")
    assert changed.exit_code == 1
    assert "NOT as stored" in changed.stdout


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("name = 1", "Expected `str`"),
        ("name = ", "Invalid value"),
        (SPEC.replace("[budgets]", "[budgits]"), "budgits"),
        (SPEC.replace("max_pairs", "maximum_pairs"), "maximum_pairs"),
        (SPEC.replace('name = "simulated"', 'name = "fake"\nrepository = "gone"'), "no git repository"),
        (SPEC.replace("candidates = 2\n[[p", "candidates = 9\n[[p"), "above policy.max_candidates"),
    ],
)
def test_a_wrong_spec_is_one_line(tmp_path, capsys, spec, words):
    (tmp_path / "spec.toml").write_text(spec)
    with pytest.raises(SystemExit) as end:
        main(["loop", "init", str(tmp_path / "spec.toml"), "--into", str(tmp_path / "c")])
    err = capsys.readouterr().err
    assert end.value.code == 2
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "resume", "status", "cancel", "report", "verify"])
def test_a_folder_without_a_campaign_is_one_line(tmp_path, capsys, command):
    with pytest.raises(SystemExit) as end:
        main(["loop", command, str(tmp_path)])
    out = capsys.readouterr()
    assert end.value.code in (1, 2)
    assert "no campaign" in out.err + out.out


def test_a_spec_freezes_commits_and_digests(tmp_path):
    commit = b"commit refs/heads/main\ncommitter a <a@b> 1735689600 +0000\ndata 1\nx\nM 100644 inline f\ndata 1\ny\n"
    make_repository(tmp_path / "repo.git", commit)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    text = SPEC.replace(
        'name = "simulated"', 'name = "fake"\nrepository = "repo.git"\nbase = "main"\nenv = { A = "1" }'
    )
    (tmp_path / "spec.toml").write_text(text.replace('path = "nothing"', 'path = "model"'))

    def resolve(repository, revision):
        from pathlib import Path

        from ingest.git import open_repository

        with open_repository(Path(repository)) as found:
            return found.resolve(revision)

    spec = read_spec(tmp_path / "spec.toml", resolve)
    assert len(spec.target.base) == 40
    assert spec.target.env == (("A", "1"),)
    assert len(spec.model.weights) == len(spec.model.tokenizer) == 64
    (tmp_path / "model" / "tokenizer.json").write_text("{ }")
    assert read_spec(tmp_path / "spec.toml", resolve).model.tokenizer != spec.model.tokenizer


def test_the_self_test_finds_gains_and_no_others():
    found = selftest(2, 3, Noise(), "suite")
    assert found.false_accepts == 0
    assert found.candidates == 40
    assert found.planted_3pct_found == 1.0
    assert found.passed
    assert sum(rule.false_accepts for rule in found.stored_baseline_rules) > 5
    assert "passed" in as_text(found)


def test_the_self_test_can_fail():
    found = SelfTest(20, 400, 2, 40, 1.0, 1.0, 6.0, 9.0, 9.0, 99, 0.0, 0.01, 0.02, ())
    assert not found.passed
    assert not replace(found, false_accepts=0, planted_2pct_found=0.7).passed
    assert replace(found, false_accepts=1).passed
    assert "FAILED" in as_text(found)
