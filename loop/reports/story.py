"""A campaign read back for people: candidates with their gates and numbers, in the order they came."""

from __future__ import annotations

from dataclasses import dataclass

from loop.campaign.blobs import BlobStore
from loop.campaign.folder import Folder
from loop.campaign.progress import Progress
from loop.fair.trials import FlagSearch
from loop.records import (
    Artefact,
    BenchBlock,
    CampaignSpec,
    Comparison,
    Cost,
    Declined,
    Digest,
    EngineBuild,
    EvidenceBundle,
    GateResult,
    LedgerRow,
    PatchProposal,
    ProfileDigest,
    Verdict,
)


@dataclass(frozen=True)
class Told:
    """One candidate.

    Attributes:
        gates: results in order; empty with `verdict` None while it is under way.
    """

    number: int
    round: int
    proposal: PatchProposal
    bundle: EvidenceBundle | None
    verdict: Verdict | None
    gates: tuple[GateResult, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def accepted(self) -> bool:
        """Whether it became the incumbent."""
        return self.verdict is not None and self.verdict.decision == "accept"


@dataclass(frozen=True)
class Story:
    """Everything that views are made from."""

    folder: Folder
    blobs: BlobStore
    spec: CampaignSpec
    at: Progress
    rows: tuple[LedgerRow, ...]
    times: dict[int, float]
    used: Cost
    candidates: tuple[Told, ...]
    comparisons: dict[Digest, Comparison]
    blocks: dict[Digest, BenchBlock]
    builds: dict[Digest, EngineBuild]
    bundles: dict[Digest, EvidenceBundle]
    profiles: dict[Digest, ProfileDigest]
    declined: tuple[tuple[LedgerRow, Declined], ...]
    searches: dict[Digest, FlagSearch]

    def of_kind(self, *kinds: str) -> list[Comparison]:
        """Comparisons of some kinds, in order."""
        return [found for found in self.comparisons.values() if found.kind in kinds]

    @property
    def accepted(self) -> list[Told]:
        """Candidates that were kept."""
        return [told for told in self.candidates if told.accepted]

    def side_name(self, build: Digest) -> str:
        """How a build is called: its engine."""
        return self.builds[build].engine if build in self.builds else "?"


def read(folder: Folder) -> Story:
    """Read a campaign, whatever state it is in.

    Raises:
        PrloreError: something stored is not what was stored.
    """
    database, blobs = folder.open(read_only=True), folder.blobs()
    try:
        rows, at, spec = tuple(database.ledger()), database.progress(), folder.spec(database)
        used, times = database.used(), database.times()
    finally:
        database.close()
    bodies = {row.body: _artefact(blobs, row.body) for row in rows}
    comparisons = {d: a for d, a in bodies.items() if isinstance(a, Comparison)}
    for digest in (at.noise, at.confirm, *at.gaps):
        if digest and digest not in comparisons:
            comparisons[digest] = blobs.load(Comparison, digest)
    candidates = tuple(_candidate(blobs, row, rows, bodies) for row in rows if row.kind == "attempt")
    blocks = {d: blobs.load(BenchBlock, d) for found in comparisons.values() for d in found.blocks}
    names = {run.build for block in blocks.values() for run in block.runs}
    return Story(
        folder=folder,
        blobs=blobs,
        spec=spec,
        at=at,
        rows=rows,
        times=times,
        used=used,
        candidates=candidates,
        comparisons=comparisons,
        blocks=blocks,
        builds={digest: blobs.load(EngineBuild, digest) for digest in sorted(names)},
        bundles={d: a for d, a in bodies.items() if isinstance(a, EvidenceBundle)},
        profiles={d: a for d, a in bodies.items() if isinstance(a, ProfileDigest)},
        declined=tuple((row, a) for row in rows if isinstance(a := bodies[row.body], Declined)),
        searches={d: a for d, a in bodies.items() if isinstance(a, FlagSearch)},
    )


_KINDS: dict[bytes, type[Artefact]] = {
    kind.__name__.encode(): kind
    for kind in (
        Comparison,
        PatchProposal,
        Verdict,
        EvidenceBundle,
        ProfileDigest,
        Declined,
        GateResult,
        FlagSearch,
    )
}


def _artefact(blobs: BlobStore, digest: Digest) -> Artefact | None:
    """What a row is about, None where it is no artefact of ours (a log, the spec)."""
    raw = blobs.get(digest)
    if not raw.startswith(b'{"artefact":"'):
        return None
    kind = _KINDS.get(raw[13:60].partition(b'"')[0])
    return blobs.load(kind, digest) if kind else None


def _candidate(
    blobs: BlobStore,
    row: LedgerRow,
    rows: tuple[LedgerRow, ...],
    bodies: dict[Digest, Artefact | None],
) -> Told:
    proposal = bodies[row.body]
    assert isinstance(proposal, PatchProposal)
    verdict = next(
        (bodies[r.body] for r in rows if r.kind == "verdict" and r.candidate == row.candidate), None
    )
    made = verdict if isinstance(verdict, Verdict) else None
    return Told(
        row.candidate,
        row.round,
        proposal,
        blobs.load(EvidenceBundle, proposal.evidence) if proposal.evidence else None,
        made,
        tuple(blobs.load(GateResult, digest) for digest in made.gates) if made else (),
        tuple(blobs.load(Comparison, digest) for digest in made.comparisons) if made else (),
    )
