"""What is frozen when a campaign begins: engines, model, loads, policy, budgets."""

from __future__ import annotations

from typing import Literal

from loop.artefacts.identity import Artefact, Digest, MetricName, Part, ProposerKind


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
        per_round: candidates after which a round ends.
        max_foreign: cores that other processes may use during an arm.
        pursue: `gap` ends when no competitor is faster; `headroom` goes on while rows can pay.
    """

    metric: MetricName = "output_throughput"
    alpha: float = 0.05
    max_candidates: int = 20
    min_gain: float = 0.01
    max_pairs: int = 40
    confirm_pairs: int = 12
    futility_z: float = 1.3
    futility_from: int = 4
    aa_pairs: int = 8
    max_noise: float = 0.06
    max_load: float = 1.5
    pairs_per_restart: int = 2
    max_invalid: float = 0.2
    margin: float = 0.01
    weak_rounds: int = 2
    weak_gain: float = 0.01
    min_share: float = 0.01
    too_good: float = 0.10
    per_round: int = 8
    max_foreign: float = 0.5
    pursue: Literal["gap", "headroom"] = "gap"


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
