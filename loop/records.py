"""What a campaign stores: frozen artefacts, each named by the sha256 of its canonical JSON.

An artefact says everything that a verdict rests on, so that the verdict can be computed again from the stored
artefacts alone. Large things (raw rows, diffs, traces, logs) stand in the campaign's content store and are named
here by their digest. Times are seconds or ns as the field says, shares and gains are fractions (0.03 is 3 %).
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeVar

import msgspec

Digest = str  # sha256, hexadecimal, of bytes in the campaign's content store

Stage = Literal["prefill", "decode", "all"]
Word = Literal["FASTER", "SLOWER", "TIED", "UNDECIDED"]
Outcome = Literal["pass", "fail", "not_evaluated", "quarantine"]
ProposerKind = Literal["backport", "human", "flags", "llm", "agent", "scripted"]
MetricName = Literal["output_throughput", "cpu_seconds_per_token"]

A = TypeVar("A", bound="Artefact")


class Artefact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="artefact", tag=True):
    """Anything that is named by its content; the name covers the type."""

    @property
    def id(self) -> Digest:
        """sha256 of the canonical JSON."""
        return hashlib.sha256(canonical(self)).hexdigest()


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of an artefact: stored inside it, never by itself."""


def canonical(value: msgspec.Struct) -> bytes:
    """Canonical JSON: fields in the order of the type, mapping keys sorted, no blanks, UTF-8."""
    return msgspec.json.encode(value, order="deterministic")


def decode(kind: type[A], raw: bytes) -> A:
    """An artefact from its JSON; unknown or missing fields are errors.

    Raises:
        msgspec.DecodeError: the bytes are not this artefact.
    """
    return msgspec.json.decode(raw, type=kind)


# ---------------------------------------------------------------------------------------------- what is frozen at init


class Sla(Part, frozen=True):
    """Limits a run must hold; None is no limit."""

    p50_ttft_ms: float | None = None
    p99_ttft_ms: float | None = None
    p50_tpot_ms: float | None = None
    p99_tpot_ms: float | None = None
    success_rate: float = 1.0


class Workload(Artefact, frozen=True):
    """One load.

    Attributes:
        kind: how prompts are made: `random` (token ids), `text` (sentences), `shared_prefix`, `dataset`.
        concurrency: requests in flight (closed loop); None together with a `request_rate` (open loop, 1/s).
        seed_commitment: sha256 of the campaign's secret seed; prompts of block i derive from seed and i, so that no
            candidate knows or caches them.
        dataset: digest of a file of prompts, for kind `dataset`.
    """

    name: str
    kind: str = "random"
    input_len: int = 1000
    output_len: int = 1000
    num_prompts: int = 80
    concurrency: int | None = 16
    request_rate: float | None = None
    endpoint: str = "/v1/completions"
    ignore_eos: bool = True
    temperature: float = 0.0
    dataset: Digest | None = None
    seed_commitment: str = ""


class Policy(Artefact, frozen=True):
    """How verdicts are made; nothing of it can change while a campaign runs.

    Attributes:
        metric: what decides. `cpu_seconds_per_token` is for shared CPU machines; wall time is then held by
            non-inferiority.
        alpha: chance of any false accept in the whole campaign; each of `max_candidates` gets its share.
        min_gain: smallest gain that counts; the threshold is the larger of it and what the noise lets be seen.
        max_pairs: pairs after which a comparison ends undecided; `confirm_pairs` is fixed.
        futility_z: give up when mean + z standard errors lies below the threshold, from `futility_from` pairs on.
        aa_pairs: pairs of the incumbent against itself that measure the noise.
        max_noise: pair standard deviation (log ratio) above which no measuring is done.
        max_load: load average per core before a block above which the block is invalid by rule.
        pairs_per_restart: pairs before both servers are started anew; a restart is a cluster.
        max_invalid: share of blocks that may be invalid.
        margin: non-inferiority margin of every other metric.
        weak_rounds: rounds in a row below `weak_gain` that widen the research; as many again end it as stalled.
        min_share: share of time that a profile row needs.
        too_good: gain from which a candidate is quarantined for a second look.
    """

    metric: MetricName = "output_throughput"
    alpha: float = 0.05
    max_candidates: int = 20
    min_gain: float = 0.01
    max_pairs: int = 40
    screen_pairs: int = 4
    confirm_pairs: int = 12
    futility_z: float = 1.3
    futility_from: int = 4
    aa_pairs: int = 8
    max_noise: float = 0.06
    max_load: float = 1.5
    pairs_per_restart: int = 4
    max_invalid: float = 0.2
    margin: float = 0.01
    weak_rounds: int = 2
    weak_gain: float = 0.01
    min_share: float = 0.01
    too_good: float = 0.10


class Budgets(Part, frozen=True):
    """What a campaign may use; None is no bound. A `reserve` share of time is kept for confirming and reporting."""

    rounds: int | None = 8
    candidates: int | None = 20
    wall_s: float | None = None
    device_s: float | None = None
    tokens: int | None = None
    usd: float | None = None
    disk_bytes: int | None = None
    reserve: float = 0.15


class EngineSpec(Part, frozen=True):
    """An engine in a campaign.

    Attributes:
        name: `sglang`, `vllm`, `trtllm`, `fake` or `simulated`.
        repository: local git repository of its source; None when only the installed package is run.
        base: commit (full hash) that the campaign starts from.
        python: interpreter of its environment; None for the one that runs prlore.
        flags: launch options that are always given.
        env: names and values given to the server beyond the allow-list.
        search: trials of the flag search; equal for all engines of a campaign.
        device: `cpu` or `cuda`.
    """

    name: str
    repository: str | None = None
    base: str | None = None
    python: str | None = None
    flags: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    search: int = 0
    device: str = "cpu"


class ModelSpec(Part, frozen=True):
    """The model that all engines serve; digests are of the files, made at init."""

    path: str
    name: str = ""
    weights: Digest = ""
    tokenizer: Digest = ""
    precision: str = "bfloat16"


class ProposerSpec(Part, frozen=True):
    """A proposer and its options (endpoint, model name, argv template …); options are words, never secrets."""

    kind: ProposerKind
    options: tuple[tuple[str, str], ...] = ()


class CampaignSpec(Artefact, frozen=True):
    """A campaign as frozen at init; its id stands in every ledger row.

    Attributes:
        tests: test files of the target that always run, relative to its tree.
        kb: address of the knowledge base that evidence comes from; None for the default.
        seed_commitment: sha256 of the secret seed that draws prompts and the order of pairs.
        parent: id of the spec of the campaign that this one continues.
    """

    name: str
    target: EngineSpec
    model: ModelSpec
    workloads: tuple[Workload, ...]
    competitors: tuple[EngineSpec, ...] = ()
    sla: Sla = Sla()
    policy: Policy = Policy()
    budgets: Budgets = Budgets()
    proposers: tuple[ProposerSpec, ...] = ()
    tests: tuple[str, ...] = ()
    hardware: str = ""
    kb: str | None = None
    seed_commitment: str = ""
    parent: str | None = None


# ------------------------------------------------------------------------------------------------- what is built and run


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
    """

    campaign: Digest
    comparison: str
    index: int
    order: Literal["AB", "BA"]
    restart: int
    runs: tuple[ArmRun, ...]
    valid: bool
    reason: str = ""


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


# ------------------------------------------------------------------------------------------------------ what a round makes


class ProfileRow(Part, frozen=True):
    """A row of a kernel or CPU table.

    Attributes:
        row_id: reference within the profile (`decode/kernel/3`).
        share: of the stage's time; `family_share` of all rows with the same implementation.
        sources: `path:line` candidates in the tree; `symbols` functions of its stack, innermost first.
    """

    row_id: str
    name: str
    family: str
    share: float
    calls: int
    sources: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    family_share: float = 0.0


class ProfileDigest(Artefact, frozen=True):
    """A profile of one stage of one tree.

    Attributes:
        trace: digest of the trace (a file, or a tar of several).
        report: digest of the JSON report; `layers` of the layer pipeline's; empty where there is none.
        clock: `gpu` or `cpu`: what shares are shares of.
    """

    tree: str
    engine: str
    stage: Stage
    trace: Digest
    rows: tuple[ProfileRow, ...]
    clock: str = "cpu"
    report: Digest = ""
    layers: Digest = ""
    build: Digest = ""


class CardQuote(Part, frozen=True):
    """A card of the knowledge base and the words of its diff that bear on the row; the digest is of the quote."""

    card_id: str
    path: str
    quote: str
    quote_digest: Digest


class EvidenceBundle(Artefact, frozen=True):
    """Why a change of this place should pay.

    Attributes:
        symptom: id of the Comparison that shows the gap; `gap` as a fraction (0 without competitors).
        profile: id of the ProfileDigest, whose tree is `tree`; `row_id`, `share` as there.
        location: `path:line` in that tree.
        ceiling: largest gain the row can pay (Amdahl), as a fraction.
    """

    symptom: Digest
    metric: str
    gap: float
    stage: Stage
    profile: Digest
    row_id: str
    share: float
    location: str
    tree: str
    cards: tuple[CardQuote, ...]
    expected: str
    ceiling: float


class Cost(Part, frozen=True):
    """What something used."""

    seconds: float = 0.0
    device_s: float = 0.0
    tokens: int = 0
    usd: float = 0.0


class PatchProposal(Artefact, frozen=True):
    """A change that a proposer hands in: a diff, or other launch options (`flags`), never both.

    Attributes:
        diff: digest of the full-index binary diff against `parent`, empty for flags.
        flags: launch options that take the place of the incumbent's search flags.
        source: where it comes from (`sglang#23454`, a user's name).
        prompts: digests of what was asked and answered, redacted.
    """

    proposer: ProposerKind
    version: str
    parent: TreeRef
    diff: Digest
    files: tuple[str, ...]
    claim: str
    evidence: Digest
    source: str = ""
    flags: tuple[str, ...] | None = None
    cost: Cost = Cost()
    prompts: tuple[Digest, ...] = ()


class Declined(Artefact, frozen=True):
    """A proposer that has nothing to hand in, and why."""

    proposer: ProposerKind
    reason: str
    detail: str = ""
    cost: Cost = Cost()
    exhausted: bool = False  # it would decline this evidence again


class GateResult(Artefact, frozen=True):
    """What a gate found.

    Attributes:
        reason: a code in capitals (`SYMLINK`, `NO_ROW`); empty when passed.
        detail: one sentence for a reader, never read by a gate.
        artefacts: digests that show it (logs, outputs).
    """

    gate: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""
    artefacts: tuple[Digest, ...] = ()
    cost: Cost = Cost()


class Verdict(Artefact, frozen=True):
    """What became of a candidate."""

    candidate: Digest
    decision: Literal["accept", "reject", "blocked", "quarantine"]
    reason: str
    gates: tuple[Digest, ...]
    comparisons: tuple[Digest, ...]
    tree: TreeRef | None = None
    simplification: bool = False


RowKind = Literal[
    "init",
    "baseline",
    "attempt",
    "optimization",
    "source_idea",
    "verdict",
    "stall",
    "budget",
    "external_block",
    "note",
]


class LedgerRow(Artefact, frozen=True):
    """A line of the append-only ledger; `prev` chains it to the line before.

    Attributes:
        round, candidate: numbers from 1; 0 outside of one.
        state: of the campaign after this row.
        body: id of the artefact that the row is about; `text` says it in a line.
    """

    seq: int
    campaign: Digest
    round: int
    candidate: int
    kind: RowKind
    state: str
    body: Digest
    text: str
    prev: Digest
