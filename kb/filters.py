"""Filters over cards as typed conditions. The only place where text becomes part of a LanceDB filter."""

from __future__ import annotations

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
