"""Which theme a pull request belongs to, and the groups a manual shows. The table is data/themes.yaml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import msgspec
import yaml

from kb.datafiles import data_file
from kb.manuals.evidence import FamilyCard

_BY_KIND = {
    "test": "Tests",
    "docs": "Documentation and recipes",
    "ci": "CI and build",
    "build": "CI and build",
}
_OTHER = "Other changes"
_OFTEN = 3  # mentions from which on prose tells of a theme
_ALSO = 6


class Theme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of data/themes.yaml; its comment block says how it is used."""

    id: str
    name: str
    titles: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    themes: tuple[Theme, ...]


@dataclass(frozen=True)
class Group:
    """A theme's pull requests, heaviest first; `also` are reviewed ones of other themes whose prose tells of this one."""

    name: str
    cards: tuple[FamilyCard, ...]
    also: tuple[FamilyCard, ...] = ()


@cache
def load_themes() -> tuple[Theme, ...]:
    """The table.

    Raises:
        msgspec.ValidationError: the file is not as its comment block describes.
    """
    raw = yaml.load(
        data_file("themes.yaml").read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return msgspec.convert(raw, type=_File).themes


@cache
def _regex(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE)


def theme_of(item: FamilyCard) -> str:
    """The name of the theme with the most evidence."""
    if item.card.kind in _BY_KIND:
        return _BY_KIND[item.card.kind]
    own = {f.path for f in item.own}
    files = [
        (f.path, 2.0 if f.path in own else 1.0)
        for f in item.card.files
        if f.group in ("runtime", "kernel", "config")
    ]
    whole = sum(w for _, w in files) or 1.0
    best, most = _OTHER, 0.0
    for theme in load_themes():
        title = 3.0 if _regex(theme.titles).search(item.card.title) else 0.0
        met = sum(w for p, w in files if _regex(theme.paths).search(p)) if theme.paths else 0.0
        score = title + met / whole
        if theme.id == "weights":  # every model file meets it: the last resort
            score *= 0.5
        if score > most + 1e-9:
            best, most = theme.name, score
    return best if most > 0.3 else _OTHER


def group(cards: Sequence[FamilyCard]) -> list[Group]:
    """Groups by theme, the one whose best pull requests weigh most first; tests, documentation and CI last."""
    found: dict[str, list[FamilyCard]] = {}
    for item in cards:
        found.setdefault(theme_of(item), []).append(item)
    told = {theme.name: _telling(theme, cards) for theme in load_themes() if theme.id != "weights"}
    groups = [
        Group(
            name,
            tuple(sorted(items, key=lambda c: (-c.weight, -c.number))),
            tuple(c for c in told.get(name, ()) if c not in items),
        )
        for name, items in found.items()
    ]
    last = {*_BY_KIND.values(), _OTHER}
    return sorted(groups, key=lambda g: (g.name in last, -sum(c.weight for c in g.cards[:5]), g.name))


def _telling(theme: Theme, cards: Sequence[FamilyCard]) -> list[FamilyCard]:
    """Reviewed cards whose prose keeps coming back to a theme, the one that does most first."""
    counts = [
        (len(_regex(theme.titles).findall(f"{c.card.motivation} {c.card.implementation}")), c) for c in cards
    ]
    return [c for n, c in sorted(counts, key=lambda i: (-i[0], -i[1].weight)) if n >= _OFTEN and c.named][
        :_ALSO
    ]
