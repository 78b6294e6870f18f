"""The embedded cards in data/cards: written by people who read the diffs, in their own words, facts only.

They make the demo store, and when the same pull request is read from a real history, their prose joins the
facts that the history gives.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from ingest.errors import PrloreError
from kb.cards import Anchor, Card
from kb.datafiles import data_file
from kb.families import Families


class StarterError(PrloreError):
    """A file in data/cards is no valid card."""


def load_starter_cards(folder: Path | None = None) -> list[Card]:
    """All embedded cards, by id.

    Raises:
        StarterError: a file is not a card; the message names it and the field.
    """
    folder = folder or data_file("cards")
    cards = {}
    for path in sorted(folder.glob("*/*.yaml")):
        try:
            raw = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            card = msgspec.convert(raw, type=Card, strict=False)
        except (yaml.YAMLError, msgspec.ValidationError) as exc:
            raise StarterError(f"{path}: {str(exc).splitlines()[0]}") from exc
        if card.id in cards:
            raise StarterError(f"{path}: {card.id} is described by another file as well")
        cards[card.id] = card
    return [cards[card_id] for card_id in sorted(cards)]


def merge_prose(extracted: Card, written: Card, families: Families) -> Card:
    """Facts as the history has them, prose and anchors as a person wrote them."""
    return msgspec.structs.replace(
        extracted,
        status=written.status,
        motivation=written.motivation,
        implementation=written.implementation,
        validation=written.validation,
        risks=written.risks,
        numbers=written.numbers,
        anchors=written.anchors,
        families=tuple(sorted({*extracted.families, *written.families})),
        links=tuple(dict.fromkeys((*extracted.links, *written.links))),
    )


def anchored_hunk(card: Card, anchor: Anchor) -> str:
    """Where an anchor points, for people: path and lines."""
    return f"{anchor.path}:{anchor.lines[0]}-{anchor.lines[1]}" + (" (old)" if anchor.side == "old" else "")
