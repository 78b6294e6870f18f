"""Topics, tasks, paths and plain names resolved in a source tree.

An anchor is looked for by its globs, then by the definitions of its names, then by following its paths through the
history. So a moved file is found where it went, and what is gone is said to be gone, with the commit that took it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from ingest.trees import Fate, Place
from kb.families import glob_pattern
from kb.sourcemap.match import Match, asked_words, match
from kb.sourcemap.topics import AnchorSpec, SourceMap, Step, Task, Topic
from kb.trees.base import SourceTree
from kb.words import prose_words

Found = Literal["path", "name", "history", "nothing"]

_PATHS = 8  # shown of one anchor
_FILES = 12  # found by the words of their paths
_TEST = re.compile(r"(^|/)tests?/|/test_|(^|/)conftest\.py$")


@dataclass(frozen=True, slots=True)
class PlaceFound:
    """A path of the tree; `lines` are the definitions in it that an anchor names, `files` counts a folder's files."""

    path: str
    lines: tuple[Place, ...] = ()
    files: int = 0


@dataclass(frozen=True, slots=True)
class AnchorFound:
    """An anchor resolved.

    Attributes:
        what: what is there, in our words.
        by: how it was found.
        places: paths of the tree.
        more: further paths that were found and are not in `places`.
        gone: the path that was followed, and its fate, when the globs met nothing.
    """

    what: str
    by: Found
    places: tuple[PlaceFound, ...] = ()
    more: int = 0
    gone: tuple[tuple[str, Fate], ...] = ()


@dataclass(frozen=True, slots=True)
class TopicFound:
    """A topic or a task with its anchors or steps resolved; none when the engine has no such thing."""

    item: Topic | Task
    score: float
    anchors: tuple[AnchorFound, ...]


@dataclass(frozen=True)
class Answer:
    """What a question about the tree gave.

    Attributes:
        question: as asked.
        tree: which tree was asked, for people.
        path: the path the question is, when it is one, and its fate; None for the fate of a path that is there.
        topics: topics and tasks of the map.
        names: definitions of a name the question is.
        files: paths whose words hold the question's; asked for when nothing else fits.
    """

    question: str
    tree: str
    path: tuple[str, PlaceFound | None, Fate | None] | None = None
    topics: tuple[TopicFound, ...] = ()
    names: tuple[Place, ...] = ()
    files: tuple[str, ...] = field(default=())

    @property
    def answered(self) -> bool:
        """Whether anything of the tree is named."""
        held = self.path is not None and (
            self.path[1] is not None or (self.path[2] is not None and self.path[2].kind != "unknown")
        )
        return bool(held or self.topics or self.names or self.files)


def ask(source_map: SourceMap, tree: SourceTree, question: str) -> Answer:
    """Where something is in a tree.

    Args:
        source_map: the engine's map.
        tree: its tree.
        question: words, a path of any revision, or a name.
    """
    text = question.strip()
    if _is_path(tree, text):
        return _ask_path(source_map, tree, text)
    matches = match(source_map, text)
    is_name = bool(re.fullmatch(r"\w{3,}", text)) and (not matches or not re.fullmatch(r"[a-z0-9]+", text))
    names = tuple(_names(tree, source_map, text)) if is_name else ()
    topics = tuple(resolve(source_map, tree, m) for m in matches)
    files = () if topics or names else tuple(_by_words(tree, text))
    return Answer(question, tree.says, None, topics, names, files)


def _is_path(tree: SourceTree, text: str) -> bool:
    return not re.search(r"\s", text) and ("/" in text or tree.has(text))


def _ask_path(source_map: SourceMap, tree: SourceTree, text: str) -> Answer:
    path = text.strip("/")
    here = _place(tree, path) if tree.has(path) else None
    fate = None if here else tree.fate(path)
    topics = [t for t in source_map.topics if any(_covers(a, path) for a in source_map.anchors(t.id))]
    found = tuple(resolve(source_map, tree, Match(t, 1.0)) for t in topics[:2])
    return Answer(text, tree.says, (path, here, fate), found)


def _covers(anchor: AnchorSpec, path: str) -> bool:
    """Whether a path is what one of an anchor's globs names."""
    return any(_pattern(glob).fullmatch(path) for glob in anchor.at)


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(glob_pattern(glob))


def resolve(source_map: SourceMap, tree: SourceTree, found: Match) -> TopicFound:
    """A topic's or task's anchors in a tree."""
    specs: list[AnchorSpec | Step] = []
    if isinstance(found.item, Topic):
        specs += source_map.anchors(found.item.id)
    else:
        specs += found.item.engines.get(source_map.engine, ())
    here = [_resolve(source_map, tree, s) for s in specs]
    if specs and not any(a.places for a in here):  # all of it has gone, or is still to come: ask the history
        here = [_follow(tree, spec, a) for spec, a in zip(specs, here, strict=True)]
    return TopicFound(found.item, found.score, tuple(here))


def _resolve(source_map: SourceMap, tree: SourceTree, spec: AnchorSpec | Step) -> AnchorFound:
    what = spec.what if isinstance(spec, AnchorSpec) else spec.do
    paths = matching(tree, spec.at)
    if paths:
        defined = tree.definitions(spec.names, paths) if spec.names else []
        places = [_place(tree, p, defined) for p in paths]
        return AnchorFound(what, "path", tuple(places[:_PATHS]), max(0, len(places) - _PATHS))
    wide = tree.definitions(spec.names, [r for r in source_map.places.roots if tree.has(r)])
    wide = [d for d in wide if not _TEST.search(d.path)]
    files = list(dict.fromkeys(d.path for d in wide))
    places = [_place(tree, p, wide) for p in files]
    return AnchorFound(
        what, "name" if places else "nothing", tuple(places[:_PATHS]), max(0, len(places) - _PATHS)
    )


def _follow(tree: SourceTree, spec: AnchorSpec | Step, found: AnchorFound) -> AnchorFound:
    """An anchor that nothing in the tree meets, followed through the history by its first plain path."""
    plain = [g for g in spec.at if not re.search(r"[*?]", g)]
    if not plain:
        return found
    fate = tree.fate(plain[0])
    places = tuple(_place(tree, t) for t in fate.to)
    return AnchorFound(found.what, "history" if places else "nothing", places, 0, ((plain[0], fate),))


def matching(tree: SourceTree, globs: Sequence[str]) -> list[str]:
    """Files and folders that globs meet, in the order of the globs; what lies in a folder that is met is left out."""
    found: list[str] = []
    for glob in globs:
        if not re.search(r"[*?]", glob):
            found += [glob] if tree.has(glob) else []
        else:
            found += sorted(p for p in tree.entries if _pattern(glob).fullmatch(p))
    return list(dict.fromkeys(found))


def _place(tree: SourceTree, path: str, defined: Sequence[Place] = ()) -> PlaceFound:
    lines = [d for d in defined if d.path == path or d.path.startswith(path + "/")]
    lines = [d for d in lines if _TEST.search(path + "/") or not _TEST.search(d.path)]
    first: dict[str, Place] = {}
    for place in lines:
        first.setdefault(place.name, place)
    return PlaceFound(path, tuple(first.values()), len(tree.under(path)) if tree.is_folder(path) else 0)


def _names(tree: SourceTree, source_map: SourceMap, name: str) -> list[Place]:
    """Definitions of a name the question may be, outside tests, when they are few enough to mean one thing."""
    roots = [r for r in source_map.places.roots if tree.has(r)]
    found = [d for d in tree.definitions([name], roots) if not _TEST.search(d.path)]
    return found[:_FILES]


def _by_words(tree: SourceTree, text: str) -> list[str]:
    """Paths whose words hold all words of a question, the shortest first."""
    words = set(asked_words(text))
    if not words:
        return []
    stem = [p for p in tree.entries if all(w[:4] in p.lower().replace("_", "") for w in words)]
    held = [p for p in stem if words <= set(prose_words(p.replace("/", " ")))]
    return sorted(held, key=lambda p: (bool(_TEST.search(p)), p.count("/"), len(p), p))[:_FILES]
