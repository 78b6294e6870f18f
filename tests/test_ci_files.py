"""The workflows and the hook that users copy: sound YAML, least rights, commands that parse, no text of strangers in a shell."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from test_docs import parse

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / "data" / "ci").glob("*.yml"))


def load(path):
    found = yaml.safe_load(path.read_text("utf-8"))
    found["on"] = found.pop(True, None) or found.get("on")  # YAML 1.1 takes `on` for a truth value
    return found


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_two_workflows():
    assert [w.name for w in WORKFLOWS] == ["post-review.yml", "review.yml"]


def test_the_review_reads_and_the_other_writes_comments_alone():
    review, post = (load(ROOT / "data" / "ci" / n) for n in ("review.yml", "post-review.yml"))
    assert set(review["on"]) == {"pull_request"}
    assert review["permissions"] == {"contents": "read"}
    assert not re.search(r"secrets\.|github\.token", (ROOT / "data/ci/review.yml").read_text())
    assert set(post["on"]) == {"workflow_run"}
    assert post["on"]["workflow_run"]["workflows"] == [review["name"]]
    assert post["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    made = [s["with"]["name"] for s in steps(review) if "upload-artifact" in s.get("uses", "")]
    taken = [s["with"]["name"] for s in steps(post) if "download-artifact" in s.get("uses", "")]
    assert made == taken == ["prlore-review"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_nothing_of_a_pull_request_reaches_a_shell_or_is_checked_out(path):
    workflow = load(path)
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
            assert "ref" not in step["with"]
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w/-]+@v\d+", step["uses"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_their_commands_parse(path):
    lines = [line.strip() for step in steps(load(path)) for line in step.get("run", "").splitlines()]
    commands = [line.split(" > ")[0] for line in lines if line.startswith("prlore ")]
    assert commands
    for line in commands:
        filled = line.replace('"$form"', "json").replace("$NUMBER", "1").replace("$number", "1")
        assert parse(
            re.sub(r"\"?\$[A-Z]+[^\s\"]*\"?", "acme/engine#1" if "--pr" in line else "x", filled)
        ).help


def test_the_hook_is_one_that_pre_commit_takes():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert hook["pass_filenames"] is False
    command = shlex.split(hook["entry"])[2]
    assert parse(command.split(" | ")[1]).help
    assert f"id: {hook['id']}" in (ROOT / "README.md").read_text("utf-8")
