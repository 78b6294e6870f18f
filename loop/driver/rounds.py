"""A round: gap, profile, evidence, proposals in turn; and what follows when nothing comes of it."""

from __future__ import annotations

import re

from msgspec.structs import replace

from loop.campaign.database import Entry, Submission
from loop.campaign.progress import End, Progress, State
from loop.campaign.tasks import (
    Arm,
    Profiled,
    ProfileTask,
    Proposed,
    ProposeTask,
    Retrieved,
    RetrieveTask,
)
from loop.driver.kit import Blocked, Broken, Kit, Turn
from loop.driver.opening import said
from loop.records import Comparison, Declined, EvidenceBundle, PatchProposal, ProfileDigest
from loop.stats.compare import Question, sla_breach


def gap(kit: Kit, at: Progress) -> Turn:
    """Begin a round: the target against every competitor, anew after each accept."""
    number = at.round + 1
    begun = replace(at, round=number, in_round=0, turn=0, bundles=(), state=State.PROFILE)
    if at.gaps:
        return Turn(begun, ())  # the same tree and flags as when they were measured
    entries, gaps, found = [], [], []
    policy = kit.spec.policy
    for i, engine in enumerate(kit.spec.competitors):
        if i in at.absent:
            continue
        question = Question("gap", f"gap/{number}/{i}", "", "", policy.alpha, policy.max_pairs)
        rival = Arm(i, None, at.rival_flags[i] if i < len(at.rival_flags) else ())
        compared = kit.comparison(question, kit.noise(at), kit.target(at), rival)
        if isinstance(compared, Broken):
            who = engine.name if compared.arm == "B" else kit.spec.target.name
            if compared.arm == "A":
                raise Blocked(f"{who} can't be measured: {compared.reason}")
            entries.append(
                Entry("external_block", kit.spec.id, f"{who} can't be measured: {compared.reason}")
            )
            continue
        kept = kit.blobs.keep(compared)
        gaps.append(kept)
        found.append(compared)
        entries.append(Entry("note", kept, f"against {engine.name}: {said(compared)}"))
    begun = replace(begun, gaps=tuple(gaps))
    if found and policy.pursue == "gap" and not _behind(kit, found):
        ahead = all(compared.verdict == "SLOWER" for compared in found)
        reason = "no competitor is faster" if ahead else "no competitor can be told to be faster"
        return Turn(
            replace(begun, state=State.CONFIRM, end=End.BEST if ahead else End.TIED, end_reason=reason),
            tuple(entries),
        )
    return Turn(begun, tuple(entries))


def _behind(kit: Kit, found: list[Comparison]) -> bool:
    """Whether any competitor is faster, or holds the limits where the target does not."""
    if any(compared.verdict == "FASTER" for compared in found):
        return True
    for compared in found:
        blocks = kit.blocks(compared.key)
        if sla_breach(blocks, kit.spec.sla, "A") and not sla_breach(blocks, kit.spec.sla, "B"):
            return True
    return False


def symptom(kit: Kit, at: Progress) -> str:
    """The comparison that shows the widest gap; the calibration where there is none but headroom."""
    gaps = [(kit.blobs.load(Comparison, digest), digest) for digest in at.gaps]
    gaps.sort(key=lambda pair: -pair[0].mean)
    if not gaps or (gaps[0][0].verdict != "FASTER" and kit.spec.policy.pursue == "headroom"):
        return at.noise
    return gaps[0][1]


def profile(kit: Kit, at: Progress) -> Turn:
    """Prefill and decode of the incumbent, once a tree."""
    if at.profiles:
        return Turn(replace(at, state=State.RETRIEVE), ())
    if at.best is None:
        reason = "the target has no source here: only its launch options were searched"
        return Turn(replace(at, state=State.CONFIRM, end=End.NO_ROW, end_reason=reason), ())
    found = kit.result(ProfileTask(kit.target(at)), Profiled)
    if not found.profiles:
        raise Blocked(f"the target can't be profiled: {found.note}")
    entries = tuple(
        Entry("source_idea", digest, f"profile {i + 1} of {len(found.profiles)}")
        for i, digest in enumerate(found.profiles)
    )
    return Turn(replace(at, state=State.RETRIEVE, profiles=found.profiles), entries)


def retrieve(kit: Kit, at: Progress) -> Turn:
    """Rows that can pay, each with the cards that bear on it."""
    assert at.best is not None
    task = RetrieveTask(at.profiles, symptom(kit, at), at.best, at.widened, _worn(kit, at))
    found = kit.result(task, Retrieved)
    entries = tuple(
        Entry("source_idea", digest, _idea(kit.blobs.load(EvidenceBundle, digest)))
        for digest in found.bundles
    )
    if found.bundles:
        return Turn(replace(at, state=State.PROPOSE, bundles=found.bundles), entries)
    if not any(reason != "CANNOT_PAY" for _, reason in found.thin):
        reason = "no row of the profile is large enough to pay"
        return Turn(replace(at, state=State.CONFIRM, end=End.NO_ROW, end_reason=reason), entries)
    return _weak(kit, at, f"no card fits any of {len(found.thin)} rows")


def _worn(kit: Kit, at: Progress) -> tuple[str, ...]:
    """The last two operation families that were tried, passed over in the first round after the research was widened."""
    if not at.widened or at.weak:
        return ()
    families: list[str] = []
    for digest in reversed(at.tried):
        evidence = kit.blobs.load(PatchProposal, digest).evidence
        if not evidence:
            continue
        bundle = kit.blobs.load(EvidenceBundle, evidence)
        rows = kit.blobs.load(ProfileDigest, bundle.profile).rows
        families += [row.family for row in rows if row.row_id == bundle.row_id and row.family not in families]
    return tuple(families[:2])


def _idea(bundle: EvidenceBundle) -> str:
    cards = ", ".join(dict.fromkeys(card.card_id for card in bundle.cards))
    return f"{bundle.stage} {bundle.row_id} {bundle.share:.1%} at {bundle.location}: {cards}"


def propose(kit: Kit, at: Progress) -> Turn:
    """Patches of people first, then every proposer on every evidence, until each has declined."""
    assert at.best is not None
    if at.in_round >= kit.spec.policy.per_round:
        return _weak(kit, at, f"{at.in_round} candidates without a gain")
    waiting = [s for s in kit.database.submissions() if s.number > at.taken]
    if waiting:
        return _submitted(kit, at, waiting[0])
    proposers = [i for i, proposer in enumerate(kit.spec.proposers) if proposer.kind != "human"]
    if at.turn >= len(at.bundles) * len(proposers):
        return _weak(kit, at, f"{at.in_round} candidates without a gain, proposers have no more")
    bundle = at.bundles[at.turn // len(proposers)]
    number = proposers[at.turn % len(proposers)]
    task = ProposeTask(number, bundle, at.best, at.flags, at.turn, at.tried)
    try:
        found = kit.result(task, Proposed)
    except Blocked as blocked:
        # a proposer that can't work here ends its own turn, not the campaign
        text = f"{kit.spec.proposers[number].kind} can't propose: {blocked.reason}"
        entry = Entry("external_block", kit.spec.id, text[:400])
        return Turn(replace(at, state=State.PROPOSE, turn=at.turn + 1), (entry,))
    if found.declined:
        declined = kit.blobs.load(Declined, found.declined)
        text = f"{declined.proposer} declines: {declined.reason} {declined.detail}".strip()
        return Turn(
            replace(at, state=State.PROPOSE, turn=at.turn + 1), (Entry("note", found.declined, text),)
        )
    return _attempt(kit, at, found.proposal, bundle)


def _submitted(kit: Kit, at: Progress, patch: Submission) -> Turn:
    assert at.best is not None
    taken = replace(at, taken=patch.number)
    bundle = patch.evidence or _evidence_of(kit, at, kit.blobs.get(patch.patch))
    task = ProposeTask(-1, bundle, at.best, at.flags, patch.number, at.tried, patch.patch, patch.source)
    try:
        found = kit.result(task, Proposed)
    except Blocked as blocked:
        entry = Entry("note", kit.spec.id, f"patch of {patch.source} can't be read: {blocked.reason}"[:400])
        return Turn(taken, (entry,))
    if found.declined:
        declined = kit.blobs.load(Declined, found.declined)
        text = f"patch of {patch.source} refused: {declined.reason} {declined.detail}".strip()
        return Turn(taken, (Entry("note", found.declined, text),))
    return _attempt(kit, taken, found.proposal, bundle)


def _evidence_of(kit: Kit, at: Progress, patch: bytes) -> str:
    """The evidence whose place is nearest to what a patch changes, else the first of all, for the gate to judge."""
    changed: list[tuple[str, int]] = []
    path = ""
    for line in patch.decode("utf-8", "replace").splitlines():
        if line.startswith("--- "):
            path = line[4:].split("\t")[0].removeprefix("a/")
        elif hunk := re.match(r"@@ -(\d+)", line):
            changed.append((path, int(hunk[1])))
    nearest: list[tuple[int, int, str]] = []
    for number, digest in enumerate(at.bundles):
        place, _, line = kit.blobs.load(EvidenceBundle, digest).location.rpartition(":")
        nearest += [(abs(int(line) - first), number, digest) for name, first in changed if name == place]
    return min(nearest)[2] if nearest else at.bundles[0] if at.bundles else ""


def _attempt(kit: Kit, at: Progress, proposal: str, bundle: str) -> Turn:
    made = kit.blobs.load(PatchProposal, proposal)
    chosen = made.evidence or bundle
    after = replace(
        at,
        state=State.GATES,
        candidate=at.candidate + 1,
        in_round=at.in_round + 1,
        proposal=proposal,
        bundle=chosen,
        tree=None,
        gates=(),
        comparisons=(),
    )
    what = " ".join(made.flags) if made.flags is not None else ", ".join(made.files[:5])
    return Turn(after, (Entry("attempt", proposal, f"{made.proposer} {made.source}: {what}".strip()),))


def _weak(kit: Kit, at: Progress, why: str) -> Turn:
    """A round without a gain that counts: go on, widen the research, or end as stalled."""
    weak = at.weak + 1
    entry = Entry("stall", kit.spec.id, f"round {at.round}: {why}; {weak} weak in a row")
    if weak < kit.spec.policy.weak_rounds:
        return Turn(replace(at, state=State.GAP, weak=weak), (entry,))
    if at.widened:
        reason = f"{why}; the research was widened already"
        return Turn(replace(at, state=State.CONFIRM, weak=weak, end=End.STALLED, end_reason=reason), (entry,))
    return Turn(replace(at, state=State.RESEARCH, weak=weak), (entry,))


def research(kit: Kit, at: Progress) -> Turn:
    """Widen what is looked for, and begin to count weak rounds anew."""
    after = replace(at, state=State.GAP, weak=0, widened=at.widened + 1)
    return Turn(
        after, (Entry("note", kit.spec.id, "research widened: competitors' cards, hot files, lower floor"),)
    )
