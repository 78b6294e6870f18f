"""The loop itself: take the state, do its turn, write state and ledger together; until the campaign is closed."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from loop.campaign.database import Entry
from loop.campaign.durable import passed
from loop.campaign.folder import Folder
from loop.campaign.progress import End, Progress, State
from loop.campaign.steps import Children, Runner, Steps
from loop.driver import ends, opening, rounds, trial
from loop.driver.kit import Blocked, Kit, Turn
from loop.proposers.agent.presets import credentials_of
from loop.protocols import Trees
from loop.records import CampaignSpec, TreeRef

HANDLERS: dict[State, Callable[[Kit, Progress], Turn]] = {
    State.INIT: opening.init,
    State.PREFLIGHT: opening.preflight,
    State.CALIBRATE: opening.calibrate,
    State.BASELINE: opening.baseline,
    State.GAP: rounds.gap,
    State.PROFILE: rounds.profile,
    State.RETRIEVE: rounds.retrieve,
    State.PROPOSE: rounds.propose,
    State.GATES: trial.gates,
    State.MEASURE: trial.measure,
    State.VERDICT: trial.verdict,
    State.RESEARCH: rounds.research,
    State.CONFIRM: ends.confirm,
    State.REPORT: ends.report,
}
_LEAVING = {State.CONFIRM, State.REPORT, State.CLOSED}
_TRIES = 2
Listener = Callable[[Progress, tuple[Entry, ...]], None]


class Driver:
    """Drives one campaign; the caller holds its lock.

    Args:
        folder: of the campaign.
        runner: how steps are run; children of their own where None.
        trees: the target's source, to keep the reference `best` where the ledger says; None where there is none.
        listen: told of every turn.
    """

    def __init__(
        self,
        folder: Folder,
        runner: Runner | None = None,
        trees: Trees | None = None,
        listen: Listener | None = None,
    ) -> None:
        self._folder = folder
        self._database = folder.open()
        self._spec = folder.spec(self._database)
        known = credentials_of(self._spec.proposers)
        steps = Steps(
            folder,
            self._database,
            runner or Children(folder.path, self._spec.id, known),
            self._spec.policy.id,
        )
        self._kit = Kit(folder, self._database, steps, self._spec)
        self._trees = trees
        self._listen = listen
        self._best: TreeRef | None = None

    @property
    def spec(self) -> CampaignSpec:
        """As frozen."""
        return self._spec

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def run(self, turns: int | None = None) -> Progress:
        """Go on until the campaign is closed, or for some turns; where it is then.

        Raises:
            PrloreError: something that a user can mend; nothing is lost, the campaign can be resumed.
        """
        self._kit.steps.tidy()
        at = self._database.progress()
        while at.state != State.CLOSED and turns != 0:
            self._reconcile(at)
            turn = self._turn(at)
            self._database.turn(at, turn.progress, turn.entries)
            at = turn.progress
            if self._listen is not None:
                self._listen(at, turn.entries)
            turns = None if turns is None else turns - 1
        self._reconcile(at)
        return at

    def _turn(self, at: Progress) -> Turn:
        if at.state not in _LEAVING:
            if (reason := self._database.requested("cancel")) is not None:
                self._kit.steps.end_all()
                return _leave(self._spec, at, State.REPORT, End.CANCELLED, reason or "cancelled", "note")
            if reason := ends.over_budget(self._kit, at):
                return _leave(self._spec, at, State.CONFIRM, End.BUDGET, reason, "budget")
        try:
            turn = HANDLERS[at.state](self._kit, at)
        except Blocked as blocked:
            return self._blocked(at, blocked)
        if turn.progress.state != at.state:  # what failed before is behind us
            return Turn(replace(turn.progress, tries=0), turn.entries)
        return turn

    def _blocked(self, at: Progress, blocked: Blocked) -> Turn:
        if at.state in _LEAVING:
            # nothing more can be measured; what is known is reported
            note = Entry("external_block", self._spec.id, f"not confirmed: {blocked.reason}"[:400])
            return Turn(replace(at, state=State.REPORT), (note,))
        if blocked.task is not None and at.tries + 1 < _TRIES and at.state != State.CALIBRATE:
            self._kit.steps.again(blocked.task)
            note = Entry("note", self._spec.id, f"to be tried again: {blocked.reason}"[:400])
            return Turn(replace(at, tries=at.tries + 1), (note,))
        return _leave(self._spec, at, State.CONFIRM, End.BLOCKED, blocked.reason[:400], "external_block")

    def _reconcile(self, at: Progress) -> None:
        """Make the reference in git what the ledger says; it is written after the transaction that decided it."""
        if self._trees is None or at.best is None or at.best == self._best:
            return
        self._trees.advance(at.best)
        passed("reference moved")
        self._best = at.best


def _leave(spec: CampaignSpec, at: Progress, to: State, end: End, reason: str, kind: str) -> Turn:
    after = replace(
        at, state=to, end=end, end_reason=reason, proposal="", tree=None, gates=(), comparisons=()
    )
    return Turn(after, (Entry(kind, spec.id, f"{end}: {reason}"),))  # type: ignore[arg-type]
