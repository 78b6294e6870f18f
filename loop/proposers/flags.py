"""Launch options as candidates: one change of the incumbent's options at a time, from a typed space or a list of the spec's.

One at a time, since a pair that measures a single option says what that option is worth. Options that were tried on this tree
are not handed in again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loop.engines.space import Space
from loop.proposers.handing_in import Desk
from loop.protocols import ProposalBudget
from loop.records import Declined, EvidenceBundle, PatchProposal, TreeRef


@dataclass(frozen=True, slots=True)
class Idea:
    """Options to try, and where they come from."""

    flags: tuple[str, ...]
    source: str


class FlagsProposer:
    """Hands in the next untried options.

    Args:
        desk: where they are handed in.
        space: the engine's typed options as this version offers them.
        incumbent: the search flags that the incumbent runs with.
        listed: whole sets of options that the spec names; they come first.
        tried: earlier proposals.
    """

    kind = "flags"

    def __init__(
        self, desk: Desk, space: Space, incumbent: Sequence[str] = (), listed: Sequence[Sequence[str]] = (), tried: Sequence[PatchProposal] = ()
    ) -> None:  # fmt: skip
        self._desk, self._space, self._incumbent = desk, space, tuple(incumbent)
        self._listed = tuple(tuple(flags) for flags in listed)
        self._tried = tried

    def propose(
        self, bundle: EvidenceBundle, tree: TreeRef, budget: ProposalBudget
    ) -> PatchProposal | Declined:
        """The next options that were not tried on this tree."""
        known = {
            tuple(sorted(p.flags)) for p in self._tried if p.flags is not None and p.parent.tree == tree.tree
        }
        known.add(tuple(sorted(self._incumbent)))
        for idea in self.ideas():
            if tuple(sorted(idea.flags)) not in known:
                claim = f"{' '.join(idea.flags) or 'no options'} in place of {' '.join(self._incumbent) or 'none'}"
                return self._desk.options(bundle, tree, idea.flags, claim, idea.source)
        return self._desk.decline(
            "flags", "ALL_TRIED", "every single change of the options was tried", exhausted=True
        )

    def ideas(self) -> Iterator[Idea]:
        """All options in order: those of the spec, then each other value of each option."""
        for flags in self._listed:
            yield Idea(flags, "spec")
        now, rest = self._chosen()
        default = self._space.default
        for parameter in self._space.parameters:
            for value in parameter.choices:
                if value == now.get(parameter.flag, parameter.choices[0]):
                    continue
                chosen = now | {parameter.flag: value}
                if self._space.infeasible(default | chosen) is None:
                    changed = {flag: v for flag, v in chosen.items() if v != default.get(flag)}
                    yield Idea((*rest, *self._space.flags(changed)), f"{parameter.flag}={value or 'default'}")

    def _chosen(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The incumbent's values of the space's options, and its words that are none of the space's."""
        words = list(self._incumbent)
        found: dict[str, str] = {}
        for parameter in self._space.parameters:
            for value in parameter.choices:
                wanted = list(parameter.words(value))
                at = next(
                    (i for i in range(len(words)) if wanted and words[i : i + len(wanted)] == wanted), None
                )
                if at is not None:
                    found[parameter.flag] = value
                    del words[at : at + len(wanted)]
        return found, tuple(words)
