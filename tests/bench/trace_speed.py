"""Speed and memory of `prlore trace` on traces of 22 MB, 200 MB and 1 GB, beside a public tool where it is installed.

    python tests/bench/trace_speed.py make FOLDER [SIZES_MB…]     # default 22 204 1000
    python tests/bench/trace_speed.py run FOLDER [--tool PYTHON]  # PYTHON: one in whose environment HTA is installed

The traces are shaped like those of a server: 36 layers of 13 kernels, one eager prefill step to five decode steps by
CUDA graph, Python stacks around every launch, flows, about 314 bytes an event. Each measurement is a process of its own:
wall and CPU seconds of the whole command, and the largest resident memory summed over its processes. `first` reads the
file and makes all tables; `again` is the same question a second time, out of the sidecar.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LAYERS = 36
KERNELS = (
    ("void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*, __nv_bfloat16*, __nv_bfloat16*, unsigned int, unsigned int, unsigned int, float, float)", 3.1),
    ("nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_TNT", 27.4),
    ("void (anonymous namespace)::fused_qknorm_warp<128l, true, __nv_bfloat16>((anonymous namespace)::QKNormParams)", 3.3),
    ("void (anonymous namespace)::fused_rope_kernel<true, 128l, true, __nv_bfloat16, __nv_bfloat16, long, 16u>((anonymous namespace)::FusedRopeParams)", 4.0),
    ("void (anonymous namespace)::store_kvcache<2048l, 2048l, 4, true, long>((anonymous namespace)::StoreKVCacheParams)", 2.9),
    ("void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>, cute::C<1>, cute::C<1> >, cute::tuple<cute::C<128>, cute::C<176>, cute::C<128> >, 128, cutlass::bfloat16_t, float, cutlass::arch::Sm90, true, false, false, true, true, false> > > >(flash::FlashAttnFwdParams)", 33.7),
    ("void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<cute::C<8>, cute::C<128> >, 5, 256, 1, false, true, cutlass::bfloat16_t, float, cutlass::arch::Sm90> >(flash::FlashAttnFwdCombineParams)", 2.2),
    ("nvjet_sm90_tst_176x128_64x5_1x2_h_bz_TNN", 14.9),
    ("void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float, __nv_bfloat16, false, float, __nv_bfloat16, __nv_bfloat16, true, false, false, false>(cublasLt::cublasSplitKParams<float>)", 2.0),
    ("void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*, __nv_bfloat16*, __nv_bfloat16*, unsigned int, unsigned int, unsigned int, float, float)", 3.2),
    ("nvjet_sm90_tst_192x208_64x4_2x1_v_bz_coopB_TNT", 51.1),
    ("void (anonymous namespace)::act_and_mul_kernel<__nv_bfloat16, ((anonymous namespace)::ActivationKind)0, true, false, false, false>((anonymous namespace)::ActivationParams)", 5.6),
    ("nvjet_sm90_tst_320x128_64x3_1x2_h_bz_coopB_TNT", 26.3),
)  # fmt: skip
FRAMES = 14  # Python calls around a launch
BASE = 4_382_087_881_356_225


class Writer:
    """Steps of a server, event after event, as Kineto lays them out."""

    def __init__(self) -> None:
        self.ts = BASE  # ns
        self.gpu = BASE + 500_000
        self.number = 1
        self.python = 1

    def event(self, cat: str, name: str, ts: int, dur: int, pid: int, tid: int, args: str) -> str:
        return (
            f'  {{\n    "ph": "X", "cat": "{cat}", "name": "{name}", "pid": {pid}, "tid": {tid},\n'
            f'    "ts": {ts // 1000}.{ts % 1000:03d}, "dur": {dur // 1000}.{dur % 1000:03d},\n    "args": {{\n'
            f"      {args}\n    }}\n  }}"
        )

    def kernel(self, name: str, dur: int, correlation: int, external: int) -> str:
        start, self.gpu = self.gpu, self.gpu + dur + 1000
        ids = f'"External id": {external}, ' if external else ""
        args = (
            f'{ids}"queued": 0, "device": 0, "context": 1,\n      "stream": 7, "correlation": {correlation},\n'
            '      "registers per thread": 168, "shared memory": 232448,\n      "blocks per SM": 1.0, "warps per SM": 12.0,\n'
            '      "grid": [132, 1, 1], "block": [384, 1, 1], "est. achieved occupancy %": 19'
        )
        return self.event("kernel", name, start, dur, 0, 7, args)

    def eager(self, name: str, dur: int, layer: int) -> Iterator[str]:
        self.number += 1
        number, start = self.number, self.ts
        parent = "null"
        for depth in range(FRAMES):
            at = start + depth * 60
            frame = (
                f"sglang/srt/models/qwen3_{depth % 5}.py({100 + depth}): forward_{(depth * 7 + layer) % 40}"
            )
            args = f'"Python parent id": {parent}, "Python id": {self.python}, "Ev Idx": {self.python}'
            yield self.event("python_function", frame, at, 9000 - depth * 120, 100, 100, args)
            parent, self.python = str(self.python), self.python + 1
        args = f'"External id": {number},"Record function id": 0, "Input Dims": [[4096, 4096], [4096, 6144]], "Input type": ["c10::BFloat16", "c10::BFloat16"], "Ev Idx": {number}'
        yield self.event("cpu_op", "aten::mm", start + 1000, 7000, 100, 100, args)
        args = f'"External id": {number}, "cbid": 211, "correlation": {number}'
        yield self.event("cuda_runtime", "cudaLaunchKernel", start + 2000, 4000, 100, 100, args)
        at = f"{(start + 2000) // 1000}.{start % 1000:03d}"
        yield f'  {{\n    "ph": "s", "id": {number}, "pid": 100, "tid": 100, "ts": {at},\n    "cat": "ac2g", "name": "ac2g"\n  }}'
        yield self.kernel(name, dur, number, number)
        yield f'  {{\n    "ph": "f", "id": {number}, "pid": 0, "tid": 7, "ts": {at},\n    "cat": "ac2g", "name": "ac2g", "bp": "e"\n  }}'
        self.ts += 10_000

    def step(self, name: str, graph: bool) -> Iterator[str]:
        begin = self.ts
        if graph:
            self.number += 1
            args = f'"cbid": 311, "correlation": {self.number}'
            yield self.event("cuda_runtime", "cudaGraphLaunch", self.ts + 500, 90_000, 100, 100, args)
            self.ts += 100_000
        self.gpu = max(self.gpu, self.ts)
        for layer in range(LAYERS):
            for number, (kernel, us) in enumerate(KERNELS):
                dur = int(us * 1000) + (layer * 7 + number * 13) % 97
                if graph:
                    yield self.kernel(kernel, dur, self.number, 0)
                else:
                    yield from self.eager(kernel, dur * 3, layer)
        self.number += 1
        yield self.event(
            "user_annotation",
            name,
            begin,
            self.ts - begin,
            100,
            100,
            f'"External id": {self.number}, "Ev Idx": 1',
        )
        self.ts = max(self.ts, self.gpu - 400_000)

    def cycle(self) -> Iterator[str]:
        yield from self.step("step[EXTEND bs=1 toks=4096]", False)
        for _ in range(5):
            yield from self.step("step[DECODE bs=64]", True)


def make(folder: Path, sizes: list[int]) -> None:
    """Write `<size>mb.json.gz` files; the size is that of the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        path = folder / f"{size}mb.json.gz"
        writer, written, events = Writer(), 0, 0
        with gzip.open(path, "wb", compresslevel=3) as file:
            file.write(
                b'{\n  "schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "NVIDIA H200"}],\n  "baseTimeNanoseconds": 1790857026000000000,\n  "traceEvents": [\n'
            )
            first = True
            while written < size * 1_000_000:
                block = list(writer.cycle())
                text = ("" if first else ",\n") + ",\n".join(block)
                file.write(text.encode())
                first, written, events = False, written + len(text), events + len(block)
            file.write(b'\n  ],\n  "traceName": "t.json"\n}\n')
        print(
            f"{path.name}: {written / 1e6:.0f} MB of JSON, {events} events, {path.stat().st_size / 1e6:.1f} MB compressed"
        )


OURS = """
import sys
from loop.cli import main
main(["trace", sys.argv[1]])
"""
HTA = """
import sys, pathlib, warnings
warnings.simplefilter("ignore")
from hta.trace_analysis import TraceAnalysis
found = TraceAnalysis(trace_files={0: sys.argv[1]}, trace_dir=str(pathlib.Path(sys.argv[1]).parent))
found.get_gpu_kernel_breakdown(visualize=False)
found.get_temporal_breakdown(visualize=False)
found.get_idle_time_breakdown(ranks=[0], visualize=False)
found.get_comm_comp_overlap(visualize=False)
"""


def measured(command: list[str], env: dict[str, str]) -> str:
    """Wall, CPU and largest resident memory of a command and its helpers."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    most = 0
    while process.poll() is None:
        most = max(most, _resident(process.pid))
        time.sleep(0.02)
    wall = time.perf_counter() - began
    said = process.stderr.read().decode().strip().splitlines() if process.stderr else []
    if process.returncode:
        return f"failed ({process.returncode}): {said[-1] if said else ''}"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - measured.before  # type: ignore[attr-defined]
    measured.before += cpu  # type: ignore[attr-defined]
    return f"{wall:6.2f} s wall {cpu:7.2f} s CPU {most / 1e6:6.0f} MB   {said[-1] if said else ''}"


measured.before = 0.0  # type: ignore[attr-defined]


def _resident(pid: int) -> int:
    """Resident bytes of a process and its children, shared pages counted once a process (proportional set size)."""
    total = 0
    for one in [pid, *_children(pid)]:
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def run(folder: Path, tool: str | None) -> None:
    """Measure every trace of a folder."""
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    root = Path(__file__).resolve().parent.parent.parent
    for path in sorted(folder.glob("*mb.json.gz"), key=lambda p: p.stat().st_size):
        cache = Path(tempfile.mkdtemp(dir=folder))
        env = {**os.environ, "PRLORE_CACHE": str(cache), "PYTHONPATH": str(root)}
        for what in ("first", "again"):
            print(
                f"{path.name:16} {what:6} {measured([sys.executable, '-c', OURS, str(path)], env)}",
                flush=True,
            )
        shutil.rmtree(cache)
        if tool:
            print(
                f"{path.name:16} HTA    {measured([tool, '-c', HTA, str(path)], dict(os.environ))}",
                flush=True,
            )


def exact(folder: Path) -> int:
    """Kernel time of every trace below a folder against a naive reading with decimals."""
    from decimal import Decimal

    from analysis.trace import Trace

    bad = 0
    for path in sorted(folder.rglob("*.json.gz")):
        events = json.loads(gzip.decompress(path.read_bytes()), parse_float=Decimal)["traceEvents"]
        rows = [Decimal(e["dur"]) for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
        with tempfile.TemporaryDirectory() as cache:
            trace = Trace.open(path, cache=Path(cache))
            ours = int(trace.kernels.dur.sum())
        same = (len(rows), sum(rows) * 1000) == (len(trace.kernels), ours) and trace.events == len(events)
        bad += not same
        print(f"{'exact' if same else 'WRONG'} {ours:>14} ns in {len(rows):>6} rows  {path.name}")
    return 1 if bad else 0


if __name__ == "__main__":
    command, where, *rest = sys.argv[1:]
    if command == "make":
        make(Path(where), [int(size) for size in rest] or [22, 204, 1000])
    elif command == "exact":
        sys.exit(exact(Path(where)))
    else:
        run(Path(where), rest[1] if rest[:1] == ["--tool"] else None)
