"""The self-test: null campaigns must not win, planted gains must be found; other rules on the very same blocks."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from loop.records import Policy
from loop.selftest.campaigns import Played, play, simulated_spec
from loop.stats.stored import RULES
from loop.workbench.simulated import Noise

CANDIDATES = 20
SMALL, LARGE = 0.02, 0.03
Say = Callable[[str], None]


class RuleResult(msgspec.Struct, frozen=True):
    """What a stored-baseline rule makes of the null campaigns.

    Attributes:
        false_accepts: over all candidates; `campaigns` share of campaigns with at least one.
        claimed_gain: mean gain that it claims, where the truth is 0.
    """

    rule: str
    false_accepts: int
    campaigns: float
    claimed_gain: float


class SelfTest(msgspec.Struct, frozen=True):
    """All that was found; shares are fractions."""

    null_campaigns: int
    candidates: int
    false_accepts: int
    planted: int
    planted_3pct_found: float
    planted_2pct_found: float
    pairs_null: float
    pairs_planted_3pct: float
    pairs_planted_2pct: float
    pairs: int
    confirmed_error: float
    noise_run: float
    noise_drift: float
    stored_baseline_rules: tuple[RuleResult, ...]

    @property
    def passed(self) -> bool:
        """At most one false accept in twenty campaigns, 95 % of 3 % and 80 % of 2 % found."""
        allowed = max(1, self.null_campaigns // 20)
        return (
            self.false_accepts <= allowed
            and self.planted_3pct_found >= 0.95
            and self.planted_2pct_found >= 0.80
        )


def selftest(
    null_campaigns: int = 20,
    planted: int = 40,
    noise: Noise | None = None,
    seed: str = "selftest",
    say: Say | None = None,
) -> SelfTest:
    """Play the campaigns in a temporary folder.

    Args:
        null_campaigns: campaigns of 20 candidates that change nothing.
        planted: campaigns with one candidate of +3 % and one of +2 %.
        noise: of the simulated machine.
        seed: the same seed gives the same campaigns.
        say: told of every campaign.
    """
    model = noise or Noise()
    tell = say or (lambda text: None)
    nulls, gains = [], []
    with tempfile.TemporaryDirectory(prefix="prlore-selftest-") as scratch:
        for i in range(null_campaigns):
            nulls.append(_play(Path(scratch), f"null-{i}", [0.0] * CANDIDATES, model, seed))
            tell(f"null campaign {i + 1} of {null_campaigns}: {_accepts(nulls[-1:])} false accepts")
        for i in range(planted):
            order = [math.log1p(LARGE), math.log1p(SMALL)]
            gains.append(_play(Path(scratch), f"planted-{i}", order[:: 1 if i % 2 else -1], model, seed))
            tell(f"planted campaign {i + 1} of {planted}: found {_accepts(gains[-1:])} of 2")
    return _summary(nulls, gains, model)


def _play(scratch: Path, name: str, gains: list[float], noise: Noise, seed: str) -> Played:
    policy = Policy(max_candidates=CANDIDATES, per_round=CANDIDATES + 1, weak_rounds=CANDIDATES)
    path = scratch / name
    played = play(path, simulated_spec(name, gains, noise, policy), f"{seed}/{name}")
    shutil.rmtree(path)
    return played


def _summary(nulls: Sequence[Played], gains: Sequence[Played], noise: Noise) -> SelfTest:
    null = [c for played in nulls for c in played.candidates]
    large = [c for played in gains for c in played.candidates if c.truth > math.log1p((SMALL + LARGE) / 2)]
    small = [c for played in gains for c in played.candidates if c.truth < math.log1p((SMALL + LARGE) / 2)]
    errors = [abs(played.claimed - played.truth) for played in gains if played.truth]
    return SelfTest(
        null_campaigns=len(nulls),
        candidates=len(null),
        false_accepts=sum(c.accepted for c in null),
        planted=len(gains),
        planted_3pct_found=_share([c.accepted for c in large]),
        planted_2pct_found=_share([c.accepted for c in small]),
        pairs_null=_mean([c.pairs for c in null]),
        pairs_planted_3pct=_mean([c.pairs for c in large]),
        pairs_planted_2pct=_mean([c.pairs for c in small]),
        pairs=sum(c.pairs for c in (*null, *large, *small)),
        confirmed_error=_mean(errors),
        noise_run=noise.run,
        noise_drift=noise.drift,
        stored_baseline_rules=tuple(_rules(nulls)),
    )


def _rules(nulls: Sequence[Played]) -> list[RuleResult]:
    found = []
    for name, rule in RULES.items():
        claims = [rule([c.series for c in played.candidates], played.baseline) for played in nulls]
        found.append(
            RuleResult(
                name,
                sum(len(claim.accepted) for claim in claims),
                _share([bool(claim.accepted) for claim in claims]),
                _mean([claim.gain for claim in claims]),
            )
        )
    return found


def _accepts(played: Sequence[Played]) -> int:
    return sum(c.accepted for p in played for c in p.candidates)


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def as_text(found: SelfTest) -> str:
    """For a terminal."""
    lines = [
        f"{found.null_campaigns} null campaigns, {found.candidates} candidates that change nothing:"
        f" {found.false_accepts} false accepts, {found.pairs_null:.1f} pairs each",
        f"{found.planted} planted campaigns: +3 % found {found.planted_3pct_found:.1%}"
        f" ({found.pairs_planted_3pct:.1f} pairs), +2 % found {found.planted_2pct_found:.1%}"
        f" ({found.pairs_planted_2pct:.1f} pairs)",
        f"confirmed gain is off by {found.confirmed_error:.2%} on average; {found.pairs} pairs in all",
        f"noise: {found.noise_run:.1%} a run, {found.noise_drift:.1%} slow drift",
        "",
        "other rules on the same blocks of the null campaigns:",
    ]
    lines += [
        f"  {rule.false_accepts:4d} false accepts, {rule.campaigns:4.0%} of campaigns, claims"
        f" {rule.claimed_gain:+.1%}: {rule.rule}"
        for rule in found.stored_baseline_rules
    ]
    return "\n".join([*lines, "", "passed" if found.passed else "FAILED"])
