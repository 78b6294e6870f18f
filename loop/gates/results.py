"""The three answers of a gate in one line each."""

from __future__ import annotations

from collections.abc import Sequence

from loop.records import Cost, GateResult

_NOTHING = Cost()


def passed(gate: str, detail: str = "", artefacts: Sequence[str] = (), cost: Cost = _NOTHING) -> GateResult:
    """The candidate goes on."""
    return GateResult(gate, "pass", "", detail[:600], tuple(artefacts), cost)


def failed(
    gate: str, reason: str, detail: str, artefacts: Sequence[str] = (), cost: Cost = _NOTHING
) -> GateResult:
    """The candidate ends here; `reason` is a code in capitals."""
    return GateResult(gate, "fail", reason, detail[:600], tuple(artefacts), cost)


def not_evaluated(gate: str, reason: str, detail: str, cost: Cost = _NOTHING) -> GateResult:
    """Nothing was learned about the candidate; the infrastructure or the spec is the cause."""
    return GateResult(gate, "not_evaluated", reason, detail[:600], (), cost)


def held(gate: str, reason: str, detail: str, artefacts: Sequence[str] = ()) -> GateResult:
    """A result too good or too odd to be taken without a second look by a person."""
    return GateResult(gate, "quarantine", reason, detail[:600], tuple(artefacts))
