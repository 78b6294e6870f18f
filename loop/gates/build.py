"""`build`: the candidate starts, and what the live server has loaded is the candidate's tree and nothing else.

In an engine that runs from its sources, importing is building. Code that needs a compiler is not built here; the gate says
so, and `engagement` finds out whether what a candidate changes runs at all.
"""

from __future__ import annotations

from ingest.errors import PrloreError
from loop.gates.results import failed, not_evaluated, passed
from loop.protocols import GateContext
from loop.records import GateResult


class BuildGate:
    """Starts the challenger once and asks who it is."""

    name = "build"

    def check(self, context: GateContext) -> GateResult:
        """Fail where it does not come up or runs another tree."""
        launch = context.challenger
        if context.engine is None or launch is None:
            return not_evaluated(self.name, "NO_LAUNCH", "there is nothing to start")
        reason = context.engine.missing(launch)
        if reason:
            return not_evaluated(self.name, "NO_ENGINE", reason)
        try:
            server = context.engine.start(launch, context.scratch / "build")
        except PrloreError as exc:
            return failed(self.name, "NOT_SERVED", str(exc))
        try:
            identity = server.identity()
            build = server.build()
        except PrloreError as exc:
            return failed(self.name, "NOT_SERVED", str(exc))
        finally:
            server.stop()
        expected = context.candidate.tree if context.candidate is not None else launch.tree
        if launch.source is not None and identity.tree != expected:
            return failed(
                self.name,
                "OTHER_TREE",
                f"the server runs {identity.tree[:12]} from {identity.source}, the candidate is {expected[:12]}",
            )
        if context.proposal.flags is not None and build.rejected_flags:
            lost = [
                flag
                for flag in build.rejected_flags
                if any(flag.startswith(f.split("=")[0]) for f in context.proposal.flags)
            ]
            if lost:
                return failed(self.name, "NOT_ENGAGED", f"this version does not take {', '.join(lost[:3])}")
        return passed(self.name, f"{identity.version}, tree {identity.tree[:12]}")
