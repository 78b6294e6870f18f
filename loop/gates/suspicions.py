"""Constructs in a patch's Python that measured code has no reason for.

A file's syntax tree is searched before and after the patch; what is there more often afterwards is the patch's. Two kinds:
`refuse` has no honest use in an engine's own code, `flag` has some and is only shown to a reader. Nothing here is proof of
honesty: what a candidate does is judged by the gates that look at its outputs and times.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Weight = Literal["refuse", "flag"]

_CLOCKS = frozenset(
    "time perf_counter perf_counter_ns monotonic monotonic_ns process_time time_ns sleep get_event_loop now".split()
)
_TIMERS = (
    "time",
    "datetime",
    "timeit",
    "torch.cuda",
    "torch.cuda.Event",
    "asyncio",
    "builtins",
    "torch.profiler",
)
_HARNESS = re.compile(r"prlore|autobench|guidellm", re.IGNORECASE)
_PEEKING = re.compile(
    r"/proc/(?:\d+|self|\*|\{|%|$)?/?(?:cmdline|environ|comm|status|maps|mem|stat)?$|^/proc/?$"
)
_HARMLESS_PROC = re.compile(
    r"/proc/(?:cpuinfo|meminfo|sys|driver|mounts|stat|loadavg|self/(?:status|cgroup|mountinfo))"
)
_ASSASSINS = re.compile(
    r"\b(?:pkill|killall|renice|tc qdisc|nvidia-smi\s+-(?:r|pm|lgc|pl)|cpulimit|ionice)\b"
)
_HUNTING = frozenset("process_iter pids SIGSTOP SIGCONT setpriority sched_setscheduler".split())
_TRACES = frozenset("settrace setprofile addaudithook set_asyncgen_hooks".split())


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One construct: reason code, weight, and the code as Python prints it."""

    reason: str
    weight: Weight
    code: str


def suspicions(before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]) -> list[Suspicion]:
    """What a patch brings.

    Args:
        before: contents of the changed Python files, None where absent.
        after: the same files afterwards.
    """
    old = Counter(s for raw in before.values() for s in _of(raw))
    new = Counter(s for raw in after.values() for s in _of(raw))
    return sorted((new - old).keys(), key=lambda s: (s.weight != "refuse", s.reason, s.code))


def _of(raw: bytes | None) -> Iterator[Suspicion]:
    if raw is None:
        return
    try:
        tree = ast.parse(raw)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield Suspicion("NOT_PYTHON", "refuse", "a file that Python can't parse")
        return
    names = _imported(tree)
    for node in ast.walk(tree):
        for reason, weight in _look(node, names):
            yield Suspicion(reason, weight, _shown(node))


def _shown(node: ast.AST) -> str:
    try:
        return " ".join(ast.unparse(node).split())[:160]
    except (RecursionError, ValueError):
        return type(node).__name__


def _imported(tree: ast.Module) -> dict[str, str]:
    """Local name -> what it was imported as, so that `import time as t` hides nothing."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                (a.asname or a.name.split(".")[0]): (a.name if a.asname else a.name.split(".")[0])
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(a.asname or a.name): f"{node.module}.{a.name}" for a in node.names}
    return found


def _dotted(node: ast.AST, names: Mapping[str, str]) -> str:
    """`torch.cuda.Event` for a chain of attributes, with import names resolved; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def _look(node: ast.AST, names: Mapping[str, str]) -> Iterator[tuple[str, Weight]]:
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
        yield from _assigned(_targets(node), names)
    elif isinstance(node, ast.Call):
        yield from _called(node, names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _said(node.value)
    elif isinstance(node, (ast.Attribute, ast.Name)):
        last = node.attr if isinstance(node, ast.Attribute) else node.id
        if last in _HUNTING:
            yield "SABOTAGE", "refuse" if last in ("process_iter", "SIGSTOP") else "flag"
        if last in ("f_globals", "f_locals", "f_back", "__subclasses__", "get_referrers"):
            yield "FRAMES", "flag"


def _targets(node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete) -> Iterable[ast.AST]:
    if isinstance(node, (ast.Assign, ast.Delete)):
        return node.targets
    return (node.target,)


def _assigned(targets: Iterable[ast.AST], names: Mapping[str, str]) -> Iterator[tuple[str, Weight]]:
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            yield from _assigned(target.elts, names)
        elif isinstance(target, ast.Attribute):
            yield from _replaced(_dotted(target.value, names), target.attr)
        elif isinstance(target, ast.Subscript):
            place = _dotted(target.value, names)
            if place == "sys.modules" or (
                place.endswith(".__dict__") and place.split(".")[0] in ("time", "torch", "builtins")
            ):
                yield "MODULE_PATCH", "refuse"


def _replaced(owner: str, name: str) -> Iterator[tuple[str, Weight]]:
    """Setting `owner.name`."""
    if owner in ("time", "datetime", "timeit", "builtins") or (
        owner in _TIMERS and name in (*_CLOCKS, "Event", "synchronize", "elapsed_time")
    ):
        yield "TIMER_PATCH", "refuse"
    elif owner == "torch.cuda.Event" or (
        owner == "sys" and name in ("modules", "meta_path", "path_hooks", "stdout")
    ):
        yield "MODULE_PATCH", "refuse"


_PATCHERS = frozenset(
    "sys.meta_path.insert sys.meta_path.append sys.path_hooks.insert sys.path_hooks.append".split()
)
_FLAGGED = {
    "os.kill": "SIGNALS",
    "os.killpg": "SIGNALS",
    "os.system": "PROCESS",
    "os.popen": "PROCESS",
    "time.sleep": "SLEEP",
    "asyncio.sleep": "SLEEP",
}
_DECODERS = frozenset("b64decode decompress loads fromhex".split())
_HASHES = frozenset("hash hashlib.sha256 hashlib.md5 hashlib.blake2b".split())
_CASTS = frozenset("half bfloat16 to".split())


def _called(node: ast.Call, names: Mapping[str, str]) -> Iterator[tuple[str, Weight]]:
    called = _dotted(node.func, names)
    first = _dotted(node.args[0], names) if node.args else ""
    if called in ("setattr", "delattr") and first in _TIMERS:
        yield "TIMER_PATCH", "refuse"
    if called in _PATCHERS or called.endswith(("mock.patch", "mock.patch.object", "monkeypatch.setattr")):
        yield "MODULE_PATCH", "refuse"
    if called.startswith("sys.") and called.rpartition(".")[2] in _TRACES:
        yield "TRACE_HOOK", "refuse"
    if called in ("exec", "eval") and node.args and not isinstance(node.args[0], ast.Constant):
        hidden = any(isinstance(n, ast.Attribute) and n.attr in _DECODERS for n in ast.walk(node))
        yield "EXEC", "refuse" if hidden else "flag"
    if called in _FLAGGED or called.startswith("subprocess."):
        yield _FLAGGED.get(called, "PROCESS"), "flag"
    if called in _HASHES and _about_prompts(node):
        yield "PROMPT_CACHE", "flag"
    if called.rpartition(".")[2] in _CASTS and re.search(r"float8|fp8|int8|int4|float16|half", _shown(node)):
        yield "DTYPE", "flag"


def _about_prompts(node: ast.Call) -> bool:
    return bool(re.search(r"prompt|input_ids|token_ids|request|messages", _shown(node), re.IGNORECASE))


def _said(text: str) -> Iterator[tuple[str, Weight]]:
    if _HARNESS.search(text):
        yield "ENV_SNIFF", "refuse"
    if "/proc" in text and _PEEKING.search(text) and not _HARMLESS_PROC.search(text):
        yield "ENV_SNIFF", "refuse"
    if len(text) < 400 and _ASSASSINS.search(text):
        yield "SABOTAGE", "refuse"
