"""Torch-profiler traces of a real transformer on a CUDA machine, with the times that CUDA events give for the same steps.

    python tests/bench/gpu_trace.py capture OUT      # plain PyTorch, no prlore; about a minute on one GPU
    python tests/bench/gpu_trace.py check OUT        # anywhere, offline: our kernel times against the events

`capture` writes traces (`*.trace.json.gz`), `results.json` with the events' times, and the outputs of `ncu` where that
works. Its parts run in processes of their own, so that one that fails costs nothing but itself. Every step is annotated
in a form that an engine writes. Before a step the GPU is kept busy until the CPU has launched all of it: the events then
time the kernels and no launch gaps.

`check` compares, per step, the events' time with the span of the step's kernels and with their summed durations. The sum
must agree within 1% where kernels are large and stand back to back (`gemm`, `prefill`); in decode, kernels of a few
microseconds have pauses between them that belong to the events' time, so there sum and idle time together must agree.
"""

from __future__ import annotations

import glob
import json
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

PARTS = ("main", "graph_capture", "ncu")
LIMITS = {"main": 150, "graph_capture": 90, "ncu": 150}  # seconds


def capture(out: Path) -> int:
    """Run every part in a process of its own and gather what they found."""
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"parts": {}, "steps": []}
    for part in PARTS:
        began = time.monotonic()
        with (out / f"{part}.log").open("wb") as log:
            try:
                code = subprocess.run(
                    [sys.executable, __file__, "part", part, str(out)],
                    stdout=log, stderr=subprocess.STDOUT, timeout=LIMITS[part], check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                code = -1
        results["parts"][part] = {"status": code, "seconds": round(time.monotonic() - began, 1)}
        found = out / f"{part}.json"
        if found.is_file():
            made = json.loads(found.read_text())
            results["steps"] += made.pop("steps", [])
            results[part] = made
        (out / "results.json").write_text(json.dumps(results, indent=1))
        print(part, results["parts"][part], flush=True)
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size:>10} {path.name}")
    return 0 if results["steps"] else 1


def run_part(part: str, out: Path) -> int:
    """One part; what it measured goes to `<part>.json` even when a later step of it fails."""
    made: dict[str, Any] = {"steps": [], "errors": []}
    try:
        {"main": main_part, "graph_capture": graph_capture_part, "ncu": ncu_part}[part](out, made)
    except Exception:
        made["errors"].append(traceback.format_exc())
        traceback.print_exc()
    (out / f"{part}.json").write_text(json.dumps(made, indent=1))
    return 1 if made["errors"] else 0


class Machine:
    """The device, and how to time and to fill it; on a CPU a stand-in that exercises the same code."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.cuda = torch.cuda.is_available()
        self.device = "cuda" if self.cuda else "cpu"
        self.dtype = torch.bfloat16 if self.cuda else torch.float32
        torch.manual_seed(0)

    def sync(self) -> None:
        if self.cuda:
            self.torch.cuda.synchronize()

    def fill(self, milliseconds: float) -> None:
        """Keep the GPU busy, so that what follows is launched before it can start."""
        if self.cuda:
            self.torch.cuda._sleep(int(milliseconds * 1.8e6))  # cycles

    def mark(self) -> Any:
        """A time on the device's own line."""
        if not self.cuda:
            return time.perf_counter()
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, first: Any, last: Any) -> float:
        """Milliseconds between two marks, after `sync`."""
        return first.elapsed_time(last) if self.cuda else (last - first) * 1000

    def facts(self) -> dict[str, Any]:
        torch = self.torch
        found = {"torch": torch.__version__, "cuda": torch.version.cuda, "gpu": "cpu"}
        if self.cuda:
            found["gpu"] = torch.cuda.get_device_name()
        return found


def model(machine: Machine) -> Any:
    """A decoder with RMSNorm, grouped-query attention, SwiGLU and a static KV cache; random weights."""
    torch = machine.torch
    nn, f = torch.nn, torch.nn.functional
    width, heads, kv, layers, inner, vocab = (
        (4096, 32, 8, 4, 12288, 32000) if machine.cuda else (128, 4, 2, 2, 256, 512)
    )
    head = width // heads
    slots, length = (32, 4096) if machine.cuda else (4, 128)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Parameter(torch.ones(width))
            self.after = nn.Parameter(torch.ones(width))
            self.qkv = nn.Linear(width, width + 2 * kv * head, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.up = nn.Linear(width, 2 * inner, bias=False)
            self.down = nn.Linear(inner, width, bias=False)

        def attend(self, x: Any, cache: Any, at: Any) -> Any:
            b, t, _ = x.shape
            q, k, v = self.qkv(x).split([width, kv * head, kv * head], -1)
            q = q.view(b, t, heads, head).transpose(1, 2)
            k = k.view(b, t, kv, head).transpose(1, 2)
            v = v.view(b, t, kv, head).transpose(1, 2)
            if t == 1:  # decode: one new token at a fixed place, against the whole cache
                cache[0].index_copy_(2, at, k)
                cache[1].index_copy_(2, at, v)
                k, v = cache[0][:b], cache[1][:b]
            k, v = (z.unsqueeze(2).expand(-1, -1, heads // kv, -1, -1).flatten(1, 2) for z in (k, v))
            y = f.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
            return self.out(y.transpose(1, 2).reshape(b, t, width))

        def forward(self, x: Any, cache: Any, at: Any) -> Any:
            x = x + self.attend(f.rms_norm(x, (width,), self.before), cache, at)
            gate, up = self.up(f.rms_norm(x, (width,), self.after)).chunk(2, -1)
            return x + self.down(f.silu(gate) * up)

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(vocab, width)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.head = nn.Linear(width, vocab, bias=False)
            shape = (layers, 2, slots, kv, length, head)
            self.register_buffer("cache", torch.zeros(shape))
            self.register_buffer("at", torch.tensor([length // 2]))

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens)
            for number, layer in enumerate(self.layers):
                x = layer(x, self.cache[number], self.at)
            return self.head(x[:, -1]).argmax(-1)

    torch.set_default_dtype(machine.dtype)
    with torch.device(machine.device):
        made = Decoder().eval()
    torch.set_default_dtype(torch.float32)
    made.slots, made.vocab = slots, vocab
    return made


def profiler(machine: Machine, stacks: bool) -> Any:
    """torch.profiler as the engines start it."""
    activity = machine.torch.profiler.ProfilerActivity
    kinds = [activity.CPU, activity.CUDA] if machine.cuda else [activity.CPU]
    return machine.torch.profiler.profile(activities=kinds, record_shapes=True, with_stack=stacks)


class Recorder:
    """Steps with their annotation, run under the profiler and timed by events."""

    def __init__(self, machine: Machine, made: dict[str, Any], out: Path) -> None:
        self.machine, self.made, self.out = machine, made, out

    def record(self, name: str, steps: list[tuple[str, Any, str]], fill_ms: float, stacks: bool) -> None:
        """Profile (annotation, function, kind) steps into `<name>.trace.json.gz`."""
        machine = self.machine
        torch = machine.torch
        for _, run, _ in steps[:2]:
            run()
        machine.sync()
        marks = []
        with profiler(machine, stacks) as prof:
            for annotation, run, _ in steps:
                machine.sync()
                machine.fill(fill_ms)
                with torch.profiler.record_function(annotation):
                    first = machine.mark()
                    run()
                    last = machine.mark()
                marks.append((first, last))
            machine.sync()
        path = self.out / f"{name}.trace.json.gz"
        prof.export_chrome_trace(str(path))
        seen: dict[str, int] = {}
        for (annotation, _, kind), (first, last) in zip(steps, marks, strict=True):
            number = seen[annotation] = seen.get(annotation, -1) + 1
            self.made["steps"].append(
                {"trace": path.name, "annotation": annotation, "number": number, "kind": kind,
                 "event_ms": machine.between(first, last)}
            )  # fmt: skip


def main_part(out: Path, made: dict[str, Any]) -> None:
    """Large GEMMs, prefill, decode by graph, decode without, and a vLLM-like run of all of them."""
    machine = Machine()
    torch = machine.torch
    made |= machine.facts()
    recorder = Recorder(machine, made, out)
    with torch.inference_mode():
        size = 8192 if machine.cuda else 128
        a, b = (torch.randn(size, size, device=machine.device, dtype=machine.dtype) for _ in range(2))
        c = torch.empty_like(a)

        def gemms() -> None:
            for _ in range(10):
                torch.mm(a, b, out=c)

        gemms()
        machine.sync()
        with profiler(machine, False):  # the first session of a process may lose its first kernels
            gemms()
            machine.sync()
        attempt(
            made,
            lambda: recorder.record("gemm", [("step[EXTEND bs=1 toks=8192]", gemms, "dense")] * 3, 5, False),
        )
        net = model(machine)
        batch, tokens = (net.slots, 8192) if machine.cuda else (net.slots, 32)
        prompt = torch.randint(net.vocab, (1, tokens), device=machine.device)
        last = torch.randint(net.vocab, (batch, 1), device=machine.device)
        prefill_name = f"step[EXTEND bs=1 toks={tokens}]"
        decode_name = f"step[DECODE bs={batch}]"

        def prefill() -> None:
            net(prompt)

        def eager() -> None:
            net(last)

        attempt(made, lambda: recorder.record("prefill", [(prefill_name, prefill, "prefill")] * 3, 40, True))
        attempt(made, lambda: recorder.record("decode_eager", [(decode_name, eager, "decode")] * 3, 40, True))
        replay = attempt(made, lambda: graph(machine, eager)) or eager
        attempt(made, lambda: recorder.record("decode", [(decode_name, replay, "decode")] * 10, 5, True))

        def mixed() -> None:
            prefill()
            replay()

        vllm = [
            (f"execute_context_1({tokens})_generation_0(0)", prefill, "prefill"),
            *[(f"execute_context_0(0)_generation_{batch}({batch})", replay, "decode")] * 3,
            (f"execute_context_1({tokens})_generation_{batch}({batch})", mixed, "mixed"),
            ("execute_context_0(0)_generation_0(0)", lambda: None, "idle"),
        ]
        attempt(made, lambda: recorder.record("vllm", vllm, 40, False))


def graph(machine: Machine, run: Any) -> Any:
    """A CUDA graph of a function, as a function that replays it."""
    torch = machine.torch
    if not machine.cuda:
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    machine.sync()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        run()
    machine.sync()
    return captured.replay


def graph_capture_part(out: Path, made: dict[str, Any]) -> None:
    """A trace of the capture itself, with stacks, and one of the same graph's replays."""
    machine = Machine()
    torch = machine.torch
    made |= machine.facts()
    with torch.inference_mode():
        net = model(machine)
        last = torch.randint(net.vocab, (net.slots, 1), device=machine.device)

        def eager() -> None:
            net(last)

        eager()
        machine.sync()
        with profiler(machine, False):
            eager()
            machine.sync()
        with profiler(machine, True) as prof, torch.profiler.record_function(f"capture_{net.slots}_DECODE"):
            replay = attempt(made, lambda: graph(machine, eager))
            machine.sync()
        prof.export_chrome_trace(str(out / "graph_capture.trace.json.gz"))
        recorder = Recorder(machine, made, out)
        replay = replay or graph(machine, eager)
        recorder.record("graph_replay", [(f"step[DECODE bs={net.slots}]", replay, "decode")] * 5, 5, True)


def attempt(made: dict[str, Any], what: Any) -> Any:
    """Do one thing; a failure is written down and the rest goes on."""
    try:
        return what()
    except Exception:
        made["errors"].append(traceback.format_exc())
        traceback.print_exc()
        return None


NCU_PLACES = (
    "/usr/local/cuda*/bin/ncu",
    "/usr/local/cuda*/nsight-compute*/ncu",
    "/opt/nvidia/nsight-compute/*/ncu",
    "/usr/lib/nsight-compute/ncu",
)


def ncu_part(out: Path, made: dict[str, Any]) -> None:
    """Nsight Compute on one kernel before and after a change of its block size, as report and as CSV."""
    tool = shutil.which("ncu") or next((p for place in NCU_PLACES for p in sorted(glob.glob(place))), None)
    made["ncu"] = tool
    if not tool:
        made["note"] = "ncu isn't installed here"
        return
    made["version"] = said([tool, "--version"])
    for name in ("baseline", "candidate"):
        report = out / f"{name}.ncu-rep"
        command = [tool, "--set", "full", "-f", "-o", str(report.with_suffix("")), "--kernel-name",
                   "regex:silu_mul|elementwise", "--launch-skip", "2", "--launch-count", "2",
                   sys.executable, __file__, "kernel", name]  # fmt: skip
        made[f"{name}_log"] = said(command)
        if report.is_file():
            for page in ("raw", "details"):
                text = said([tool, "--import", str(report), "--csv", "--page", page], whole=True)
                (out / f"{name}.{page}.csv").write_text(text)


def said(command: list[str], whole: bool = False) -> str:
    """What a command printed, its last lines unless the whole is wanted."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=70, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"{type(exc).__name__}: {exc}"
    return done.stdout if whole else (done.stdout + done.stderr)[-1500:]


def kernel(name: str) -> int:
    """The kernel that `ncu` looks at: SiLU times gate, in Triton where that works, else in two torch kernels."""
    import torch

    x, y = (torch.randn(1 << 24, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(x)
    folder = tempfile.mkdtemp()  # Triton reads a kernel's source from a file
    (Path(folder) / "kernel_of_gpu_trace.py").write_text(_TRITON)
    sys.path.insert(0, folder)
    try:
        import kernel_of_gpu_trace as own

        block, warps = (128, 1) if name == "baseline" else (1024, 8)
        for _ in range(6):
            own.run(x, y, out, block, warps)
        torch.cuda.synchronize()
        print("triton", block, warps)
    except Exception:
        traceback.print_exc()
        for _ in range(6):
            if name == "baseline":
                torch.mul(torch.nn.functional.silu(x), y, out=out)
            else:
                torch.mul(x, y, out=out)
        torch.cuda.synchronize()
    return 0


_TRITON = """
import triton
import triton.language as tl


@triton.jit
def silu_mul(x, y, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(x + at, mask=at < n).to(tl.float32)
    b = tl.load(y + at, mask=at < n).to(tl.float32)
    tl.store(out + at, (a / (1 + tl.exp(-a)) * b).to(out.dtype.element_ty), mask=at < n)


def run(x, y, out, block, warps):
    silu_mul[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), BLOCK=block, num_warps=warps)
"""


def check(out: Path) -> int:
    """Our times of each step against the events'; exit status 1 when one is off by more than 1%."""
    import numpy as np

    from analysis.report import analyse
    from analysis.steps import stage
    from analysis.trace import Trace

    results = json.loads((out / "results.json").read_text())
    bad = 0
    print(f"{'trace':<24}{'step':<44}{'event us':>11}{'span us':>11}{'off':>8}{'kernels us':>12}{'off':>8}")
    for name in sorted({row["trace"] for row in results["steps"]}):
        trace = Trace.open(out / name, cache=out / "cache")
        staged = stage(trace)
        kernels = trace.kernels
        seen: dict[str, int] = {}
        ours = {}
        for step in staged.steps:
            number = seen[step.name] = seen.get(step.name, -1) + 1
            mine = np.flatnonzero(staged.kernel_step == step.number)
            if len(mine):
                span = int(kernels.end[mine].max() - kernels.ts[mine].min())
                ours[step.name, number] = span, int(kernels.dur[mine].sum())
        for row in [row for row in results["steps"] if row["trace"] == name]:
            if row["kind"] == "idle":
                continue
            event = row["event_ms"] * 1e6
            span, total = ours.get((row["annotation"], row["number"]), (0, 0))
            off_span, off_sum = span / event - 1, total / event - 1
            tested = off_sum if row["kind"] in ("dense", "prefill") else off_span
            wrong = abs(tested) > 0.01
            bad += wrong
            print(
                f"{name.removesuffix('.trace.json.gz'):<24}{row['annotation']:<44}{event / 1000:>11.1f}"
                f"{span / 1000:>11.1f}{off_span:>8.2%}{total / 1000:>12.1f}{off_sum:>8.2%}{'  WRONG' if wrong else ''}"
            )
        print(f"  {name}: {len(kernels)} kernels, problems {[p.text for p in trace.problems]}")
    replay, captured = out / "graph_replay.trace.json.gz", out / "graph_capture.trace.json.gz"
    if replay.is_file() and captured.is_file():
        found = analyse(Trace.open(replay, cache=out / "cache"), [Trace.open(captured, cache=out / "cache")])
        print("\n".join(found.notes))
        for row in found.kernels[:12]:
            print(f"  {row.share:6.1%} {row.short[:60]:<60} {row.source} {row.op}")
    print("all within 1%" if not bad else f"{bad} steps off by more than 1%")
    return 1 if bad else 0


def main() -> int:
    """The command line."""
    command, *rest = sys.argv[1:] or ["help"]
    if command == "capture" and rest:
        return capture(Path(rest[0]).resolve())
    if command == "part" and len(rest) == 2:
        return run_part(rest[0], Path(rest[1]))
    if command == "kernel" and rest:
        return kernel(rest[0])
    if command == "check" and rest:
        return check(Path(rest[0]))
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
