"""What merged pull requests did to the touched files before: all of them, through renames, and the lines of the fixes.

Only what was merged before the patch's own moment counts, and never the patch itself: otherwise an old change
would be judged by what came of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.records import FileGroup, FileStatus, Hunk, LinkKind, PrKind, SymbolChange
from kb.critique.concerns import concerns_of
from kb.critique.findings import Concern
from kb.critique.patch import Patch
from kb.diff_lines import line_kinds
from kb.filters import Filter, one_of
from kb.store import Store
from kb.stored_diff import ChunkRow, hunk_lines, hunks_of_chunks
from kb.words import prose_words

_ROUNDS = 6  # renames followed one after another
_DISTINCT = 12  # letters and digits that make a line recognisable in its file
_TEST = re.compile(r"(?:^|/)test_(?!utils?\.)[^/]*\.py$|_test\.(?:py|cc|cpp|cu|rs)$|(?:^|/)tests/[^/]*\.rs$")
FIXES: tuple[PrKind, ...] = ("fix", "revert")


class PastFile(msgspec.Struct, frozen=True):
    """A file of a past change."""

    path: str
    group: FileGroup = "runtime"
    status: FileStatus = "modified"
    old_path: str = ""
    added: int | None = None
    removed: int | None = None


class PastSymbol(msgspec.Struct, frozen=True):
    """A definition of a past change."""

    name: str
    change: SymbolChange
    path: str
    start: int = 0
    end: int = 0


class PastLink(msgspec.Struct, frozen=True):
    """A relation of a past change."""

    kind: LinkKind
    target: str


class PastFacts(msgspec.Struct, frozen=True):
    """Flags and commands of a past change."""

    flags_added: tuple[str, ...] = ()
    flags_used: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class PastPull(msgspec.Struct, frozen=True):
    """As much of a card as a critique needs; the rest of the record is skipped while decoding."""

    id: str
    title: str
    kind: PrKind
    merged_at: str = ""
    files: tuple[PastFile, ...] = ()
    symbols: tuple[PastSymbol, ...] = ()
    links: tuple[PastLink, ...] = ()
    families: tuple[str, ...] = ()
    facts: PastFacts = PastFacts()

    @property
    def is_fix(self) -> bool:
        """Whether it mends or takes back something."""
        return self.kind in FIXES

    @property
    def reverted(self) -> tuple[str, ...]:
        """The pull requests it takes back."""
        return tuple(k.target for k in self.links if k.kind == "reverts")

    @property
    def relation(self) -> LinkKind:
        """What it did to what was there before."""
        return "reverts" if self.kind == "revert" or self.reverted else "fixes"

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """What its title says it is about."""
        return concerns_of(" ".join(prose_words(self.title)))

    @property
    def tests(self) -> tuple[str, ...]:
        """Test files it changed, what tests merely share left aside."""
        return tuple(
            f.path for f in self.files if f.group == "test" and f.status != "deleted" and _TEST.search(f.path)
        )

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Benchmark files it changed."""
        return tuple(f.path for f in self.files if f.group == "benchmark" and f.status != "deleted")


@dataclass(frozen=True, slots=True)
class FixLine:
    """A line that a fix put in or took out: whose, in which of its hunks."""

    pull: str
    path: str
    hunk: Hunk
    mark: str


@dataclass
class History:
    """Past changes of the files of a patch.

    Attributes:
        scanned: cards that were looked at.
        names: for each path of the patch all names its file had.
        pulls: past changes by id.
        touched: for each path of the patch the ids of the changes to it, oldest first.
        changed_lines: for each path the telling lines that the patch puts in or takes out, stripped.
    """

    scanned: int
    names: Mapping[str, tuple[str, ...]]
    pulls: Mapping[str, PastPull]
    touched: Mapping[str, tuple[str, ...]]
    changed_lines: Mapping[str, frozenset[str]]
    _store: Store = field(repr=False)
    _repo: str = field(repr=False)

    @cached_property
    def of_name(self) -> dict[str, str]:
        """The path of the patch that a name belongs to."""
        return {name: path for path, names in self.names.items() for name in names}

    def fixes(self, path: str) -> list[PastPull]:
        """Fixes and reverts that changed a file, oldest first."""
        return [self.pulls[i] for i in self.touched.get(path, ()) if self.pulls[i].is_fix]

    @cached_property
    def by_symbol(self) -> dict[tuple[str, str], list[PastPull]]:
        """(path of the patch, qualified name) -> changes to that definition, oldest first."""
        found: dict[tuple[str, str], list[PastPull]] = defaultdict(list)
        for pull in sorted(self.pulls.values(), key=lambda p: (p.merged_at, p.id)):
            for key in {(self.of_name[s.path], s.name) for s in pull.symbols if s.path in self.of_name}:
                found[key].append(pull)
        return found

    def symbol_changes(self, path: str, names: Iterable[str], *, within: bool = False) -> list[PastPull]:
        """Changes to one of some definitions of a file, and `within` them, oldest first, each once."""
        names = list(names)
        found = {p.id: p for n in names for p in self._of_name(path, n)}
        if within:
            inner = [i for i in self._names_in.get(path, ()) if any(i.startswith(f"{n}.") for n in names)]
            found |= {p.id: p for i in inner for p in self.by_symbol[path, i]}
        return sorted(found.values(), key=lambda p: (p.merged_at, p.id))

    def _of_name(self, path: str, name: str) -> list[PastPull]:
        """Changes to a definition; a name without its class stands for the one method of that name."""
        exact = self.by_symbol.get((path, name))
        if exact is not None or "." in name:
            return exact or []
        longer = [n for n in self._names_in.get(path, ()) if n.endswith(f".{name}")]
        return self.by_symbol[path, longer[0]] if len(longer) == 1 else []

    @cached_property
    def _names_in(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path, name in self.by_symbol:
            found[path].append(name)
        return found

    @cached_property
    def fix_lines(self) -> dict[tuple[str, str], list[FixLine]]:
        """(path of the patch, stripped line) -> the fixes that put it in or took it out; lines of code that the patch changes."""
        found: dict[tuple[str, str], list[FixLine]] = defaultdict(list)
        for (pull, path), hunks in self.fix_hunks.items():
            current = self.of_name[path]
            wanted = self.changed_lines.get(current, frozenset())
            for hunk in hunks:
                rows = hunk_lines(hunk)
                if wanted.isdisjoint([r[1:].strip() for r in rows]):
                    continue
                for row, kind in zip(rows, line_kinds(path, rows), strict=True):
                    text = row[1:].strip()
                    if row[:1] in ("+", "-") and kind == "code" and text in wanted:
                        found[current, text].append(FixLine(pull, path, hunk, row[0]))
        return found

    def put_in(self, pull: str, path: str) -> int:
        """Telling lines of code that a fix put into a file of the patch."""
        names = self.names.get(path, (path,))
        count = 0
        for name in names:
            for hunk in self.fix_hunks.get((pull, name), ()):
                rows = hunk_lines(hunk)
                count += sum(
                    row[:1] == "+" and kind == "code" and telling(row[1:]) >= _DISTINCT
                    for row, kind in zip(rows, line_kinds(name, rows), strict=True)
                )
        return count

    @cached_property
    def fix_hunks(self) -> dict[tuple[str, str], tuple[Hunk, ...]]:
        """(id, its own name of the file) -> hunks of every fix in the touched files."""
        wanted = {i for ids in self.touched.values() for i in ids if self.pulls[i].is_fix}
        names = sorted(self.of_name)
        if not wanted:
            return {}
        table = self._store.rows_where(
            "chunks", f"{one_of('repo', [self._repo])} AND {one_of('path', names)}", ["card_id", "ordinal", "path", "text"]
        )  # fmt: skip
        table = table.filter(pc.is_in(table["card_id"], pa.array(sorted(wanted))))
        table = table.sort_by([("card_id", "ascending"), ("path", "ascending"), ("ordinal", "ascending")])
        rows: dict[tuple[str, str], list[ChunkRow]] = defaultdict(list)
        for card_id, path, text in zip(*(table[c].to_pylist() for c in ChunkRow._fields), strict=True):
            rows[card_id, path].append(ChunkRow(card_id, path, text))
        return {key: tuple(hunks_of_chunks(pieces)) for key, pieces in rows.items()}


def telling(text: str) -> int:
    """Letters and digits of a line."""
    return sum(c.isalnum() for c in text)


def days_between(earlier: str, later: str) -> float:
    """Days from one ISO time to another; 3650 where one of them is no time."""
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() / 86400
    except (ValueError, TypeError):
        return 3650.0


def read_history(store: Store, patch: Patch) -> History:
    """Find every past change of the touched files."""
    where = Filter(repos=(patch.repo,) if patch.repo else (), before=patch.as_of)
    table = store.scan("cards", ["id", "path_text"], where, row_id=True)
    lines = pc.split_pattern(table["path_text"].combine_chunks(), "\n")
    parents = pc.list_parent_indices(lines)
    flat = pc.utf8_slice_codeunits(pc.list_flatten(lines), 1)
    own = set(patch.own)
    names: dict[str, set[str]] = {f.path: set(f.names) for f in patch.files}
    pulls: dict[str, PastPull] = {}
    asked: set[str] = set()
    ids = table["id"].combine_chunks()
    rowids = table["_rowid"].combine_chunks()
    for _ in range(_ROUNDS):
        wanted = sorted({n for found in names.values() for n in found} - asked)
        if not wanted:
            break
        asked |= set(wanted)
        rows = np.unique(parents.filter(pc.is_in(flat, pa.array(wanted))).to_numpy(zero_copy_only=False))
        fresh = [int(r) for r in rows if ids[int(r)].as_py() not in pulls and ids[int(r)].as_py() not in own]
        for pull in _decode(store, [rowids[r].as_py() for r in fresh]):
            pulls[pull.id] = pull
        for pull in pulls.values():
            for f in pull.files:
                if f.old_path:
                    for known in names.values():
                        if f.path in known and f.status in ("renamed", "modified"):
                            known.add(f.old_path)
    of_name = {name: path for path, found in names.items() for name in found}
    touched: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pull in pulls.values():
        for path in {of_name[n] for f in pull.files for n in (f.path, f.old_path) if n in of_name}:
            touched[path].append((pull.merged_at, pull.id))
    return History(
        scanned=table.num_rows,
        names={path: tuple(sorted(found)) for path, found in names.items()},
        pulls=pulls,
        touched={path: tuple(i for _, i in sorted(found)) for path, found in touched.items()},
        changed_lines={
            f.path: frozenset(
                r.text.strip() for h in f.hunks for r in h.changed if telling(r.text) >= _DISTINCT
            )
            for f in patch.files
        },
        _store=store,
        _repo=patch.repo,
    )


def _decode(store: Store, rows: Sequence[int]) -> list[PastPull]:
    if not rows:
        return []
    texts = store.cards_at(rows, ["card"])["card"].to_pylist()
    return [msgspec.json.decode(t, type=PastPull) for t in texts]


def read_pulls(store: Store, ids: Collection[str]) -> dict[str, PastPull]:
    """Past changes by id, those that the store holds now."""
    if not ids:
        return {}
    rows = store.cards_by_id(sorted(ids), ["id", "card"]).to_pylist()
    return {r["id"]: msgspec.json.decode(r["card"], type=PastPull) for r in rows}
