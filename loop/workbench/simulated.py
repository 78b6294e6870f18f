"""Measurement without a machine: known gains under known noise, for the self-test and for tests of the driver.

The noise is that of a real box as the calibration saw it: a server start has its luck, every run its own error, and
the machine drifts slowly, so that a number from an hour ago is off by a percent or two. Everything is drawn from the
campaign's seed, so that a run that was killed and resumed measures the very same.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

from loop.campaign.seeds import Seeds
from loop.campaign.tasks import Arm
from loop.records import (
    EngineBuild,
    HostState,
    Launch,
    RequestRow,
    RuntimeIdentity,
    Stage,
    TreeRef,
    Workload,
)
from loop.workbench.host import Reading

TOKENS_A_SECOND = 1000.0
TRACE = (
    "PRLORE_TRACE_ARMS"  # a file that gets a line for every arm: shows what a killed campaign measured twice
)
_REQUESTS, _TOKENS = 4, 64


@dataclass(frozen=True)
class Noise:
    """Standard deviations of log throughput: of a run, of a server start, and of the drift (over about 40 pairs)."""

    run: float = 0.01
    start: float = 0.003
    drift: float = 0.02


def gain_of(tree: str) -> float:
    """Log gain over the base that a simulated tree stands for: `sim:+0.0296:abc`."""
    return float(tree.split(":")[1]) if tree.startswith("sim:") else 0.0


def simulated_tree(gain: float, name: str) -> TreeRef:
    """A tree whose servers are faster by a log gain."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return TreeRef("simulated", digest[:40], f"sim:{gain:+.6f}:{digest[:16]}")


@dataclass(frozen=True)
class SimulatedServer:
    """A server that is only a name."""

    url: str
    launch: Launch
    pid: int = 0

    def build(self) -> EngineBuild:
        """What it would be."""
        return EngineBuild("simulated", self.launch, ("simulated", *self.launch.flags), self.identity())

    def identity(self) -> RuntimeIdentity:
        """The launch's own word."""
        return RuntimeIdentity("1", "simulated", self.launch.tree)

    def cpu_seconds(self) -> float:
        """None used."""
        return 0.0

    def profile(self, stage: Stage, directory: Path, workload: Workload, seed: int) -> tuple[Path, ...]:
        """It has nothing to profile."""
        return ()

    def pause(self) -> None:
        """Nothing runs."""

    def resume(self) -> None:
        """Nothing runs."""

    def stop(self) -> None:
        """Nothing runs."""


class SimulatedBencher:
    """Rows of a run whose throughput follows the model.

    Attributes:
        seeds: of the campaign.
        noise: of the machine.
        when: position of the comparison's first pair on the drift's time axis, in pairs.
    """

    def __init__(self, seeds: Seeds, noise: Noise, comparison: str, first: int, when: float) -> None:
        self._seeds = seeds
        self._noise = noise
        self._comparison = comparison
        self._pair = first
        self._calls = 0
        self._when = when

    def run(self, url: str, model: str, workload: Workload, seed: int) -> tuple[RequestRow, ...]:
        """Rows; `url` is `sim://START/TREE`."""
        _, _, start, tree = url.split("/", 3)
        pair = self._pair + self._calls // 2
        self._calls += 1
        if trace := os.environ.get(TRACE):
            with open(trace, "a", encoding="utf-8") as file:
                file.write(f"{url} {seed}\n")
        level = (
            gain_of(tree)
            + self._noise.run * self._normal(f"run/{url}/{seed}")
            + self._noise.start * self._normal(f"start/{start}")
            + self._noise.drift * self._drift(self._when + pair)
        )
        return rows_at(TOKENS_A_SECOND * math.exp(level), seed)

    def _normal(self, name: str) -> float:
        """A standard normal number for a name (Box and Muller)."""
        u = (self._seeds.number(f"sim/{name}/u") + 1) / 2**63
        v = self._seeds.number(f"sim/{name}/v") / 2**63
        return math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)

    def _drift(self, when: float) -> float:
        """Smooth noise of unit variance: drawn every 40 pairs, blended between."""
        place = when / 40.0
        left, share = math.floor(place), place - math.floor(place)
        a, b = self._normal(f"drift/{left}"), self._normal(f"drift/{left + 1}")
        return (a * (1 - share) + b * share) / math.hypot(1 - share, share)


def rows_at(rate: float, seed: int) -> tuple[RequestRow, ...]:
    """Requests one after another at so many tokens a second; a tenth of each is prefill."""
    each = int(1e9 * _TOKENS / rate)
    first = each // 10
    text = hashlib.sha256(str(seed).encode()).hexdigest()
    return tuple(
        RequestRow(i, i * each, i * each + first, (i + 1) * each, 32, _TOKENS, True, "length", text)
        for i in range(_REQUESTS)
    )


def simulated_host() -> Reading:
    """A quiet machine without a clock."""
    return Reading(HostState(load=0.0), 0.0, 0.0)


def simulated_launch(arm: Arm) -> Launch:
    """The launch of an arm."""
    return Launch("simulated", "simulated", tree=arm.tree.tree if arm.tree else "", flags=arm.flags)
