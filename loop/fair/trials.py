"""What a flag search leaves behind: one record a trial, failures too, and what makes the comparison fair."""

from __future__ import annotations

from typing import Literal

from loop.records import ArmMetrics, Artefact, Digest, Part, Sla

Ended = Literal["ok", "infeasible", "failed", "sla"]


class Trial(Part, frozen=True):
    """One assignment of launch options.

    Attributes:
        number: from 0, the engine's defaults first.
        chosen: option and value, as the space names them; `flags` as words of the command.
        ended: `ok`; `sla`, measured but too slow for its users; `failed`, did not start or answer; `infeasible`, known
            beforehand to be impossible, which costs no server.
        reason: why it isn't `ok`.
        metrics: by workload.
        score: what the search maximises, None without metrics.
        rows: digest of each workload's raw rows.
        log: digest of the end of a failed server's log.
    """

    number: int
    chosen: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    ended: Ended
    reason: str = ""
    metrics: tuple[tuple[str, ArmMetrics], ...] = ()
    score: float | None = None
    rows: tuple[tuple[str, Digest], ...] = ()
    log: Digest = ""
    seconds: float = 0.0


class FlagSearch(Artefact, frozen=True):
    """A search over one engine's options.

    Attributes:
        budget: trials that every engine got; infeasible ones count as well.
        best: number of the best trial that meets the limits, None where none does.
        left_out: options that this version doesn't offer.
        missing: why the engine could not be searched at all.
    """

    engine: str
    version: str
    budget: int
    metric: str
    sla: Sla
    trials: tuple[Trial, ...] = ()
    best: int | None = None
    left_out: tuple[str, ...] = ()
    missing: str = ""

    @property
    def winner(self) -> Trial | None:
        """The best trial."""
        return None if self.best is None else self.trials[self.best]


class FairRecord(Artefact, frozen=True):
    """That engines were compared on equal terms, each point read and not assumed.

    Attributes:
        searches: id of each engine's search.
        equal: what was the same for all, as (what, value).
        unequal: what was not, and for whom: a comparison with such a line is no verdict.
    """

    searches: tuple[Digest, ...]
    equal: tuple[tuple[str, str], ...]
    unequal: tuple[str, ...] = ()
