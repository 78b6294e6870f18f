"""The gate a written card must pass: concrete prose that names what the diff has, anchors that are proven, nothing of a template."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.cards import Card
from kb.families import load_families
from kb.starter import known_families, load_starter_cards, load_written

_FEWEST_WORDS = {"motivation": 8, "implementation": 20}
_NAME = re.compile(r"`([^`]+)`")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SHALLOW = frozenset(
    "bug fix bugfix fixes fixed improve improves improved improvement improvements optimise optimize optimises optimizes "
    "optimization optimisation update updates updated refactor refactors support supports add adds added change changes changed "
    "performance better various misc minor cleanup code model pr this the a an and of for to in with some".split()
)


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a card does not pass."""

    card: str
    what: str


def check_card(card: Card) -> list[Defect]:
    """Defects of one card; an `extracted` card has no prose to check."""
    if card.status == "extracted":
        return []
    found: list[str] = []
    for field, fewest in _FEWEST_WORDS.items():
        words = re.findall(r"[A-Za-z0-9_`/.-]+", getattr(card, field))
        telling = [w for w in words if w.lower().strip("`.") not in _SHALLOW]
        if len(words) < fewest:
            found.append(f"{field} has {len(words)} words, at least {fewest} are wanted")
        elif len(telling) < fewest // 2:
            found.append(f"{field} says nothing concrete")
    if not card.validation:
        found.append("no validation lane")
    if not card.risks:
        found.append("no risk")
    found += _check_evidence(card)
    return [Defect(card.id, what) for what in found]


def _check_evidence(card: Card) -> list[str]:
    if card.coverage.state == "not read":
        return [] if card.sources else ["the diff was not read and no source is named"]
    found = []
    if not card.files:
        found.append("no files")
    if not card.anchors:
        found.append("no anchor")
    found += [f"anchor {a.path}:{a.lines[0]} has no hash" for a in card.anchors if not a.sha256 or not a.hunk]
    paths = set(card.paths())
    found += [f"anchor {a.path} is no file of the change" for a in card.anchors if a.path not in paths]
    held = _names(card)
    named = set(_NAME.findall(f"{card.motivation} {card.implementation}"))
    if named and not any(_is_held(n, held) for n in named):
        found.append("the prose names no file, symbol or flag of the diff")
    if not named:
        found.append("the prose names nothing: put files and symbols in backticks")
    return found


def _names(card: Card) -> set[str]:
    """Parts of everything the diff names: file names, symbols and their ends, flags, variables, keys."""
    names = {part for p in card.paths() for part in (p, *p.split("/"))}
    names |= {part for s in card.symbols for part in (s.name, *re.split(r"\.|::", s.name))}
    facts = card.facts
    for group in (facts.flags_added, facts.flags_removed, facts.flags_used, facts.env_added, facts.env_removed,
                  facts.config_added, facts.config_removed):  # fmt: skip
        names.update(group)
    return {n.lower() for n in names if len(n) > 2}


def _is_held(name: str, held: set[str]) -> bool:
    lowered = name.lower()
    return lowered in held or any(part in held for part in re.split(r"[.:()/\s=]+", lowered) if part)


def check_shared_sentences(cards: Sequence[Card]) -> list[Defect]:
    """Sentences that two cards share: the mark of a template."""
    seen: dict[str, list[str]] = defaultdict(list)
    for card in cards:
        for text in (card.motivation, card.implementation, *card.risks, *card.validation):
            for sentence in _SENTENCE.split(text):
                if len(sentence.split()) >= 5 and card.id not in seen[sentence]:
                    seen[sentence].append(card.id)
    return [
        Defect(ids[0], f"shares a sentence with {ids[1]}: {s[:60]!r}")
        for s, ids in seen.items()
        if len(ids) > 1
    ]


def check_starter(folder: Path | None = None) -> list[Defect]:
    """Defects of all embedded cards.

    Raises:
        StarterError: a file can't be read at all.
    """
    cards = load_starter_cards(folder)
    defects = [d for card in cards for d in check_card(card)] + check_shared_sentences(cards)
    for line in known_families(load_written(folder), load_families()):
        card, _, family = line.partition(": ")
        defects.append(Defect(card, f"family {family!r} is not in data/families.yaml"))
    return defects
