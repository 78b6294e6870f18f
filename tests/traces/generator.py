"""Kineto traces made by a small simulation of a server, with the exact truth about them.

    made = generate(Spec(passes=(Pass("prefill", 1, 4096), Pass("decode", 16)), layers=("dense",) * 4))
    path.write_bytes(made.json())        # what a profiler would have written, for rank 0
    made.truth.layers                    # what is so, in ns from the first event

A CPU thread launches kernels and runs ahead of the GPU by `lead_ns`, so that, as on a real server, the CPU's window
of one step covers kernels of the step before: whoever goes by nearness in time is wrong here. A kernel starts when
it has been launched, when its stream is free, and when what it depends on has ended. Decode is a CUDA-graph replay
unless told otherwise: its kernels share one correlation and have neither operator nor frame.

Ranks run the same passes, each in a file of its own (`made.json(rank)`), shifted by `skew_ns`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from traces import vocabulary as v
from traces.kineto import Event, Layout, dump, to_events
from traces.truth import Planted, TrueKernel, TrueLayer, TruePass, Truth

COMPUTE, COMMUNICATION = 7, 41


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Attributes:
        stage: `prefill`, `decode`, `mixed`, `verify` or `draft`.
        batch: requests in it; in `mixed`, those that decode, beside one that prefills.
        tokens: prompt tokens, for `prefill` and `mixed`.
        graph: CUDA-graph replay; by default decode, verify and draft are.
    """

    stage: str
    batch: int = 1
    tokens: int = 0
    graph: bool | None = None

    @property
    def replayed(self) -> bool:
        return self.stage in ("decode", "verify", "draft") if self.graph is None else self.graph


@dataclass(frozen=True)
class Spec:
    """What to make. Durations are ns.

    Attributes:
        engine: `sglang`, `vllm` or `trtllm`: kernel names and the form of the step annotations.
        layers: type of each layer, from `vocabulary.LAYERS`; the first is launched with the plain norm.
        passes: in order.
        ranks: tensor-parallel ranks; from 2 on an all-reduce follows each half of a layer.
        all_reduce: `nccl`, `custom` or `fused` (with the following norm: one kernel fewer).
        overlap: share of an all-reduce that runs beside what follows it, on a stream of its own; 0 keeps one stream.
        gap_ns: pause between kernels of a stream.
        idle_ns: pause of the GPU between passes.
        lead_ns: how far the CPU is ahead of the GPU.
        launch_ns: CPU time for one launch; larger than the kernels makes eager passes launch-bound.
        layer_ns: layer type -> wall time of such a layer, by stretching its attention; exact where given.
        jitter: largest relative deviation of a kernel's time, from `seed`.
        slow: (pass, layer) -> factor on that layer's kernels: outliers.
        annotate: `False` leaves the steps out: no stage can be told.
        gpu_annotations: the profiler's own copies of annotations on the GPU's time line.
        stacks: Python frames around launches.
        shapes: `Input Dims` of the operators, for rooflines.
        hidden: model width, for shapes.
        attention_mla: kernel name for MLA attention in place of the engine's.
        skew_ns: how much later each further rank runs.
        far_apart: plant a decoy for fusions: a norm of a vision tower and, ms later, an all-reduce of logits.
        gpu: name of the device in the file.
    """

    engine: str = v.SGLANG
    layers: tuple[str, ...] = ("dense",) * 4
    passes: tuple[Pass, ...] = (Pass("prefill", 1, 4096), Pass("decode", 16), Pass("decode", 16))
    ranks: int = 1
    all_reduce: str = "nccl"
    overlap: float = 0.0
    gap_ns: int = 1_000
    idle_ns: int = 200_000
    lead_ns: int = 400_000
    launch_ns: int = 2_500
    layer_ns: Mapping[str, int] = field(default_factory=dict)
    jitter: float = 0.0
    seed: int = 0
    slow: Mapping[tuple[int, int], float] = field(default_factory=dict)
    annotate: bool = True
    gpu_annotations: bool = True
    stacks: bool = True
    shapes: bool = True
    hidden: int = 4096
    attention_mla: str | None = None
    skew_ns: int = 5_000
    far_apart: bool = False
    gpu: str = "NVIDIA H200"


@dataclass(frozen=True)
class Made:
    """A generated trace."""

    spec: Spec
    events: tuple[tuple[Event, ...], ...]
    truth: Truth

    def json(self, rank: int = 0, layout: Layout | None = None) -> bytes:
        """The file of one rank as a profiler writes it."""
        return dump(self.events[rank], rank, len(self.events), self.spec.gpu, layout or Layout())

    def merged(self, layout: Layout | None = None) -> bytes:
        """All ranks in one file, told apart by device."""
        rows = [event for rank in self.events for event in rank]
        return dump(rows, None, len(self.events), self.spec.gpu, layout or Layout())


def generate(spec: Spec) -> Made:
    """Simulate all ranks. The same specification gives the same bytes."""
    runs = [_Rank(spec, rank) for rank in range(spec.ranks)]
    truth = Truth(
        kernels=tuple(k for run in runs for k in run.kernels),
        passes=tuple(p for run in runs for p in run.passes),
        layers=tuple(layer for run in runs for layer in run.layers),
        planted=_planted(spec, [k for run in runs for k in run.kernels]),
    )
    events = tuple(tuple(to_events(run.kernels, run.launches, run.steps, spec)) for run in runs)
    return Made(spec, events, truth)


@dataclass(frozen=True)
class Launch:
    """A launch on the CPU: one kernel's, or a whole graph's."""

    ts_ns: int
    dur_ns: int
    correlation: int
    graph: bool
    role: v.Role | None
    dims: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Step:
    """A step's annotation on the CPU and its kernels' extent on the GPU."""

    name: str
    ts_ns: int
    end_ns: int
    gpu_ts_ns: int
    gpu_end_ns: int


class _Rank:
    """One rank's simulation."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self.spec = spec
        self.rank = rank
        self.random = random.Random(spec.seed)  # the same on each rank
        self.cpu = rank * spec.skew_ns
        self.gpu = rank * spec.skew_ns + spec.lead_ns
        self.comm_end = 0
        self.correlation = 100 + 1_000_000 * rank
        self.kernels: list[TrueKernel] = []
        self.launches: list[Launch] = []
        self.steps: list[Step] = []
        self.passes: list[TruePass] = []
        self.layers: list[TrueLayer] = []
        for index, forward in enumerate(spec.passes):
            self._forward(index, forward)

    def _forward(self, index: int, forward: Pass) -> None:
        spec = self.spec
        began = self.cpu
        first, first_layer = len(self.kernels), len(self.layers)
        if forward.replayed:
            self.correlation += 1
            self.launches.append(Launch(self.cpu, 20_000, self.correlation, True, None, ()))
            self.cpu += 25_000
        if spec.far_apart:
            self._launch(v.VISION_NORM, index, forward, None, None)
        self._launch(v.EMBEDDING, index, forward, None, None)
        for layer, kind in enumerate(spec.layers):
            self._layer(index, forward, layer, kind)
        fused = spec.ranks > 1 and spec.all_reduce == "fused"
        for role in (v.LM_HEAD, v.SAMPLE) if fused else (v.NORM, v.LM_HEAD, v.SAMPLE):
            self._launch(
                replace(role, name="final_norm") if role is v.NORM else role, index, forward, None, None
            )
        if spec.far_apart:
            self._launch(v.LOGITS_ALLREDUCE, index, forward, None, None)
        mine = self.kernels[first:]
        ends = max(k.end_ns for k in mine)
        layers = self.layers[first_layer:]
        self.passes.append(
            TruePass(
                self.rank,
                index,
                self._stage(forward),
                forward.batch,
                forward.tokens,
                layers[0].start_ns,
                layers[-1].end_ns,
                mine[0].ts_ns,
                ends,
            )
        )
        self.cpu += 3_000
        if spec.annotate:
            self.steps.append(Step(step_name(spec.engine, forward), began, self.cpu, mine[0].ts_ns, ends))
        # the CPU prepares the next step while the GPU works; it never runs further ahead than its lead
        self.gpu = max(self.gpu, ends) + spec.idle_ns
        self.cpu = max(self.cpu + 10_000, self.gpu - spec.lead_ns)

    def _stage(self, forward: Pass) -> str:
        return forward.stage if self.spec.annotate else "unknown"

    def _layer(self, index: int, forward: Pass, layer: int, kind: str) -> None:
        spec = self.spec
        first = len(self.kernels)
        attention, mlp = v.LAYERS[kind]
        roles: list[v.Role] = []
        for half in (attention, mlp):
            roles += half
            if spec.ranks > 1:
                roles.append(_all_reduce(spec))
        if spec.ranks > 1 and spec.all_reduce == "fused":
            # the fused kernel holds the norm that follows; only the first layer starts with a norm of its own
            roles = [r for r in roles if r is not v.POST_NORM and not (r is v.NORM and layer)]
        if layer == 0:
            roles[0] = v.FIRST_NORM if roles[0] is v.NORM else roles[0]
        factor = spec.slow.get((index, layer), 1.0)
        times = [self._duration(role, forward, factor) for role in roles]
        wanted = spec.layer_ns.get(kind)
        if wanted is not None:
            # exact only on one stream without launch-bound pauses, which is what layer_ns is for
            spare = wanted - sum(times) - spec.gap_ns * (len(times) - 1)
            at = next(i for i, r in enumerate(roles) if r.name in ("attention", "linear_attention"))
            times[at] += spare
            assert times[at] > 0, f"layer_ns of {kind} is too short"
        for role, dur in zip(roles, times, strict=True):
            self._launch(role, index, forward, layer, kind, dur)
        mine = self.kernels[first:]
        ends = max(k.end_ns for k in mine)
        self.layers.append(TrueLayer(self.rank, index, layer, kind, mine[0].ts_ns, ends, len(mine)))

    def _duration(self, role: v.Role, forward: Pass, factor: float) -> int:
        scale = max(1.0, forward.tokens / 512) if forward.tokens else 1.0
        dev = 1 + self.spec.jitter * self.random.uniform(-1, 1)
        return max(1, round(role.dur_ns * scale * dev * factor))

    def _launch(
        self,
        role: v.Role,
        index: int,
        forward: Pass,
        layer: int | None,
        kind: str | None,
        dur: int | None = None,
    ) -> None:
        spec = self.spec
        eager = not forward.replayed
        dims = _dims(role, forward, spec)
        if eager:
            self.correlation += 1
            self.launches.append(Launch(self.cpu, spec.launch_ns, self.correlation, False, role, dims))
            self.cpu += spec.launch_ns
        ready = self.launches[-1].ts_ns + self.launches[-1].dur_ns
        comm = role.family == "communication" and spec.overlap > 0
        start = max(ready, self.gpu, self.comm_end if comm else 0)
        dur = self._duration(role, forward, 1.0) if dur is None else dur
        if comm:
            self.comm_end = start + dur
            # what follows waits for all but the overlapped part
            self.gpu = start + dur - int(dur * spec.overlap) + spec.gap_ns
        else:
            self.gpu = start + dur + spec.gap_ns
        name = role.kernel(spec.engine, forward.stage)
        if role is v.MLA and spec.attention_mla:
            name = spec.attention_mla
        self.kernels.append(
            TrueKernel(
                name,
                role.family,
                role.name,
                start,
                dur,
                self.rank,
                COMMUNICATION if comm else COMPUTE,
                index,
                self._stage(forward),
                layer,
                kind,
                not eager,
                role.cpu_op if eager else None,
                role.frame if eager and spec.stacks else None,
                self.correlation,
            )
        )


def _all_reduce(spec: Spec) -> v.Role:
    if spec.all_reduce == "fused":
        return v.FUSED_ALLREDUCE
    return replace(v.ALLREDUCE, kernels={"*": v.CUSTOM_AR}) if spec.all_reduce == "custom" else v.ALLREDUCE


def _dims(role: v.Role, forward: Pass, spec: Spec) -> tuple[tuple[int, ...], ...]:
    """Shapes of a linear layer's input and weight, and of what else reads one activation."""
    rows = forward.tokens + (forward.batch if forward.stage != "prefill" else 0) or forward.batch
    wide = spec.hidden
    widths = {
        "qkv_gemm": (wide, 3 * wide), "o_gemm": (wide, wide), "gate_up_gemm": (wide, 8 * wide),
        "down_gemm": (4 * wide, wide), "lm_head": (wide, 32_000), "router_gemm": (wide, 128),
    }  # fmt: skip
    if role.name in widths:
        k, n = widths[role.name]
        return (rows, k), (n, k)
    return ((rows, wide),)


def step_name(engine: str, forward: Pass) -> str:
    """The engine's own name of a step's annotation."""
    if engine == v.SGLANG:
        mode = {"prefill": "EXTEND", "decode": "DECODE", "mixed": "MIXED", "verify": "TARGET_VERIFY"}
        if forward.stage == "draft":
            return f"step[DRAFT_LOOP raw_bs={forward.batch}]"
        toks = f" toks={forward.tokens}" if forward.stage == "prefill" else ""
        return f"step[{mode[forward.stage]} bs={forward.batch}{toks}]"
    context = {"prefill": forward.batch, "mixed": 1}.get(forward.stage, 0)
    generation = 0 if forward.stage == "prefill" else forward.batch
    tokens = forward.tokens if context else 0
    if engine == v.TRTLLM:
        return f"[Executor] _forward_step 7: {context} ctx reqs, {generation} gen reqs"
    return f"execute_context_{context}({tokens})_generation_{generation}({generation})"


def _planted(spec: Spec, kernels: list[TrueKernel]) -> tuple[Planted, ...]:
    """Neighbours on a stream, within a pass, of which a fused path exists; and an already fused kernel as a decoy."""
    pairs = {
        ("norm", "quantization"): "norm+quant",
        ("activation", "quantization"): "activation+quant",
        ("communication", "norm"): "allreduce+norm",
    }
    found: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for left, right in itertools.pairwise(kernels):
        if left.rank != right.rank or left.step != right.step:
            continue
        what = pairs.get((left.family, right.family))
        if what and left.role != "fused_allreduce":
            key = what, left.stage, (left.name, right.name)
            found[key] = found.get(key, 0) + 1
    rows = [Planted(what, True, names, stage, n) for (what, stage, names), n in found.items()]
    fused = [k for k in kernels if k.role == "fused_allreduce"]
    rows += [
        Planted("fused_allreduce", False, (v.FUSED_AR,), stage, sum(k.stage == stage for k in fused))
        for stage in sorted({k.stage for k in fused})
    ]
    far = [k for k in kernels if k.role in ("vision_norm", "logits_allreduce")]
    rows += [
        Planted(
            "far_apart", False, (far[0].name, far[-1].name), stage, sum(k.stage == stage for k in far) // 2
        )
        for stage in sorted({k.stage for k in far})
    ]
    return tuple(rows)
