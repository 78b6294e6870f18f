"""What every turn of the driver has at hand, and how a series of pairs becomes a Comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from loop.campaign.blobs import BlobStore
from loop.campaign.database import Database, Entry
from loop.campaign.errors import ClockJump
from loop.campaign.folder import Folder
from loop.campaign.progress import Progress
from loop.campaign.steps import Steps
from loop.campaign.tasks import AnyTask, Arm, ClusterTask, Failed, Result
from loop.records import BenchBlock, CampaignSpec, Comparison, Digest
from loop.stats.compare import Noise, Question, compare, look_at
from loop.stats.validity import CLOCK

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Turn:
    """What a turn ends with: the next state and the ledger rows that go with it."""

    progress: Progress
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Broken:
    """A comparison that could not be measured: whose server failed, and its last words."""

    arm: str
    reason: str


class Blocked(Exception):
    """Something outside of the campaign's power stands in the way.

    Attributes:
        task: to be tried anew, if it is worth it.
    """

    def __init__(self, reason: str, task: AnyTask | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.task = task


@dataclass
class Kit:
    """Parts of an open campaign."""

    folder: Folder
    database: Database
    steps: Steps
    spec: CampaignSpec
    blobs: BlobStore = field(init=False)

    def __post_init__(self) -> None:
        """The store comes with the folder."""
        self.blobs = self.folder.blobs()

    def target(self, progress: Progress) -> Arm:
        """The incumbent."""
        return Arm(-1, progress.best, progress.flags)

    def noise(self, progress: Progress) -> Noise | None:
        """From the campaign's calibration; None before it."""
        return Noise.of(self.blobs.load(Comparison, progress.noise)) if progress.noise else None

    def blocks(self, key: str) -> list[BenchBlock]:
        """Counted blocks of a comparison."""
        return [self.blobs.load(BenchBlock, digest) for digest in self.database.blocks(key)]

    def comparison(self, question: Question, noise: Noise | None, a: Arm, b: Arm) -> Comparison | Broken:
        """Measure until it is decided; what was counted before a kill counts.

        Raises:
            Blocked: the machinery failed, which says nothing about either arm.
            ClockJump: the wall clock was set during a block.
        """
        policy = self.spec.policy
        blocks = self.blocks(question.key)
        seen = look_at(question, policy, noise, blocks)

        def on_block(block: BenchBlock) -> bool:
            nonlocal seen
            blocks.append(block)
            if block.reason.startswith(CLOCK):
                # the block is counted as invalid; whoever set the clock should know before more is measured
                raise ClockJump(
                    f"{block.reason} during pair {block.index} of {block.comparison}, which does not count: see to the"
                    f" clock, then `prlore loop resume {self.folder.path}`"
                )
            seen = look_at(question, policy, noise, blocks)
            return seen.word is None

        while seen.word is None:
            if len(blocks) % policy.pairs_per_restart == 0:
                self._settle(question.key, len(blocks), a, b)
            task = self._cluster(question.key, len(blocks) // policy.pairs_per_restart, a, b)
            before = len(blocks)
            ended = self.steps.cluster(task, before, on_block)
            if isinstance(ended, Failed):
                raise Blocked(f"{ended.reason}: {ended.detail}", task)
            if seen.word is None and ended.broken:
                return Broken(ended.broken, ended.reason)
            if seen.word is None and len(blocks) < task.first + task.count:
                raise Blocked(f"a server start of {question.key} ended early", task)
        self._settle(question.key, len(blocks), a, b)
        asked = Question(
            question.kind,
            question.key,
            _build(blocks, "A"),
            _build(blocks, "B"),
            question.level,
            question.pairs,
            question.fixed,
            question.threshold,
        )
        return compare(asked, policy, noise, blocks)

    def _cluster(self, key: str, restart: int, a: Arm, b: Arm) -> ClusterTask:
        each = self.spec.policy.pairs_per_restart
        return ClusterTask(key, restart, restart * each, each, a, b)

    def _settle(self, key: str, count: int, a: Arm, b: Arm) -> None:
        """Have the last server start end: a kill may have come between its last block and its result."""
        if count:
            task = self._cluster(key, (count - 1) // self.spec.policy.pairs_per_restart, a, b)
            self.steps.call_off(task)

    @property
    def share(self) -> float:
        """Of the campaign's alpha, for one claim: each candidate's, and the target's own flag search where there is one."""
        claims = self.spec.policy.max_candidates + (1 if self.spec.target.search else 0)
        return self.spec.policy.alpha / claims

    def result(self, task: AnyTask, want: type[R]) -> R:
        """A task's result.

        Raises:
            Blocked: it failed for reasons of the machinery.
        """
        result = self.steps.run(task, want)
        if isinstance(result, Failed):
            raise Blocked(f"{result.reason}: {result.detail}", task)
        return result


def _build(blocks: list[BenchBlock], arm: str) -> Digest:
    return next((run.build for block in blocks for run in block.runs if run.arm == arm), "")
