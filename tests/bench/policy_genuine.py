"""How many genuine merged performance pull requests the patch policy refuses, and for what.

    .venv/bin/python tests/bench/policy_genuine.py --git sgl-project/sglang=PATH --git vllm-project/vllm=PATH --count 60

Each is judged as a proposer hands it in (pins, CI and images left out, which is said) and as it was merged. Exit status 1 when
one is refused as it is handed in for anything but its size.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from perf_pulls import draw, recent

from loop.gates.policy import breaches_of, suspicions_of
from loop.proposers.handing_in import keep_allowed
from loop.records import TreeRef
from loop.trees.campaign import CampaignTrees

_SIZE = {"TOO_MANY_FILES", "TOO_MANY_LINES"}


def reasons(trees: CampaignTrees, parent: TreeRef, after: TreeRef) -> tuple[list[str], list[str]]:
    """(codes of breaches and refused constructs, codes of flags)."""
    changed = trees.changes(parent, after)
    found = suspicions_of(trees, parent, after, changed)
    bad = [f"{b.reason} {b.path}" for b in breaches_of(trees, parent, after, changed)]
    return bad + [f"{s.reason} {s.code[:60]}" for s in found if s.weight == "refuse"], [
        s.reason for s in found if s.weight == "flag"
    ]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--git", action="append", required=True, metavar="OWNER/NAME=PATH")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--of", type=int, default=4000, help="newest commits that are drawn from")
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for word in options.git:
            repo, _, path = word.partition("=")
            trees = CampaignTrees(Path(scratch))
            store = trees.store(path)
            start = time.perf_counter()
            drawn = draw(store, recent(store, options.of), options.count, options.seed, repo)
            raw: Counter[str] = Counter()
            flags: Counter[str] = Counter()
            refused, size, left = [], [], 0
            for one in drawn:
                parent = trees.resolve(path, one.pull.parent)
                merged = trees.resolve(path, one.pull.sha)
                raw.update({r.split()[0] for r in reasons(trees, parent, merged)[0]} or {"none"})
                kept = keep_allowed(trees, parent, merged.tree)
                left += bool(kept.left_out)
                bad, seen = reasons(trees, parent, trees.place(parent, kept.tree))
                flags.update(set(seen))
                if bad:
                    (size if all(b.split()[0] in _SIZE for b in bad) else refused).append(
                        f"{one.pull.id}: {'; '.join(bad[:3])}"
                    )
            wrong += len(refused)
            print(f"{repo}: {len(drawn)} pull requests in {time.perf_counter() - start:.0f} s")
            print(
                f"  handed in: {len(drawn) - len(refused) - len(size)} pass, {len(size)} too large, {len(refused)} refused; {left} had something left out"
            )
            print(f"  as merged: {dict(raw.most_common())}")
            print(f"  flags, which refuse nothing: {dict(flags.most_common())}")
            for row in [*refused, *size]:
                print(f"    {row}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
