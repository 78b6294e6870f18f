"""What a step is told to do and what it answers: all that crosses the border to its process, as JSON files."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from loop.records import Cost, Digest, Part, TreeRef, canonical

ArmKind = Literal["target", "rival"]


class Arm(Part, frozen=True):
    """What one arm runs, in the words of the spec.

    Attributes:
        rival: number of the competitor, -1 for the target.
        tree: of the target's source; None for what is installed.
        flags: beyond the spec's own.
    """

    rival: int = -1
    tree: TreeRef | None = None
    flags: tuple[str, ...] = ()


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True, tag_field="task"):
    """Base of all tasks."""

    @property
    def kind(self) -> str:
        """A word for keys and budgets."""
        return type(self).__name__.removesuffix("Task").lower()


class PreflightTask(Task, frozen=True):
    """Probe the engines and the machine; capture builds."""

    attempt: int = 0


class SearchTask(Task, frozen=True):
    """Flag search of one engine: -1 the target, else a competitor."""

    rival: int
    arm: Arm


class ClusterTask(Task, frozen=True):
    """Pairs `first` .. `first + count - 1` of a comparison under one start of both servers."""

    comparison: str
    restart: int
    first: int
    count: int
    a: Arm
    b: Arm


class ProfileTask(Task, frozen=True):
    """Profile prefill and decode of an arm."""

    arm: Arm


class RetrieveTask(Task, frozen=True):
    """Rows and cards of a tree's profiles; `widened` says how far the research goes."""

    profiles: tuple[Digest, ...]
    symptom: Digest
    tree: TreeRef
    widened: int
    forbidden: tuple[str, ...] = ()


class ProposeTask(Task, frozen=True):
    """Ask proposer number `proposer` for a change."""

    proposer: int
    bundle: Digest
    tree: TreeRef
    flags: tuple[str, ...]
    turn: int
    tried: tuple[Digest, ...] = ()
    patch: Digest = ""  # of a person, with its source; the proposer is then the human one
    source: str = ""


class ApplyTask(Task, frozen=True):
    """Make the candidate's tree."""

    proposal: Digest


class GateTask(Task, frozen=True):
    """Run one gate; `flags` are the incumbent's launch options, `measured` a comparison to be looked at."""

    gate: str
    proposal: Digest
    bundle: Digest
    symptom: Digest
    profiles: tuple[Digest, ...]
    parent: TreeRef
    candidate: TreeRef | None
    flags: tuple[str, ...]
    tried: tuple[Digest, ...] = ()
    attempt: int = 0
    measured: Digest = ""


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True, tag_field="result"):
    """Base of all results; `cost` is charged once."""

    cost: Cost = Cost()


class Failed(Result, frozen=True):
    """The infrastructure failed: this says nothing about the candidate."""

    reason: str = ""
    detail: str = ""


class Preflighted(Result, frozen=True):
    """What can't run here, as (engine, reason); `base` is the target's tree, None where it has no source."""

    missing: tuple[tuple[str, str], ...] = ()
    busy: str = ""
    base: TreeRef | None = None


class Searched(Result, frozen=True):
    """Flags found by a search; `record` is its log in the store."""

    flags: tuple[str, ...] = ()
    record: Digest = ""


class ClusterEnded(Result, frozen=True):
    """A server start is over; its blocks lie beside this. `broken` names the arm that could not be measured."""

    blocks: int = 0
    broken: Literal["", "A", "B"] = ""
    reason: str = ""


class Profiled(Result, frozen=True):
    """Ids of ProfileDigests."""

    profiles: tuple[Digest, ...] = ()
    note: str = ""


class Retrieved(Result, frozen=True):
    """Ids of EvidenceBundles, best first; `thin` are rows that can't pay or have no card, with the reason."""

    bundles: tuple[Digest, ...] = ()
    thin: tuple[tuple[str, str], ...] = ()


class Proposed(Result, frozen=True):
    """A proposal's id, or a Declined's."""

    proposal: Digest = ""
    declined: Digest = ""


class Applied(Result, frozen=True):
    """The candidate's tree, or a failed GateResult's id."""

    tree: TreeRef | None = None
    gate: Digest = ""


class Gated(Result, frozen=True):
    """A GateResult's id."""

    gate: Digest = ""


AnyTask = (
    PreflightTask | SearchTask | ClusterTask | ProfileTask | RetrieveTask | ProposeTask | ApplyTask | GateTask
)
AnyResult = Failed | Preflighted | Searched | ClusterEnded | Profiled | Retrieved | Proposed | Applied | Gated


def key_of(task: Task, policy: Digest) -> str:
    """Name of a step: the same work under the same policy is the same step."""
    return f"{task.kind}-{hashlib.sha256(policy.encode() + canonical(task)).hexdigest()[:24]}"
