"""A person's patch, as `prlore loop submit` took it. It passes the same gates as any other."""

from __future__ import annotations

from loop.proposers.handing_in import Desk
from loop.protocols import ProposalBudget
from loop.records import Declined, EvidenceBundle, PatchProposal, TreeRef
from loop.trees import patches
from loop.trees.store import DoesNotApply


class HumanProposer:
    """Hands in one submitted patch.

    Args:
        desk: where it is handed in.
        diff: the patch, as `git diff` or `git format-patch` writes it.
        author: who submitted it.
        claim: what it is said to do.
    """

    kind = "human"

    def __init__(self, desk: Desk, diff: bytes, author: str = "", claim: str = "") -> None:
        self._desk, self._author, self._claim = desk, author, claim
        self._diff = desk.redact(diff)  # a tree must hold what the stored patch says

    def propose(
        self, bundle: EvidenceBundle, tree: TreeRef, budget: ProposalBudget
    ) -> PatchProposal | Declined:
        """The patch on this tree: exactly, or by the file versions that it names."""
        store = self._desk.trees.store(tree.repository)
        try:
            after = patches.apply(store, tree.tree, self._diff)
        except DoesNotApply as exc:
            merged = patches.apply_by_versions(store, tree.tree, self._diff)
            if merged is None:
                return self._desk.decline("human", "DOES_NOT_APPLY", str(exc), exhausted=True)
            after = merged
        return self._desk.patch("human", bundle, tree, after, self._claim, source=self._author)
