"""Thousands of damaged traces: never a traceback, never a hang, never a wrong total without a warning.

    python tests/bench/trace_fuzz.py 10000 [SEED] [TRACE…]

Each case damages a trace (a generated one, or one of those given): bytes flipped, cut out, doubled, replaced by bytes that
mean something in JSON, numbers exchanged, the file truncated; as JSON or compressed, damaged before or after. Then all
tables and the Markdown and HTML reports are made. The kernel time is compared with a naive reading of the same bytes
where the file is JSON at all; where it isn't, a problem must be reported.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from decimal import Decimal
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.report import analyse
from analysis.reports.trace_html import as_html
from analysis.reports.trace_text import Choice, as_json, as_markdown
from analysis.trace import Trace

GPU = ("kernel", "gpu_memcpy", "gpu_memset")
TOKENS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\x00",
    b"\xff",
    b"-",
    b"1e999",
    b"NaN",
    b"null",
    b'"ph"',
    b"\n",
    b"9" * 30,
)
LIMIT_S = 5.0


def damage(raw: bytes, rng: random.Random) -> bytes:
    """One to four pieces of damage."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at = rng.randrange(len(data))
        size = rng.choice((1, 2, 7, 40, 400))
        kind = rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            data[at : at + 1] = rng.choice(TOKENS)
        elif kind == 5:
            other = rng.randrange(len(data))
            data[at : at + 12], data[other : other + 12] = data[other : other + 12], data[at : at + 12]
        else:
            del data[at:]
    return bytes(data)


def case(raws: list[bytes], rng: random.Random) -> tuple[bytes, str]:
    """The bytes of a damaged file and its name."""
    raw = rng.choice(raws)
    where = rng.randrange(3)
    if where == 0:
        return damage(raw, rng), "t.json"
    if where == 1:
        return gzip.compress(damage(raw, rng), 1), "t.json.gz"
    return damage(gzip.compress(raw, 6), rng), "t.json.gz"


def naive(data: bytes) -> tuple[int, int] | None:
    """Rows and time in ns of everything with a GPU category; None when the file isn't a JSON trace."""
    try:
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        events = json.loads(text.decode("utf-8", "replace"), parse_float=Decimal, strict=False)["traceEvents"]
        rows = [e for e in events if e.get("cat") in GPU and e.get("ph") == "X"]
        return len(rows), int(sum(round(Decimal(e["dur"]) * 1000) for e in rows))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        OSError,
        EOFError,
        zlib.error,
        RecursionError,
    ):
        return None


def judge(data: bytes, name: str, folder: Path) -> str:
    """What a case came to: `clean`, `warned`, `refused`, or what went wrong."""
    path = folder / name
    path.write_bytes(data)
    began = time.process_time()
    try:
        trace = Trace.open(path, cache=folder / "cache")
        report = analyse(trace)
        as_markdown([report], Choice())
        as_html([report], Choice())
        as_json([report], Choice())
    except AnalysisError as exc:
        return "refused" if "\n" not in str(exc) else f"two lines: {exc}"
    except Exception:
        return f"traceback: {traceback.format_exc()}"
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    if time.process_time() - began > LIMIT_S:
        return f"slow: {time.process_time() - began:.1f} s"
    if report.unit == "kernel" and report.kernel_ns != int(trace.kernels.dur.sum()):
        return f"tables hold {report.kernel_ns} ns"
    if report.problems:
        return "warned"
    expected = naive(data)
    if expected is None:
        return "silent about a file that isn't JSON"
    if (len(trace.kernels), int(trace.kernels.dur.sum())) != expected:
        return f"silent about {expected} being {len(trace.kernels), int(trace.kernels.dur.sum())}"
    return "clean"


def main(count: int, seed: int, paths: list[Path]) -> int:
    """Run the cases; what went wrong is printed with its seed and kept."""
    raws = [gzip.decompress(path.read_bytes()) for path in paths]
    if not raws:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        from traces.generator import Pass, Spec, generate

        spec = Spec(
            passes=(Pass("prefill", 1, 256), Pass("decode", 4)), layers=("fp8",), ranks=2, overlap=0.3
        )
        raws = [generate(spec).json(), json.dumps(json.loads(generate(spec).json(1))).encode()]
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    outcomes: Counter[str] = Counter()
    worst = 0.0
    for number in range(count):
        data, name = case(raws, random.Random(seed * 1_000_003 + number))
        began = time.process_time()
        outcome = judge(data, name, folder)
        worst = max(worst, time.process_time() - began)
        outcomes[outcome if outcome in ("clean", "warned", "refused") else "WRONG"] += 1
        if outcome not in ("clean", "warned", "refused"):
            kept = Path(tempfile.gettempdir()) / f"fuzz-{seed}-{number}-{name}"
            kept.write_bytes(data)
            print(f"case {number}: {outcome[:2000]}\n  kept as {kept}", flush=True)
    shutil.rmtree(folder)
    print(f"{count} cases, seed {seed}: {dict(outcomes)}, longest {worst:.2f} s of CPU")
    return 1 if outcomes["WRONG"] else 0


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:3] if a.isdigit()] or [1000]
    sys.exit(
        main(
            numbers[0],
            numbers[1] if len(numbers) > 1 else 1,
            [Path(a) for a in sys.argv[1:] if not a.isdigit()],
        )
    )
