"""The tree of `CardTree` for who asks it hundreds of times: names and removals of all cards are held in memory.

A question to `CardTree` scans the store, 0.3 s and more with 17,000 cards; here all cards are read once (some seconds,
about 100 MB for as many) and a question takes microseconds. The answers are the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ingest.trees import Place
from kb.cards import Card
from kb.filters import Filter
from kb.store import Store
from kb.trees.cards import CardTree, is_in, is_under, target


class HeldCardTree(CardTree):
    """Paths alive after the last card of a repository, with every name's and path's history at hand."""

    def __init__(self, store: Store, repo: str, until: str = "") -> None:
        super().__init__(store, repo, until)
        # name -> (place in the order of the cards, path, whether it is gone); plain names only
        self._named: defaultdict[str, list[tuple[int, str, bool]]] = defaultdict(list)
        # file or folder -> (title, number, day) of the last card that took files of it away, and those files
        self._removed: dict[str, _Removal] = {}
        place = 0
        for card in self._cards(Filter(repos=(repo,), before=until)):
            for symbol in card.symbols:
                name = symbol.name.replace("::", ".").rpartition(".")[2]
                self._named[name].append((place, symbol.path, symbol.change == "removed"))
                place += 1
            self._note_removals(card)

    def _note_removals(self, card: Card) -> None:
        gone = [
            (f.old_path if f.status == "renamed" else f.path, f.path if f.status == "renamed" else "")
            for f in card.files
            if f.status in ("renamed", "deleted")
        ]
        if not gone:
            return
        removal = _Removal(f"{card.title} (#{card.number})", card.merged_at[:10], gone)
        for path, _ in gone:
            while path:
                self._removed[path] = removal
                path = path.rpartition("/")[0]

    def definitions(self, names: Sequence[str], under: Sequence[str] = ()) -> list[Place]:
        """Files in which pull requests last introduced or changed the names; a file's line is not known."""
        folders = tuple(u.strip("/") for u in under)
        events = sorted(
            (at, name, path, gone) for name in set(names) for at, path, gone in self._named.get(name, ())
        )
        found: dict[tuple[str, str], Place] = {}
        for _, name, path, gone in events:
            if is_under(path, folders):
                found.pop((name, path), None)
                if not gone and path in self._files:
                    found[name, path] = Place(name, path, 0)
        return list(found.values())

    def last_removal(self, path: str) -> tuple[str, str, str] | None:
        """Day and title of the last card that took a file, or the files of a folder, away, and where it put them."""
        last = self._removed.get(path)
        if last is None:
            return None
        moves = Counter(target(old, new, path) for old, new in last.gone if new and is_in(old, path))
        return last.day, last.title, moves.most_common(1)[0][0] if moves else ""


class _Removal:
    """A card that took files away: (old path, new path or empty) of each."""

    __slots__ = ("day", "gone", "title")

    def __init__(self, title: str, day: str, gone: list[tuple[str, str]]) -> None:
        self.title, self.day, self.gone = title, day, gone
