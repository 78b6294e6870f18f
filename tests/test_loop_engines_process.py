"""Families of processes: their CPU time, their end, and the end of whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loop.engines.errors import EngineFailed
from loop.engines.process import Family, Talker, environment, output_of
from loop.engines.procfs import process_cpu_ns
from loop.engines.sources_hash import tree_hash

# a server with a child of its own that leaves the group and won't listen to SIGTERM
STUBBORN = """
import os, signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"],
    start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def family(tmp_path, *argv):
    return Family(argv, environment({}), tmp_path, tmp_path / "log")


def gone(pids):
    return all(
        not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
        for pid in pids
    )


def test_stopping_ends_children_that_left_the_group_and_ignore_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("loop.engines.supervisor._POLITE_S", 0.5)
    made = family(tmp_path, sys.executable, "-c", STUBBORN)
    members = wait_for(
        lambda: m if len(m := made.members()) == 2 and "deaf" in made.log.read_text() else None
    )
    made.stop()
    made.stop()
    assert gone(members)
    assert not made.alive


def test_a_killed_driver_leaves_no_server_behind(tmp_path):
    driver = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom pathlib import Path\nfrom loop.engines.process import Family, environment\n"
            f"f = Family([sys.executable, '-c', 'import time; time.sleep(600)'], environment({{}}), Path({str(tmp_path)!r}), "
            f"Path({str(tmp_path / 'log')!r}))\nprint(f.pid, f.supervisor_pid, flush=True)\ntime.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert driver.stdout is not None
    pids = [int(word) for word in driver.stdout.readline().split()]
    assert len(pids) == 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    wait_for(lambda: gone(pids))


def test_a_killed_supervisor_takes_the_server_along(tmp_path):
    made = family(tmp_path, sys.executable, "-c", "import time; time.sleep(600)")
    os.kill(made.supervisor_pid, signal.SIGKILL)
    wait_for(lambda: gone([made.pid]))
    made.stop()


def test_cpu_time_of_children_that_ended_still_counts(tmp_path):
    burn = "sum(range(6_000_000))"
    code = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', '{burn}; import time; time.sleep(1)'])\nprint('done', flush=True)\ntime.sleep(600)"
    made = family(tmp_path, sys.executable, "-c", code)
    seen = [made.cpu_ns()]

    def ended():
        seen.append(made.cpu_ns())
        return "done" in made.log.read_text()

    wait_for(ended)
    assert seen == sorted(seen)
    assert made.cpu_ns() > (process_cpu_ns(made.pid) or 0) + 20_000_000
    made.stop()


def test_a_paused_family_uses_no_cpu(tmp_path):
    made = family(tmp_path, sys.executable, "-c", "while True: pass")
    wait_for(lambda: made.cpu_ns() > 50_000_000)
    made.pause()
    time.sleep(0.05)
    before = made.cpu_ns()
    time.sleep(0.2)
    assert made.cpu_ns() == before
    made.go_on()
    wait_for(lambda: made.cpu_ns() > before)
    made.stop()


def test_a_command_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(EngineFailed, match="could not be started"):
        family(tmp_path, "no-such-program")
    with pytest.raises(EngineFailed, match="no-such-program"):
        output_of(["no-such-program"], {}, timeout_s=5)
    with pytest.raises(EngineFailed, match="ended with 3"):
        output_of([sys.executable, "-c", "import sys; sys.exit(3)"], environment({}), timeout_s=60)


def test_children_know_only_what_they_are_told(monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    said = output_of(
        [sys.executable, "-c", "import os; print(sorted(os.environ))"],
        environment({"OWN": "1"}),
        timeout_s=60,
    )
    assert "GITHUB_TOKEN" not in said
    assert "OWN" in said


def test_lines_that_come_together_are_heard_one_by_one():
    talker = Talker([sys.executable, "-c", "print('a'); print('b'); print(input())"], environment({}))
    talker.say(b"c")
    assert [talker.hear(60), talker.hear(60), talker.hear(60), talker.hear(60)] == [b"a", b"b", b"c", None]
    talker.end()


def test_a_folder_is_named_as_git_names_it(tmp_path):
    tree = tmp_path / "tree"
    (tree / "a" / "__pycache__").mkdir(parents=True)
    (tree / "a-b").write_text("1")
    (tree / "a" / "x.py").write_text("x = 1\n")
    (tree / "a.b").write_text("2")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    (tree / "link").symlink_to("run")
    (tree / "empty").mkdir()
    here = tree_hash(tree)
    (tree / "a" / "__pycache__" / "x.pyc").write_text("no")
    assert tree_hash(tree) == here
    (tree / "a" / "__pycache__" / "x.pyc").unlink()
    env = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
    }
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tree, check=True, env=env)
    named = subprocess.run(
        ["git", "write-tree"], cwd=tree, check=True, env=env, capture_output=True, text=True
    )
    assert named.stdout.strip() == here
    with contextlib.suppress(FileNotFoundError):
        (tree / "a" / "x.py").write_text("x = 2\n")
    assert tree_hash(tree) != here
