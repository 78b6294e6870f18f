"""A loop-back GitHub as a process of its own: `python tests/loopback/serve.py --pulls 21000 …` prints its address.

Ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from loopback.server import Loopback
from loopback.world import make_world


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pulls", "inline", "conversation", "reviews", "issues", "seed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--spread", type=int, default=3, help="seconds between two comments at most")
    args = parser.parse_args()
    world = make_world(
        args.pulls, args.inline, args.conversation, args.reviews, args.issues, args.seed, args.spread
    )
    with Loopback(world) as hub:
        hub.limit = 1 << 30  # an hour's quota is not what is measured
        print(hub.url, flush=True)
        for line in sys.stdin:
            if line.strip() == "requests":
                print(sum(hub.requests.values()), flush=True)


if __name__ == "__main__":
    main()
