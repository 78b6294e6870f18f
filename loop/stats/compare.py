"""From stored blocks to a Comparison: a pure function, so that a verdict can be computed again years later."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loop.records import ArmMetrics, BenchBlock, Comparison, Digest, MetricName, Policy, SideMetric, Sla
from loop.stats.decide import Look, Pair, Rule, look, restarts_of, t_interval
from loop.stats.intervals import bca

POWER = 2.8  # z of 2.5 % one-sided plus z of 80 % power
_SIDE_LEVEL = 0.90  # two-sided: its lower end is the one-sided 95 % bound
# 4.3 standard errors: a metric that did not change fails its 95 % bound once in 250 comparisons
_SIDE_ERRORS = 4.3
LATENCIES = ("p50_ttft_ms", "p99_ttft_ms", "p50_tpot_ms", "p99_tpot_ms")


@dataclass(frozen=True)
class Noise:
    """What A/A calibration found.

    Attributes:
        sigma: standard deviation of a pair's log ratio when both arms are the same.
        side: the same of every other metric, by its name.
    """

    sigma: float
    side: Mapping[str, float]

    @staticmethod
    def of(calibration: Comparison) -> Noise:
        """From the stored A/A comparison."""
        return Noise(calibration.sigma, {metric.name: metric.sigma for metric in calibration.side})


@dataclass(frozen=True)
class Question:
    """What a comparison is to decide.

    Attributes:
        kind, key, a, b: as in Comparison.
        level: this comparison's share of the campaign's alpha.
        pairs: at most; exactly, where `fixed`.
        threshold: log ratio asked for; None for what policy and noise say.
    """

    kind: str
    key: str
    a: Digest
    b: Digest
    level: float
    pairs: int
    fixed: bool = False
    threshold: float | None = None


def detectable(sigma: float, pairs: int) -> float:
    """Smallest log ratio found with 80 % power at 2.5 % error in so many pairs."""
    return POWER * sigma / math.sqrt(pairs)


def threshold_of(policy: Policy, noise: Noise | None) -> float:
    """The larger of the policy's least gain and what the noise lets be seen."""
    seen = detectable(noise.sigma, policy.max_pairs) if noise else 0.0
    return max(policy.min_gain, seen)


def rule_of(question: Question, policy: Policy, noise: Noise | None) -> Rule:
    """The rule that decides a question."""
    threshold = threshold_of(policy, noise) if question.threshold is None else question.threshold
    return Rule(
        level=question.level,
        threshold=threshold,
        max_pairs=question.pairs,
        per_restart=policy.pairs_per_restart,
        futility_z=policy.futility_z,
        futility_from=policy.futility_from,
        fixed=question.fixed,
        # a gap says where to look; a wrong one costs a round and accepts nothing
        by_pair=question.kind == "gap",
        max_invalid=policy.max_invalid,
    )


def pairs_of(blocks: Sequence[BenchBlock], metric: MetricName) -> list[Pair]:
    """The deciding log ratio of every block, positive where B is better: the mean over workloads."""
    return [
        Pair(_primary(block, metric) if block.valid else 0.0, block.restart, block.valid) for block in blocks
    ]


def look_at(question: Question, policy: Policy, noise: Noise | None, blocks: Sequence[BenchBlock]) -> Look:
    """Whether a comparison goes on."""
    return look(pairs_of(blocks, policy.metric), rule_of(question, policy, noise))


def compare(
    question: Question, policy: Policy, noise: Noise | None, blocks: Sequence[BenchBlock]
) -> Comparison:
    """The Comparison of a finished series of blocks."""
    pairs = pairs_of(blocks, policy.metric)
    rule = rule_of(question, policy, noise)
    seen = look(pairs, rule)
    low, high = bca(restarts_of(pairs))
    return Comparison(
        kind=question.kind,
        key=question.key,
        policy=policy.id,
        a=question.a,
        b=question.b,
        blocks=tuple(block.id for block in blocks),
        metric=policy.metric,
        n=seen.n,
        mean=seen.mean,
        sigma=seen.sigma,
        low=low,
        high=high,
        e_value=seen.e_value,
        level=question.level,
        threshold=rule.threshold,
        mde=detectable(noise.sigma if noise else seen.sigma, max(seen.n, 1)),
        verdict=seen.word or "UNDECIDED",
        reason=seen.reason or "CUT_SHORT",
        side=_side([block for block in blocks if block.valid], policy, noise),
    )


def noise_refusal(calibration: Comparison, policy: Policy) -> str:
    """Why nothing can be measured on this machine now, empty when it can."""
    if calibration.reason == "TOO_MANY_INVALID":
        return f"{len(calibration.blocks) - calibration.n} of {len(calibration.blocks)} blocks were invalid"
    if calibration.sigma > policy.max_noise:
        need = math.ceil((POWER * calibration.sigma / policy.min_gain) ** 2)
        return (
            f"pairs of the same build differ by {calibration.sigma:.1%} (limit {policy.max_noise:.1%}); "
            f"a gain of {policy.min_gain:.1%} would take {need} pairs"
        )
    error = calibration.sigma / math.sqrt(max(calibration.n, 1))
    if calibration.n > 1 and abs(calibration.mean) > max(4.0 * error, policy.min_gain / 2):
        return f"the same build against itself differs by {calibration.mean:+.2%}: the two arms are not alike"
    return ""


def sla_breach(blocks: Sequence[BenchBlock], sla: Sla, arm: str = "B") -> str:
    """Which limit an arm breaks on the mean over its valid blocks, empty when it holds all."""
    for workload, runs in _by_workload(blocks, arm).items():
        for name in LATENCIES:
            limit = getattr(sla, name)
            value = statistics.fmean(getattr(run, name) for run in runs)
            if limit is not None and value > limit:
                return f"{name}@{workload} {value:.1f} over {limit:g}"
        success = min(run.success_rate for run in runs)
        if success < sla.success_rate:
            return f"success_rate@{workload} {success:.3f} under {sla.success_rate:g}"
    return ""


def _by_workload(blocks: Sequence[BenchBlock], arm: str) -> dict[str, list[ArmMetrics]]:
    found: dict[str, list[ArmMetrics]] = {}
    for block in blocks:
        for run in block.runs:
            if run.arm == arm and block.valid:
                found.setdefault(run.workload, []).append(run.metrics)
    return found


def arms_of(block: BenchBlock) -> dict[str, tuple[ArmMetrics, ArmMetrics]]:
    """Metrics of A and B by workload."""
    found: dict[str, dict[str, ArmMetrics]] = {}
    for run in block.runs:
        found.setdefault(run.workload, {})[run.arm] = run.metrics
    return {name: (arms["A"], arms["B"]) for name, arms in found.items()}


def _primary(block: BenchBlock, metric: MetricName) -> float:
    ratios = [_log_ratio(a, b, metric) for a, b in arms_of(block).values()]
    return math.fsum(ratios) / len(ratios)


def _log_ratio(a: ArmMetrics, b: ArmMetrics, name: str) -> float:
    """log(B/A), turned so that positive is better; an arm without a value is a loss beyond any gain."""
    x, y = getattr(a, name), getattr(b, name)
    if not x or not y:
        return 0.0 if not x and not y else math.copysign(5.0, (y or 0.0) - (x or 0.0))
    ratio = math.log(y / x)
    return ratio if name in ("output_throughput", "request_throughput") else -ratio


def _side(blocks: Sequence[BenchBlock], policy: Policy, noise: Noise | None) -> tuple[SideMetric, ...]:
    """Every other metric of every workload, held by one-sided non-inferiority over restarts' pairs."""
    if not blocks:
        return ()
    found = []
    workloads = list(arms_of(blocks[0]))
    for workload in workloads:
        names = [*LATENCIES]
        if policy.metric != "output_throughput" or len(workloads) > 1:
            names.insert(0, "output_throughput")
        for name in names:
            arms = [arms_of(block)[workload] for block in blocks]
            if any(not getattr(a, name) or not getattr(b, name) for a, b in arms):
                continue  # not recorded: a workload of one token has no TPOT
            label = f"{name}@{workload}"
            values = [_log_ratio(a, b, name) for a, b in arms]
            sigma = statistics.stdev(values) if len(values) > 1 else 0.0
            known = max(noise.side.get(label, sigma), sigma) if noise else sigma
            margin = max(policy.margin, _SIDE_ERRORS * known / math.sqrt(len(values)))
            lower = t_interval(values, _SIDE_LEVEL)[0] if len(values) > 1 else values[0]
            found.append(
                SideMetric(label, math.fsum(values) / len(values), lower, lower > -margin, sigma, margin)
            )
    return tuple(found)
