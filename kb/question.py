"""What a question asks for: references, paths, symbols, flags, families, words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from kb.families import Families
from kb.references import Reference, take_references
from kb.words import prose_words

_PATH = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[\w.-]+\.(?:py|pyi|cu|cuh|cpp|cc|c|h|hpp|rs|md|json|ya?ml|toml|jinja|sh|txt)|(?:[\w.-]+/){2,}[\w.-]*)(?![\w/])")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
_VARIABLE = re.compile(r"(?<!\w)[A-Z][A-Z0-9]*_[A-Z0-9_]+(?!\w)")
# snake_case, CamelCase with two humps, Class.method, ns::name: names that only code has
_SYMBOL = re.compile(r"(?<![\w/.-])(?:[A-Za-z_]\w*(?:(?:\.|::)[A-Za-z_]\w*)+|[A-Za-z0-9]*_\w+|[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+|[A-Z]{2,}[a-z]\w+)(?![\w/])")
_MOST_WORDS = 64

STOP_WORDS = frozenset(
    "a an and are as at be been but by can could did do does doing done during each every for from get gets getting had has have "
    "having how i if in instead into is it its just like make makes me more most my need needs new no not now of off on once "
    "one only or our out over per same should so some such take takes than that the their them then there these they this those "
    "to too under until up use used uses using very via want wants was we were what when where whether which while who why will "
    "with without would you your 's after before between both also any all about against because being down few further here "
    "nor other own through again".split()
)


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed question.

    Attributes:
        text: as it was asked.
        references: pull requests it names.
        words: content words by the code-aware rule, in order, each once.
        paths: file paths or names in it, lower-case.
        names: symbols as typed.
        exact: flags and environment variables, lower-case, as they stand in the index.
        families: slugs of the families it mentions.
    """

    text: str
    references: tuple[Reference, ...] = ()
    words: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    @property
    def only_references(self) -> bool:
        """Whether nothing but references was asked for."""
        return bool(self.references) and not self.words


def parse_question(text: str, families: Families) -> Question:
    """Read a question; any text is one."""
    references, rest = take_references(text)
    paths = tuple(dict.fromkeys(m[1].lower().strip("./") for m in _PATH.finditer(rest)))
    flags = [f.lower() for f in _FLAG.findall(rest)]
    variables = [v.lower() for v in _VARIABLE.findall(rest)]
    names = [n for n in _SYMBOL.findall(rest) if n.lower() not in variables and not any(n.lower() in p for p in paths)]
    words = [w for w in prose_words(rest) if w not in STOP_WORDS and not (w.isdigit() and len(w) > 4)]
    return Question(
        text=text,
        references=tuple(references),
        words=tuple(dict.fromkeys(words))[:_MOST_WORDS],
        paths=paths,
        names=tuple(dict.fromkeys(names)),
        exact=tuple(dict.fromkeys((*flags, *variables))),
        families=families.mentioned(rest),
    )


def path_terms(question: Question) -> list[str]:
    """Index terms of the paths in a question: each whole, and its file name."""
    terms = [t for p in question.paths for t in (p, PurePosixPath(p).name)]
    return list(dict.fromkeys(t for t in terms if "." in t or "/" in t))
