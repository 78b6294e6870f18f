"""Two looks at a comparison that says FASTER: does anything else get worse, and can it be true at all?"""

from __future__ import annotations

import math

from loop.gates.evidence import ceiling_of, share_of
from loop.gates.results import failed, held, not_evaluated, passed
from loop.protocols import GateContext
from loop.records import GateResult

_CEILING_SLACK = 1.2  # shares of a profile are not exact


class RegressionGate:
    """`regression`: every other metric and scenario holds, by the one-sided bound that the comparison computed."""

    name = "regression"

    def check(self, context: GateContext) -> GateResult:
        """Read the side metrics of the measurement."""
        if context.measured is None:
            return not_evaluated(self.name, "NOT_MEASURED", "there is no measurement")
        worse = [side for side in context.measured.side if not side.holds]
        if worse:
            words = ", ".join(
                f"{s.name} {math.expm1(s.mean):+.1%} (at least {math.expm1(s.lower):+.1%})" for s in worse[:3]
            )
            return failed(self.name, "REGRESSION", words)
        return passed(self.name, f"{len(context.measured.side)} other metrics hold")


class TooGoodGate:
    """`too_good`: a gain above what the row could give at all, or above the policy's limit, waits for a person."""

    name = "too_good"

    def check(self, context: GateContext) -> GateResult:
        """Hold the measured gain against Amdahl's ceiling of the evidence's row, looked up anew."""
        if context.measured is None:
            return not_evaluated(self.name, "NOT_MEASURED", "there is no measurement")
        gain = math.expm1(context.measured.mean)
        low = math.expm1(context.measured.low) if math.isfinite(context.measured.low) else gain
        bundle = context.bundle
        row = next(
            (
                r
                for p in context.profiles
                if bundle and p.id == bundle.profile
                for r in p.rows
                if r.row_id == bundle.row_id
            ),
            None,
        )
        if row is not None and context.proposal.flags is None:
            # a symptom of one stage is paid by that stage alone, so the ceiling holds for the whole as well
            most = ceiling_of(share_of(row)) * _CEILING_SLACK
            if min(gain, low) > most:
                return held(
                    self.name, "ABOVE_CEILING", f"{gain:+.1%} where the row can give {most:.1%} at most"
                )
        if gain > context.spec.policy.too_good:
            return held(
                self.name,
                "TOO_GOOD",
                f"{gain:+.1%} is more than {context.spec.policy.too_good:.0%}: a person has to look",
            )
        return passed(self.name, f"{gain:+.1%}")
