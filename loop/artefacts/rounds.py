"""What a round makes: profiles, evidence, proposals, gate results, verdicts, ledger rows."""

from __future__ import annotations

from typing import Literal

from loop.artefacts.identity import Artefact, Digest, Outcome, Part, ProposerKind, Stage
from loop.artefacts.measured import TreeRef


class ProfileRow(Part, frozen=True):
    """A row of a kernel or CPU table.

    Attributes:
        row_id: reference within the profile (`decode/kernel/3`).
        share: of the stage's time; `family_share` of all rows with the same implementation.
        sources: `path:line` candidates in the tree; `symbols` functions of its stack, innermost first.
    """

    row_id: str
    name: str
    family: str
    share: float
    calls: int
    sources: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    family_share: float = 0.0


class ProfileDigest(Artefact, frozen=True):
    """A profile of one stage of one tree.

    Attributes:
        trace: digest of the trace (a file, or a tar of several).
        report: digest of the JSON report; `layers` of the layer pipeline's; empty where there is none.
        clock: `gpu` or `cpu`: what shares are shares of.
    """

    tree: str
    engine: str
    stage: Stage
    trace: Digest
    rows: tuple[ProfileRow, ...]
    clock: str = "cpu"
    report: Digest = ""
    layers: Digest = ""
    build: Digest = ""


class CardQuote(Part, frozen=True):
    """A card of the knowledge base and the words of its diff that bear on the row; the digest is of the quote."""

    card_id: str
    path: str
    quote: str
    quote_digest: Digest


class EvidenceBundle(Artefact, frozen=True):
    """Why a change of this place should pay.

    Attributes:
        symptom: id of the Comparison that shows the gap; `gap` as a fraction (0 without competitors).
        profile: id of the ProfileDigest, whose tree is `tree`; `row_id`, `share` as there.
        location: `path:line` in that tree.
        ceiling: largest gain the row can pay (Amdahl), as a fraction.
    """

    symptom: Digest
    metric: str
    gap: float
    stage: Stage
    profile: Digest
    row_id: str
    share: float
    location: str
    tree: str
    cards: tuple[CardQuote, ...]
    expected: str
    ceiling: float


class Cost(Part, frozen=True):
    """What something used."""

    seconds: float = 0.0
    device_s: float = 0.0
    tokens: int = 0
    usd: float = 0.0


class PatchProposal(Artefact, frozen=True):
    """A change that a proposer hands in: a diff, or other launch options (`flags`), never both.

    Attributes:
        diff: digest of the full-index binary diff against `parent`, empty for flags.
        flags: launch options that take the place of the incumbent's search flags.
        source: where it comes from (`sglang#23454`, a user's name).
        prompts: digests of what was asked and answered, redacted.
    """

    proposer: ProposerKind
    version: str
    parent: TreeRef
    diff: Digest
    files: tuple[str, ...]
    claim: str
    evidence: Digest
    source: str = ""
    flags: tuple[str, ...] | None = None
    cost: Cost = Cost()
    prompts: tuple[Digest, ...] = ()


class Declined(Artefact, frozen=True):
    """A proposer that has nothing to hand in, and why."""

    proposer: ProposerKind
    reason: str
    detail: str = ""
    cost: Cost = Cost()
    exhausted: bool = False  # it would decline this evidence again


class GateResult(Artefact, frozen=True):
    """What a gate found.

    Attributes:
        reason: a code in capitals (`SYMLINK`, `NO_ROW`); empty when passed.
        detail: one sentence for a reader, never read by a gate.
        artefacts: digests that show it (logs, outputs).
    """

    gate: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""
    artefacts: tuple[Digest, ...] = ()
    cost: Cost = Cost()


class Verdict(Artefact, frozen=True):
    """What became of a candidate."""

    candidate: Digest
    decision: Literal["accept", "reject", "blocked", "quarantine"]
    reason: str
    gates: tuple[Digest, ...]
    comparisons: tuple[Digest, ...]
    tree: TreeRef | None = None


RowKind = Literal[
    "init",
    "baseline",
    "attempt",
    "optimization",
    "source_idea",
    "verdict",
    "stall",
    "budget",
    "external_block",
    "note",
]


class LedgerRow(Artefact, frozen=True):
    """A line of the append-only ledger; `prev` chains it to the line before.

    Attributes:
        round, candidate: numbers from 1; 0 outside of one.
        state: of the campaign after this row.
        body: id of the artefact that the row is about; `text` says it in a line.
    """

    seq: int
    campaign: Digest
    round: int
    candidate: int
    kind: RowKind
    state: str
    body: Digest
    text: str
    prev: Digest
