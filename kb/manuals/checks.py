"""How the family was checked, what broke or may break, and what the cards leave open. Every line names its pull request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kb.manuals.evidence import Evidence, FamilyCard
from kb.manuals.places import Places
from kb.manuals.signals import Signals
from kb.references import engine_of

_LANES = 24
_RISKS = 24
_FLAGS = 14
_UNTESTED = 6
_UNTESTED_LINES = 80  # changed lines of own code from which on a change without a test is worth a line
_CHAINS = 8


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of a card's prose and the pull request it is about; `status` is the card's."""

    text: str
    ref: str
    status: str


@dataclass(frozen=True, slots=True)
class Related:
    """A pull request that undid, repaired or repeated another: `kind` is the link's, `title` of the later one."""

    ref: str
    kind: str
    target: str
    title: str
    day: str


@dataclass(frozen=True, slots=True)
class FlagUse:
    """A flag that tests and recipes of the family pass, with how many pull requests show it and the last of them."""

    name: str
    uses: int
    ref: str


@dataclass(frozen=True)
class Checks:
    """Lanes, risks and questions.

    Attributes:
        lanes: validation that reviewed cards state.
        flags: flags that the family's own tests and recipes pass.
        risks: risks that reviewed cards state.
        chains: reverts, relands and repairs among the cards.
        shared: areas of shared code that changes for the family touched, with how many did.
        questions: what the evidence leaves open, each a sentence made of facts.
    """

    lanes: tuple[Said, ...]
    flags: tuple[FlagUse, ...]
    risks: tuple[Said, ...]
    chains: tuple[Related, ...]
    shared: tuple[tuple[str, int], ...]
    questions: tuple[str, ...]


def find_checks(evidence: Evidence, places: Places, signals: Signals) -> Checks:
    """Collect them from cards, heaviest first."""
    heavy = evidence.by_weight()
    reviewed = [c for c in heavy if c.is_reviewed]
    chains = _chains(evidence)
    areas = Counter(a for c in heavy if c.named or c.is_reviewed for a in c.card.blast_radius)
    return Checks(
        lanes=tuple(_said(reviewed, "validation", _LANES)),
        flags=tuple(_flags(evidence)),
        risks=tuple(_said(reviewed, "risks", _RISKS)),
        chains=tuple(chains[:_CHAINS]),
        shared=tuple(areas.most_common(10)),
        questions=tuple(_questions(evidence, places, signals, chains)),
    )


def _said(cards: Sequence[FamilyCard], field: str, most: int) -> list[Said]:
    """Sentences of several cards, each card's first before any card's second."""
    rows = [[Said(text, c.ref, c.card.status) for text in getattr(c.card, field)] for c in cards]
    longest = max((len(r) for r in rows), default=0)
    turned = [row[place] for place in range(longest) for row in rows if place < len(row)]
    kept = turned[:most]
    order = {c.ref: n for n, c in enumerate(cards)}
    return sorted(kept, key=lambda s: order[s.ref])


def _flags(evidence: Evidence) -> list[FlagUse]:
    uses: Counter[str] = Counter()
    last: dict[str, str] = {}
    for item in evidence.cards:
        if any(f.group in ("test", "docs", "benchmark") for f in item.own):
            for name in item.card.facts.flags_used:
                uses[name] += 1
                last[name] = item.ref
    return [FlagUse(n, k, last[n]) for n, k in uses.most_common(_FLAGS)]


def _chains(evidence: Evidence) -> list[Related]:
    ids = {c.card.id for c in evidence.cards}
    found = []
    for item in reversed(evidence.cards):
        for link in item.card.links:
            about = link.target in ids or item.named
            if link.kind in ("reverts", "relands", "fixes") and about and item.weight >= 1.0:
                found.append(Related(item.ref, link.kind, _ref(link.target), item.card.title, item.day))
    return found


def _ref(target: str) -> str:
    repo, hash_sign, number = target.rpartition("#")
    return f"{engine_of(repo)}#{number}" if hash_sign else target


def _questions(evidence: Evidence, places: Places, signals: Signals, chains: Sequence[Related]) -> list[str]:
    found = []
    titles = {c.ref: c.card.title for c in evidence.cards}
    undone = {c.target for c in chains if c.kind == "reverts" and c.target in titles}
    twice = Counter(titles.values())  # landed again under the same title
    undone -= {ref for ref in undone if twice[titles[ref]] > 1}
    again = {c.target for c in chains if c.kind == "relands"} | {
        c.target for c in chains if c.kind == "fixes"
    }
    by_target: dict[str, list[str]] = defaultdict(list)
    for chain in chains:
        if chain.kind == "reverts":
            by_target[chain.target].append(chain.ref)
    found += [
        f"{target} was reverted by {' and '.join(by_target[target])}; no card says that it came back"
        for target in sorted(undone - again)
    ]
    found += [
        f"`{g.path}` is gone ({g.changes} pull requests changed it, last {g.last}) and nothing in the tree defines its names"
        for g in places.gone
        if g.fate.kind in ("removed", "unknown") and not g.fate.to
    ]
    if places.lost_symbols:
        names = ", ".join(f"`{n}` ({ref})" for n, ref in places.lost_symbols[:8])
        found.append(f"defined nowhere in the tree any more, last touched by: {names}")
    lost = [h for h in signals.handed if h.left == 0]
    if lost:
        found.append("no longer in the tree: " + ", ".join(f"`{h.name}` ({h.refs[0]})" for h in lost))
    found += _untested(evidence)
    unread = [c.ref for c in evidence.cards if c.card.coverage.state != "complete"]
    if unread:
        found.append(
            f"diffs that were not read: {', '.join(unread[:10])}"
            + (f" and {len(unread) - 10} more" if len(unread) > 10 else "")
        )
    return found


def _untested(evidence: Evidence) -> list[str]:
    rows = []
    for item in evidence.by_weight():
        lines = sum((f.added or 0) + (f.removed or 0) for f in item.own_code)
        tested = any(f.group == "test" for f in item.card.files)
        if lines >= _UNTESTED_LINES and not tested and item.card.kind not in ("refactor", "revert"):
            rows.append(f"{item.ref} changed {lines} lines of the family's code with no test in the diff")
    return rows[:_UNTESTED]
