"""What is built, run and measured: launches, raw rows, blocks, comparisons."""

from __future__ import annotations

from typing import Literal

from loop.artefacts.identity import Artefact, Digest, MetricName, Part, Word


class TreeRef(Part, frozen=True):
    """A state of the target's source: a commit that the driver made or found, and its tree."""

    repository: str
    commit: str
    tree: str


class Launch(Part, frozen=True):
    """How a server is started: everything that differs between two arms stands here.

    Attributes:
        source: checkout whose code is run; None for the installed package.
        tree: hash of that checkout's tree, empty for the installed package.
        flags: options after the engine's own, in the order given.
    """

    engine: str
    model: str
    source: str | None = None
    tree: str = ""
    python: str | None = None
    flags: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"


class RuntimeIdentity(Part, frozen=True):
    """What a live server says it runs.

    Attributes:
        version: of the engine.
        source: where its package was loaded from.
        tree: hash over the loaded sources; equal to the checkout's or the build is refused.
        libraries: (path, sha256) of shared objects of the engine in the process.
    """

    version: str
    source: str
    tree: str
    libraries: tuple[tuple[str, Digest], ...] = ()


class EngineBuild(Artefact, frozen=True):
    """A build that was measured.

    Attributes:
        environment: sha256 over the installed distributions of its interpreter.
        help: digest of the captured `--help`.
        rejected_flags: options that this version does not know and that were left out.
    """

    engine: str
    launch: Launch
    argv: tuple[str, ...]
    identity: RuntimeIdentity
    environment: str = ""
    help: Digest = ""
    rejected_flags: tuple[str, ...] = ()
    dirty: bool = False


class RequestRow(Part, frozen=True, array_like=True):
    """One request as the load generator saw it, by its own clock and tokenizer (ns since the arm began).

    Attributes:
        chunk_ns: arrival of each piece of streamed text.
        text: sha256 of the text; `finish` is the server's word (`length`, `stop`).
    """

    index: int
    sent_ns: int
    first_ns: int
    done_ns: int
    input_tokens: int
    output_tokens: int
    ok: bool
    finish: str = ""
    text: Digest = ""
    error: str = ""
    chunk_ns: tuple[int, ...] = ()


class HostState(Part, frozen=True):
    """The machine just before or after an arm; None where it can't be read.

    Attributes:
        load: 1-minute load average divided by cores.
        wall_ns: the wall clock; `mono_ns` the monotonic one: a clock jump shows as a difference of their spans.
        steal: share of CPU time taken by the hypervisor since boot.
        foreign_cpu: cores used by processes that are not of this campaign.
        foreign_gpu: processes on our GPUs that are not ours.
    """

    load: float | None = None
    wall_ns: int = 0
    mono_ns: int = 0
    steal: float | None = None
    foreign_cpu: float | None = None
    foreign_gpu: int | None = None
    gpu_mhz: float | None = None
    gpu_c: float | None = None
    throttled: bool | None = None


class ArmMetrics(Part, frozen=True):
    """Figures of one arm under one workload, computed by the driver from raw rows only (times in ms)."""

    output_throughput: float
    request_throughput: float
    success_rate: float
    p50_ttft_ms: float
    p99_ttft_ms: float
    p50_tpot_ms: float
    p99_tpot_ms: float
    output_tokens: int
    seconds: float
    cpu_seconds_per_token: float | None = None


class ArmRun(Part, frozen=True):
    """One arm under one workload.

    Attributes:
        arm: `A` is the incumbent, `B` the candidate.
        build: id of the EngineBuild.
        server: name of the server start: the same within a restart cluster.
        rows: digest of the raw rows (JSON lines of RequestRow).
        cpu_s: CPU-seconds of the server's process group during the arm.
    """

    arm: Literal["A", "B"]
    workload: str
    build: Digest
    server: str
    rows: Digest
    metrics: ArmMetrics
    before: HostState
    after: HostState
    cpu_s: float | None = None


class BenchBlock(Artefact, frozen=True):
    """One pair: both arms back to back under every workload.

    Attributes:
        comparison: key of the comparison that it belongs to.
        order: which arm went first, drawn from the committed seed.
        restart: number of the server start; blocks with the same number are one cluster.
        valid: by rules that never look at a metric; `reason` when not.
        nonce: drawn when the block was measured, and mixed into the seed of its prompts: until then they can't be known
            even to a server that reads the campaign's folder.
    """

    campaign: Digest
    comparison: str
    index: int
    order: Literal["AB", "BA"]
    restart: int
    runs: tuple[ArmRun, ...]
    valid: bool
    reason: str = ""
    nonce: str = ""


class SideMetric(Part, frozen=True):
    """Another metric of a comparison, held by one-sided non-inferiority.

    Attributes:
        name: `metric@workload`; mean and bound are log ratios, positive is better for B.
        margin: the policy's, or what this metric's own noise lets be seen where that is larger.
        holds: whether the lower bound lies above minus the margin.
    """

    name: str
    mean: float
    lower: float
    holds: bool
    sigma: float = 0.0
    margin: float = 0.0


class Comparison(Artefact, frozen=True):
    """A decision, recomputable from its blocks and policy.

    Attributes:
        kind: `aa`, `gap` (target against a competitor), `screen`, `measure`, `confirm`, `flags`.
        a: id of the incumbent's build, `b` of the other; log ratios are B over A, positive is better.
        blocks: ids in order, invalid ones too.
        mean, sigma: of the log ratio per pair; `low` and `high` are the BCa interval over restarts.
        e_value: of the t-mixture e-process against no gain; `level` is the alpha it is held against.
        threshold: gain asked for; `mde` what the noise lets be seen.
    """

    kind: str
    key: str
    policy: Digest
    a: Digest
    b: Digest
    blocks: tuple[Digest, ...]
    metric: MetricName
    n: int
    mean: float
    sigma: float
    low: float
    high: float
    e_value: float
    level: float
    threshold: float
    mde: float
    verdict: Word
    reason: str = ""
    side: tuple[SideMetric, ...] = ()
