"""Where a campaign is: its states, what may follow what, and all that the next turn of the driver needs."""

from __future__ import annotations

from enum import StrEnum

from loop.records import Digest, Part, TreeRef


class State(StrEnum):
    """States; a campaign is always in exactly one, and the database says which."""

    INIT = "INIT"
    PREFLIGHT = "PREFLIGHT"
    CALIBRATE = "CALIBRATE"
    BASELINE = "BASELINE"
    GAP = "GAP"
    PROFILE = "PROFILE"
    RETRIEVE = "RETRIEVE"
    PROPOSE = "PROPOSE"
    GATES = "GATES"
    MEASURE = "MEASURE"
    VERDICT = "VERDICT"
    RESEARCH = "RESEARCH"
    CONFIRM = "CONFIRM"
    REPORT = "REPORT"
    CLOSED = "CLOSED"


class End(StrEnum):
    """Why a campaign ends; every one is an ordinary end."""

    BEST = "DONE_BEST"
    TIED = "DONE_TIED"
    NO_ROW = "DONE_NO_ROW"
    BLOCKED = "BLOCKED_EXTERNAL"
    BUDGET = "BUDGET"
    STALLED = "STALLED"
    CANCELLED = "CANCELLED"


_ENDS = {State.CONFIRM, State.REPORT}
FOLLOWS: dict[State, set[State]] = {
    State.INIT: {State.PREFLIGHT, *_ENDS},
    State.PREFLIGHT: {State.CALIBRATE, *_ENDS},
    State.CALIBRATE: {State.CALIBRATE, State.BASELINE, *_ENDS},
    State.BASELINE: {State.BASELINE, State.GAP, *_ENDS},
    State.GAP: {State.GAP, State.PROFILE, *_ENDS},
    State.PROFILE: {State.RETRIEVE, *_ENDS},
    State.RETRIEVE: {State.PROPOSE, State.GAP, State.RESEARCH, *_ENDS},
    State.PROPOSE: {State.PROPOSE, State.GATES, State.GAP, State.RESEARCH, *_ENDS},
    State.GATES: {State.GATES, State.MEASURE, State.VERDICT, *_ENDS},
    State.MEASURE: {State.MEASURE, State.VERDICT, *_ENDS},
    State.VERDICT: {State.PROPOSE, State.GAP, State.RESEARCH, *_ENDS},
    State.RESEARCH: {State.GAP, *_ENDS},
    State.CONFIRM: {State.REPORT},
    State.REPORT: {State.CLOSED},
    State.CLOSED: set(),
}


class Accepted(Part, frozen=True):
    """One accepted change."""

    candidate: int
    verdict: Digest
    proposal: Digest
    comparison: Digest


class Progress(Part, frozen=True):
    """All that the driver carries from one turn to the next; nothing else survives a kill.

    Attributes:
        round, candidate: numbers from 1 over the campaign; 0 before the first.
        in_round: candidates measured or refused in this round.
        best: tree of the incumbent; `flags` its launch options beyond the spec's; `base_flags` those it began with.
        noise: id of the A/A comparison.
        rival: number of the engine whose flags or gap are next; `rival_flags` what the searches found, in order.
        gaps: ids of this round's gap comparisons.
        profiles, bundles: ids, of the incumbent's tree.
        turn: next of bundles x proposers in this round.
        proposal, bundle, tree, gates, comparisons: of the candidate at hand.
        tried: ids of all proposals; `accepted` what of them was kept.
        weak: rounds in a row without a gain that counts; `widened` how far the research was widened.
        tries: attempts of the state at hand that ended in an infrastructure failure.
        absent: numbers of competitors that can't run here.
        taken: number of the last patch taken from the inbox.
        end, end_reason: set when the campaign is on its way out.
    """

    state: State = State.INIT
    round: int = 0
    candidate: int = 0
    in_round: int = 0
    best: TreeRef | None = None
    base: TreeRef | None = None
    flags: tuple[str, ...] = ()
    base_flags: tuple[str, ...] = ()
    noise: Digest = ""
    rival: int = 0
    rival_flags: tuple[tuple[str, ...], ...] = ()
    gaps: tuple[Digest, ...] = ()
    profiles: tuple[Digest, ...] = ()
    bundles: tuple[Digest, ...] = ()
    turn: int = 0
    proposal: Digest = ""
    bundle: Digest = ""
    tree: TreeRef | None = None
    gates: tuple[Digest, ...] = ()
    comparisons: tuple[Digest, ...] = ()
    tried: tuple[Digest, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    absent: tuple[int, ...] = ()
    taken: int = 0
    weak: int = 0
    widened: int = 0
    tries: int = 0
    confirm: Digest = ""
    end: End | None = None
    end_reason: str = ""
