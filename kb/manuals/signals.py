"""What to look at when a family misbehaves, drawn from the diffs: data handed between files, checks that stop a run, switches.

A name is handed over when added lines hold it as an attribute, a key or a keyword argument in two code files or more, one
of them the family's own. Names that few other pull requests hold rank first: they are the family's state, not the engine's.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ingest.paths import group_of
from kb.manuals.evidence import Evidence, FamilyCard
from kb.store import Store
from kb.stored_postings import cards_holding
from kb.trees.base import SourceTree
from kb.words import split_identifier

_CARDS = 40  # heaviest cards whose diffs are read
_NAMES = 16
_COMMON = 200  # names that stand oftener in the tree are the engine's own vocabulary; thrice that when our prose names them
_STOPS = 8
_SWITCHES = 16
_DATA = re.compile(
    r"""(?:\.|["'])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b(?!\()|\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\s*=(?!=)"""
)
_ADDED = re.compile(r"\+(?!\s*(?:from|import|#|//)\b)")
_STOP = re.compile(r"^\+\s*(?:assert\b|raise\s+\w+(?:Error|Exception)\b)")
_LITERAL = re.compile(r"""[frbu]{0,2}("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_PROSE_NAME = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`")


@dataclass(frozen=True, slots=True)
class Handed:
    """A name of the family's data. `left` is how often it stands in the tree, None when that is not known."""

    name: str
    files: tuple[str, ...]
    refs: tuple[str, ...]
    in_prose: bool
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A check that ends a run: its message as the diff has it, the file, the pull request."""

    message: str
    path: str
    ref: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A server flag or environment variable that pull requests about the family brought or took away."""

    name: str
    kind: str
    change: str
    refs: tuple[str, ...]
    left: int | None = None


@dataclass(frozen=True)
class Signals:
    """What a diff says is worth capturing."""

    handed: tuple[Handed, ...]
    stops: tuple[Stop, ...]
    switches: tuple[Switch, ...]


@dataclass
class _Seen:
    own: set[str] = field(default_factory=set)
    other: set[str] = field(default_factory=set)
    refs: dict[str, None] = field(default_factory=dict)


def find_signals(store: Store, evidence: Evidence, tree: SourceTree) -> Signals:
    """Read the diffs of the heaviest cards."""
    heaviest = evidence.by_weight()[:_CARDS]
    by_id = {c.card.id: c for c in heaviest}
    rows = store.chunks_of(list(by_id))
    chunks = list(zip(*(rows[c].to_pylist() for c in ("card_id", "path", "text")), strict=True))
    return Signals(
        handed=tuple(_handed(store, evidence, tree, by_id, chunks)),
        stops=tuple(_stops(evidence, by_id, chunks)),
        switches=tuple(_switches(evidence, tree)),
    )


def _handed(
    store: Store, evidence: Evidence, tree: SourceTree, by_id: dict[str, FamilyCard], chunks: Sequence[tuple[str, str, str]]
) -> list[Handed]:  # fmt: skip
    seen: dict[str, _Seen] = defaultdict(_Seen)
    for card_id, path, text in chunks:
        if group_of(path) not in ("runtime", "kernel"):
            continue
        item = by_id[card_id]
        own = evidence.is_own(path)
        if not own and not (item.named or item.is_reviewed):
            continue  # a name in a shared file tells only when the change was made for the family
        added = "\n".join(line for line in text.split("\n") if _ADDED.match(line))
        for first, second in _DATA.findall(added):
            entry = seen[first or second]
            (entry.own if own else entry.other).add(path)
            entry.refs[item.ref] = None
    prose = _prose_names(by_id.values())
    first = _prose_names(
        c for c in by_id.values() if c.named
    )  # what our prose on the family itself names comes first
    functions = {
        s.name.replace("::", ".").rpartition(".")[2]
        for c in evidence.cards
        for s in c.card.symbols
        if s.kind != "class"
    }
    names = [
        n
        for n, e in seen.items()
        if e.own and (len(e.own) + len(e.other) > 1 or n in prose) and n not in functions and len(n) > 6
    ]
    spread = cards_holding(store, [split_identifier(n)[0] for n in names])
    held = max(store.count("cards"), 1)

    def score(name: str) -> float:
        entry = seen[name]
        rare = math.log(1 + held / (1 + spread.get(split_identifier(name)[0], 0)))
        files = math.log2(1 + min(len(entry.own) + len(entry.other), 6))
        return rare**2 * files * (3.0 if name in prose else 1.0) * math.log2(1 + min(len(entry.refs), 4))

    best = sorted(names, key=lambda n: (n not in first, -score(n), n))[: 3 * _NAMES]
    left = tree.mentions(best)
    most = {n: _COMMON * (3 if n in prose else 1) for n in best}
    best = [n for n in best if left is None or left.get(n, 0) <= most[n]][:_NAMES]
    return [
        Handed(
            n, (*sorted(seen[n].own), *sorted(seen[n].other))[:4], tuple(seen[n].refs)[:4], n in prose,
            None if left is None else left.get(n, 0),
        )
        for n in best
    ]  # fmt: skip


def _prose_names(cards: Iterable[FamilyCard]) -> set[str]:
    found: set[str] = set()
    for item in cards:
        card = item.card
        for text in (card.motivation, card.implementation, *card.validation, *card.risks):
            found.update(_PROSE_NAME.findall(text))
    return found


def _stops(
    evidence: Evidence, by_id: dict[str, FamilyCard], chunks: Sequence[tuple[str, str, str]]
) -> list[Stop]:
    """Messages of asserts and exceptions that the family's changes added, those in files of others first: they bind the engine."""
    words = {c.lower() for f in evidence.families for c in f.classes}
    found: dict[str, tuple[float, Stop]] = {}
    for card_id, path, text in chunks:
        item, own = by_id[card_id], evidence.is_own(path)
        if group_of(path) not in ("runtime", "kernel"):
            continue
        lines = text.split("\n")
        for place, line in enumerate(lines):
            if not _STOP.match(line):
                continue
            near = "\n".join(lines[max(0, place - 12) : place + 5]).lower()
            about = any(w in near for w in words)
            if not own and not about:
                continue
            message = _message(lines[place : place + 6])
            if len(re.findall(r"[A-Za-z]{3,}", message)) >= 4:
                weight = (2.0 if about and not own else 1.0) * (1.0 + item.weight)
                found.setdefault(message, (weight, Stop(message, path, item.ref)))
    ranked = sorted(found.values(), key=lambda f: (-f[0], f[1].path, f[1].message))
    return [stop for _, stop in ranked[:_STOPS]]


def _message(lines: Sequence[str]) -> str:
    """The text of the first string literals of a statement, joined as Python joins them."""
    depth = 0
    parts: list[str] = []
    for line in lines:
        if not line.startswith("+"):
            break
        literals = _LITERAL.findall(line)
        bare = _LITERAL.sub("", line[1:]).strip()
        if any(" " in text for text in literals) or (parts and literals and not bare.strip("(),")):
            parts += [text[1:-1] for text in literals if len(text) > 2]
        elif parts:
            break
        depth += bare.count("(") - bare.count(")")
        if depth <= 0 and not bare.endswith("\\"):  # the statement ends here
            break
    return " ".join("".join(parts).split())[:220]


def _switches(evidence: Evidence, tree: SourceTree) -> list[Switch]:
    """Flags and variables of the cards, heaviest card first."""
    refs: dict[tuple[str, str, str], dict[str, None]] = {}
    for item in evidence.by_weight():
        if not (item.named or item.is_reviewed) and len(item.own_code) * 3 < len(item.card.files):
            continue  # a change to much else besides: its switches are not the family's
        facts = item.card.facts
        for kind, change, names in (
            ("flag", "added", facts.flags_added), ("flag", "removed", facts.flags_removed),
            ("variable", "added", facts.env_added), ("variable", "removed", facts.env_removed),
        ):  # fmt: skip
            for name in names[:6]:
                refs.setdefault((name, kind, change), {})[item.ref] = None
    chosen = list(refs.items())[:_SWITCHES]
    left = tree.mentions([n for (n, _, _), _ in chosen])
    return [
        Switch(name, kind, change, tuple(found)[:3], None if left is None else left.get(name, 0))
        for (name, kind, change), found in chosen
    ]
