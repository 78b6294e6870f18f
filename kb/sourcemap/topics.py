"""The map as data: topics, where an engine keeps them, and common tasks. The files are data/source_map/*.yaml."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from ingest.errors import PrloreError
from kb.datafiles import data_file

T = TypeVar("T")


class MapError(PrloreError):
    """A file of data/source_map can't be read, or names a topic that topics.yaml lacks."""


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engineer asks for; `words` are other ways to ask."""

    id: str
    name: str
    words: tuple[str, ...] = ()


class AnchorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a part of a topic is: globs `at`, defined `names`, and `what` is there."""

    at: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    what: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a task, and where in the tree it is done."""

    do: str
    at: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something often done to an engine; steps by engine."""

    id: str
    name: str
    words: tuple[str, ...] = ()
    engines: dict[str, tuple[Step, ...]]


class _Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topics: tuple[Topic, ...]


class _Tasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tasks: tuple[Task, ...]


class EngineMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine: `roots` are the folders names are looked for in, `topics` the anchors of each topic."""

    roots: tuple[str, ...]
    topics: dict[str, tuple[AnchorSpec, ...]]


class SourceMap:
    """The map of one engine."""

    def __init__(self, engine: str, folder: Path | None = None) -> None:
        """Read the map.

        Args:
            engine: sglang, vllm or trtllm.
            folder: of the files; data/source_map by default.

        Raises:
            MapError: a file is missing or not as its comment block describes.
        """
        self.engine = engine
        folder = folder or data_file("source_map")
        self.topics = _load(folder / "topics.yaml", _Topics).topics
        self.tasks = _load(folder / "tasks.yaml", _Tasks).tasks
        self.places = _load(folder / f"{engine}.yaml", EngineMap)
        unknown = self.places.topics.keys() - {t.id for t in self.topics}
        if unknown:
            raise MapError(
                f"{folder / engine}.yaml has topics that topics.yaml lacks: {', '.join(sorted(unknown))}"
            )

    @cached_property
    def by_id(self) -> dict[str, Topic]:
        """Topics by their id."""
        return {t.id: t for t in self.topics}

    @property
    def phrases(self) -> list[str]:
        """All names and words one can ask with."""
        found = [p for t in self.topics for p in (t.name, *t.words)]
        return found + [p for t in self.tasks for p in (t.name, *t.words)]

    def anchors(self, topic: str) -> tuple[AnchorSpec, ...]:
        """Where the engine keeps a topic; empty when it has no such thing."""
        return self.places.topics.get(topic, ())


def _load(path: Path, kind: type[T]) -> T:
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return msgspec.convert(yaml.load(path.read_bytes(), Loader=loader), type=kind)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise MapError(f"can't read {path}: {str(exc).splitlines()[0]}") from exc
