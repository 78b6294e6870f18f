"""Cards as files in a folder: owner__name/N.md or .json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from kb.cards import Card, decode_card, encode_card
from kb.dossier.own import CardFileError, from_markdown, to_markdown
from kb.store import Store

_SLICE = 500
_LARGEST = 16 << 20


def export_cards(store: Store, ids: Sequence[str], folder: Path, form: str) -> int:
    """Write cards as Markdown (`md`) or JSON (`json`); returns how many.

    Raises:
        CardFileError: the folder can't be written.
    """
    for start in range(0, len(ids), _SLICE):
        for text in store.cards_by_id(ids[start : start + _SLICE], ["card"])["card"].to_pylist():
            card = decode_card(text)
            path = folder / card.repo.replace("/", "__") / f"{card.number}.{form}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(
                    to_markdown(card) if form == "md" else encode_card(card) + "\n", encoding="utf-8"
                )
            except OSError as exc:
                raise CardFileError(f"can't write {path}: {exc.strerror}") from exc
    return len(ids)


def read_cards(paths: Iterable[Path]) -> list[Card]:
    """The cards of files, and of all .md and .json files below folders.

    Raises:
        CardFileError: a file can't be read or holds no card; the message names it.
    """
    cards = []
    for path in paths:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in (".md", ".json") and p.is_file())
            if not files:
                raise CardFileError(
                    f"no .md or .json file below {path}: name what `prlore card export` wrote"
                )
        else:
            files = [path]
        cards += [_read(file) for file in files]
    return cards


def _read(path: Path) -> Card:
    try:
        if path.stat().st_size > _LARGEST:
            raise CardFileError(f"{path} is larger than {_LARGEST >> 20} MiB: that is no card")
        text = path.read_bytes().decode("utf-8")
        return decode_card(text) if path.suffix == ".json" else from_markdown(text)
    except OSError as exc:
        raise CardFileError(f"can't read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise CardFileError(f"{path} is no UTF-8 text") from exc
    except CardFileError as exc:
        raise CardFileError(f"{path}: {exc}") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise CardFileError(f"{path} holds no card: {exc}") from exc
