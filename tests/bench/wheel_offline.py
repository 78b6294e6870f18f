"""The wheel in an empty environment with the network cut: everything a newcomer tries works from what is inside.

    python tests/bench/wheel_offline.py [--keep DIR]

Builds sdist and wheel, installs the wheel (and what it needs, from the index) into a fresh venv, then runs the commands in
a network namespace without a network (`unshare -n`; needs root, or user namespaces), in an empty home folder outside the
checkout. Prints sizes against the budget and the seconds of each command; the exit status says whether all went well.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUDGET_MB = {"wheel": 80, "sdist": 80}
PATCH = """diff --git a/python/sglang/srt/models/ernie45_vl.py b/python/sglang/srt/models/ernie45_vl.py
--- a/python/sglang/srt/models/ernie45_vl.py
+++ b/python/sglang/srt/models/ernie45_vl.py
@@ -10,3 +10,4 @@ def rot_pos_emb(self, grid_thw):
     pos_ids = []
-    cos, sin = self.rotary(pos_ids)
+    cos, sin = self.cached_rotary(pos_ids)
+    cos = cos.contiguous()
     return cos, sin
"""


def run(command: list[str], **options: object) -> float:
    """Run a command that has to end well; its seconds."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode not in (0,):
        sys.exit(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started


def build(out: Path) -> dict[str, Path]:
    """Both archives, from the files that git knows."""
    run([sys.executable, "-m", "pip", "install", "--quiet", "build"])
    run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)])
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


def main() -> None:
    """Build, install, cut the network, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for archives and environment")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="prlore-wheel-"))
    folder.mkdir(parents=True, exist_ok=True)
    archives = build(folder / "dist")
    for kind, path in archives.items():
        size = path.stat().st_size / 1e6
        print(f"{kind}: {path.name} {size:.1f} MB (budget {BUDGET_MB[kind]} MB)")
        assert size <= BUDGET_MB[kind]
    venv = folder / "venv"
    run([sys.executable, "-m", "venv", "--clear", str(venv)])
    seconds = run([str(venv / "bin/pip"), "install", "--quiet", str(archives["wheel"])])
    used = sum(p.stat().st_size for p in venv.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6
    print(f"installed in {seconds:.0f} s, environment {used:.0f} MB")
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    (home / "patch.diff").write_text(PATCH)
    (home / "run.json.gz").write_bytes(gzip.compress(a_trace(), 1))
    for command in commands():
        seconds = run(
            ["unshare", "-n", str(venv / "bin/prlore"), *command], cwd=home,
            env={"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8"},
        )  # fmt: skip
        print(f"{seconds:5.1f} s  prlore {' '.join(command)}")
    if options.keep is None:
        shutil.rmtree(folder)


def a_trace() -> bytes:
    """A generated trace of a prefill and a decode step."""
    sys.path.insert(0, str(ROOT / "tests"))
    from traces.generator import Pass, Spec, generate

    return generate(
        Spec(passes=(Pass("prefill", 1, 2048), Pass("decode", 8)), layers=("fp8", "dense"))
    ).json()


def commands() -> list[list[str]]:
    """What a newcomer tries, in order."""
    return [
        ["--version"],
        ["demo"],
        ["ingest", "starter"],
        ["query", "Ernie4.5 cos/sin cache", "--limit", "2"],
        ["query", "MLA decode with fp8 KV cache", "--json"],
        ["show", "sglang#19743"],
        ["evidence", "--path", "ernie45_vl.py", "--engine", "sglang"],
        ["review", "patch.diff", "--repo", "sglang"],
        ["family", "moss-vl", "--engine", "sglang"],
        ["trace", "run.json.gz", "--stage", "decode", "--evidence"],
        ["trace", "run.json.gz", "--format", "html", "--output", "report.html"],
        ["site", "build", "site"],
        ["install", "--agent", "claude", "--family", "moss-vl"],
        ["gate"],
        ["status"],
        ["doctor"],
    ]


if __name__ == "__main__":
    main()
