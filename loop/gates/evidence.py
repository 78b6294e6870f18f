"""Evidence before a token or a second of a device is spent: is there a row, a place, a symptom, a card, and room to gain?

Every field of the bundle is looked up anew in what it points to. What a proposer says about it is not read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Protocol

from ingest.errors import PrloreError
from loop.gates.results import failed, not_evaluated, passed
from loop.protocols import GateContext
from loop.records import CardQuote, EvidenceBundle, GateResult, ProfileDigest, ProfileRow

_WORD = re.compile(r"[A-Za-z]\w{3,}")
_ROUNDING = 1e-6
# words that stand in paths and kernels of all kinds and tie a card to nothing
_PLAIN = frozenset(
    "python vllm sglang tensorrt_llm init kernel kernels model models layers self test tests main utils core base common void float "
    "bool int64 size type name cpp cuda triton aten torch native with from import return class none true false".split()
)


class Cards(Protocol):
    """Diffs of the knowledge base."""

    def quoted(self, quote: CardQuote) -> str | None:
        """Why a quote does not stand in its card's diff, None when it does.

        Raises:
            PrloreError: the knowledge base can't be read.
        """


def share_of(row: ProfileRow) -> float:
    """The share a row is judged by: its own, or that of all rows with the same implementation."""
    return max(row.share, row.family_share)


def ceiling_of(share: float) -> float:
    """Largest gain in speed when a share of the time vanishes (Amdahl), as a fraction."""
    return share / (1.0 - share) if share < 1.0 else float("inf")


class EvidenceGate:
    """`evidence`: everything a bundle claims, looked up.

    Args:
        cards: the knowledge base.
    """

    name = "evidence"

    def __init__(self, cards: Cards) -> None:
        self._cards = cards

    def check(self, context: GateContext) -> GateResult:
        """Judge the bundle of a proposal; launch options need a symptom only."""
        bundle = context.bundle
        if bundle is None or bundle.id != context.proposal.evidence:
            return failed(self.name, "NO_EVIDENCE", "the proposal names no evidence of this round")
        if bundle.tree != context.parent.tree:
            return failed(self.name, "STALE", "the evidence is about another tree")
        problem = _symptom(context, bundle) or _row(context, bundle) or _place(context, bundle)
        if problem:
            return failed(self.name, *problem)
        if context.proposal.flags is not None:
            return passed(self.name, "launch options change no code: symptom, row and place hold")
        try:
            refused = self._quotes(bundle)
        except PrloreError as exc:
            return not_evaluated(self.name, "NO_KB", str(exc))
        if refused:
            return failed(self.name, *refused)
        row = _find(context.profiles, bundle)
        assert row is not None
        if not any(bears(quote, row, bundle) for quote in bundle.cards):
            return failed(
                self.name, "CARD_ELSEWHERE", "no card names the file, a symbol or the operation of the row"
            )
        return passed(self.name, f"{bundle.row_id} has {share_of(row):.1%} of {bundle.stage}")

    def _quotes(self, bundle: EvidenceBundle) -> tuple[str, str] | None:
        """Every quote has to hold; a bundle with one that was made up is not believed in the rest."""
        if not bundle.cards:
            return "NO_CARD", "no card of the knowledge base bears on it"
        for quote in bundle.cards:
            if (
                hashlib.sha256(quote.quote.encode()).hexdigest() != quote.quote_digest
                or not quote.quote.strip()
            ):
                return "QUOTE", f"{quote.card_id}: the quote is not what its digest says"
            why = self._cards.quoted(quote)
            if why:
                return "QUOTE", f"{quote.card_id}: {why}"
        return None


def _find(profiles: Sequence[ProfileDigest], bundle: EvidenceBundle) -> ProfileRow | None:
    """The bundle's row, in its profile alone."""
    rows = (row for p in profiles if p.id == bundle.profile for row in p.rows if row.row_id == bundle.row_id)
    return next(rows, None)


def _symptom(context: GateContext, bundle: EvidenceBundle) -> tuple[str, str] | None:
    """The benchmark shows something to gain: the competitor is ahead by the threshold, or there is no competitor."""
    if not context.spec.competitors:
        return None
    symptom = context.symptom
    if symptom is None or symptom.id != bundle.symptom:
        return "NO_SYMPTOM", "no comparison of this campaign shows the gap"
    if symptom.kind != "gap" or symptom.verdict == "SLOWER":
        return "NO_SYMPTOM", f"the comparison is {symptom.kind} and says {symptom.verdict}"
    if symptom.mean < context.spec.policy.min_gain and symptom.verdict != "UNDECIDED":
        return "NO_SYMPTOM", f"the gap is {symptom.mean:.2%}, less than {context.spec.policy.min_gain:.0%}"
    return None


def _row(context: GateContext, bundle: EvidenceBundle) -> tuple[str, str] | None:
    """A row of a profile of this very tree, large enough that a change of it can pay."""
    profile = next((p for p in context.profiles if p.id == bundle.profile), None)
    if profile is None or profile.tree != context.parent.tree:
        return "NO_ROW", "the row is of no profile of this tree"
    row = _find(context.profiles, bundle)
    if row is None:
        return "NO_ROW", f"the profile has no row {bundle.row_id}"
    if bundle.stage != profile.stage or bundle.stage not in ("prefill", "decode", "all"):
        return "STAGE", f"the row is of {profile.stage}, not of {bundle.stage}"
    share = share_of(row)
    if not 0.0 <= share <= 1.0 or (
        abs(bundle.share - share) > _ROUNDING and abs(bundle.share - row.share) > _ROUNDING
    ):
        return (
            "SHARE",
            f"the row has {row.share:.2%} ({share:.2%} with its like), the evidence says {bundle.share:.2%}",
        )
    policy = context.spec.policy
    if share < policy.min_share:
        return "SMALL_ROW", f"{share:.2%} of the time, less than {policy.min_share:.0%}"
    if bundle.ceiling > ceiling_of(share) + _ROUNDING:
        return (
            "CEILING",
            f"at most {ceiling_of(share):.2%} can be gained, the evidence says {bundle.ceiling:.2%}",
        )
    threshold = max(policy.min_gain, context.symptom.threshold if context.symptom else 0.0)
    if ceiling_of(share) < threshold:
        return "CANNOT_PAY", f"at most {ceiling_of(share):.2%} can be gained, {threshold:.2%} is needed"
    return None


def _place(context: GateContext, bundle: EvidenceBundle) -> tuple[str, str] | None:
    """`path:line` is in the tree, and the row leads there: by its own places or by a symbol near the line."""
    path, _, number = bundle.location.rpartition(":")
    content = context.trees.read(context.parent, path) if path else None
    if content is None or not number.isdecimal():
        return "NO_PLACE", f"{bundle.location[:120]} is not in the tree"
    lines = content.decode("utf-8", "replace").splitlines()
    line = int(number)
    if not 1 <= line <= len(lines):
        return "NO_PLACE", f"{path[:120]} has {len(lines)} lines"
    row = _find(context.profiles, bundle)
    assert row is not None
    if any(
        source.rpartition(":")[0].endswith(path) or path.endswith(source.rpartition(":")[0])
        for source in row.sources
        if ":" in source
    ):
        return None
    names = {name.rpartition(".")[2].rpartition("::")[2] for name in (*row.symbols, row.name)}
    text = "\n".join(lines)
    if any(len(name) > 3 and re.search(rf"\b{re.escape(name)}\b", text) for name in names):
        return None
    return "PLACE_ELSEWHERE", f"nothing of the row leads to {path[:120]}"


def bears(quote: CardQuote, row: ProfileRow, bundle: EvidenceBundle) -> bool:
    """Whether a card's own words name the file, a symbol or the operation of the row."""
    path = bundle.location.rpartition(":")[0]
    if quote.path == path or quote.path.rpartition("/")[2] == path.rpartition("/")[2] != "__init__.py":
        return True
    words = {
        w.lower()
        for w in _WORD.findall(
            f"{quote.path} {quote.quote}".replace("_", " ") + f" {quote.path} {quote.quote}"
        )
    }
    asked = {
        w.lower()
        for text in (row.name, row.family, *row.symbols)
        for w in (*_WORD.findall(text), *_WORD.findall(text.replace("_", " ")))
    }
    return bool((words & asked) - _PLAIN)
