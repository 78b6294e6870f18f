"""Simulated campaigns and what became of them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from loop.campaign.begin import begin
from loop.campaign.folder import Folder
from loop.campaign.progress import Progress
from loop.campaign.seeds import Seeds
from loop.campaign.steps import Inline
from loop.driver.drive import Driver
from loop.records import (
    BenchBlock,
    Budgets,
    CampaignSpec,
    Comparison,
    EngineSpec,
    ModelSpec,
    PatchProposal,
    Policy,
    ProposerSpec,
    Verdict,
    Workload,
)
from loop.stats.compare import arms_of
from loop.stats.stored import Series
from loop.workbench.perform import perform_step, workbench_of
from loop.workbench.simulated import Noise


@dataclass(frozen=True)
class Candidate:
    """One candidate of a simulated campaign.

    Attributes:
        truth: its log gain; `accepted` what the campaign made of it.
        pairs: measured for it.
        series: throughputs of both arms in the order measured.
    """

    truth: float
    accepted: bool
    pairs: int
    series: Series


@dataclass(frozen=True)
class Played:
    """A simulated campaign that was played to its end."""

    candidates: tuple[Candidate, ...]
    claimed: float
    truth: float
    baseline: float
    end: str


def simulated_spec(
    name: str, gains: list[float], noise: Noise | None = None, policy: Policy | None = None
) -> CampaignSpec:
    """A campaign whose candidates have these log gains, in this order."""
    model = noise or Noise()
    count = max(len(gains), 1)
    options = (
        ("gains", ",".join(f"{gain!r}" for gain in gains)),
        ("run", repr(model.run)),
        ("start", repr(model.start)),
        ("drift", repr(model.drift)),
    )
    return CampaignSpec(
        name=name,
        target=EngineSpec("simulated"),
        model=ModelSpec("simulated"),
        workloads=(Workload("chat", input_len=32, output_len=64, num_prompts=4, concurrency=1),),
        policy=policy or Policy(max_candidates=count, per_round=count + 1, weak_rounds=count),
        budgets=Budgets(rounds=None, candidates=count),
        proposers=(ProposerSpec("scripted", options),),
    )


def play(path: Path, spec: CampaignSpec, seed: str) -> Played:
    """Drive a simulated campaign in this process and read what it stored."""
    folder = begin(path, spec, Seeds(hashlib.sha256(seed.encode()).digest()), sync=False)
    driver = inline_driver(folder)
    try:
        end = driver.run()
    finally:
        driver.close()
    return read(folder, end)


def inline_driver(folder: Folder) -> Driver:
    """A driver that does simulated steps in its own process."""
    database = folder.open(read_only=True)
    try:
        bench = workbench_of(folder, folder.spec(database))
    finally:
        database.close()
    return Driver(folder, Inline(lambda key: perform_step(folder, key, bench)))


def read(folder: Folder, end: Progress) -> Played:
    """Candidates with their truth, from the ledger and the blocks."""
    blobs, database = folder.blobs(), folder.open(read_only=True)
    try:
        kept = {accepted.candidate for accepted in end.accepted}
        found = []
        for row in database.ledger():
            if row.kind != "verdict":
                continue
            verdict = blobs.load(Verdict, row.body)
            text = blobs.get(blobs.load(PatchProposal, verdict.candidate).diff).decode()
            blocks = [blobs.load(BenchBlock, d) for d in database.blocks(f"c{row.candidate}/measure")]
            arms = [next(iter(arms_of(block).values())) for block in blocks]
            series = Series([a.output_throughput for a, _ in arms], [b.output_throughput for _, b in arms])
            found.append(Candidate(float(text.split()[0]), row.candidate in kept, len(blocks), series))
        confirmed = blobs.load(Comparison, end.confirm) if end.confirm else None
        first = blobs.load(BenchBlock, database.blocks("aa/0")[0])
        return Played(
            tuple(found),
            math.expm1(confirmed.mean) if confirmed else 0.0,
            math.expm1(sum(c.truth for c in found if c.accepted)),
            next(iter(arms_of(first).values()))[0].output_throughput,
            str(end.end),
        )
    finally:
        database.close()
