"""What a question asks for: references, paths, symbols, flags, families, words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingest.records import PrKind
from kb.aliases import Aliases, load_aliases
from kb.families import Families
from kb.references import Reference, take_references
from kb.words import path_terms, prose_words

_PATH = re.compile(
    r"(?<![\w/.-])((?:[\w.-]+/)*[\w.-]+\.(?:py|pyi|cu|cuh|cpp|cc|c|h|hpp|rs|md|json|ya?ml|toml|jinja|sh|txt)|(?:[\w.-]+/){2,}[\w.-]*)(?![\w/])"
)
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
_VARIABLE = re.compile(r"(?<!\w)[A-Z][A-Z0-9]*_[A-Z0-9_]+(?!\w)")
# snake_case, CamelCase with two humps, Class.method, ns::name: names that only code has
_SYMBOL = re.compile(
    r"(?<![\w/.-])(?:[A-Za-z_]\w*(?:(?:\.|::)[A-Za-z_]\w*)+|[A-Za-z0-9]*_\w+|[A-Z][a-z0-9]+[A-Z][A-Za-z0-9]*|[A-Z]{2,}[a-z]\w+)(?![\w/])"
)
_MOST_WORDS = 64

STOP_WORDS = frozenset(
    "a an and are as at be been but by can could did do does doing done during each every for from get gets getting had has have "
    "having how i if in instead into is it its just like make makes me more most my need needs new no not now of off on once "
    "one only or our out over per same should so some such take takes than that the their them then there these they this those "
    "to too under until up use used uses using very via want wants was we were what when where whether which while who why will "
    "with without would you your 's after before between both also any all about against because being down few further here "
    "nor other own through again".split()
)

_STOPPED = STOP_WORDS | {w for word in STOP_WORDS for w in prose_words(word)}
# words that ask for a history and say nothing of what is in it
_ASKING = frozenset(
    "history merged merge change made work show list pr pull request model support related family evolution".split()
)
# words that only say what sort of thing a name is
_NAMING = frozenset(
    "class function method kernel file flag option argument variable env module def sglang vllm trtllm py".split()
)
_ASKED_KINDS: tuple[tuple[PrKind, re.Pattern[str]], ...] = (
    ("perf", re.compile(r"\b(?:speed-?ups?|optimi[sz]ations?|performance|perf)\b", re.IGNORECASE)),
    ("fix", re.compile(r"\b(?:bug ?)?fix(?:es|ed)?\b", re.IGNORECASE)),
    ("docs", re.compile(r"\b(?:docs|documentation)\b", re.IGNORECASE)),
    ("test", re.compile(r"\btests\b", re.IGNORECASE)),
    ("revert", re.compile(r"\brevert(?:s|ed)?\b", re.IGNORECASE)),
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
        topic: content words beside the families' names and words that only ask for a list of changes.
        only_names: whether it is nothing but paths, symbols, flags and variables: then whoever asks wants their origin.
        kinds: kinds of change it asks for by name, as in "speedups merged for …".
        english: the text with Chinese terms replaced, as a model reads it.
        other_names: words that other names of what it mentions are made of, with their weights.
    """

    text: str
    references: tuple[Reference, ...] = ()
    words: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    topic: tuple[str, ...] = ()
    only_names: bool = False
    kinds: tuple[PrKind, ...] = ()
    english: str = ""
    other_names: dict[str, float] = field(default_factory=dict)

    @property
    def only_references(self) -> bool:
        """Whether nothing but references was asked for."""
        return bool(self.references) and not self.words


def parse_question(text: str, families: Families, aliases: Aliases | None = None) -> Question:
    """Read a question; any text is one."""
    references, foreign = take_references(text)
    expansion = (aliases or load_aliases()).expand(foreign)
    rest = expansion.text
    paths = tuple(dict.fromkeys(m[1].lower().strip("./") for m in _PATH.finditer(rest)))
    flags = [f.lower() for f in _FLAG.findall(rest)]
    variables = [v.lower() for v in _VARIABLE.findall(rest)]
    names = [
        n
        for n in _SYMBOL.findall(rest)
        if n.lower() not in variables and not any(n.lower() in p for p in paths)
    ]
    mentions = families.mentions(rest)
    named = {w for text in (*paths, *names, *flags, *variables) for w in prose_words(text.replace("/", " "))}
    words = _content_words(rest)
    return Question(
        text=text,
        references=tuple(references),
        words=words,
        paths=paths,
        names=tuple(dict.fromkeys(names)),
        exact=tuple(dict.fromkeys((*flags, *variables))),
        families=tuple(
            dict.fromkeys(
                (*(slug for _, _, slugs in mentions for slug in slugs), *families.mentioned(foreign))
            )
        ),
        topic=tuple(w for w in _content_words(_without(rest, mentions)) if w not in _ASKING),
        only_names=bool(named) and named.issuperset(set(words) - _NAMING),
        kinds=tuple(kind for kind, pattern in _ASKED_KINDS if pattern.search(rest)),
        english=rest,
        other_names={w: weight for w, weight in expansion.words if w not in _STOPPED and w not in words},
    )


def _content_words(text: str) -> tuple[str, ...]:
    words = (w for w in prose_words(text) if w not in _STOPPED and not (w.isdigit() and len(w) > 4))
    return tuple(dict.fromkeys(words))[:_MOST_WORDS]


def _without(text: str, mentions: Sequence[tuple[int, int, tuple[str, ...]]]) -> str:
    parts, at = [], 0
    for start, end, _ in sorted(mentions):
        parts.append(text[at : max(at, start)])
        at = max(at, end)
    return " ".join((*parts, text[at:]))


def wanted_paths(question: Question) -> list[str]:
    """Index terms of the paths in a question, each whole and as a file name, touched or added."""
    terms = [t for p in question.paths for t in path_terms(p) if "." in t or "/" in t]
    return list(dict.fromkeys(t for term in terms for t in (term, f"+{term}")))


def wanted_names(question: Question) -> list[str]:
    """Index terms of the names in a question: flags and variables as they are, definitions where they are made."""
    definitions = [f"+{n.lower().replace('::', '.')}" for n in question.names]
    return list(dict.fromkeys((*question.exact, *definitions)))
