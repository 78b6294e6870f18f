"""Flips random bytes of a closed campaign, one at a time: `verify` has to find each.

    python tests/bench/loop_flips.py CAMPAIGN [--flips 1000] [--seed 1]

Works on a copy. Files are drawn by size, so that every byte is as likely as any other.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path

from loop.campaign.folder import Folder
from loop.campaign.verify import verify


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("campaign", type=Path)
    options.add_argument("--flips", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="prlore-flips-") as scratch:
        copy = Path(scratch) / "campaign"
        shutil.copytree(chosen.campaign, copy, ignore=shutil.ignore_patterns("builds", "spool"))
        folder = Folder(copy)
        began = time.monotonic()
        whole = verify(folder)
        print(f"untouched: {whole.problems or 'no problem'}, {time.monotonic() - began:.2f} s")
        files = [p for p in sorted(copy.rglob("*")) if p.is_file() and p.stat().st_size and p.name != "lock"]
        sizes = [p.stat().st_size for p in files]
        missed = []
        for _ in range(chosen.flips):
            path = draw.choices(files, sizes)[0]
            before = path.read_bytes()
            place = draw.randrange(len(before))
            path.chmod(0o600)
            path.write_bytes(
                before[:place] + bytes([before[place] ^ 1 << draw.randrange(8)]) + before[place + 1 :]
            )
            if not verify(folder, stop_at_first=True).problems:
                missed.append((str(path.relative_to(copy)), place))
            path.write_bytes(before)
        print(
            f"{chosen.flips} flips over {len(files)} files, {sum(sizes)} bytes: {len(missed)} missed {missed[:5]}"
        )


if __name__ == "__main__":
    main()
