"""Everything a campaign claims, computed again from its raw rows; whether any stored byte was changed, or is a secret."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.errors import PrloreError
from loop.campaign import seal
from loop.campaign.blobs import BlobStore
from loop.campaign.database import Database
from loop.campaign.folder import Folder
from loop.campaign.outcomes import lets_pass
from loop.campaign.progress import Progress, State
from loop.campaign.seeds import Seeds
from loop.records import (
    BenchBlock,
    CampaignSpec,
    Comparison,
    Digest,
    GateResult,
    LedgerRow,
    Verdict,
)
from loop.redaction import Redactor
from loop.stats.compare import Noise, Question, compare
from loop.stats.metrics import arm_metrics, decode_rows
from loop.stats.validity import invalid_reason

# kinds of comparison whose number of pairs is fixed beforehand
FIXED = frozenset({"aa", "confirm"})
_CLOSE = 1e-9


@dataclass
class Verified:
    """What a verification found.

    Attributes:
        problems: one line each; none is a campaign that is what it says.
        notes: what could not be checked.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blobs: int = 0
    rows: int = 0
    blocks: int = 0
    comparisons: int = 0
    verdicts: int = 0


def verify(folder: Folder, *, stop_at_first: bool = False) -> Verified:
    """Check seal, store, chain, draws, blocks, comparisons and verdicts.

    Args:
        folder: of the campaign.
        stop_at_first: whether one problem is enough.
    """
    found = Verified()
    for problem in _problems(folder, found):
        found.problems.append(problem)
        if stop_at_first:
            break
    return found


def _problems(folder: Folder, found: Verified) -> Iterator[str]:
    try:
        yield from seal.broken(folder.path)
        yield from _store(folder.blobs(), found)
        database = folder.open(read_only=True)
        try:
            yield from database.sound()
            yield from _campaign(folder, database, found)
        finally:
            database.close()
    except (PrloreError, ValueError, OSError, KeyError) as exc:
        yield str(exc) or type(exc).__name__


def _store(blobs: BlobStore, found: Verified) -> Iterator[str]:
    """Every stored file is what its name says, and holds no secret of this environment and nothing shaped like one."""
    redactor = Redactor()
    for digest in blobs.digests():
        found.blobs += 1
        try:
            if redactor.finds(blobs.get(digest)):
                yield f"{digest[:12]} in {blobs.folder} holds a secret"
        except PrloreError as exc:
            yield str(exc)


def _campaign(folder: Folder, database: Database, found: Verified) -> Iterator[str]:
    spec = folder.spec(database)
    seeds = folder.seeds()
    if seeds.commitment != spec.seed_commitment:
        yield "the seed is not the one that the spec commits to"
    at = database.progress()
    rows = database.ledger()
    found.rows = len(rows)
    if any(row.campaign != spec.id for row in rows):
        yield "a ledger row belongs to another campaign"
    if not rows or (rows[-1].state != at.state and at.state in (State.CLOSED, State.REPORT)):
        yield f"the ledger ends in {rows[-1].state if rows else 'nothing'}, the state is {at.state}"
    if at.state == State.CLOSED and not (folder.path / seal.NAME).exists():
        found.notes.append("closed but not sealed: `prlore loop resume` seals it")
    elif at.state != State.CLOSED:
        found.notes.append(f"not closed ({at.state}): there is no seal yet")
    replay = _Replay(folder.blobs(), database, spec, seeds, found)
    yield from replay.comparisons(rows, at)
    yield from replay.verdicts(rows, at)


class _Replay:
    """Computes again."""

    def __init__(
        self, blobs: BlobStore, database: Database, spec: CampaignSpec, seeds: Seeds, found: Verified
    ) -> None:
        self._blobs = blobs
        self._database = database
        self._spec = spec
        self._seeds = seeds
        self._found = found
        self._blocks: dict[Digest, BenchBlock] = {}

    def comparisons(self, rows: list[LedgerRow], at: Progress) -> Iterator[str]:
        """Every comparison that a row or the state names."""
        for row in rows:
            if not row.body:
                yield f"ledger row {row.seq} names nothing"
        named = [row.body for row in rows] + [at.noise, at.confirm, *at.gaps, *at.comparisons]
        noise: Noise | None = None
        for digest in dict.fromkeys(name for name in named if name):
            raw = self._blobs.get(digest)
            if not raw.startswith(b'{"artefact":"Comparison"'):
                continue
            stored = self._blobs.load(Comparison, digest)
            self._found.comparisons += 1
            yield from self._comparison(stored, None if stored.kind == "aa" else noise)
            if digest == at.noise:
                noise = Noise.of(stored)

    def _comparison(self, stored: Comparison, noise: Noise | None) -> Iterator[str]:
        blocks = []
        for place, digest in enumerate(stored.blocks):
            block = self._blobs.load(BenchBlock, digest)
            blocks.append(block)
            if digest not in self._blocks:
                self._blocks[digest] = block
                self._found.blocks += 1
                yield from self._block(block, stored.key, place)
        if list(stored.blocks) != self._database.blocks(stored.key):
            yield f"{stored.key}: the blocks it names are not the blocks that were counted"
        if stored.policy != self._spec.policy.id:
            yield f"{stored.key}: decided under another policy"
        question = Question(
            stored.kind,
            stored.key,
            stored.a,
            stored.b,
            stored.level,
            _pairs(stored, self._spec),
            stored.kind in FIXED,
            self._spec.policy.min_gain if stored.kind == "aa" else None,
        )
        again = compare(question, self._spec.policy, noise, blocks)
        yield from _differences(stored, again)

    def _block(self, block: BenchBlock, key: str, place: int) -> Iterator[str]:
        where = f"{key} block {place}"
        if (block.comparison, block.index, block.campaign) != (key, place, self._spec.id):
            yield f"{where}: belongs elsewhere"
        if block.order != self._seeds.order(key, place):
            yield f"{where}: its order is not the one drawn"
        if block.restart != place // self._spec.policy.pairs_per_restart:
            yield f"{where}: belongs to another server start"
        reason = invalid_reason([(run.before, run.after) for run in block.runs], self._spec.policy)
        if (block.valid, block.reason) != (not reason, reason):
            yield f"{where}: its validity is not what the rules say"
        for run in block.runs:
            again = arm_metrics(decode_rows(self._blobs.get(run.rows)), run.cpu_s)
            if again != run.metrics:
                yield f"{where}: figures of arm {run.arm} under {run.workload} are not those of its raw rows"

    def verdicts(self, rows: list[LedgerRow], at: Progress) -> Iterator[str]:
        """Every verdict follows from its gates, and nothing else was accepted."""
        accepted = []
        for row in rows:
            if row.kind != "verdict":
                continue
            made = self._blobs.load(Verdict, row.body)
            self._found.verdicts += 1
            results = [self._blobs.load(GateResult, digest) for digest in made.gates]
            passed = all(lets_pass(result) for result in results)
            if (made.decision == "accept") != passed:
                yield f"candidate {row.candidate}: {made.decision} does not follow from its gates"
            if made.decision == "accept":
                accepted.append(row.candidate)
                deciding = [self._blobs.load(Comparison, digest) for digest in made.comparisons]
                if not deciding or any(c.verdict != "FASTER" for c in deciding):
                    yield f"candidate {row.candidate}: accepted without a measured gain"
        if accepted != [kept.candidate for kept in at.accepted]:
            yield "the state accepts other candidates than the ledger"


def _pairs(stored: Comparison, spec: CampaignSpec) -> int:
    policy = spec.policy
    return {"aa": policy.aa_pairs, "confirm": policy.confirm_pairs}.get(stored.kind, policy.max_pairs)


def _differences(stored: Comparison, again: Comparison) -> Iterator[str]:
    for name in Comparison.__struct_fields__:
        old, new = getattr(stored, name), getattr(again, name)
        same = (
            math.isclose(old, new, rel_tol=_CLOSE, abs_tol=_CLOSE)
            if isinstance(old, float) and isinstance(new, float)
            else old == new
        )
        if name == "side":
            same = len(old) == len(new) and all(
                a.name == b.name and a.holds == b.holds and math.isclose(a.mean, b.mean, abs_tol=_CLOSE)
                for a, b in zip(old, new, strict=True)
            )
        if not same:
            yield f"{stored.key}: {name} is stored as {old!r} and computes to {new!r}"
