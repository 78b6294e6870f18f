"""A diff cut into parts a model can read at once: whole files while they fit, then hunks, then symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.records import FileGroup, Hunk
from kb.cards import Card
from kb.stored_diff import Diff, hunk_lines

_ORDER: tuple[FileGroup, ...] = ("kernel", "runtime", "build", "config", "benchmark", "test", "ci", "docs")


@dataclass(frozen=True, slots=True)
class Piece:
    """A hunk, or the lines of one that belong together, as it stands in the prompt."""

    path: str
    hunk: Hunk
    text: str

    @property
    def title(self) -> str:
        """What stands above it, behind its id."""
        return f"{self.path} {self.hunk.header} {self.hunk.section}"

    @property
    def size(self) -> int:
        """Characters of it in the prompt."""
        return len(self.text) + len(self.title) + 8


@dataclass(frozen=True, slots=True)
class Part:
    """Pieces that are read at once, by their ids `H1`, `H2` and so on."""

    pieces: dict[str, Piece]

    @property
    def text(self) -> str:
        """The part as the model sees it."""
        return "\n".join(f"{name} {p.title}\n{p.text}" for name, p in self.pieces.items())


def parts_of(card: Card, diff: Diff, limit: int) -> list[Part]:
    """The whole diff in as few parts as fit the limit.

    Args:
        card: whose diff it is; its symbols say where a long hunk may be cut.
        diff: the diff.
        limit: characters of a part.
    """
    groups = {f.path: f.group for f in card.files}
    files = sorted(diff.files, key=lambda f: _ORDER.index(groups.get(f.path, "runtime")))
    starts: dict[str, set[int]] = {}
    for symbol in card.symbols:
        if symbol.change != "removed":
            starts.setdefault(symbol.path, set()).add(symbol.start)
    parts: list[Part] = []
    pieces: dict[str, Piece] = {}
    size = count = 0
    for file in files:
        found = [
            p for hunk in file.hunks for p in _pieces(file.path, hunk, starts.get(file.path, set()), limit)
        ]
        whole = sum(p.size for p in found)
        if pieces and size + whole > limit and whole <= limit:  # a file that fits stays in one part
            parts.append(Part(pieces))
            pieces, size = {}, 0
        for piece in found:
            if pieces and size + piece.size > limit:
                parts.append(Part(pieces))
                pieces, size = {}, 0
            count += 1
            pieces[f"H{count}"] = piece
            size += piece.size
    return [*parts, Part(pieces)] if pieces else parts


def _pieces(path: str, hunk: Hunk, starts: set[int], limit: int) -> Iterator[Piece]:
    """A hunk whole, or cut where symbols begin; where a symbol is longer than the limit, at the limit."""
    rows = list(_rows(hunk))
    if sum(len(text) + 1 for _, text in rows) <= limit:
        yield Piece(path, hunk, "\n".join(text for _, text in rows))
        return
    held: list[str] = []
    size = 0
    for number, text in rows:
        at_symbol = number in starts and size > limit // 2
        if held and (at_symbol or size + len(text) + 1 > limit):
            yield Piece(path, hunk, "\n".join(held))
            held, size = [], 0
        held.append(text)
        size += len(text) + 1
    if held:
        yield Piece(path, hunk, "\n".join(held))


def _rows(hunk: Hunk) -> Iterator[tuple[int, str]]:
    """(new line number or 0, `old new mark text`) of each line of a hunk."""
    old, new = hunk.old_start, hunk.new_start
    for line in hunk_lines(hunk):
        mark = line[:1]
        if mark == "+":
            yield new, f"{'':>5} {new:>5} {line}"
            new += 1
        elif mark == "-":
            yield 0, f"{old:>5} {'':>5} {line}"
            old += 1
        elif mark == " ":
            yield new, f"{old:>5} {new:>5} {line}"
            old, new = old + 1, new + 1


def all_pieces(parts: Sequence[Part]) -> dict[str, Piece]:
    """The pieces of all parts by id."""
    return {name: piece for part in parts for name, piece in part.pieces.items()}
