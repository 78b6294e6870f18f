"""From a tree that a proposer made to what it hands in: the part that a candidate may change, and a word on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loop.gates.paths import rule_on
from loop.protocols import Blobs
from loop.records import Cost, Declined, EvidenceBundle, PatchProposal, ProposerKind, TreeRef
from loop.redaction import Redactor
from loop.trees.campaign import CampaignTrees
from loop.trees.store import Entry

VERSION = "1"


@dataclass(frozen=True, slots=True)
class Kept:
    """A tree without what no candidate may change.

    Attributes:
        tree: parent plus the kept changes.
        files: paths it changes.
        left_out: paths that were put back as the parent has them.
    """

    tree: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]


def keep_allowed(trees: CampaignTrees, parent: TreeRef, tree: str) -> Kept:
    """Put back what lies outside of a measurement: pins, CI, images, test hooks. Forbidden files stay, for the gate to refuse."""
    changed = trees.changes(parent, TreeRef(parent.repository, "", tree))
    outside = [c for c in changed if rule_on(c.path).place == "outside"]
    files = tuple(c.path for c in changed if c not in outside)
    if outside:
        back: dict[str, Entry | None] = {
            c.path: Entry(c.old_mode, c.old_blob) if c.old_mode != "000000" else None for c in outside
        }
        tree = trees.store(parent.repository).with_entries(tree, back)
    return Kept(tree, files, tuple(c.path for c in outside))


@dataclass(frozen=True)
class Desk:
    """Where proposers hand in.

    Attributes:
        trees, blobs: the campaign's.
        redact: what every word of theirs passes.
    """

    trees: CampaignTrees
    blobs: Blobs
    redact: Redactor

    def patch(
        self, kind: ProposerKind, bundle: EvidenceBundle, parent: TreeRef, tree: str, claim: str, *,
        source: str = "", cost: Cost | None = None, prompts: Sequence[str] = (),
    ) -> PatchProposal | Declined:  # fmt: skip
        """A patch from parent to tree, or why there is none."""
        kept = keep_allowed(self.trees, parent, tree)
        said = claim.strip()
        if kept.left_out:
            said += f"\nLeft out: {', '.join(kept.left_out[:20])}"
        if not kept.files:
            return self.decline(kind, "NOTHING_LEFT", said or "the change is empty", cost)
        diff = self.trees.diff(parent, TreeRef(parent.repository, "", kept.tree))
        return PatchProposal(
            kind, VERSION, parent, self.blobs.put(diff), kept.files, self.redact.text(said)[:4000], bundle.id,
            self.redact.text(source)[:200], None, cost or Cost(), tuple(prompts),
        )  # fmt: skip

    def options(
        self, bundle: EvidenceBundle, parent: TreeRef, flags: Sequence[str], claim: str, source: str = ""
    ) -> PatchProposal:
        """Launch options as a candidate."""
        return PatchProposal(
            "flags", VERSION, parent, "", (), claim[:4000], bundle.id, source[:200], tuple(flags)
        )

    def decline(
        self,
        kind: ProposerKind,
        reason: str,
        detail: str,
        cost: Cost | None = None,
        *,
        exhausted: bool = False,
    ) -> Declined:
        """Nothing to hand in; `exhausted` where asking again for this evidence is of no use."""
        return Declined(kind, reason, self.redact.text(detail)[:1000], cost or Cost(), exhausted)

    def keep_text(self, text: str) -> str:
        """A prompt or an answer in the content store, without secrets."""
        return self.blobs.put(self.redact.text(text).encode("utf-8", "surrogatepass"))
