"""The backport proposer: the first candidate that merges, else the first conflict in one file that somebody can settle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loop.proposers.backport.candidates import Candidate, Pulls, candidates
from loop.proposers.backport.merging import Brought, bring
from loop.proposers.handing_in import Desk
from loop.protocols import ProposalBudget
from loop.records import Cost, Declined, EvidenceBundle, PatchProposal, TreeRef
from loop.trees.merges import Conflict


@dataclass(frozen=True, slots=True)
class Settled:
    """A file without its conflict, what it cost, and digests of what was asked."""

    content: bytes
    cost: Cost
    prompts: tuple[str, ...]


class Settler(Protocol):
    """Somebody who settles a conflict in one file."""

    def settle(self, conflict: Conflict, marked: bytes, title: str, budget: ProposalBudget) -> Settled | None:
        """The merged file, None where it can't be done. `marked` is the file with the conflict's markers."""


class BackportProposer:
    """Brings one pull request a call.

    Args:
        desk: where it is handed in.
        pulls: where pull requests come from.
        tried: earlier proposals; a pull request is handed in once a tree.
        settler: for a conflict in one file; without one it is declined as such.
    """

    kind = "backport"

    def __init__(
        self, desk: Desk, pulls: Pulls, tried: Sequence[PatchProposal] = (), settler: Settler | None = None
    ) -> None:
        self._desk, self._pulls, self._tried, self._settler = desk, pulls, tried, settler

    def propose(
        self, bundle: EvidenceBundle, tree: TreeRef, budget: ProposalBudget
    ) -> PatchProposal | Declined:
        """The next pull request that the target lacks."""
        start = time.monotonic()
        store = self._desk.trees.store(tree.repository)
        done = {p.source.partition(" ")[0] for p in self._tried if p.proposer == "backport"}
        found, passed = candidates(store, self._pulls, bundle, tree)
        one_file: list[tuple[Candidate, Brought]] = []
        far = 0
        for candidate in found:
            if candidate.pull.id in done or time.monotonic() - start > budget.seconds:
                continue
            brought = bring(store, tree.commit, tree.tree, candidate.pull)
            if brought.is_clean and brought.tree == tree.tree:
                continue  # by another name it is there
            if brought.is_clean:
                return self._hand_in(bundle, tree, candidate, brought, Cost(seconds=time.monotonic() - start))
            if len(brought.conflicts) == 1:
                one_file.append((candidate, brought))
            else:
                far += 1
        settled = self._settle(bundle, tree, one_file, budget)
        if settled is not None:
            return settled
        words = f"{len(found)} lacking, {far} too far away, {len(passed)} passed over"
        cost = Cost(seconds=time.monotonic() - start)
        if one_file:
            names = ", ".join(f"{c.pull.id} in {b.conflicts[0].path}" for c, b in one_file[:5])
            return self._desk.decline(
                "backport", "ONE_FILE_CONFLICT", f"{names}; {words}", cost, exhausted=True
            )
        return self._desk.decline(
            "backport", "NONE_MERGES" if found else "NONE_LACKING", words, cost, exhausted=True
        )

    def _settle(
        self,
        bundle: EvidenceBundle,
        tree: TreeRef,
        one_file: Sequence[tuple[Candidate, Brought]],
        budget: ProposalBudget,
    ) -> PatchProposal | Declined | None:
        if self._settler is None:
            return None
        store = self._desk.trees.store(tree.repository)
        for candidate, brought in one_file:
            (conflict,) = brought.conflicts
            marked = store.read(brought.tree, conflict.path)
            if marked is None or None in (conflict.base, conflict.ours, conflict.theirs):
                continue  # a removal against a change is no text to merge
            settled = self._settler.settle(conflict, marked, candidate.pull.title, budget)
            if settled is not None:
                whole = store.with_contents(brought.tree, {conflict.path: settled.content})
                done = Brought(whole, (), brought.stands_on, brought.left_out)
                return self._hand_in(
                    bundle, tree, candidate, done, settled.cost, settled.prompts, settled_in=conflict.path
                )
        return None

    def _hand_in(
        self, bundle: EvidenceBundle, tree: TreeRef, candidate: Candidate, brought: Brought, cost: Cost,
        prompts: Sequence[str] = (), settled_in: str = "",
    ) -> PatchProposal | Declined:  # fmt: skip
        pull = candidate.pull
        claim = [f"{pull.id} ({pull.sha[:12]}), {candidate.days:.0f} days after the target: {pull.title}"]
        if brought.stands_on:
            claim.append(f"with {', '.join(sha[:12] for sha in brought.stands_on)}, which it stands on")
        if brought.left_out:
            claim.append(f"Left out: {', '.join(brought.left_out[:20])}")
        if settled_in:
            claim.append(f"a conflict in {settled_in} was settled by a model")
        return self._desk.patch(
            "backport",
            bundle,
            tree,
            brought.tree,
            "\n".join(claim),
            source=f"{pull.id} {pull.sha[:12]}",
            cost=cost,
            prompts=prompts,
        )
