"""What the store holds of model families: counts, one family's files and pull requests, model files of none."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from kb.families import Family, load_families
from kb.filters import Filter
from kb.references import engine_of
from kb.store import Store

# where the engines keep one file a model
_MODEL_FILE = re.compile(
    r"(?:^|/)(?:srt/models|model_executor/models|vllm/models|_torch/models|multimodal_gen/runtime/models/dits)/"
    r"(?:[\w-]+/)*(?!__init__)[\w-]+\.py$"
)
_HELPERS = re.compile(
    r"/(?:registry|utils?|interfaces\w*|adapters|module_mapping|vision|vlm_base|config|base|common|transformers\w*|mindspore|"
    r"extract_hidden_states|modeling_utils|modeling_auto|modeling_multimodal_\w+|checkpoints/.*|transformers/.*)\.py$"
)
_HOT = 12
_LATEST = 12


@dataclass(frozen=True, slots=True)
class FamilyCount:
    """A family and how many cards are tagged with it."""

    slug: str
    name: str
    cards: int


@dataclass(frozen=True, slots=True)
class UnmatchedFile:
    """A model file of no family, and how many cards touch it."""

    repo: str
    path: str
    cards: int


@dataclass(frozen=True, slots=True)
class FamilyView:
    """A family's entries, its cards by engine and kind, the files touched most, the latest pull requests."""

    entries: tuple[Family, ...]
    by_engine: tuple[tuple[str, int], ...]
    by_kind: tuple[tuple[str, int], ...]
    hot_files: tuple[tuple[str, int], ...]
    latest: tuple[tuple[str, str, str], ...]  # id, day, title

    @property
    def cards(self) -> int:
        """Cards of the family."""
        return sum(n for _, n in self.by_engine)


def touched(path_text: str) -> list[str]:
    """The paths of a card's `path_text`, without their marks."""
    return [line[1:] for line in path_text.split("\n")]


def family_counts(store: Store, repo: str = "") -> list[FamilyCount]:
    """All families with their cards, most first."""
    where = Filter(repos=(repo,)) if repo else None
    tags = store.scan("cards", ["families"], where)["families"].to_pylist()
    counts = Counter(tag for row in tags for tag in row)
    rows = [FamilyCount(f.slug, f.name, counts[f.slug]) for f in load_families().entries]
    return sorted(rows, key=lambda c: (-c.cards, c.slug))


def family_view(store: Store, name: str, repo: str = "") -> FamilyView:
    """What the store holds of one family or group.

    Raises:
        FamilyError: no family has this name.
    """
    table = load_families()
    slugs = table.resolve(name)
    where = Filter(repos=(repo,) if repo else (), families=slugs)
    rows = store.scan("cards", ["id", "repo", "kind", "title", "merged_at", "path_text"], where).to_pylist()
    own = set(slugs)
    hot = Counter(p for r in rows for p in touched(r["path_text"]) if own & set(table.of_path(p)))
    rows.sort(key=lambda r: (r["merged_at"], r["id"]), reverse=True)
    return FamilyView(
        entries=tuple(table.entry(s) for s in slugs),
        by_engine=tuple(Counter(engine_of(r["repo"]) for r in rows).most_common()),
        by_kind=tuple(Counter(r["kind"] for r in rows).most_common()),
        hot_files=tuple(hot.most_common(_HOT)),
        latest=tuple((r["id"], r["merged_at"][:10], r["title"]) for r in rows[:_LATEST]),
    )


def unmatched_files(store: Store, repo: str = "") -> list[UnmatchedFile]:
    """Model files that no family's globs cover, most touched first. Helpers of all models don't count."""
    table = load_families()
    where = Filter(repos=(repo,)) if repo else None
    rows = store.scan("cards", ["repo", "path_text"], where)
    counts: Counter[tuple[str, str]] = Counter()
    for name, text in zip(rows["repo"].to_pylist(), rows["path_text"].to_pylist(), strict=True):
        for path in touched(text):
            if _MODEL_FILE.search(path) and not _HELPERS.search(path) and not table.of_path(path):
                counts[name, path] += 1
    return [
        UnmatchedFile(name, path, n)
        for (name, path), n in sorted(counts.items(), key=lambda i: (-i[1], i[0]))
    ]
