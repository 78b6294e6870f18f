"""Campaigns that are killed: a driver to be killed at a durable point, and what is compared afterwards.

Run as a script it is the driver: `loop_torture.py CAMPAIGN N INLINE` drives and kills itself at the N-th durable point
(0: never).
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GAINS = [0.0, 0.04, 0.0]


def make(path, gains=GAINS, seed="torture", noise=0.004):
    """A small simulated campaign with a child for every step."""
    from loop.campaign.begin import begin
    from loop.campaign.seeds import Seeds
    from loop.records import Policy
    from loop.selftest.campaigns import simulated_spec
    from loop.workbench.simulated import Noise

    policy = Policy(
        alpha=0.2,
        max_candidates=len(gains),
        per_round=len(gains),
        weak_rounds=1,
        aa_pairs=4,
        max_pairs=10,
        confirm_pairs=10,
    )
    spec = simulated_spec("torture", gains, Noise(run=noise, start=0.001, drift=0.01), policy)
    return begin(path, spec, Seeds(hashlib.sha256(seed.encode()).digest()))


def drive(path, kill_at=None, trace=None, inline=False):
    """Start a driver in a process of its own, with children for its steps unless `inline`."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    if trace is not None:
        env["PRLORE_TRACE_ARMS"] = str(trace)
    command = [sys.executable, __file__, str(path), str(kill_at or 0), str(int(inline))]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def fork(path, kill_at=None, trace=None, inline=False):
    """The same without starting Python anew; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if trace is not None:
            os.environ["PRLORE_TRACE_ARMS"] = str(trace)
        main(path, kill_at, inline)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def outcome(path):
    """What must be the same however often it was killed: ledger, state, blocks, and no step left running."""
    from loop.campaign.folder import Folder

    database = Folder(path).open(read_only=True)
    try:
        ledger = [row.id for row in database.ledger()]
        blocks = {key: database.blocks(key) for key in database.comparisons()}
        running = [step.key for step in database.steps() if step.status != "done"]
        return ledger, str(database.progress().state), blocks, running
    finally:
        database.close()


def repeated(trace):
    """How many pairs were measured again, and the most that one was: an arm counts when it begins."""
    lines = trace.read_text().splitlines() if trace.exists() else []
    counts = Counter(lines)
    return sum(n - 1 for n in counts.values()), max(counts.values(), default=0)


def points(path, inline=False):
    """Number of durable points of an undisturbed run of this driver process."""
    done = drive(path, inline=inline)
    out, err = done.communicate(timeout=600)
    assert done.returncode == 0, err.decode()
    return int(out.split()[-1])


def children_of(path):
    """Living processes of a campaign's steps."""
    from loop.campaign.processes import MARK

    wanted = f"{MARK}={path}:".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def kill_children(path):
    """SIGKILL to all of them, as a machine's death would."""
    for pid in children_of(path):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def main(path, kill_at=None, inline=False):
    """Be a driver."""
    from loop.campaign.durable import observe
    from loop.campaign.folder import Folder
    from loop.campaign.steps import Inline
    from loop.driver.drive import Driver
    from loop.driver.session import spec_of
    from loop.workbench.perform import perform_step, workbench_of

    seen = 0

    def count(name):
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    observe(count)
    folder = Folder(Path(path), sync=not inline)
    bench = workbench_of(folder, spec_of(folder))
    runner = Inline(lambda key: perform_step(folder, key, bench)) if inline else None
    with folder.driving():
        driver = Driver(folder, runner)
        driver.run()
        driver.close()
    sys.stdout.write(f"{seen}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) or None, sys.argv[3] == "1")
