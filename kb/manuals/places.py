"""A family's own files and symbols in a tree: what matters now, what moved, what vanished."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.paths import group_of
from ingest.trees import Fate, Place
from kb.manuals.evidence import Evidence, FamilyCard
from kb.trees.base import SourceTree

_FILES = 24
_TESTS = 14
_GONE = 6
_SYMBOLS = 10  # of a file
_FILES_WITH_SYMBOLS = 10
_TOP_KINDS = ("class", "struct", "kernel", "function", "trait", "impl")


@dataclass(frozen=True, slots=True)
class FileNow:
    """A file of the family in the tree.

    Attributes:
        path: where it is now.
        group: runtime, kernel, test, ...
        changes: pull requests about the family that changed it, under any of its names.
        last: the last of them, empty when none.
        was: older names.
        symbols: definitions that pull requests touched most and the tree still has.
    """

    path: str
    group: str
    changes: int
    last: str
    was: tuple[str, ...] = ()
    symbols: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Gone:
    """A path that the tree lacks, and what became of it."""

    path: str
    changes: int
    last: str
    fate: Fate


@dataclass(frozen=True)
class Places:
    """The family's files: `runtime` and `tests` in the tree, `others` counted by group, `gone` no longer there."""

    tree: str
    revision: str
    runtime: tuple[FileNow, ...]
    tests: tuple[FileNow, ...]
    others: tuple[tuple[str, int], ...]
    gone: tuple[Gone, ...]
    more_gone: int
    lost_symbols: tuple[
        tuple[str, str], ...
    ]  # name, last pull request; introduced by the heaviest, defined nowhere now


def find_places(evidence: Evidence, tree: SourceTree) -> Places:
    """Resolve the family's files and symbols in a tree."""
    touched: dict[str, list[FamilyCard]] = defaultdict(list)
    renamed: dict[str, str] = {}
    for item in evidence.cards:
        for file in item.own:
            touched[file.path].append(item)
            if file.old_path:
                renamed[file.old_path] = file.path
    was: dict[str, list[str]] = defaultdict(list)
    for old in renamed:
        new = _latest(old, renamed)
        if new != old and not tree.has(old):
            touched[new] += touched.pop(old, [])
            was[new].append(old)
    here = [p for p in tree.paths if evidence.is_own(p)]
    rows = [_file(p, touched.get(p, []), was.get(p, [])) for p in here]
    runtime = sorted(
        (r for r in rows if r.group in ("runtime", "kernel")), key=lambda r: (-r.changes, r.path)
    )
    tests = sorted((r for r in rows if r.group == "test"), key=lambda r: (-r.changes, r.path))
    others = Counter(r.group for r in rows if r.group not in ("runtime", "kernel", "test"))
    lost = [p for p in touched if not tree.has(p) and group_of(p) in ("runtime", "kernel")]
    lost.sort(key=lambda p: (-len(touched[p]), p))
    gone = tuple(
        Gone(p, len(touched[p]), touched[p][-1].ref if touched[p] else "", tree.fate(p)) for p in lost[:_GONE]
    )
    with_symbols, missing = _symbols(evidence, tree, runtime[:_FILES])
    return Places(
        tree=tree.says, revision=tree.revision, runtime=tuple(with_symbols), tests=tuple(tests[:_TESTS]),
        others=tuple(others.most_common()), gone=gone, more_gone=max(0, len(lost) - _GONE), lost_symbols=tuple(missing),
    )  # fmt: skip


def _latest(path: str, renamed: dict[str, str]) -> str:
    seen = {path}
    while path in renamed and renamed[path] not in seen:
        path = renamed[path]
        seen.add(path)
    return path


def _file(path: str, items: Sequence[FamilyCard], was: Sequence[str]) -> FileNow:
    unique = {i.card.id: i for i in items}
    last = max(unique.values(), key=lambda i: (i.card.merged_at, i.number), default=None)
    return FileNow(path, group_of(path), len(unique), last.ref if last else "", tuple(was))


def _symbols(
    evidence: Evidence, tree: SourceTree, files: Sequence[FileNow]
) -> tuple[list[FileNow], list[tuple[str, str]]]:
    """The files with the definitions that were touched most; and what the heaviest introduced that is nowhere now."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    last: dict[str, str] = {}
    for item in evidence.cards:
        for symbol in item.card.symbols:
            name = symbol.name.replace("::", ".").rpartition(".")[2]
            if evidence.is_own(symbol.path) and len(name) > 3 and not name.startswith("__"):
                top = symbol.kind in _TOP_KINDS and "." not in symbol.name
                votes[symbol.path][name] += 3 if top else 1
                last[name] = item.ref
    models = [c for f in evidence.families for c in f.classes]  # the classes a config names come first
    shown: list[FileNow] = []
    for place, file in enumerate(files):
        names = [n for path in (file.path, *file.was) for n, _ in votes[path].most_common(3 * _SYMBOLS)]
        names = [*models, *names] if "models" in file.path else names
        if place >= _FILES_WITH_SYMBOLS or not names:
            shown.append(file)
            continue
        found: dict[str, Place] = {}
        for definition in tree.definitions(names, [file.path]):
            found.setdefault(definition.name, definition)
        ranked = [found[n] for n in dict.fromkeys(names) if n in found][:_SYMBOLS]
        ranked.sort(key=lambda p: (p.line, p.name))
        shown.append(FileNow(file.path, file.group, file.changes, file.last, file.was, tuple(ranked)))
    return shown, _lost(evidence, tree, last)


def _lost(evidence: Evidence, tree: SourceTree, last: dict[str, str]) -> list[tuple[str, str]]:
    """Classes and kernels that the heaviest pull requests introduced in own files and that nothing defines now."""
    names: list[str] = []
    for item in evidence.by_weight()[:15]:
        for symbol in item.card.symbols:
            top = (
                symbol.change == "introduced"
                and symbol.kind in ("class", "struct", "kernel")
                and "." not in symbol.name
            )
            if top and evidence.is_own(symbol.path) and group_of(symbol.path) in ("runtime", "kernel"):
                names.append(symbol.name)
    names = list(dict.fromkeys(names))[:60]
    held = {p.name for p in tree.definitions(names)}
    return [(n, last.get(n, "")) for n in names if n not in held][:12]
