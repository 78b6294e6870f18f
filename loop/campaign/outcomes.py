"""What a gate's answer means for a candidate: one rule for the driver and for whoever replays it."""

from __future__ import annotations

from loop.records import GateResult

# reasons by which a gate says that it does not concern this campaign or candidate
NOT_CONCERNED = frozenset({"NO_TESTS", "NOT_APPLICABLE", "NOT_CONFIGURED"})


def lets_pass(result: GateResult) -> bool:
    """Whether a candidate goes on; what was not evaluated lets nobody pass unless it does not concern them."""
    if result.outcome == "not_evaluated":
        return result.reason in NOT_CONCERNED
    return result.outcome == "pass"
