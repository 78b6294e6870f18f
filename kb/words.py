"""The code-aware word rule: one rule for cards, chunks and questions.

An identifier gives its parts and, when it has more than one, its whole without separators, so that
`HiRadixCache`, `hi_radix_cache` and the prose form `hi-radix cache` meet: `hiradixcache hi radix cache`.
Letters keep the digits behind them: `qwen3`, `fp8`, `v2`, `sm90` are words. Words are lower-case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*|_[A-Za-z0-9_]+")
_PROSE = re.compile(r"[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*")
_PART = re.compile(
    r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+[a-z]{0,2}(?![a-z])|[0-9]+"
)
_NO_PLURAL = frozenset(("bias", "alias", "canvas", "atlas", "pandas", "kudos", "always", "across"))
_LONGEST = 64

_cache: dict[str, tuple[str, ...]] = {}
_CACHE_LIMIT = 400_000


def split_identifier(identifier: str) -> tuple[str, ...]:
    """Words of one identifier or compound: the whole first, then the parts."""
    known = _cache.get(identifier)
    if known is None:
        found = _PART.findall(identifier[:_LONGEST])
        parts = [
            p[:-1].lower() if p[:-1].isupper() and p.endswith("s") else _singular(p.lower()) for p in found
        ]
        known = tuple(parts) if len(parts) < 2 else ("".join(parts), *parts)
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[identifier] = known
    return known


def _singular(word: str) -> str:
    """`kernels` is `kernel`; words such as `bias`, `class` and `corpus` stay."""
    if len(word) > 3 and word.endswith("s") and word[-2] not in "sui" and word not in _NO_PLURAL:
        return word[:-1]
    return word


def code_words(text: str) -> list[str]:
    """Words of source code, in order; bare numbers and single letters are none."""
    words: list[str] = []
    for identifier in _IDENTIFIER.findall(text):
        words += split_identifier(identifier)
    return [w for w in words if len(w) > 1]


def prose_words(text: str) -> list[str]:
    """Words of a title, a question or a path, in order; `all-reduce` gives `allreduce all reduce`."""
    words: list[str] = []
    for compound in _PROSE.findall(text):
        words += split_identifier(compound)
    return [w for w in words if len(w) > 1 or w.isdigit()]


def prose_parts(text: str) -> list[str]:
    """Parts alone, wholes left out: joined, the spellings `all-reduce`, `AllReduce` and `all reduce` are one."""
    parts: list[str] = []
    for compound in _PROSE.findall(text):
        known = split_identifier(compound)
        parts += known if len(known) == 1 else known[1:]
    return parts


def capped(words: Iterable[str], most: int, limit: int) -> str:
    """Words joined for the index: none more than `most` times, at most `limit` different ones, in order of first sight."""
    counts = Counter(words)
    parts: list[str] = []
    for word, count in list(counts.items())[:limit]:
        parts += [word] * min(count, most)
    return " ".join(parts)


def path_terms(path: str) -> tuple[str, str]:
    """A path's own terms in the index, whole and file name; `+` before them marks a file that is added."""
    lowered = path.lower()
    return lowered, PurePosixPath(lowered).name


def name_ends(name: str) -> list[str]:
    """A qualified name in lower case and its ends: `a.b.c`, `b.c`, `c`; `::` counts as `.`."""
    parts = name.lower().replace("::", ".").split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]
