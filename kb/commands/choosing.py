"""Cards that a user names, found in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kb.commands.options import UsageProblem
from kb.references import parse_card_id

if TYPE_CHECKING:
    from kb.store import Store


def card_ids(store: Store, names: Sequence[str]) -> list[str]:
    """Ids of cards named as `sglang#18856`, `owner/name#N` or by URL, in the given order.

    Raises:
        UsageProblem: a name is none, or names no card or more than one.
    """
    return list(dict.fromkeys(card_id(store, name) for name in names))


def card_id(store: Store, name: str) -> str:
    """The id of the one card that a name means.

    Raises:
        UsageProblem: the name is none, or names no card or more than one.
    """
    reference = parse_card_id(name)
    if reference is None:
        raise UsageProblem(f"{name!r} names no pull request: write sglang#18856, owner/name#N, or its URL")
    ids = store.cards_of_number(reference.number, reference.repo or None)
    if not ids:
        written = f"{reference.repo}#{reference.number}"
        raise UsageProblem(f"no card for {written} in {store.uri}: `prlore status` lists what is there")
    if len(ids) > 1:
        raise UsageProblem(
            f"#{reference.number} is a pull request of {len(ids)} repositories: say which, {' or '.join(ids)}"
        )
    return ids[0]
