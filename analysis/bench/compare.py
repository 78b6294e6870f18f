"""Candidates under one load, ranked as far as the numbers carry, and no further.

Who may win: every run done, the primary metric measured, all limits met. Among those the metrics are asked in order;
at each, whoever the best can't be told apart from stays in. One left is ahead; several left are a tie. Several
rivals are looked at together, so each comparison is made at a stricter level (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.bench.candidates import Candidate, candidates_of
from analysis.bench.comparable import caveats, differences, groups_of, label_of, own_refusals
from analysis.bench.intervals import LEVEL, NOISE, TIE, Difference, Estimate, difference, pooled_cv
from analysis.bench.result import METRICS, Metric, Run
from analysis.bench.sla import Limit, Verdict, check, limits_of

ORDER = ("request_throughput", "output_token_throughput", "ttft", "tpot")


@dataclass(frozen=True)
class Settings:
    """How to compare.

    Attributes:
        by: metric asked first.
        limits: stated limits.
        tie: relative difference below which two candidates are equal.
        noise: assumed relative noise where nothing was repeated.
    """

    by: str = "request_throughput"
    limits: tuple[Limit, ...] = ()
    tie: float = TIE
    noise: float = NOISE


@dataclass(frozen=True)
class Row:
    """A candidate in its table.

    Attributes:
        against: why it can't win; empty if it can.
        rank: 1 for the best and whoever ties with it; None where it can't win.
        to_best: primary metric relative to the leader's; None for the leader and where it can't be said.
        notes: what a reader has to know about its numbers.
    """

    candidate: Candidate
    estimates: dict[str, Estimate]
    sla: Verdict
    against: tuple[str, ...]
    rank: int | None
    to_best: Difference | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What the table says.

    Attributes:
        kind: `winner` (repeats on all sides), `ahead` (fewer repeats than that: not confirmed), `tie`, `only` (one
            may win and nobody else), `none`.
        names: whom it concerns.
        metric: what decided.
        text: the same as a sentence.
    """

    kind: Literal["winner", "ahead", "tie", "only", "none"]
    names: tuple[str, ...]
    metric: str | None
    text: str


@dataclass(frozen=True)
class Table:
    """All candidates under one load."""

    label: str
    rows: tuple[Row, ...]
    limits: tuple[Limit, ...]
    outcome: Outcome
    by_framework: dict[str, Outcome]
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Two groups that were not compared, and why."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that was read."""

    tables: tuple[Table, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    settings: Settings

    @property
    def compared(self) -> bool:
        """Whether two candidates stand in one table, or there was only one candidate at all."""
        return any(len(t.rows) > 1 for t in self.tables) or sum(len(t.rows) for t in self.tables) == 1


def compare(
    runs: Sequence[Run], settings: Settings | None = None, warnings: Sequence[str] = ()
) -> Comparison:
    """Group runs into candidates, candidates into loads, and rank each load."""
    settings = settings or Settings()
    groups = groups_of(candidates_of(runs))
    tables = tuple(_table(group, settings) for group in groups)
    return Comparison(tables, tuple(_refusals(groups)), tuple(warnings), settings)


def _refusals(groups: Sequence[Sequence[Candidate]]) -> list[Refusal]:
    found = []
    for i, left in enumerate(groups):
        for right in groups[i + 1 :]:
            reasons: dict[str, None] = {}
            for a in left:
                for b in right:
                    reasons |= dict.fromkeys(differences(a, b))
                    reasons |= {f"{c.name}: {why}": None for c in (a, b) for why in own_refusals(c)}
            found.append(Refusal(tuple(c.name for c in left), tuple(c.name for c in right), tuple(reasons)))
    return found


def _table(group: Sequence[Candidate], settings: Settings) -> Table:
    limits = limits_of(group, settings.limits)
    primary = METRICS[settings.by]
    rows = [_row(candidate, limits, primary) for candidate in group]
    able = [row for row in rows if not row.against]
    outcome, used = _decide(able, settings)
    leader = next((r for r in able if r.candidate.name == outcome.names[0]), None) if outcome.names else None
    ranked = [_ranked(row, able, outcome, leader, settings, used) for row in rows]
    ranked.sort(key=lambda r: (r.rank is None, r.rank or 0, _sign(primary) * _value(r, primary.name)))
    engines = {r.candidate.first.result.framework for r in able} - {None}
    by_framework = {}
    for engine in sorted(str(e) for e in engines):
        mine = [r for r in able if r.candidate.first.result.framework == engine]
        if len(engines) > 1 and len(mine) > 1:
            by_framework[engine] = _decide(mine, settings)[0]
    said = list(caveats(group))
    if (
        any(row.estimates.get(primary.name) and row.estimates[primary.name].runs < 2 for row in able)
        and len(able) > 1
    ):
        said.append(_one_run(able, primary, settings))
    return Table(label_of(group), tuple(ranked), tuple(limits), outcome, by_framework, tuple(said))


def _row(candidate: Candidate, limits: Sequence[Limit], primary: Metric) -> Row:
    estimates = {name: e for name, metric in METRICS.items() if (e := candidate.estimate(metric))}
    sla = check(candidate, limits)
    against = list(candidate.failures)
    if len(candidate.runs) > 1 and against:
        against = [
            f"{len(against)} of {len(candidate.runs)} runs failed: {'; '.join(dict.fromkeys(against))}"
        ]
    if candidate.good and primary.name not in estimates:
        against.append(f"no valid {primary.name}")
    against += own_refusals(candidate)
    against += sla.reasons
    notes = list(dict.fromkeys(note for run in candidate.runs for note in run.notes))
    claimed = [run.result.sla.passed for run in candidate.runs]
    if True in claimed and not sla.passed:
        notes.append("its row claims to meet its limits; its numbers don't")
    return Row(candidate, estimates, sla, tuple(against), None, None, tuple(notes))


def _one_run(able: Sequence[Row], primary: Metric, settings: Settings) -> str:
    once = [r.candidate.name for r in able if r.estimates[primary.name].runs < 2]
    if len(once) == len(able):
        return (
            f"nobody was run twice: differences up to {settings.noise:.0%} are taken for noise, and larger ones "
            "are not confirmed"
        )
    return f"{', '.join(once)} ran once: the spread of the others' repeats is taken for theirs"


def _metrics(able: Sequence[Row], first: str) -> list[str]:
    """Metrics in the order asked; a latency by the same statistic for all, or not at all."""
    names = [first]
    for word in ORDER:
        choices = [word] if word in METRICS else [f"p50_{word}_ms", f"mean_{word}_ms"]
        for name in choices:
            if all(name in row.estimates for row in able):
                names += [name] if name not in names else []
                break
    return names


def _decide(able: Sequence[Row], settings: Settings) -> tuple[Outcome, list[str]]:
    if not able:
        return Outcome("none", (), None, "no candidate may win"), []
    if len(able) == 1:
        name = able[0].candidate.name
        return Outcome("only", (name,), None, f"{name} is the only one that may win here"), []
    left, used = list(able), _metrics(able, settings.by)
    for name in used:
        best, told = _told_apart(left, name, settings, len(able) - 1)
        left = [row for row in left if row is best or not told[row.candidate.name].real]
        if len(left) == 1:
            sure = all(d.basis == "repeats" for d in told.values())
            runner = min(told.values(), key=lambda d: abs(d.value))
            text = (
                f"{best.candidate.name} {'wins' if sure else 'is ahead'} by {METRICS[name].label}, "
                f"{_margin(runner.value)} the next" + ("" if sure else "; not confirmed: repeat the runs")
            )
            return Outcome("winner" if sure else "ahead", (best.candidate.name,), name, text), used
    sign = _sign(METRICS[settings.by])
    left.sort(key=lambda r: sign * r.estimates[settings.by].value)
    names = tuple(row.candidate.name for row in left)
    return Outcome("tie", names, None, f"{' and '.join(names)} can't be told apart"), used


def _margin(value: float) -> str:
    if value >= 1:
        return f"{value + 1:.2g} times"
    return f"{abs(value):.1%} {'above' if value > 0 else 'below'}"


def _told_apart(
    rows: Sequence[Row], metric: str, settings: Settings, rivals: int
) -> tuple[Row, dict[str, Difference]]:
    """The best by a metric, and its difference to everyone else."""
    best = min(rows, key=lambda r: _sign(METRICS[metric]) * r.estimates[metric].value)
    told = {
        r.candidate.name: _difference(best, r, metric, settings, rows, rivals) for r in rows if r is not best
    }
    return best, told


def _difference(
    a: Row, b: Row, metric: str, settings: Settings, rows: Sequence[Row], rivals: int
) -> Difference:
    borrowed = pooled_cv([r.estimates[metric].values for r in rows if metric in r.estimates])
    return difference(
        a.estimates[metric].values,
        b.estimates[metric].values,
        borrowed=borrowed,
        level=1 - (1 - LEVEL) / max(1, rivals),
        tie=settings.tie,
        noise=settings.noise,
    )


def _ranked(
    row: Row,
    able: Sequence[Row],
    outcome: Outcome,
    leader: Row | None,
    settings: Settings,
    used: Sequence[str],
) -> Row:
    if row.against or leader is None:
        return row
    rank = 1
    if row.candidate.name not in outcome.names:
        rank += max(1, sum(_beats(other, row, able, settings, used) for other in able if other is not row))
    to_best = None
    if row is not leader:
        to_best = _difference(row, leader, settings.by, settings, able, len(able) - 1)
    return Row(row.candidate, row.estimates, row.sla, row.against, rank, to_best, row.notes)


def _beats(a: Row, b: Row, able: Sequence[Row], settings: Settings, used: Sequence[str]) -> bool:
    """Whether the first metric that tells the two apart is for `a`."""
    for name in used:
        told = _difference(a, b, name, settings, able, len(able) - 1)
        if told.real:
            return (told.value > 0) == METRICS[name].higher_is_better
    return False


def _sign(metric: Metric) -> int:
    return -1 if metric.higher_is_better else 1


def _value(row: Row, name: str) -> float:
    made = row.estimates.get(name)
    return made.value if made else 0.0
