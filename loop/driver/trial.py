"""One candidate: gates from cheap to dear, pairs against the live incumbent, a verdict that says why."""

from __future__ import annotations

import math

from msgspec.structs import replace

from loop.campaign.database import Entry
from loop.campaign.outcomes import lets_pass
from loop.campaign.progress import Accepted, Progress, State
from loop.campaign.tasks import Applied, ApplyTask, Arm, Gated, GateTask
from loop.driver.kit import Broken, Kit, Turn
from loop.driver.opening import said
from loop.driver.rounds import symptom
from loop.gates.outputs import outputs_problem
from loop.records import Comparison, GateResult, Outcome, PatchProposal, TreeRef, Verdict
from loop.stats.compare import Question, sla_breach
from loop.stats.metrics import decode_rows

BEFORE = ("evidence", "novelty", "policy")
AFTER = ("build", "tests", "accuracy", "engagement")
# launch options change no file: there is nothing to apply, and what runs is what ran
FLAG_GATES = ("novelty", "build", "accuracy", "engagement")


def gates(kit: Kit, at: Progress) -> Turn:
    """All gates before timing; the first that does not pass ends the candidate."""
    assert at.best is not None
    proposal = kit.blobs.load(PatchProposal, at.proposal)
    found: list[str] = []
    tree = at.best
    stopped: GateResult | None = None
    for name in FLAG_GATES if proposal.flags is not None else (*BEFORE, "apply", *AFTER):
        if name == "apply":
            applied = kit.result(ApplyTask(at.proposal), Applied)
            result = kit.blobs.load(GateResult, applied.gate) if applied.gate else GateResult("apply", "pass")
            tree = applied.tree or tree
        else:
            result = _gate(kit, at, name, None if name in BEFORE else tree)
        found.append(kit.blobs.keep(result))
        if not lets_pass(result):
            stopped = result
            break
    state = State.VERDICT if stopped else State.MEASURE
    after = replace(at, state=state, gates=tuple(found), tree=None if stopped else tree)
    entries = () if stopped is None else (Entry("note", found[-1], _stop_text(stopped)),)
    return Turn(after, entries)


def _stop_text(result: GateResult) -> str:
    return f"{result.gate}: {result.outcome} {result.reason} {result.detail}".strip()[:400]


def _gate(
    kit: Kit, at: Progress, name: str, candidate: TreeRef | None, measured: Comparison | None = None
) -> GateResult:
    """One gate; what it could not evaluate is tried once more."""
    assert at.best is not None
    result = GateResult(name, "not_evaluated", "NEVER_RUN")
    shown = kit.blobs.keep(measured) if measured else ""
    for attempt in range(2):
        task = GateTask(
            name, at.proposal, at.bundle, symptom(kit, at), at.profiles, at.best, candidate, at.flags, at.tried, attempt, shown
        )  # fmt: skip
        gated = kit.result(task, Gated)
        result = kit.blobs.load(GateResult, gated.gate)
        if result.outcome != "not_evaluated" or lets_pass(result):
            break
    return result


def measure(kit: Kit, at: Progress) -> Turn:
    """Pairs of incumbent and candidate, then what a gain must not cost."""
    policy, proposal = kit.spec.policy, kit.blobs.load(PatchProposal, at.proposal)
    level = kit.share
    flags = proposal.flags if proposal.flags is not None else at.flags
    candidate = Arm(-1, at.tree, flags)
    question = Question("measure", f"c{at.candidate}/measure", "", "", level, policy.max_pairs)
    found = kit.comparison(question, kit.noise(at), kit.target(at), candidate)
    if isinstance(found, Broken):
        outcome: Outcome = "fail" if found.arm == "B" else "not_evaluated"
        result = GateResult("measure", outcome, f"SERVER_{found.arm}_FAILED", found.reason)
        return _measured(kit, at, [], [result])
    compared, results = [found], [_gain(found)]
    if found.verdict == "FASTER":
        results += [_gate(kit, at, "regression", at.tree, found), _sla(kit, found), _outputs(kit, found)]
        again, held = _too_good(kit, at, found, candidate)
        compared += [again] if again else []
        results.append(held)
    return _measured(kit, at, compared, results)


def _measured(kit: Kit, at: Progress, compared: list[Comparison], results: list[GateResult]) -> Turn:
    after = replace(
        at,
        state=State.VERDICT,
        gates=(*at.gates, *(kit.blobs.keep(result) for result in results)),
        comparisons=tuple(kit.blobs.keep(found) for found in compared),
    )
    entries = tuple(Entry("note", found.id, f"{found.key}: {said(found)}") for found in compared)
    return Turn(after, entries)


def _gain(found: Comparison) -> GateResult:
    if found.verdict == "FASTER":
        return GateResult("measure", "pass", "", said(found))
    return GateResult("measure", "fail", f"{found.verdict}_{found.reason}", said(found))


def _sla(kit: Kit, found: Comparison) -> GateResult:
    breach = sla_breach(kit.blocks(found.key), kit.spec.sla)
    return GateResult("sla", "fail", "SLA", breach) if breach else GateResult("sla", "pass")


def _outputs(kit: Kit, found: Comparison) -> GateResult:
    """The rows that times are computed from show the same work: a candidate may behave only while it is asked singly."""
    loads = {load.name: load for load in kit.spec.workloads}
    for block in kit.blocks(found.key):
        arms = {(run.workload, run.arm): run.rows for run in block.runs}
        for name, load in loads.items():
            if (name, "A") in arms and (name, "B") in arms:
                ours, theirs = (decode_rows(kit.blobs.get(arms[name, arm])) for arm in ("A", "B"))
                problem = outputs_problem(load, ours, theirs)
                if problem:
                    return GateResult(
                        "outputs", "fail", problem[0], f"{name}, pair {block.index}: {problem[1]}"
                    )
    return GateResult("outputs", "pass")


def _too_good(
    kit: Kit, at: Progress, found: Comparison, candidate: Arm
) -> tuple[Comparison | None, GateResult]:
    """A gain beyond belief is measured again on prompts and server starts of its own before it is held back."""
    first = _gate(kit, at, "too_good", at.tree, found)
    if first.outcome == "pass":
        return None, first
    policy = kit.spec.policy
    level = kit.share
    question = Question("measure", f"c{at.candidate}/again", "", "", level, policy.max_pairs)
    again = kit.comparison(question, kit.noise(at), kit.target(at), candidate)
    if isinstance(again, Broken):
        return None, GateResult("too_good", "not_evaluated", "SERVER_FAILED", again.reason)
    if again.verdict != "FASTER":
        return again, GateResult("too_good", "quarantine", "NOT_REPEATED", said(again))
    return again, _gate(kit, at, "too_good", at.tree, again)


def verdict(kit: Kit, at: Progress) -> Turn:
    """What becomes of the candidate; only what was measured, on that very tree, becomes the incumbent."""
    results = [kit.blobs.load(GateResult, digest) for digest in at.gates]
    bad = next((r for r in results if not lets_pass(r)), None)
    decisions = {"fail": "reject", "not_evaluated": "blocked", "quarantine": "quarantine"}
    decision = decisions[bad.outcome] if bad else "accept"
    made = Verdict(
        candidate=at.proposal,
        decision=decision,  # type: ignore[arg-type]
        reason=f"{bad.gate}: {bad.reason}" if bad else "measured",
        gates=at.gates,
        comparisons=at.comparisons,
        tree=at.tree if not bad else None,
    )
    kept = kit.blobs.keep(made)
    entries = [Entry("verdict", kept, f"{made.decision}: {made.reason}")]
    tried = (*at.tried, at.proposal)
    turn = at.turn + 1 if bad and bad.gate == "novelty" else at.turn
    cleared = replace(
        at, tried=tried, proposal="", bundle="", tree=None, gates=(), comparisons=(), tries=0, turn=turn
    )
    if bad:
        return Turn(replace(cleared, state=State.PROPOSE), tuple(entries))
    proposal = kit.blobs.load(PatchProposal, at.proposal)
    found = kit.blobs.load(Comparison, at.comparisons[0])
    entries.append(
        Entry(
            "optimization", kept, f"{proposal.proposer} {proposal.source}: {found.mean:+.2%}, {found.n} pairs"
        )
    )
    accepted = Accepted(at.candidate, kept, at.proposal, found.id)
    weak = 0 if math.expm1(found.mean) >= kit.spec.policy.weak_gain else at.weak + 1
    after = replace(
        cleared,
        state=State.GAP,
        best=at.tree,
        flags=proposal.flags if proposal.flags is not None else at.flags,
        accepted=(*at.accepted, accepted),
        gaps=(),
        profiles=(),
        weak=weak,
    )
    return Turn(after, tuple(entries))
