"""A card in an editor, until it passes or the person gives up; what was typed is never lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from ingest.errors import PrloreError
from kb.cards import Card
from kb.discussion import StoredDiscussion
from kb.dossier.accept import proven_card
from kb.dossier.own import CardFileError, from_markdown, to_markdown
from kb.gate.check import check_card
from kb.rewrite import put_cards
from kb.store import Store
from kb.stored_diff import stored_diffs


class EditRefused(PrloreError):
    """The edited card does not pass; the message names the file that keeps the text."""


class Editor(Protocol):
    """Shows a text to a person; None when nothing was saved."""

    def __call__(self, text: str, *, extension: str, require_save: bool) -> str | None:
        """The text as saved."""


def edit_card(store: Store, card: Card, editor: Editor, ask_again: Callable[[list[str]], bool]) -> str:
    """Let a person write a card's prose; returns what came of it in a few words.

    Args:
        store: an open store.
        card: the card.
        editor: shows the Markdown.
        ask_again: told what is wrong; whether to open the editor again.

    Raises:
        EditRefused: the text does not pass and the person gave up.
    """
    diff = stored_diffs(store, [card])[card.id] if card.origin == "git" else None
    discussion = StoredDiscussion(store)
    before = text = to_markdown(card)
    while True:
        edited = editor(text, extension=".md", require_save=True)
        if edited is None or edited.replace("\r\n", "\n").rstrip("\n") == before.rstrip("\n"):
            return "unchanged"
        text = edited
        try:
            found = _written(card, from_markdown(edited))
            found, problems = proven_card(found, diff, discussion)
            problems = problems or [f"{d.reason}: {d.what}" for d in check_card(found, diff, discussion)]
        except CardFileError as exc:
            problems = [str(exc)]
        if not problems:
            put_cards(store, [found])
            store.finish()
            return f"saved as {found.status}"
        if not ask_again(problems):
            with tempfile.NamedTemporaryFile(
                "w", prefix="prlore-card-", suffix=".md", delete=False, encoding="utf-8"
            ) as kept:
                kept.write(text)
            raise EditRefused(f"{card.id} is as it was: {problems[0]}; your text is in {Path(kept.name)}")


def _written(card: Card, edited: Card) -> Card:
    """The prose that a person wrote on the facts that are held.

    Raises:
        CardFileError: the facts were edited.
    """
    plain = msgspec.structs.replace(edited, claims=card.claims, numbers=card.numbers, anchors=card.anchors)
    if plain != card:
        raise CardFileError(
            "what stands below `## Facts` was changed: it comes from the history, leave it as it is"
        )
    return msgspec.structs.replace(edited, status="reviewed", written_by="person")
