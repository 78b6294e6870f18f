"""A change that was tried is not tried again: the same launch options, or a patch with the same stable id."""

from __future__ import annotations

from ingest.errors import PrloreError
from loop.gates.results import failed, not_evaluated, passed
from loop.protocols import GateContext
from loop.records import GateResult, PatchProposal


class NoveltyGate:
    """`novelty`: white space, line numbers and the order of files make no new patch."""

    name = "novelty"

    def check(self, context: GateContext) -> GateResult:
        """Compare with every earlier proposal of the campaign."""
        proposal = context.proposal
        if proposal.flags is not None:
            same = [p for p in context.tried if p.flags is not None and _options(p) == _options(proposal)]
            if any(p.parent.tree == proposal.parent.tree for p in same):
                return failed(self.name, "TRIED", "these launch options were tried on this tree")
            return passed(self.name)
        try:
            wanted = self._patch_id(context, proposal)
            for earlier in context.tried:
                if earlier.flags is None and self._patch_id(context, earlier) == wanted:
                    return failed(
                        self.name, "TRIED", f"the same change as {earlier.id[:12]} ({earlier.proposer})"
                    )
        except PrloreError as exc:
            return not_evaluated(self.name, "NO_PATCH", str(exc))
        return passed(self.name, f"patch-id {wanted[:16]}")

    def _patch_id(self, context: GateContext, proposal: PatchProposal) -> str:
        return context.trees.patch_id(context.parent, context.blobs.get(proposal.diff))


def _options(proposal: PatchProposal) -> tuple[str, ...]:
    return tuple(sorted(proposal.flags or ()))
