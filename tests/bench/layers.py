"""Measure `prlore layers` on a generated trace against json.load and a sort of its kernels, in the same run.

    python tests/bench/layers.py --passes 300

Prints wall and CPU seconds and peak memory of three processes: the floor (parse and sort, no layers), the first
question, and the second one out of the sidecar. The trace has 36 layers, one eager prefill to five replayed decodes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FLOOR = (
    "import json, sys; events = json.load(open(sys.argv[1]))['traceEvents']; "
    "print(len(sorted((e['ts'], e['name']) for e in events if e.get('cat') == 'kernel')), 'kernels')"
)


def measure(name: str, command: list[str], env: dict[str, str]) -> None:
    """Run and print one line."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    assert process.stdout
    first = process.stdout.read().splitlines()[0]
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:8} {wall:7.2f} s wall  {cpu:7.2f} s cpu  {usage.ru_maxrss / 1024:7.0f} MB  {first}")
    assert status == 0


def write(path: str, passes: int) -> None:
    """Generate the trace, in a process of its own: a child's peak memory counts that of the parent it was forked from."""
    sys.path.insert(0, str(ROOT / "tests"))
    from traces.generator import Pass, Spec, generate

    forms = tuple(Pass("prefill", 1, 1024) if i % 6 == 0 else Pass("decode", 16) for i in range(passes))
    Path(path).write_bytes(generate(Spec(layers=("dense",) * 36, passes=forms, jitter=0.02)).json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=300)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        write(args.write, args.passes)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        made = [sys.executable, __file__, "--write", str(path), "--passes", str(args.passes)]
        subprocess.run(made, check=True)
        print(f"{path.stat().st_size / 1e6:.0f} MB, {args.passes} passes of 36 layers")
        env = {**os.environ, "PRLORE_CACHE": str(Path(folder) / "cache")}
        measure("floor", [sys.executable, "-c", FLOOR, str(path)], env)
        for name in ("first", "second"):
            measure(
                name, [sys.executable, "-c", "from loop.cli import main; main()", "layers", str(path)], env
            )


if __name__ == "__main__":
    main()
