"""Other names of the same thing: abbreviations, products, descriptions, Chinese. The table is data/aliases.yaml.

A term is looked up by the parts the word rule gives it, joined: `all-reduce`, `AllReduce` and `all reduce` are one
spelling. The table writes terms that way already (lower case, singular), so that loading computes nothing; each
concept is one line that is YAML and JSON at once, because a YAML parser would take longer than a whole query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated

import msgspec

from ingest.errors import PrloreError
from kb.datafiles import data_file
from kb.words import prose_parts, prose_words, split_identifier

SYNONYM_WEIGHT = 0.5
BROADER_WEIGHT = 0.25
PART_SHARE = 0.5  # a word of a phrase says less than the phrase: "graph" of "segmented graph"

_LONGEST_SPELLING = 3  # parts of a term that are also written in one: `alltoall`, but no whole sentence
_CJK = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z0-9]")
# what stands between the parts of a mixed form without meaning: `CUDA 图`, `CUDA-图`
_BETWEEN = frozenset(" \t\n\u3000-_·")


class AliasError(PrloreError):
    """data/aliases.yaml can't be read."""


class Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One line of data/aliases.yaml; its comment block says what each field means."""

    terms: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    zh: tuple[str, ...] = ()
    broader: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expansion:
    """What the table adds to a text.

    Attributes:
        text: the text, its Chinese forms replaced by the first English term of their concepts.
        words: (word, weight) of other names, by the word rule, that `text` does not hold; heaviest first. A
            weight is of (0, 1], 1 being that of a word of the question. Stop words among them are the caller's to leave out, as in the question itself.
    """

    text: str
    words: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Aliases:
    """The table, with lookups. Get it with `load_aliases`."""

    concepts: tuple[Concept, ...]

    @cached_property
    def _by_spelling(self) -> dict[str, Concept]:
        return {term.replace(" ", ""): c for c in self.concepts for term in c.terms}

    @cached_property
    def _most_parts(self) -> int:
        return max((term.count(" ") + 1 for c in self.concepts for term in c.terms), default=0)

    @cached_property
    def _by_chinese(self) -> dict[str, Concept]:
        return {form: c for c in self.concepts for form in c.zh}

    @cached_property
    def _chinese_lengths(self) -> list[int]:
        return sorted(set(map(len, self._by_chinese)), reverse=True)

    def expand(self, text: str) -> Expansion:
        """Put English for Chinese and gather the other names of what a text mentions; longest match first.

        Any text is allowed. Takes time in proportion to its length.
        """
        english = self._in_english(text)
        weights: dict[str, float] = {}
        for concept in self._mentioned(english):
            for word, weight in _words_of(concept):
                weights[word] = max(weight, weights.get(word, 0.0))
        for word in prose_words(english):
            weights.pop(word, None)
        return Expansion(english, tuple(sorted(weights.items(), key=lambda entry: -entry[1])))

    def chinese_spans(self, text: str) -> list[tuple[int, int, Concept]]:
        """(start, end, concept) of the Chinese forms in a text, from left to right, of each place the longest."""
        if not _CJK.search(text):
            return []
        places = [i for i, char in enumerate(text) if char not in _BETWEEN]
        squeezed = "".join(_folded(text[i]) for i in places)
        spans: list[tuple[int, int, Concept]] = []
        at = 0
        while at < len(squeezed):
            fitting = (n for n in self._chinese_lengths if self._stands(text, places, squeezed, at, n))
            length = next(fitting, 0)
            if length:
                found = self._by_chinese[squeezed[at : at + length]]
                spans.append((places[at], places[at + length - 1] + 1, found))
            at += length or 1
        return spans

    def _stands(self, text: str, places: list[int], squeezed: str, at: int, length: int) -> bool:
        """Whether a form of this length begins here, and its Latin ends are ends of Latin words."""
        if at + length > len(squeezed) or squeezed[at : at + length] not in self._by_chinese:
            return False
        start, end = places[at], places[at + length - 1]
        cuts_start = start > 0 and _LATIN.match(text[start]) and _LATIN.match(text[start - 1])
        cuts_end = end + 1 < len(text) and _LATIN.match(text[end]) and _LATIN.match(text[end + 1])
        return not cuts_start and not cuts_end

    def _in_english(self, text: str) -> str:
        pieces: list[str] = []
        done = 0
        for start, end, concept in self.chinese_spans(text):
            before = text[done:start]
            spaced = not before[-1:].strip() if before else done == 0
            pieces += [before, "" if spaced else " ", concept.terms[0]]
            done = end
        rest = text[done:]
        return "".join((*pieces, " " if pieces and rest[:1].strip() else "", rest))

    def _mentioned(self, text: str) -> list[Concept]:
        """Concepts whose terms stand in a text, of each place the longest."""
        parts = prose_parts(text)
        found: dict[int, Concept] = {}
        at = 0
        while at < len(parts):
            taken = 1
            for end in range(min(at + self._most_parts, len(parts)), at, -1):
                concept = self._by_spelling.get("".join(parts[at:end]))
                if concept is not None:
                    found[id(concept)] = concept
                    taken = end - at
                    break
            at += taken
        return list(found.values())


def _words_of(concept: Concept) -> list[tuple[str, float]]:
    words: list[tuple[str, float]] = []
    for terms, weight in ((concept.terms, SYNONYM_WEIGHT), (concept.broader, BROADER_WEIGHT)):
        for term in terms:
            parts = prose_parts(term)
            if len(parts) <= _LONGEST_SPELLING:
                words.append(("".join(parts), weight))
            if len(parts) > 1:
                words += [
                    (word, weight * PART_SHARE) for compound in term.split() for word in _telling(compound)
                ]
    return words


def _telling(compound: str) -> tuple[str, ...]:
    """Words of a compound that mean something alone: `h2d` and `a2a` only as a whole."""
    whole, *parts = split_identifier(compound)
    found = (whole,) if any(len(part) < 2 for part in parts) else (whole, *parts)
    return tuple(word for word in found if len(word) > 1 and not word.isdigit())


def _folded(char: str) -> str:
    """One character in lower case; those that become several stay, so that places keep their meaning."""
    lowered = char.lower()
    return lowered if len(lowered) == 1 else char


def _squeezed(form: str) -> str:
    return "".join(_folded(char) for char in form if char not in _BETWEEN)


def faults(aliases: Aliases) -> list[str]:
    """What a reviewed table must not hold: terms not spelled by the word rule, or that belong to two concepts."""
    found: list[str] = []
    owners: dict[str, str] = {}
    for concept in aliases.concepts:
        name = concept.terms[0] if concept.terms else ""
        if not name:
            found.append(f"a concept of {concept.zh} has no term")
        for term in (*concept.terms, *concept.broader):
            ruled = " ".join("".join(prose_parts(word)) for word in term.split())
            if ruled != term:
                found.append(f"{term!r} is to be written {ruled!r}")
        for form in concept.zh:
            if not _CJK.search(form) or _squeezed(form) != form:
                found.append(f"{form!r} is to be Chinese, without blanks and capitals: {_squeezed(form)!r}")
        for spelling in (*(term.replace(" ", "") for term in concept.terms), *concept.zh):
            if spelling in owners:
                found.append(f"{spelling!r} stands under {owners[spelling]!r} and {name!r}")
            owners[spelling] = name
    return found


@lru_cache(maxsize=4)
def load_aliases(path: Path | None = None) -> Aliases:
    """Read the table.

    Raises:
        AliasError: it is missing, or a line is not as its comment block describes.
    """
    path = path or data_file("aliases.yaml")
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise AliasError(f"can't read {path}: {exc.strerror or exc}") from exc
    entries = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith(b"#")]
    try:
        if not all(line.startswith(b"- {") for _, line in entries):
            raise msgspec.DecodeError("a line without '- {'")
        return Aliases(_DECODER.decode(b"[" + b",".join(line[2:] for _, line in entries) + b"]"))
    except msgspec.MsgspecError as exc:
        raise AliasError(f"can't read {path}: {_first_fault(entries) or exc}") from exc


def _first_fault(entries: list[tuple[int, bytes]]) -> str:
    for number, line in entries:
        if not line.startswith(b"- {"):
            return f"line {number}: a concept begins with '- {{'"
        try:
            _LINE_DECODER.decode(line[2:])
        except msgspec.MsgspecError as exc:
            return f"line {number}: {exc}"
    return ""


def expand(text: str) -> Expansion:
    """`Aliases.expand` with the table of data/.

    Raises:
        AliasError: the table can't be read.
    """
    return load_aliases().expand(text)


_DECODER = msgspec.json.Decoder(tuple[Concept, ...])
_LINE_DECODER = msgspec.json.Decoder(Concept)
