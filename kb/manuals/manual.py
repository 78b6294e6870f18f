"""A family manual: everything the cards say of a family in one engine, and of the same family in the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kb.families import FamilyError, load_families
from kb.manuals.checks import Checks, find_checks
from kb.manuals.evidence import Evidence, FamilyCard, gather
from kb.manuals.places import Gone, Places, find_places
from kb.manuals.signals import Signals, find_signals
from kb.manuals.themes import Group, group
from kb.references import ENGINES
from kb.store import Store
from kb.trees.base import SourceTree

_TIMELINE = 18
_NAMED = 16
_PATH = re.compile(
    r"(?<![\w/.-])[\w.-]+(?:/[\w.-]+)+\.(?:py|pyi|cu|cuh|cpp|cc|c|h|hpp|rs|md|mdx|ya?ml|json|toml|sh|jinja)\b"
)
_A_QUARTER = 3
_FAINT = 1.0  # weight below which a pull request has little of the family's own


@dataclass(frozen=True)
class Elsewhere:
    """The same family in another engine.

    Attributes:
        engine: short engine name.
        cards: pull requests about the family.
        first: first and last day of them.
        last: see `first`.
        only: themes with pull requests there and none here, each with its heaviest.
        names: flags and variables that only the other engine's pull requests brought.
        reviewed: its cards that carry prose.
    """

    engine: str
    cards: int
    first: str
    last: str
    only: tuple[Group, ...]
    names: tuple[tuple[str, str], ...]
    reviewed: tuple[FamilyCard, ...]


@dataclass(frozen=True)
class Manual:
    """All parts of a manual."""

    evidence: Evidence
    timeline: tuple[FamilyCard, ...]
    places: Places
    groups: tuple[Group, ...]
    signals: Signals
    checks: Checks
    elsewhere: tuple[Elsewhere, ...]
    named: tuple[Gone, ...] = ()  # paths that the prose names and the tree lacks
    absent: frozenset[str] = frozenset()  # files that diffs name and the tree lacks

    @property
    def name(self) -> str:
        """The families' names."""
        return ", ".join(f.name for f in self.evidence.families[:4]) + (
            f" and {len(self.evidence.families) - 4} more" if len(self.evidence.families) > 4 else ""
        )


def held_evidence(store: Store, name: str, engine: str) -> Evidence:
    """The cards about a family or group in an engine.

    Raises:
        FamilyError: no family has the name, or no card is about it.
    """
    table = load_families()
    evidence = gather(store, table, table.resolve(name), ENGINES[engine])
    if evidence.cards:
        return evidence
    others = [
        e for e in ENGINES if e != engine and gather(store, table, table.resolve(name), ENGINES[e]).cards
    ]
    hint = f"; there are cards in {' and '.join(others)}: --engine {others[0]}" if others else ""
    raise FamilyError(f"no card in {store.uri} is about {name!r} in {engine}{hint}")


def write_manual(store: Store, evidence: Evidence, tree: SourceTree) -> Manual:
    """Put the manual together from the store and a tree."""
    places = find_places(evidence, tree)
    signals = find_signals(store, evidence, tree)
    groups = group(evidence.cards)
    return Manual(
        evidence=evidence,
        timeline=tuple(_timeline(evidence)),
        places=places,
        groups=tuple(groups),
        signals=signals,
        checks=find_checks(evidence, places, signals),
        elsewhere=tuple(_elsewhere(store, evidence, groups)),
        named=tuple(_named(evidence, tree)),
        absent=frozenset(
            p
            for p in (*(f for h in signals.handed for f in h.files), *(s.path for s in signals.stops))
            if not tree.has(p)
        ),
    )


def _named(evidence: Evidence, tree: SourceTree) -> list[Gone]:
    """Paths that reviewed prose names and the tree has under no folder, with what became of them."""
    found: dict[str, str] = {}
    for item in evidence.by_weight():
        if item.is_reviewed:
            card = item.card
            prose = (
                card.motivation,
                card.implementation,
                *card.validation,
                *card.risks,
                *(n.where for n in card.numbers),
            )
            for path in (m[0] for text in prose for m in _PATH.finditer(text)):
                found.setdefault(path, item.ref)
    ends = {path: "/" + path for path in found}
    lost = [p for p in found if not tree.has(p) and not any(q.endswith(ends[p]) for q in tree.paths)]
    return [Gone(p, 0, found[p], tree.fate(p)) for p in lost[:_NAMED]]


def _timeline(evidence: Evidence) -> list[FamilyCard]:
    """First, last and the heaviest pull requests, a few a quarter, oldest first."""
    dated = [c for c in evidence.cards if c.day and c.own_code]
    if not dated:
        dated = [c for c in evidence.cards if c.day]
    chosen = {c.card.id: c for c in (*dated[:1], *dated[-1:])}
    quarters: dict[str, int] = {}
    spans = len({f"{c.day[:4]}{(int(c.day[5:7]) - 1) // 3}" for c in dated}) or 1
    most = max(_A_QUARTER, _TIMELINE // spans)
    for item in evidence.by_weight():
        quarter = f"{item.day[:4]}-{(int(item.day[5:7]) - 1) // 3}" if item.day else ""
        if len(chosen) >= _TIMELINE or item.weight < _FAINT:
            break
        if quarter and quarters.get(quarter, 0) < most and item.card.kind not in ("docs", "ci", "test"):
            quarters[quarter] = quarters.get(quarter, 0) + 1
            chosen[item.card.id] = item
    return sorted(chosen.values(), key=lambda c: (c.card.merged_at, c.number))


def _elsewhere(store: Store, evidence: Evidence, groups: Sequence[Group]) -> list[Elsewhere]:
    table = load_families()
    here = {g.name for g in groups}
    switches = {n for c in evidence.cards for n in (*c.card.facts.flags_added, *c.card.facts.env_added)}
    found = []
    for engine, repo in ENGINES.items():
        if repo == evidence.repo:
            continue
        other = gather(store, table, [f.slug for f in evidence.families], repo)
        days = [c.day for c in other.cards if c.day]
        names: dict[str, str] = {}
        for item in other.by_weight()[:40]:
            if item.named or item.is_reviewed:
                for name in (*item.card.facts.flags_added, *item.card.facts.env_added):
                    if name not in switches:
                        names.setdefault(name, item.ref)
        only = [g for g in group(other.cards) if g.name not in here and g.cards[0].weight >= 1.0]
        reviewed = tuple(c for c in other.by_weight() if c.is_reviewed)[:8]
        found.append(
            Elsewhere(
                engine, len(other.cards), min(days, default=""), max(days, default=""), tuple(only),
                tuple(names.items())[:10], reviewed,
            )
        )  # fmt: skip
    return found
