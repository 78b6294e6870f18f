"""How many performance pull requests merge onto a target that is some days older, and what helps.

    .venv/bin/python tests/bench/backport_share.py --git sgl-project/sglang=PATH --git vllm-project/vllm=PATH --count 60

For each age: clean at once, clean after what it stands on (at most three commits), a conflict in one file of code (for a person or
a model), more than one. Beside it the baseline: `git apply` of the whole diff as it was merged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from perf_pulls import draw, recent

from loop.proposers.backport.merging import bring
from loop.trees.campaign import CampaignTrees
from loop.trees.merges import three_way
from loop.trees.patches import apply, diff
from loop.trees.store import DoesNotApply

_DAY = 86_400


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--git", action="append", required=True, metavar="OWNER/NAME=PATH")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--of", type=int, default=4000, help="newest commits that are drawn from")
    parser.add_argument("--days", type=int, action="append")
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for word in options.git:
            repo, _, path = word.partition("=")
            store = CampaignTrees(Path(scratch)).store(path)
            line = recent(store, options.of + 6000)
            drawn = draw(store, line[: options.of], options.count, options.seed, repo)
            for days in options.days or (1, 14, 45):
                found: Counter[str] = Counter()
                start = time.perf_counter()
                for one in drawn:
                    target = next(
                        (sha for sha, _, when, _ in line[one.place :] if when <= one.merged - days * _DAY),
                        None,
                    )
                    if target is None:
                        continue
                    ours = store.tree_of(target)
                    found["asked"] += 1
                    found["whole three-way"] += three_way(store, one.pull.parent, ours, one.pull.sha).is_clean
                    try:
                        apply(store, ours, diff(store, one.pull.parent, one.pull.sha))
                        found["git apply"] += 1
                    except DoesNotApply:
                        pass
                    brought = bring(store, target, ours, one.pull)
                    if brought.is_clean:
                        found["clean"] += 1
                        found["of these after what it stands on"] += bool(brought.stands_on)
                    else:
                        found["one file" if len(brought.conflicts) == 1 else "more files"] += 1
                n = found.pop("asked")
                words = ", ".join(f"{k} {v} ({v / n:.0%})" for k, v in found.items())
                print(
                    f"{repo}, {days} days, n={n}: {words}; {(time.perf_counter() - start) / n:.2f} s each",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
