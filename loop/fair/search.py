"""Launch options of one engine, searched with a fixed number of servers.

Optuna proposes (ask), a server is started and loaded, and its score is told; options that can't stand together are
never started, and what failed stays in the record with its reason. The engine's defaults are the first trial, so that
the best is never worse than doing nothing. Every trial is a file before the next one begins: a search that was killed
goes on behind its last one, as told trials are the sampler's only memory.

The best of several noisy trials looks better than it is. Its numbers here choose it; what it is worth is for a paired
comparison to say.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ingest.errors import PrloreError
from loop.engines.flags import merged
from loop.engines.space import Space
from loop.fair.trials import FlagSearch, Trial
from loop.protocols import Bencher, Blobs, Engine, Server
from loop.records import ArmMetrics, Digest, Launch, MetricName, Sla, Workload
from loop.stats.metrics import arm_metrics, encode_rows

if TYPE_CHECKING:
    from optuna.study import Study

_ASKED = 20  # assignments asked for in a row before the space counts as exhausted
_LOG_BYTES = 64_000


class SearchUnavailable(PrloreError):
    """Optuna isn't installed."""


@dataclass(frozen=True)
class Terms:
    """What is the same for every engine of a comparison.

    Attributes:
        trials: servers that each engine may start.
        metric: what is maximised (CPU-seconds per token: minimised), as a mean of logarithms over the workloads.
        seed: of the sampler and of the prompts; trial i of every engine is loaded with the same prompts.
    """

    workloads: tuple[Workload, ...]
    sla: Sla
    metric: MetricName
    trials: int
    seed: int


def search_flags(
    engine: Engine,
    launch: Launch,
    space: Space,
    terms: Terms,
    bencher: Bencher,
    blobs: Blobs,
    spool: Path,
    version: str = "",
) -> FlagSearch:
    """Search one engine.

    Args:
        engine: what is started.
        launch: what is fixed; the options found are put behind its own.
        space: what is searched.
        terms: the same for all engines.
        bencher: the same for all engines.
        blobs: gets raw rows and logs.
        spool: a folder that outlives a kill; trials are files in it.
        version: of the engine, for the record.

    Raises:
        SearchUnavailable: optuna is missing.
    """
    if reason := engine.missing(launch):
        return _record(engine, space, terms, version, [], reason)
    spool.mkdir(parents=True, exist_ok=True)
    done = _kept(spool)
    study = _study(space, terms.seed, done)
    started = sum(trial.ended != "infeasible" for trial in done)
    while started < terms.trials:
        chosen, ask = _next(study, space, done)
        if chosen is None:
            break
        reason = space.infeasible(chosen)
        if reason:
            trial = Trial(len(done), tuple(chosen.items()), space.flags(chosen), "infeasible", reason)
        else:
            trial = _try(engine, launch, space, chosen, terms, bencher, blobs, spool, len(done), started)
            started += 1
        _keep(spool, trial)
        done.append(trial)
        _tell(study, ask, trial)
    return _record(engine, space, terms, version, done, "")


def _record(
    engine: Engine, space: Space, terms: Terms, version: str, trials: Sequence[Trial], missing: str
) -> FlagSearch:
    good = [trial for trial in trials if trial.ended == "ok" and trial.score is not None]
    best = max(good, key=lambda trial: (trial.score or -math.inf, -trial.number)).number if good else None
    return FlagSearch(
        engine.name,
        version,
        terms.trials,
        terms.metric,
        terms.sla,
        tuple(trials),
        best,
        space.left_out,
        missing,
    )


def _try(
    engine: Engine, launch: Launch, space: Space, chosen: Mapping[str, str], terms: Terms, bencher: Bencher,
    blobs: Blobs, spool: Path, number: int, started: int,
) -> Trial:  # fmt: skip
    flags = space.flags(chosen)
    began = time.monotonic()
    directory = spool / f"trial-{number}"
    made = msgspec.structs.replace(launch, flags=merged(launch.flags, flags))

    def ended(how: Any, reason: str, log: Digest = "", **found: Any) -> Trial:
        seconds = time.monotonic() - began
        return Trial(number, tuple(chosen.items()), flags, how, reason, log=log, seconds=seconds, **found)

    try:
        server = engine.start(made, directory)
    except PrloreError as exc:
        return ended("failed", str(exc), _log(directory, blobs))
    try:
        metrics, rows = _load(server, launch, terms, bencher, blobs, started)
    except PrloreError as exc:
        return ended("failed", str(exc), _log(directory, blobs))
    finally:
        server.stop()
    reasons = [f"{name}: {why}" for name, found in metrics for why in broken_limits(found, terms.sla)]
    score = score_of([found for _, found in metrics], terms.metric)
    if score is None:
        return ended("failed", "; ".join(reasons) or "no request ended well", metrics=metrics, rows=rows)
    return ended("sla" if reasons else "ok", "; ".join(reasons), metrics=metrics, score=score, rows=rows)


def _load(
    server: Server, launch: Launch, terms: Terms, bencher: Bencher, blobs: Blobs, started: int
) -> tuple[tuple[tuple[str, ArmMetrics], ...], tuple[tuple[str, Digest], ...]]:
    metrics, kept = [], []
    for workload in terms.workloads:
        before = server.cpu_seconds()
        rows = bencher.run(server.url, launch.model, workload, terms.seed * 1009 + started)
        metrics.append((workload.name, arm_metrics(rows, server.cpu_seconds() - before)))
        kept.append((workload.name, blobs.put(encode_rows(rows))))
    return tuple(metrics), tuple(kept)


def broken_limits(found: ArmMetrics, sla: Sla) -> list[str]:
    """Limits that an arm's numbers don't hold, each with the number against it."""
    checks = [
        (name, getattr(found, name), getattr(sla, name))
        for name in ("p50_ttft_ms", "p99_ttft_ms", "p50_tpot_ms", "p99_tpot_ms")
    ]
    reasons = [
        f"{name} {value:.4g} above {limit:g}"
        for name, value, limit in checks
        if limit is not None and value > limit
    ]
    if found.success_rate < sla.success_rate:
        reasons.append(f"success rate {found.success_rate:.3f} below {sla.success_rate:g}")
    return reasons


def score_of(metrics: Sequence[ArmMetrics], metric: MetricName) -> float | None:
    """Mean logarithm over workloads, larger is better; None where one has no figure."""
    logs = []
    for found in metrics:
        value = found.output_throughput if metric == "output_throughput" else found.cpu_seconds_per_token
        if not value or value <= 0 or not math.isfinite(value):
            return None
        logs.append(math.log(value) if metric == "output_throughput" else -math.log(value))
    return sum(logs) / len(logs) if logs else None


def _study(space: Space, seed: int, done: Sequence[Trial]) -> Study:
    try:
        import optuna
    except ImportError as exc:
        raise SearchUnavailable("the flag search needs optuna; pip install 'prlore[tune]'") from exc
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # a space of a few hundred points and a dozen trials: few random starts, then the estimator
    sampler = optuna.samplers.TPESampler(
        seed=(seed + len(done)) % 2**32, n_startup_trials=4, multivariate=False
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    if not done:
        study.enqueue_trial(space.default)
    for trial in done:
        study.add_trial(_frozen(space, trial))
    return study


def _frozen(space: Space, trial: Trial) -> Any:
    import optuna

    chosen = dict(trial.chosen)
    distributions = {
        p.flag: optuna.distributions.CategoricalDistribution(p.choices)
        for p in space.parameters
        if chosen.get(p.flag) in p.choices
    }
    good = trial.score is not None and trial.ended == "ok"
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if good else optuna.trial.TrialState.FAIL,
        value=trial.score if good else None,
        params={flag: chosen[flag] for flag in distributions},
        distributions=distributions,
    )


def _next(study: Study, space: Space, done: Sequence[Trial]) -> tuple[dict[str, str] | None, Any]:
    """An assignment that was not tried yet; None where none is left to be found."""
    import optuna

    tried = {trial.chosen for trial in done}
    for _ in range(_ASKED):
        ask = study.ask()
        chosen = {p.flag: str(ask.suggest_categorical(p.flag, p.choices)) for p in space.parameters}
        if tuple(chosen.items()) not in tried:
            return chosen, ask
        study.tell(ask, state=optuna.trial.TrialState.FAIL)
    return None, None


def _tell(study: Study, ask: Any, trial: Trial) -> None:
    import optuna

    if trial.ended == "ok" and trial.score is not None:
        study.tell(ask, trial.score)
    else:
        study.tell(ask, state=optuna.trial.TrialState.FAIL)


def _log(directory: Path, blobs: Blobs) -> Digest:
    log = directory / "server.log"
    return blobs.put(log.read_bytes()[-_LOG_BYTES:]) if log.is_file() else ""


def _kept(spool: Path) -> list[Trial]:
    found = (msgspec.json.decode(path.read_bytes(), type=Trial) for path in spool.glob("trial-*.json"))
    return sorted(found, key=lambda trial: trial.number)


def _keep(spool: Path, trial: Trial) -> None:
    part = spool / f".trial-{trial.number}.part"
    part.write_bytes(msgspec.json.encode(trial))
    part.replace(spool / f"trial-{trial.number}.json")
