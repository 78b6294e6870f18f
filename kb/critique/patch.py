"""The patch under review: files, hunks and the definitions they touch, wherever the patch comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ingest.facts import changed_text, file_facts, merge_facts
from ingest.patches import PatchedFile
from ingest.paths import group_of, shared_area
from ingest.records import Facts, FileGroup, FileStatus, Hunk, Symbol
from ingest.subjects import classify
from ingest.symbols import section_name
from kb.cards import Card
from kb.critique.findings import Place, Side
from kb.diff_lines import LineKind, line_kinds
from kb.families import Families
from kb.stored_diff import Diff, hunk_lines
from kb.words import code_words

_DEFINES = re.compile(r"^(\s*)(?:async\s+)?(?:def|class|struct|fn|pub fn|impl)\s+([A-Za-z_]\w*)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk; `old` and `new` are its numbers, 0 on the side that lacks it, `at` where it is or was on the new side."""

    mark: str
    text: str
    old: int
    new: int
    kind: LineKind
    at: int = 0


@dataclass(frozen=True)
class PatchHunk:
    """A hunk with its lines and the definition that most of its changed lines stand in."""

    path: str
    hunk: Hunk
    lines: tuple[Line, ...]
    symbols: tuple[str, ...] = ()
    coarse: bool = False  # the header alone named the definition, which may be the class around it

    @property
    def header(self) -> str:
        """Its `@@` line without the section."""
        return self.hunk.header

    @property
    def symbol(self) -> str:
        """The definition it is about, empty where none is known."""
        return self.symbols[0] if self.symbols else ""

    @property
    def changed(self) -> list[Line]:
        """Its changed lines."""
        return [r for r in self.lines if r.mark in "+-"]

    @property
    def behaviour(self) -> list[Line]:
        """Its changed lines of code."""
        return [r for r in self.lines if r.mark in "+-" and r.kind in ("code", "bracket") and r.text.strip()]

    def place(self, side: Side | None = None, lines: Sequence[Line] = ()) -> Place:
        """An anchor in this hunk: given lines of one side, else its first changed line of code."""
        chosen = list(lines)
        if not chosen:
            rows = [r for r in self.behaviour if r.kind == "code"] or self.behaviour or self.changed
            added = [r for r in rows if r.mark == "+"]
            chosen = (added or rows)[:1]
        side = side or ("old" if all(r.mark == "-" for r in chosen) else "new")
        numbers = [r.old if side == "old" else r.new for r in chosen]
        numbers = [n for n in numbers if n] or [1]
        return Place(
            path=self.path,
            side=side,
            start=min(numbers),
            line=max(numbers),
            hunk=self.header,
            symbol=self.symbol,
        )

    @cached_property
    def words(self) -> frozenset[str]:
        """Code words of its changed lines."""
        return frozenset(code_words("\n".join(r.text for r in self.changed)))


@dataclass(frozen=True)
class PatchFile:
    """One file of the patch. `source` is its new side where it could be read, None where not."""

    path: str
    old_path: str
    status: FileStatus
    group: FileGroup
    hunks: tuple[PatchHunk, ...]
    symbols: tuple[Symbol, ...] = ()
    source: bytes | None = field(default=None, repr=False)
    old_source: bytes | None = field(default=None, repr=False)
    cut: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its path and its old one."""
        return tuple(dict.fromkeys((self.path, self.old_path)))

    @property
    def added(self) -> int:
        """Lines added."""
        return sum(h.hunk.added for h in self.hunks)

    @property
    def removed(self) -> int:
        """Lines removed."""
        return sum(h.hunk.removed for h in self.hunks)


@dataclass(frozen=True)
class Patch:
    """A change under review.

    Attributes:
        subject: what was given: a file's name, a range, `owner/name#N`.
        repo: `owner/name` whose history it is held against.
        as_of: only precedents from before this time count, ISO 8601 in UTC; empty for all.
        own: ids of the knowledge base that are this very change.
    """

    subject: str
    repo: str
    title: str
    message: str
    files: tuple[PatchFile, ...]
    facts: Facts
    families: tuple[str, ...]
    as_of: str = ""
    own: tuple[str, ...] = ()
    head: str = ""

    @property
    def kind(self) -> str:
        """What sort of change it says it is."""
        return classify(self.title, frozenset(f.group for f in self.files)) if self.title else "other"

    @property
    def hunks(self) -> Iterator[PatchHunk]:
        """All hunks."""
        return (h for f in self.files for h in f.hunks)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every identifier that stands in the diff, its paths and their parts included."""
        found = {n for h in self.hunks for r in h.lines for n in _IDENTIFIER.findall(r.text)}
        found |= {n for h in self.hunks for s in h.symbols for n in _IDENTIFIER.findall(s)}
        found |= {n for f in self.files for p in f.names for n in _IDENTIFIER.findall(p)}
        found |= {n for h in self.hunks for n in _IDENTIFIER.findall(h.hunk.section)}
        return frozenset(found)

    @property
    def areas(self) -> dict[str, list[str]]:
        """Engine-wide areas it changes, with the files."""
        found: dict[str, list[str]] = {}
        for f in self.files:
            if (area := shared_area(f.path)) and f.hunks:
                found.setdefault(area, []).append(f.path)
        return found

    def file(self, path: str) -> PatchFile | None:
        """A file by its path."""
        return next((f for f in self.files if f.path == path), None)

    def hunk_at(self, place: Place) -> PatchHunk | None:
        """The hunk that an anchor stands in, None where there is none."""
        return next((h for h in self.hunks if h.path == place.path and h.header == place.hunk), None)


def same_definition(name: str, other: str) -> bool:
    """Whether two qualified names can be one definition: a hunk alone may not show the class around a method."""
    return name == other or name.endswith(f".{other}") or other.endswith(f".{name}")


def numbered(path: str, hunk: Hunk) -> tuple[Line, ...]:
    """The lines of a hunk with their numbers and kinds."""
    rows = hunk_lines(hunk)
    kinds = line_kinds(path, rows)
    old, new, lines = hunk.old_start, hunk.new_start, []
    for raw, kind in zip(rows, kinds, strict=True):
        mark = raw[:1] or " "
        if mark not in "+- ":
            continue
        lines.append(Line(mark, raw[1:], 0 if mark == "+" else old, 0 if mark == "-" else new, kind, new))
        old += mark != "+"
        new += mark != "-"
    return tuple(lines)


def with_symbols(path: str, hunks: Iterable[Hunk], symbols: Sequence[Symbol]) -> tuple[PatchHunk, ...]:
    """Hunks with the definitions that their changed lines stand in, the one with most lines first."""
    found = []
    for hunk in hunks:
        lines = numbered(path, hunk)
        read = [] if symbols else _read_off(hunk, lines)
        counts: dict[str, int] = {}
        for at, row in enumerate(lines):
            if row.mark in "+-" and row.text.strip():
                name = _innermost(symbols, row) if symbols else read[at]
                if name:
                    counts[name] = counts.get(name, 0) + 1
        names = sorted(counts, key=lambda n: (-counts[n], n))
        if not names and (named := section_name(hunk.section)):
            names = [next((s.name for s in symbols if s.name.split(".")[-1] == named), named)]
        found.append(PatchHunk(path, hunk, lines, tuple(names), not symbols))
    return tuple(found)


def _read_off(hunk: Hunk, lines: Sequence[Line]) -> list[str]:
    """The definition around each line as far as the hunk and its header show it, by indentation."""
    named = section_name(hunk.section) or ""
    in_class = hunk.section.lstrip().startswith(("class ", "struct ", "impl "))
    stack: list[tuple[int, str]] = [(-1, named)] if named else []
    names = []
    for row in lines:
        match = _DEFINES.match(row.text)
        if match:
            depth = len(match[1].expandtabs(4))
            kept = [s for s in stack if s[0] >= 0 and s[0] < depth]
            outer = stack[:1] if in_class and depth and not kept and stack and stack[0][0] < 0 else []
            stack = [*outer, *kept, (depth, match[2])]
        names.append(".".join(n for _, n in stack))
    return names


def _innermost(symbols: Sequence[Symbol], row: Line) -> str:
    """The definition around a line: of a removed line one that went with it, else the one it stood in."""
    gone = [
        s
        for s in symbols
        if row.mark == "-" and s.change == "removed" and s.end and s.start <= row.old <= s.end
    ]
    left = [s for s in symbols if s.change != "removed" and s.end and s.start <= row.at <= s.end]
    return min(gone or left, key=lambda s: (s.end - s.start, s.name)).name if gone or left else ""


def patch_of_files(
    subject: str, repo: str, title: str, message: str, files: Sequence[PatchedFile], families: Families,
    symbols: dict[str, tuple[Symbol, ...]] | None = None, sources: dict[str, tuple[bytes | None, bytes | None]] | None = None,
    **more: object,
) -> Patch:  # fmt: skip
    """A patch from files as they were read; `sources` holds (old, new) of those whose text is known."""
    made, facts, words = [], [], []
    for f in files:
        group = group_of(f.path)
        known = (symbols or {}).get(f.path, ())
        old, new = (sources or {}).get(f.path, (None, None))
        hunks = with_symbols(f.path, f.hunks, known)
        made.append(PatchFile(f.path, f.old_path, f.status, group, hunks, known, new, old, f.missing))
        added, removed = changed_text(f.hunks, "+"), changed_text(f.hunks, "-")
        facts.append(file_facts(f.path, group, added, removed))
        words += code_words(added)[:4000]
    tags = families.tag(title, (p for f in files for p in (f.path, f.old_path)), words)
    return Patch(subject, repo, title, message, tuple(made), merge_facts(facts), tags, **more)  # type: ignore[arg-type]


def patch_of_card(card: Card, diff: Diff) -> Patch:
    """A merged pull request as a patch under review, as of its merge: what came later does not count."""
    by_path: dict[str, list[Symbol]] = {}
    for s in card.symbols:
        by_path.setdefault(s.path, []).append(Symbol(s.name, s.kind, s.change, s.start, s.end))
    held = {f.path: f for f in diff.files}
    files = []
    for f in card.files:
        hunks = held[f.path].hunks if f.path in held else ()
        symbols = tuple(by_path.get(f.path, ()))
        files.append(
            PatchFile(
                f.path, f.old_path or f.path, f.status, f.group, with_symbols(f.path, hunks, symbols), symbols,
                cut=f.path not in held or not held[f.path].whole,
            )
        )  # fmt: skip
    return Patch(
        card.id, card.repo, card.title, card.message, tuple(files), card.facts, card.families,
        as_of=card.merged_at, own=(card.id,), head=card.sha,
    )  # fmt: skip
