"""Steps of a serving engine, read from the ranges it names, and the stage each kernel belongs to.

A kernel belongs to the step during which the step's own thread launched it. A kernel without a launch in the trace
belongs to a step when it lies inside of that step's range on its device and of no other. Everything else is
`unknown`: a kernel is never given to the nearest step.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analysis.links import launch_of_kernels
from analysis.mapped import scratch, windows
from analysis.trace import Annotations, Ints, Kernels, Numbers, Trace

if TYPE_CHECKING:  # its import takes as long as a small trace
    from numpy.typing import NDArray


class Stage(StrEnum):
    """What a forward step does for its requests."""

    PREFILL = "prefill"
    DECODE = "decode"
    MIXED = "mixed"
    VERIFY = "target-verify"
    DRAFT = "draft"
    IDLE = "idle"
    UNKNOWN = "unknown"


ORDER = tuple(Stage)


class StepName(msgspec.Struct, frozen=True):
    """What the name of a range says about a step; None where it says nothing.

    Attributes:
        requests: requests in the batch.
        tokens: tokens the step computes.
        context_requests, context_tokens, generation_requests, generation_tokens: the two parts of a mixed batch.
    """

    stage: Stage
    engine: str
    requests: int | None = None
    tokens: int | None = None
    context_requests: int | None = None
    context_tokens: int | None = None
    generation_requests: int | None = None
    generation_tokens: int | None = None


class Step(msgspec.Struct, frozen=True):
    """One step of one process.

    Attributes:
        number: place in the order of starts.
        name: the range's name as written by the engine.
        start_ns, end_ns: the range on the CPU (on the device where only that was recorded).
        track: number of the (process, thread) that ran it.
        external: id that ties the range to its time on the device, -1 without.
        on_gpu: whether start and end are times of the device.
    """

    number: int
    name: str
    what: StepName
    start_ns: int
    end_ns: int
    track: int
    external: int
    on_gpu: bool

    @property
    def stage(self) -> Stage:
        """The step's stage."""
        return self.what.stage


_SGLANG_MODES = {
    "EXTEND": Stage.PREFILL,
    "SPLIT_PREFILL": Stage.PREFILL,
    "DLLM_EXTEND": Stage.PREFILL,
    "DECODE": Stage.DECODE,
    "MIXED": Stage.MIXED,
    "TARGET_VERIFY": Stage.VERIFY,
    "DRAFT_EXTEND": Stage.DRAFT,
    "DRAFT_EXTEND_V2": Stage.DRAFT,
    "DRAFT_LOOP": Stage.DRAFT,
    "IDLE": Stage.IDLE,
    "DUMMY_FIRST": Stage.IDLE,
}


def _sglang(match: re.Match[str]) -> StepName:
    tokens = int(match["tokens"]) if match["tokens"] else None
    stage = _SGLANG_MODES.get(match["mode"], Stage.UNKNOWN)
    requests = int(match["requests"])
    if tokens is None and stage is Stage.DECODE:
        tokens = requests  # one token a request
    return StepName(stage, "sglang", requests=requests, tokens=tokens)


def _vllm(match: re.Match[str]) -> StepName:
    return _two_parts("vllm", match)


def _trtllm(match: re.Match[str]) -> StepName:
    return _two_parts("tensorrt-llm", match)


def _two_parts(engine: str, match: re.Match[str]) -> StepName:
    """A batch given as its context and its generation part."""
    found = match.groupdict()
    context, generation = int(found["context"]), int(found["generation"])
    context_tokens = int(found["context_tokens"]) if found.get("context_tokens") else None
    generation_tokens = int(found["generation_tokens"]) if found.get("generation_tokens") else None
    if context and generation:
        stage = Stage.MIXED
    elif context:
        stage = Stage.PREFILL
    elif not generation:
        stage = Stage.IDLE
    else:
        # several tokens for a request past its prompt: drafted ones that are verified
        stage = Stage.VERIFY if (generation_tokens or 0) > generation else Stage.DECODE
    if context_tokens is None or generation_tokens is None:
        tokens = context_tokens if generation == 0 else generation if context == 0 else None
    else:
        tokens = context_tokens + generation_tokens
    return StepName(
        stage, engine, context + generation, tokens, context, context_tokens, generation, generation_tokens
    )


def _vllm_draft(match: re.Match[str]) -> StepName:
    return StepName(Stage.DRAFT, "vllm")


# (compiled when a name is first read)
_FORMS: tuple[tuple[str, Callable[[re.Match[str]], StepName]], ...] = (
    # SGLang since 2026-04-22 (7b10f01d1c): the forward mode, requests, and the new tokens of an extend
    #   step[EXTEND bs=2 toks=14721]   step[DECODE bs=64]   step[MIXED bs=2]   step[TARGET_VERIFY bs=8]
    #   step[DRAFT_EXTEND_V2 bs=8]     step[IDLE bs=0]
    # and the captured draft loop of speculative decoding
    #   step[DRAFT_LOOP raw_bs=3 bs=4 topk=1]
    (
        r"step\[(?P<mode>[A-Z0-9_]+) (?:raw_)?bs=(?P<requests>\d+)(?: toks=(?P<tokens>\d+))?(?: [^\]]*)?\]",
        _sglang,
    ),
    # vLLM: requests(tokens) of the context and of the generation part
    #   execute_context_2(6144)_generation_3(3)
    (
        r"execute_context_(?P<context>\d+)\((?P<context_tokens>\d+)\)"
        r"_generation_(?P<generation>\d+)\((?P<generation_tokens>\d+)\)",
        _vllm,
    ),
    # vLLM, detailed (also from SGLang on ROCm): all tokens, then sums over requests of query length (sq), key length
    # (sk) and their products; sq is the number of new tokens
    #   execute_8192_context_9(sq8155sk8430sqsq7475785sqsk7671310)_generation_37(sq37sk34489sqsq37sqsk34489)
    (
        r"execute_\d+_context_(?P<context>\d+)\(sq(?P<context_tokens>\d+)sk\d+(?:sqsq\d+)?(?:sqsk\d+)?\)"
        r"_generation_(?P<generation>\d+)\(sq(?P<generation_tokens>\d+)sk\d+(?:sqsq\d+)?(?:sqsk\d+)?\)",
        _vllm,
    ),
    # vLLM's drafter, a range of its own inside or after the step
    #   gpu_model_runner: draft
    (r"gpu_model_runner: draft", _vllm_draft),
    # TensorRT-LLM's PyExecutor, three generations of the same range
    #   [Executor] _forward_step: 1 ctx reqs, 3 gen reqs
    #   [Executor] _forward_step 17: 1 ctx reqs, 3 gen reqs
    #   [Executor] _forward_step 17: 1 ctx reqs, 512 ctx tokens, 3 gen reqs
    (
        r"\[Executor\] _forward_step(?: \d+)?: (?P<context>\d+) ctx reqs,"
        r"(?: (?P<context_tokens>\d+) ctx tokens,)? (?P<generation>\d+) gen reqs",
        _trtllm,
    ),
)

# SGLang names the file by the stage when it profiles by stage: one stage a file
#   1755231111.3-TP-0-EXTEND.trace.json.gz   run1-1755231111.3-TP-0-DP-1-EP-0-DECODE.trace.json.gz
_SUFFIXED = r"-TP-\d+(?:-(?:DP|PP|EP)-\d+)*-(?P<mode>EXTEND|DECODE)\.trace\.json(?:\.gz)?"


def read_step(name: str) -> StepName | None:
    """What a range's name says; None when it is no step of an engine we know."""
    for pattern, make in _FORMS:
        if match := re.fullmatch(pattern, name):
            return make(match)
    return None


def stage_of_file(path: Path) -> Stage | None:
    """The stage that SGLang wrote into a file's name."""
    match = re.search(_SUFFIXED, path.name)
    return _SGLANG_MODES[match["mode"]] if match else None


@dataclass(frozen=True)
class Staged:
    """The steps of a trace and what belongs to them.

    Attributes:
        steps: by start; a range around a step of the same stage and thread replaces it (ROCm writes both).
        launch: row of the launch of each kernel, -1 without.
        kernel_step: number of the step of each kernel, -1 unknown.
        whole: the stage of everything without a step, when the file's name says so and no step is named; else None.
        engines: whose steps these are, by all their names.
    """

    trace: Trace
    steps: tuple[Step, ...]
    launch: Ints
    kernel_step: Numbers
    whole: Stage | None
    engines: frozenset[str]

    @cached_property
    def op_step(self) -> Numbers:
        """Number of the step of each operator of the CPU, -1 unknown."""
        ops, times = self.trace.ops, StepTimes(self.steps)
        found: Numbers = scratch(self.trace.disk, len(ops), "<i4")
        for at in windows(len(ops)):
            found[at] = times.innermost(ops.track[at], ops.ts[at])
        return found

    def stages(self, step: Numbers) -> NDArray[np.int8]:
        """Stage of each number of a step as its place in `ORDER`."""
        return self._stages[step]

    @cached_property
    def _stages(self) -> NDArray[np.int8]:
        other = ORDER.index(self.whole or Stage.UNKNOWN)  # the last, for -1
        return np.array([*(ORDER.index(s.stage) for s in self.steps), other], np.int8)

    def of(self, stage: Stage) -> tuple[Step, ...]:
        """The steps of one stage."""
        return tuple(step for step in self.steps if step.stage is stage)


def stage(trace: Trace) -> Staged:
    """Find the steps of a trace and give kernels to them."""
    rows = _step_rows(trace)
    steps = _steps(trace, rows)
    launch = launch_of_kernels(trace)
    kernel_step = _kernel_steps(trace, steps, rows, launch)
    names = (read_step(trace.text(int(name))) for name in np.unique(rows.name))
    engines = frozenset(name.engine for name in names if name)
    return Staged(trace, steps, launch, kernel_step, None if steps else stage_of_file(trace.path), engines)


def _step_rows(trace: Trace) -> Annotations:
    """The ranges that are named like steps, on the CPU and on devices."""
    table = trace.annotations
    known: dict[int, bool] = {}
    rows: list[Ints] = [np.empty(0, np.int64)]
    for at in windows(len(table)):
        names = table.name[at]
        for name in np.unique(names).tolist():
            known.setdefault(name, read_step(trace.text(name)) is not None)
        rows.append(
            np.flatnonzero(np.isin(names, [name for name, is_step in known.items() if is_step])) + at.start
        )
    return table.part(np.concatenate(rows))


def _steps(trace: Trace, rows: Annotations) -> tuple[Step, ...]:
    """The steps by start: ranges on the CPU, or those on the devices where the CPU's weren't recorded."""
    known = {int(n): found for n in np.unique(rows.name) if (found := read_step(trace.text(int(n))))}
    picked = np.flatnonzero(~rows.on_gpu)
    on_gpu = not len(picked)
    if on_gpu:
        picked = np.flatnonzero(rows.on_gpu)
    picked = picked[np.lexsort((-rows.dur[picked], rows.ts[picked]))]
    steps: list[Step] = []
    open_at: dict[int, Step] = {}  # the last step of a thread
    for row in picked.tolist():
        start, track = int(rows.ts[row]), int(rows.track[row])
        end, what = start + int(rows.dur[row]), known[int(rows.name[row])]
        around = open_at.get(track)
        if around and start >= around.start_ns and end <= around.end_ns and what.stage is around.stage:
            continue
        name = trace.text(int(rows.name[row]))
        step = Step(len(steps), name, what, start, end, track, int(rows.external[row]), on_gpu)
        steps.append(step)
        open_at[track] = step
    return tuple(steps)


class StepTimes:
    """Tells the step that a thread was in at a time."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        by_track: defaultdict[int, list[Step]] = defaultdict(list)
        for step in steps:
            if not step.on_gpu:
                by_track[step.track].append(step)
        self._tracks: dict[int, tuple[Ints, Numbers]] = {}
        for track, mine in by_track.items():
            edges = np.unique([time for step in mine for time in (step.start_ns, step.end_ns)])
            numbers = np.full(len(edges), -1, np.int32)  # of the step from each edge to the next
            for step in mine:  # by start, the longer first: an inner step comes later
                first, last = np.searchsorted(edges, (step.start_ns, step.end_ns))
                numbers[first:last] = step.number
            self._tracks[track] = edges, numbers

    def innermost(self, track: Numbers, ts: Ints) -> Numbers:
        """Number of the innermost step of each thread at each time; -1 outside of all."""
        found = np.full(len(ts), -1, np.int32)
        for number, (edges, steps) in self._tracks.items():
            rows = np.flatnonzero(track == number)
            place = np.searchsorted(edges, ts[rows], side="right") - 1
            found[rows] = np.where(place >= 0, steps[place], -1)
        return found


def _kernel_steps(trace: Trace, steps: tuple[Step, ...], rows: Annotations, launch: Ints) -> Numbers:
    kernels, launches = trace.kernels, trace.launches
    times, ranges = StepTimes(steps), _Ranges(trace, steps, rows)
    found: Numbers = scratch(trace.disk, len(kernels), "<i4")
    for at in windows(len(kernels)):
        step = np.full(at.stop - at.start, -1, np.int32)
        known = np.flatnonzero(launch[at] >= 0)
        calls = launch[at][known]
        step[known] = times.innermost(launches.track[calls], launches.ts[calls])
        alone = np.flatnonzero(launch[at] < 0)
        if len(alone):
            step[alone] = ranges.around(kernels.part(alone + at.start))
        found[at] = step
    return found


class _Ranges:
    """Ranges of steps on the devices, for kernels that have no launch."""

    def __init__(self, trace: Trace, steps: tuple[Step, ...], rows: Annotations) -> None:
        self._rows = rows
        self._ranges: list[tuple[int, int]] = []  # step, row of its range
        by_id: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        by_start: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for row in np.flatnonzero(rows.on_gpu).tolist():
            by_id[int(rows.external[row]), int(rows.name[row])].append(row)
            by_start[int(rows.ts[row]), int(rows.track[row])].append(row)
        names = {trace.text(int(n)): int(n) for n in np.unique(rows.name)}
        for step in steps:
            if step.on_gpu:
                mine = [r for r in by_start[step.start_ns, step.track] if rows.name[r] == names[step.name]]
            else:
                mine = by_id[step.external, names[step.name]] if step.external >= 0 else []
            self._ranges += [(step.number, row) for row in mine]
        there = np.array([row for _, row in self._ranges], np.int64)
        self._starts, self._ends = rows.ts[there], rows.end[there]

    def around(self, kernels: Kernels) -> Numbers:
        """The step of each kernel that lies inside of one step's range on its device, and of one only; else -1."""
        count = np.zeros(len(kernels), np.int32)
        found = np.full(len(kernels), -1, np.int32)
        starts, ends, rows = kernels.ts, kernels.end, self._rows
        near = np.flatnonzero((self._starts <= starts[-1]) & (self._ends >= starts[0]))
        for number, row in (self._ranges[place] for place in near.tolist()):
            first, last = np.searchsorted(starts, (rows.ts[row], rows.end[row]))
            span = slice(int(first), int(last))
            inside = (ends[span] <= rows.end[row]) & (kernels.device[span] == rows.device[row])
            count[span] += inside & (found[span] != number)
            found[span] = np.where(inside, number, found[span])
        found[count != 1] = -1
        return found
