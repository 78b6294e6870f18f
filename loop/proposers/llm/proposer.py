"""The LLM proposer and the settler of conflicts: both turn a model's exact edits into a tree."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.llm.client import Message
from loop.gates.paths import rule_on
from loop.kernels.hint import KernelHints
from loop.proposers.backport.proposer import Settled
from loop.proposers.handing_in import Desk
from loop.proposers.llm.asking import Model, NoEdits, Said
from loop.proposers.llm.blocks import Problem, apply_blocks
from loop.proposers.llm.prompts import Edits, merge_prompt, proposal_prompt
from loop.protocols import ProposalBudget
from loop.records import Declined, EvidenceBundle, PatchProposal, TreeRef
from loop.trees.merges import Conflict

_WHOLE = 60_000  # characters of a file that are shown whole; of a longer one, the part around the place
_AROUND = 300  # lines
_MARKERS = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: |$)", re.MULTILINE)
_PREFIX = 3  # folders that a new file has in common with the place


class LlmProposer:
    """Asks a model for one change at the evidence's place.

    Args:
        desk: where it is handed in.
        model: who is asked.
        kernels: what is known of kernels; None where there is no kernel work.
    """

    kind = "llm"

    def __init__(self, desk: Desk, model: Model, kernels: KernelHints | None = None) -> None:
        self._desk, self._model, self._kernels = desk, model, kernels

    def propose(
        self, bundle: EvidenceBundle, tree: TreeRef, budget: ProposalBudget
    ) -> PatchProposal | Declined:
        """One change, or why there is none."""
        whole = self._files(bundle, tree)
        if not whole:
            return self._desk.decline("llm", "NO_PLACE", f"{bundle.location} can't be read", exhausted=True)
        kernel = self._kernels.hint(bundle, tree).facts() if self._kernels else {}
        place = bundle.location.rpartition(":")[0]
        known = frozenset(card.card_id for card in bundle.cards)
        held = frozenset(self._desk.trees.paths(tree))

        def check(edits: Edits) -> Sequence[Problem | str]:
            problems: list[Problem | str] = list(apply_blocks(whole, edits.edits)[1])
            problems += [
                f"{b.path} may not be changed"
                for b in edits.edits
                if b.path not in whole and not _may_add(b.path, place, held)
            ]
            if edits.edits and not known & set(edits.evidence):
                problems.append("`evidence` names none of the cards that were shown")
            return problems

        def opening(word: str) -> list[Message]:
            return proposal_prompt(
                bundle,
                {path: _shown(text, bundle.location, path) for path, text in whole.items()},
                word,
                kernel,
            )

        said = Said()
        try:
            edits = self._model.edits(opening, check, budget, said)
        except NoEdits as exc:
            return self._desk.decline("llm", "NO_EDITS", str(exc), said.cost)
        if not edits.edits:
            return self._desk.decline("llm", "NOTHING_TO_DO", edits.claim, said.cost, exhausted=True)
        after, _ = apply_blocks(whole, edits.edits)
        store = self._desk.trees.store(tree.repository)
        changed = store.with_contents(tree.tree, {path: _bytes(text) for path, text in after.items()})
        return self._desk.patch(
            "llm",
            bundle,
            tree,
            changed,
            edits.claim,
            source=self._model.name,
            cost=said.cost,
            prompts=said.prompts,
        )

    def _files(self, bundle: EvidenceBundle, tree: TreeRef) -> dict[str, str]:
        """The place's file, and those of the cards that the tree has, as far as they are code."""
        paths = [bundle.location.rpartition(":")[0], *(card.path for card in bundle.cards)]
        found: dict[str, str] = {}
        for path in dict.fromkeys(paths):
            raw = self._desk.trees.read(tree, path) if rule_on(path).place == "code" else None
            if raw is not None and (not found or sum(map(len, found.values())) + len(raw) < 3 * _WHOLE):
                found[path] = raw.decode("utf-8", "surrogateescape")
        return found if paths[0] in found else {}


class LlmSettler:
    """Settles conflicts in one file with a model."""

    def __init__(self, desk: Desk, model: Model) -> None:
        self._desk, self._model = desk, model

    def settle(self, conflict: Conflict, marked: bytes, title: str, budget: ProposalBudget) -> Settled | None:
        """The merged file, None where the model gives none that is whole."""
        text = marked.decode("utf-8", "surrogateescape")
        if len(text) > 2 * _WHOLE or not _MARKERS.search(text):
            return None
        files = {conflict.path: text}

        def check(edits: Edits) -> Sequence[Problem | str]:
            after, problems = apply_blocks(files, edits.edits, frozenset(files))
            left: list[Problem | str] = list(problems)
            if edits.edits and not left and _MARKERS.search(after.get(conflict.path, text)):
                left.append("there are markers of the conflict left")
            return left

        said = Said()
        try:
            edits = self._model.edits(
                lambda word: merge_prompt(conflict, text, title, word), check, budget, said
            )
        except NoEdits:
            return None
        after, _ = apply_blocks(files, edits.edits, frozenset(files))
        if conflict.path not in after:
            return None
        return Settled(_bytes(after[conflict.path]), said.cost, tuple(said.prompts))


def _may_add(path: str, place: str, held: frozenset[str]) -> bool:
    """Whether a new file may stand at a path: code, in the package of the place, where there is none."""
    inside = (
        path.split("/")[:_PREFIX][:-1] == place.split("/")[:_PREFIX][: len(path.split("/")[:_PREFIX]) - 1]
    )
    return path not in held and inside and rule_on(path).place == "code"


def _shown(text: str, location: str, path: str) -> str:
    """A file as it is shown: whole, or the lines around the place."""
    if len(text) <= _WHOLE:
        return text
    place, _, number = location.rpartition(":")
    lines = text.split("\n")
    middle = int(number) if place == path and number.isdecimal() else 0
    first = max(0, middle - _AROUND)
    return "\n".join(lines[first : first + 2 * _AROUND])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
