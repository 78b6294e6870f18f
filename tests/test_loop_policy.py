"""The patch policy: hostile patches are refused for the right reason, ordinary changes are not."""

from __future__ import annotations

import msgspec
import pytest
from conftest import GitRepo
from redteam.hostile import BASE, HONEST, RUNNER, STILL, runner
from redteam.stage import Stage

from loop.gates.novelty import NoveltyGate
from loop.gates.paths import rule_on
from loop.gates.policy import PolicyGate
from loop.gates.suspicions import suspicions
from loop.records import PatchProposal


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    return Stage(GitRepo(folder / "repo"), folder, BASE)


@pytest.mark.parametrize("hostile", STILL, ids=[h.name for h in STILL])
def test_a_hostile_patch_is_refused(stage, hostile):
    result = PolicyGate().check(stage.context(stage.proposal(hostile.files)))
    assert (result.outcome, result.reason) == ("fail", hostile.reason), result.detail


@pytest.mark.parametrize(
    "files",
    [
        HONEST,
        runner("import time\n\n\ndef wait(until):\n    while time.monotonic() < until:\n        time.sleep(0.001)\n"),
        {**HONEST, "test/srt/test_new.py": b"def test_new():\n    assert True\n", "docs/new.md": b"# New\n"},
        {"sgl-kernel/csrc/norm.cu": b"__global__ void norm() {}\n", "sgl-kernel/CMakeLists.txt": BASE["sgl-kernel/CMakeLists.txt"].replace(b"norm.cu", b"norm2.cu")},
        {RUNNER: None, "python/sglang/srt/engine.py": BASE[RUNNER]},
        {"python/sglang/srt/configs/E=64,N=256.json": b"{}\n"},
        {"python/sglang/srt/time.py": b"x = 1\n"},  # inside a package it shadows nothing
        {"scripts/run.sh": b"#!/bin/sh\n"},
    ],
    ids=["code", "clock used", "with tests and docs", "kernel and its list", "moved", "tuned configuration", "same name in a package", "script"],
)  # fmt: skip
def test_an_ordinary_change_is_not(stage, files):
    result = PolicyGate().check(stage.context(stage.proposal(files)))
    assert result.outcome == "pass", (result.reason, result.detail)


def test_what_the_files_say_and_what_the_patch_does_must_agree(stage):
    proposal = stage.proposal({**HONEST, "python/sglang/srt/other.py": b"x = 1\n"}, files=(RUNNER,))
    result = PolicyGate().check(stage.context(proposal))
    assert (result.outcome, result.reason) == ("fail", "UNDECLARED")


def test_a_lost_patch_is_no_evidence_against_a_candidate(stage):
    proposal = stage.proposal(HONEST)
    lost = msgspec.structs.replace(proposal, diff="0" * 64)
    assert PolicyGate().check(stage.context(lost)).outcome == "not_evaluated"
    bad = msgspec.structs.replace(proposal, diff=stage.blobs.put(b"diff --git a/x b/x\nnonsense"))
    assert PolicyGate().check(stage.context(bad)).reason == "DOES_NOT_APPLY"


def test_code_that_was_there_before_is_not_the_patch_s():
    old = {"a.py": b"import time\ntime.sleep(1)\ntime.perf_counter = None\n", "b.py": b""}
    moved = {"a.py": b"x = 1\n", "b.py": b"import time\n\n\ntime.sleep(1)\ntime.perf_counter = None\n"}
    assert suspicions(old, moved) == []
    twice = {**moved, "a.py": b"import time as clock\nclock.perf_counter = None\n"}
    assert [s.reason for s in suspicions(old, twice)] == ["TIMER_PATCH"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("vllm/v1/core/sched/scheduler.py", "code"),
        ("csrc/attention/paged.cu", "code"),
        ("tests/v1/test_scheduler.py", "companion"),
        ("docs/design/x.md", "companion"),
        ("benchmarks/bench_moe.py", "companion"),
        (".buildkite/test-pipeline.yaml", "outside"),
        ("requirements/common.txt", "outside"),
        ("docker/Dockerfile", "outside"),
        ("setup.py", "outside"),
        ("CLAUDE.md", "outside"),
        (".git/hooks/pre-commit", "forbidden"),
        ("a/.GIT/config", "forbidden"),
        ("a/../b.py", "forbidden"),
        ("a\\b.py", "forbidden"),
        ("con\u200bfig.py", "forbidden"),
        ("x/__pycache__/a.pyc", "forbidden"),
    ],
)
def test_where_a_path_belongs(path, place):
    assert rule_on(path).place == place


def test_the_same_change_is_tried_once(stage):
    first = stage.proposal(HONEST)
    spaced = {RUNNER: HONEST[RUNNER].replace(b"LIMIT = 64", b"LIMIT  =  64")}
    again = stage.proposal(spaced, claim="another idea")
    other = stage.proposal(runner("LIMIT = 65\n"))
    gate = NoveltyGate()
    assert gate.check(stage.context(first)).outcome == "pass"
    assert gate.check(stage.context(again, tried=(first,))).reason == "TRIED"
    assert gate.check(stage.context(other, tried=(first,))).outcome == "pass"
    flags = PatchProposal("flags", "1", stage.base, "", (), "", "", flags=("--chunk=2", "--graph"))
    turned = msgspec.structs.replace(flags, flags=("--graph", "--chunk=2"), claim="x")
    assert gate.check(stage.context(turned, tried=(first, flags))).reason == "TRIED"
    assert gate.check(stage.context(flags, tried=(first,))).outcome == "pass"
