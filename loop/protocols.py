"""What the driver asks of engines, load generators, proposers and gates.

The driver owns measurement, verdicts, ledger and references. Everything behind these protocols is replaceable, is made
anew in each step's process from the campaign's frozen spec, and may be killed at any moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from loop.records import (
    CampaignSpec,
    Comparison,
    Declined,
    Digest,
    EngineBuild,
    EvidenceBundle,
    GateResult,
    Launch,
    PatchProposal,
    ProfileDigest,
    RequestRow,
    RuntimeIdentity,
    Stage,
    TreeRef,
    Workload,
)
from loop.trees.patches import Change


class Blobs(Protocol):
    """The campaign's content store. What enters it has been redacted."""

    def put(self, raw: bytes) -> Digest:
        """Keep bytes, return their sha256; putting twice is once."""

    def get(self, digest: Digest) -> bytes:
        """Bytes by digest, checked against it.

        Raises:
            PrloreError: there are none, or they are not what they were.
        """


class Server(Protocol):
    """A running server, of a process group of its own."""

    @property
    def pid(self) -> int:
        """Of the group's leader."""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""

    def build(self) -> EngineBuild:
        """What runs, with the identity read from the live server."""

    def identity(self) -> RuntimeIdentity:
        """Version and loaded sources as the live process has them."""

    def cpu_seconds(self) -> float:
        """User and system seconds of the whole group since its start."""

    def profile(self, stage: Stage, directory: Path, workload: Workload, seed: int) -> tuple[Path, ...]:
        """Bounded trace of one stage while it serves; paths of the trace files.

        Raises:
            PrloreError: this engine can't profile, with the reason.
        """

    def pause(self) -> None:
        """Stop it where it is while another is measured."""

    def resume(self) -> None:
        """Let it go on."""

    def stop(self) -> None:
        """End the whole process group; returns when it is gone. Stopping twice is once."""


class Engine(Protocol):
    """A way to start servers of one engine."""

    @property
    def name(self) -> str:
        """As in EngineSpec: `sglang`, `vllm`, `trtllm`, `fake`."""

    def missing(self, launch: Launch) -> str | None:
        """Why it can't run here, None if it can. An absent engine is an ordinary end, never replaced by another."""

    def argv(self, launch: Launch, port: int) -> tuple[str, ...]:
        """The command; options that `--help` of this version lacks are left out."""

    def start(self, launch: Launch, directory: Path) -> Server:
        """Start and wait until it answers; logs go into `directory`.

        The server keeps the variable `PRLORE_STEP` of our environment: what a killed step left behind is found by it.

        Raises:
            PrloreError: it did not become healthy, with the last lines of its log.
        """

    def digest(self, traces: tuple[Path, ...], launch: Launch, stage: Stage, blobs: Blobs) -> ProfileDigest:
        """Rows of a trace as a digest of this tree."""


class Bencher(Protocol):
    """A load generator outside of the server's process, with its own clock and tokenizer."""

    def run(self, url: str, model: str, workload: Workload, seed: int) -> tuple[RequestRow, ...]:
        """One arm: all prompts of the workload as `seed` draws them, as raw rows.

        Raises:
            PrloreError: the server can't be reached at all.
        """


@dataclass(frozen=True)
class ProposalBudget:
    """What one proposal may use."""

    seconds: float = 600.0
    tokens: int = 200_000
    usd: float = 2.0


class Proposer(Protocol):
    """Something that hands in changes and is believed nothing."""

    @property
    def kind(self) -> str:
        """As in ProposerSpec."""

    def propose(
        self, bundle: EvidenceBundle, tree: TreeRef, budget: ProposalBudget
    ) -> PatchProposal | Declined:
        """One change for this evidence against this tree."""


class Trees(Protocol):
    """The driver's own view of the target's source; it never runs git with a candidate's configuration."""

    def resolve(self, repository: str, revision: str) -> TreeRef:
        """A commit of the user's repository."""

    def apply(self, parent: TreeRef, diff: bytes) -> TreeRef:
        """Parent plus diff as a commit with fixed author and date, so that a replay makes the same hash.

        Raises:
            PrloreError: the diff does not apply exactly.
        """

    def checkout(self, tree: TreeRef, directory: Path) -> Path:
        """Files of the tree in an empty folder, without history; the folder."""

    def read(self, tree: TreeRef, path: str) -> bytes | None:
        """A file of the tree, None if it has none."""

    def diff(self, old: TreeRef, new: TreeRef) -> bytes:
        """Full-index binary diff of two trees."""

    def changes(self, old: TreeRef, new: TreeRef) -> tuple[Change, ...]:
        """What differs between two trees, by path, with modes; renames are a removal and an addition."""

    def paths(self, tree: TreeRef) -> tuple[str, ...]:
        """All paths of the tree."""

    def patch_id(self, tree: TreeRef, diff: bytes) -> str:
        """The stable id of a change (`git patch-id`), empty for none."""

    def advance(self, best: TreeRef) -> None:
        """Point the campaign's reference `best` at a tree; doing it twice is once."""


@dataclass(frozen=True)
class GateContext:
    """What a gate may look at. It reads typed fields; no gate reads `claim`, `detail` or other prose.

    Attributes:
        candidate: tree after apply; None before that, and equal to `parent` for launch options.
        tried: proposals of this campaign before this one.
        incumbent, challenger: how both arms are started; None before checkout.
        measured: the comparison that says FASTER, for what is looked at after it.
        scratch: an empty folder of this step, removed afterwards.
    """

    spec: CampaignSpec
    parent: TreeRef
    proposal: PatchProposal
    blobs: Blobs
    trees: Trees
    scratch: Path
    bundle: EvidenceBundle | None = None
    profiles: tuple[ProfileDigest, ...] = ()
    symptom: Comparison | None = None
    measured: Comparison | None = None
    candidate: TreeRef | None = None
    tried: tuple[PatchProposal, ...] = field(default=())
    incumbent: Launch | None = None
    challenger: Launch | None = None
    engine: Engine | None = None
    bencher: Bencher | None = None


class Gate(Protocol):
    """One check; the first that fails ends the candidate."""

    @property
    def name(self) -> str:
        """Such as `evidence`, `novelty`, `policy`, `tests`, `accuracy` or `engagement`."""

    def check(self, context: GateContext) -> GateResult:
        """Pass, fail or not evaluated; an error of the infrastructure is `not_evaluated`, never `fail`."""
