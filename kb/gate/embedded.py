"""The gate over the embedded cards in data/cards; CI runs it."""

from __future__ import annotations

from pathlib import Path

from kb.families import load_families
from kb.gate.check import check_card
from kb.gate.defects import Defect
from kb.gate.prose import check_shared_sentences
from kb.starter import known_families, load_starter_cards, load_written


def check_starter(folder: Path | None = None) -> list[Defect]:
    """Defects of all embedded cards.

    Raises:
        StarterError: a file can't be read at all.
    """
    cards = load_starter_cards(folder)
    defects = [d for card in cards for d in check_card(card)] + check_shared_sentences(cards)
    for line in known_families(load_written(folder), load_families()):
        card, _, family = line.partition(": ")
        defects.append(Defect(card, f"family {family!r} is not in data/families.yaml", "family"))
    return defects
