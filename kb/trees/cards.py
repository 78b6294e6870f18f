"""A source tree as the cards leave it: every pull request's added, deleted and renamed files, replayed in merge order.

Commits without a pull request number are not in it, and a name's line is not known, only its file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ingest.trees import Fate, Place
from kb.cards import Card, decode_card
from kb.filters import Filter
from kb.store import Store
from kb.trees.base import SourceTree

_HOPS = 8


class CardTree(SourceTree):
    """Paths alive after the last card of a repository."""

    authority = "cards"

    def __init__(self, store: Store, repo: str, until: str = "") -> None:
        self.repo = repo
        self.revision = ""
        self._store = store
        self._until = until
        where = Filter(repos=(repo,), before=until)
        rows = store.scan("cards", ["merged_at", "path_text"], where).to_pylist()
        rows.sort(key=lambda r: r["merged_at"])
        alive: set[str] = set()
        for row in rows:
            lines = [line for line in row["path_text"].split("\n") if line]
            alive.difference_update(line[1:] for line in lines if line[0] == "-")
            alive.update(line[1:] for line in lines if line[0] != "-")
        self.paths = tuple(sorted(alive))
        self.day = rows[-1]["merged_at"][:10] if rows else ""

    def definitions(self, names: Sequence[str], under: Sequence[str] = ()) -> list[Place]:
        """Files in which pull requests last introduced or changed the names; a file's line is not known."""
        if not names:
            return []
        wanted = set(names)
        folders = tuple(u.strip("/") for u in under)
        found: dict[tuple[str, str], Place] = {}
        for card in self._cards(Filter(repos=(self.repo,), symbols=tuple(names), before=self._until)):
            for symbol in card.symbols:
                name = symbol.name.replace("::", ".").rpartition(".")[2]
                if name in wanted and is_under(symbol.path, folders):
                    found.pop((name, symbol.path), None)
                    if symbol.change != "removed" and symbol.path in self._files:
                        found[name, symbol.path] = Place(name, symbol.path, 0)
        return list(found.values())

    def fate(self, path: str) -> Fate:
        """What the cards say of a path that is not there."""
        wanted, day, subject = path.strip("/"), "", ""
        for _ in range(_HOPS):
            last = self.last_removal(wanted)
            if last is None:
                break
            day, subject, to = last
            if not to:
                return Fate("removed", (), day, subject)
            if self.has(to):
                return Fate("moved", (to,), day, subject)
            wanted = to
        return Fate("removed", (), day, subject) if day else Fate("unknown")

    def last_removal(self, path: str) -> tuple[str, str, str] | None:
        """Day and title of the last card that took a file, or the files of a folder, away, and where it put them."""
        last: tuple[str, str, str] | None = None
        for card in self._cards(Filter(repos=(self.repo,), paths=(path,), before=self._until)):
            gone = [f for f in card.files if is_in(f.old_path if f.status == "renamed" else f.path, path)]
            gone = [f for f in gone if f.status in ("renamed", "deleted")]
            if gone:
                moves = Counter(target(f.old_path, f.path, path) for f in gone if f.status == "renamed")
                to = moves.most_common(1)[0][0] if moves else ""
                last = card.merged_at[:10], f"{card.title} (#{card.number})", to
        return last

    def _cards(self, where: Filter) -> list[Card]:
        rows = self._store.scan("cards", ["merged_at", "card"], where).to_pylist()
        return [decode_card(r["card"]) for r in sorted(rows, key=lambda r: r["merged_at"])]


def is_in(file: str, path: str) -> bool:
    """Whether a file is at a path or below it."""
    return file == path or file.startswith(path + "/")


def is_under(file: str, folders: Sequence[str]) -> bool:
    """Whether a file is below one of some folders; no folders ask for nothing."""
    return not folders or any(is_in(file, folder) for folder in folders)


def target(old: str, new: str, path: str) -> str:
    """Where a rename put a path: the file itself, or the folder that took the folder's place."""
    rest = old[len(path) :]
    if not rest:
        return new
    return new[: -len(rest)] if new.endswith(rest) else new.rpartition("/")[0]
