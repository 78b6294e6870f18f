"""Filters over cards and threads as typed conditions. The only place where text becomes part of a LanceDB filter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def quoted(text: str) -> str:
    """A string literal of LanceDB's SQL: quotes doubled; NUL, which no literal can hold, taken out."""
    clean = text.replace("\0", "").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return "'" + clean.replace("'", "''") + "'"


def _like(text: str) -> str:
    """A LIKE pattern that finds `text` anywhere, `*` in it meaning anything."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return quoted(f"%{escaped}%")


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold. Empty values ask for nothing.

    Attributes:
        repos: `owner/name` of the wanted repositories.
        families: slugs; a card of any of them passes.
        kinds: kinds of change.
        paths: parts of paths, `*` standing for anything; a card that touches one of them passes.
        symbols: parts of symbol, flag or variable names.
        after: merged at or behind this time, ISO 8601 in UTC.
        before: merged before this time.
    """

    repos: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    after: str = ""
    before: str = ""

    def __bool__(self) -> bool:
        return bool(self.sql())

    @property
    def only_repos(self) -> Filter:
        """The part of the filter that chunks can answer as well."""
        return Filter(repos=self.repos)

    def sql(self) -> str:
        """The condition, empty when everything passes."""
        parts: list[str] = []
        if self.repos:
            parts.append("repo IN (" + ", ".join(quoted(r) for r in self.repos) + ")")
        if self.families:
            parts.append("array_has_any(families, [" + ", ".join(quoted(f) for f in self.families) + "])")
        if self.kinds:
            parts.append("kind IN (" + ", ".join(quoted(k) for k in self.kinds) + ")")
        for column, wanted in (("path_text", self.paths), ("symbol_text", self.symbols)):
            if wanted:
                parts.append("(" + " OR ".join(f"{column} LIKE {_like(w)}" for w in wanted) + ")")
        if self.after:
            parts.append(f"merged_at >= {quoted(self.after)}")
        if self.before:
            parts.append(f"merged_at < {quoted(self.before)}")
        return " AND ".join(parts)


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Conditions on review threads that must all hold. Empty values ask for nothing.

    Attributes:
        repos: `owner/name` of the wanted repositories.
        pulls: `owner/name#N` of the wanted pull requests.
        families: slugs; a thread of any of them passes.
        kinds: inline, file, conversation, review.
        paths: parts of paths, `*` standing for anything.
        symbols: parts of the symbol that a thread hangs on.
        authors: logins, any case.
        addressed: yes, no, unknown.
        after: begun at or behind this time, ISO 8601 in UTC.
        before: begun before this time.
        by_people: only threads in which a person wrote.
        trust: synced or imported.
    """

    repos: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    addressed: str = ""
    after: str = ""
    before: str = ""
    by_people: bool = False
    trust: str = ""

    def __bool__(self) -> bool:
        return bool(self.sql())

    def sql(self) -> str:
        """The condition, empty when everything passes."""
        parts: list[str] = []
        for column, wanted in (("repo", self.repos), ("card_id", self.pulls), ("kind", self.kinds)):
            if wanted:
                parts.append(one_of(column, wanted))
        for column, wanted in (("families", self.families), ("authors", tuple(a.lower() for a in self.authors))):  # fmt: skip
            if wanted:
                parts.append(f"array_has_any({column}, [{', '.join(quoted(w) for w in wanted)}])")
        for column, wanted in (("path", self.paths), ("symbol", self.symbols)):
            if wanted:
                parts.append("(" + " OR ".join(f"{column} LIKE {_like(w)}" for w in wanted) + ")")
        if self.addressed:
            parts.append(f"addressed = {quoted(self.addressed)}")
        if self.trust:
            parts.append(f"trust = {quoted(self.trust)}")
        if self.after:
            parts.append(f"created_at >= {quoted(self.after)}")
        if self.before:
            parts.append(f"created_at < {quoted(self.before)}")
        if self.by_people:
            parts.append("humans > 0")
        return " AND ".join(parts)


def one_of(column: str, values: Iterable[str]) -> str:
    """The condition that a column of ours has one of some values."""
    return f"{column} IN (" + ", ".join(quoted(v) for v in values) + ")"


def of_pulls(repo: str, numbers: Iterable[int], trust: str) -> str:
    """The condition that a row belongs to some pull requests and came one way."""
    listed = ", ".join(str(int(n)) for n in numbers) or "-1"
    return f"repo = {quoted(repo)} AND number IN ({listed}) AND trust = {quoted(trust)}"


def written_by(author: str) -> str:
    """The condition that an author wrote part of a row."""
    return f"array_has(authors, {quoted(author.lower())})"
