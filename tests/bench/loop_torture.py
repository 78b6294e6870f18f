"""SIGKILL at every durable point, and at random moments with the steps' processes: the ledger must be the same.

    python tests/bench/loop_torture.py [--points 0] [--children-points 60] [--random 300] [--seed 1]

`--points 0` kills at each point of a campaign whose steps run in the driver; `--children-points N` at N points spread
over a campaign whose steps are processes; `--random N` kills N times at random moments, the driver alone, its children
alone, or both (a machine's death).
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

import loop_torture as torture  # noqa: E402


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def every_point(scratch: Path, inline: bool, most: int) -> None:
    torture.make(scratch / "clean")
    count = torture.points(scratch / "clean", inline)
    want = torture.outcome(scratch / "clean")
    step = max(1, count // most) if most else 1
    tried = wrong = again = worst = 0
    began = time.monotonic()
    for point in range(1, count + 1, step):
        path, trace = scratch / "killed", scratch / "trace"
        torture.make(path)
        status = wait(torture.fork(path, point, trace, inline))
        assert status == -signal.SIGKILL, (point, status)
        assert wait(torture.fork(path, None, trace, inline)) == 0
        tried += 1
        if torture.outcome(path) != want:
            wrong += 1
            print(f"point {point}: another outcome", flush=True)
        pairs, _ = torture.repeated(trace)
        again, worst = again + pairs, max(worst, pairs)
        shutil.rmtree(path)
        trace.unlink(missing_ok=True)
    how = "steps in the driver" if inline else "steps as processes"
    print(
        f"{how}: killed at {tried} of {count} durable points, {wrong} with another outcome;"
        f" {again} arms measured again, {worst} at most after one kill; {time.monotonic() - began:.0f} s",
        flush=True,
    )


def at_random(scratch: Path, kills: int, seed: int, longest: float) -> None:
    draw = random.Random(seed)
    torture.make(scratch / "clean-random")
    began = time.monotonic()
    pid = torture.fork(scratch / "clean-random")
    assert wait(pid) == 0
    length = time.monotonic() - began
    want = torture.outcome(scratch / "clean-random")
    done = campaigns = wrong = again = worst = 0
    children = 0
    began = time.monotonic()
    while done < kills:
        path, trace = scratch / f"random-{campaigns}", scratch / "trace-random"
        torture.make(path)
        campaigns += 1
        here = 0
        while True:
            pid = torture.fork(path, None, trace)
            time.sleep(draw.uniform(0, min(length / 3, longest)))
            finished, _ = os.waitpid(pid, os.WNOHANG)
            if finished:
                break
            how = draw.choice(("driver", "children", "both")) if here < 30 and done < kills else "none"
            if how == "none":
                assert wait(pid) == 0
                break
            if how in ("driver", "both"):
                os.kill(pid, signal.SIGKILL)
            if how in ("children", "both"):
                torture.kill_children(path)
                children += 1
            done += 1
            here += 1
            if how == "children":
                time.sleep(draw.uniform(0, 0.2))
                os.kill(pid, signal.SIGKILL)
            wait(pid)
        if torture.outcome(path) != want:
            wrong += 1
            print(f"campaign {campaigns}: another outcome", flush=True)
        pairs, _ = torture.repeated(trace)
        again += pairs
        worst = max(worst, pairs / max(here, 1))
        print(f"{done} kills, {campaigns} campaigns, {wrong} wrong, {again} arms again", flush=True)
        shutil.rmtree(path)
        trace.unlink(missing_ok=True)
    print(
        f"random: {done} kills ({children} with children) over {campaigns} campaigns, {wrong} with another outcome;"
        f" {again} arms measured again, {again / done:.2f} a kill, {worst:.2f} at most in a campaign;"
        f" {time.monotonic() - began:.0f} s",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--points", type=int, default=0, help="at most so many points; 0 for all, -1 for none"
    )
    options.add_argument("--children-points", type=int, default=60)
    options.add_argument("--random", type=int, default=300)
    options.add_argument("--longest", type=float, default=5.0, help="seconds between kills at most")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    for name in ("loop.reports.views", "loop.workbench.simulated_bench", "scipy.stats", "matplotlib.figure"):
        importlib.import_module(name)  # once, as it is forked often
    with tempfile.TemporaryDirectory(prefix="prlore-torture-") as scratch:
        if chosen.points >= 0:
            every_point(Path(scratch), True, chosen.points)
            shutil.rmtree(Path(scratch) / "clean")
        if chosen.children_points >= 0:
            every_point(Path(scratch), False, chosen.children_points)
        if chosen.random:
            at_random(Path(scratch), chosen.random, chosen.seed, chosen.longest)


if __name__ == "__main__":
    main()
