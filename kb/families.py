"""Model families: which family a pull request, a path or a question concerns. The table is data/families.yaml."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec
import yaml

from ingest.errors import PrloreError
from kb.datafiles import data_file
from kb.words import split_identifier


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of data/families.yaml; its comment block says what each field means."""

    slug: str
    name: str
    group: str = ""
    also: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    families: tuple[Family, ...]


class FamilyError(PrloreError):
    """data/families.yaml can't be read, or no family has the given name."""


def glob_pattern(glob: str) -> str:
    """A glob as a regular expression: `*` and `?` stay within a folder, `**/` is any folders or none."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(translated.get(part, re.escape(part)) for part in parts)


@lru_cache(
    maxsize=4096
)  # compiled when a path has its literal part: all of them would cost a quarter of a second
def _whole(glob: str) -> re.Pattern[str]:
    return re.compile(glob_pattern(glob) + r"\Z")


def alias_pattern(alias: str) -> str:
    """An alias as a regular expression in which `-`, `_`, `.`, blank and nothing between its parts are alike."""
    parts = re.findall(r"[a-z]+|[0-9]+|[^\x00-\x7f]+", alias.lower())
    return r"[-_. ]?".join(re.escape(p) for p in parts)


def _by_first_letter(patterns: Iterable[str]) -> str:
    """Alternatives that each begin with a plain letter or digit as one pattern that tries only those of that letter.

    Of alternatives that fit, the first in the given order is still the one that matches.
    """
    groups: dict[str, list[str]] = {}
    for pattern in filter(None, patterns):
        groups.setdefault(pattern[0], []).append(pattern[1:])
    return "(?:" + "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items()) + ")"


@dataclass(frozen=True)
class Families:
    """The table, with lookups. Build it with `load_families`."""

    entries: tuple[Family, ...]
    digest: str

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        names: dict[str, list[str]] = {}
        for family in self.entries:
            for name in (family.slug, *family.also):
                names.setdefault(name.lower(), []).append(family.slug)
        for family in self.entries:
            if family.group:  # a word that is a slug and a group means the group, the wider answer
                names.setdefault(family.group.lower(), []).append(family.slug)
        return {name: tuple(dict.fromkeys(slugs)) for name, slugs in names.items()}

    @cached_property
    def _alias_regex(self) -> re.Pattern[str]:
        aliases = sorted({a.lower() for f in self.entries for a in f.aliases}, key=len, reverse=True)
        # a letter or digit on either side of a Latin name means another: "phi" in "dolphin", "qwen3" in "qwen30"
        latin = [
            (alias_pattern(a) + ("(?![a-z0-9])" if a[-1].isascii() else ""))
            for a in aliases
            if a[0].isascii()
        ]
        other = [
            (alias_pattern(a) + ("(?![a-z0-9])" if a[-1].isascii() else ""))
            for a in aliases
            if not a[0].isascii()
        ]
        parts = ["(?<![a-z0-9])" + _by_first_letter(latin)] if latin else []
        return re.compile("(?=(" + "|".join([*parts, *([_by_first_letter(other)] if other else [])]) + "))")

    @cached_property
    def _alias_owner(self) -> dict[str, tuple[str, ...]]:
        owners: dict[str, list[str]] = {}
        for family in self.entries:
            for alias in family.aliases:
                owners.setdefault(re.sub(r"[-_. ]", "", alias.lower()), []).append(family.slug)
        return {alias: tuple(slugs) for alias, slugs in owners.items()}

    @cached_property
    def _class_owner(self) -> dict[str, tuple[str, ...]]:
        owners: dict[str, list[str]] = {}
        for family in self.entries:
            for name in family.classes:
                owners.setdefault(split_identifier(name)[0], []).append(family.slug)
        return {name: tuple(slugs) for name, slugs in owners.items()}

    @cached_property
    def _globs(self) -> list[tuple[str, str, str]]:
        """(literal part, glob, slug) of every glob: most paths lack the literal, which is cheap to see."""
        return [
            (
                max(re.split(r"[*?]+/?", glob.lower()), key=len),
                glob.lower(),
                f.slug,
            )
            for f in self.entries
            for glob in (*f.paths, *f.shared)
        ]

    def resolve(self, name: str) -> tuple[str, ...]:
        """The slugs a slug, another name of one, or a group stands for.

        Raises:
            FamilyError: no family has this name; the message holds the nearest ones.
        """
        key = name.strip().lower()
        if key in self._by_name:
            return self._by_name[key]
        mentioned = self.mentioned(key)
        if mentioned:
            return mentioned
        near = difflib.get_close_matches(key, self._by_name, n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else "; `prlore families` lists them"
        raise FamilyError(f"no family named {name!r}{hint}")

    def entry(self, slug: str) -> Family:
        """The entry of a slug."""
        return next(f for f in self.entries if f.slug == slug)

    def mentions(self, text: str) -> list[tuple[int, int, tuple[str, ...]]]:
        """(start, end, slugs) of the family names in a text; of names that overlap, the longest counts."""
        lowered = text.lower()
        found: list[tuple[int, int, tuple[str, ...]]] = []
        reach = (
            0  # matches come by their start, so one is within another when it ends no later than any before
        )
        for match in self._alias_regex.finditer(lowered):
            start, end = match.span(1)
            if end > reach:
                reach = end
                found.append((start, end, self._alias_owner.get(re.sub(r"[-_. ]", "", match[1]), ())))
        return found

    def mentioned(self, text: str) -> tuple[str, ...]:
        """Families whose names stand in a text."""
        return tuple(dict.fromkeys(slug for _, _, slugs in self.mentions(text) for slug in slugs))

    @lru_cache(maxsize=65536)  # noqa: B019  one table a process
    def of_path(self, path: str) -> tuple[str, ...]:
        """Families whose files, shared files included, a path is one of, or whose name stands in its file name."""
        lowered = path.lower()
        found = [
            slug for literal, glob, slug in self._globs if literal in lowered and _whole(glob).match(lowered)
        ]
        found += self.mentioned(lowered.rsplit("/", 1)[-1].rsplit(".", 1)[0].replace("_", " "))
        return tuple(dict.fromkeys(found))

    def class_words(self, words: Iterable[str]) -> list[str]:
        """Those of some words that are names of model classes, each once."""
        return [w for w in dict.fromkeys(words) if w in self._class_owner]

    def tag(self, title: str, paths: Iterable[str], words: Iterable[str]) -> tuple[str, ...]:
        """All families a pull request concerns, sorted.

        Args:
            title: its title.
            paths: its changed files.
            words: lower-case words of its diff, in which architecture class names are looked for.
        """
        found = set(self.mentioned(title))
        for path in paths:
            found.update(self.of_path(path))
        for name in self._class_owner.keys() & set(words):
            found.update(self._class_owner[name])
        return tuple(sorted(found))

    def __hash__(self) -> int:
        return hash(self.digest)


def load_families(path: Path | None = None) -> Families:
    """Read the table.

    Raises:
        FamilyError: it is missing or not as its comment block describes.
    """
    path = path or data_file("families.yaml")
    try:
        raw = path.read_bytes()
        parsed = msgspec.convert(
            yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), type=_File
        )
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise FamilyError(f"can't read {path}: {str(exc).splitlines()[0]}") from exc
    return Families(parsed.families, hashlib.sha256(raw).hexdigest()[:16])
