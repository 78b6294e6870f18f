"""Which words of descriptions and comments are worth finding a pull request by: what a person wrote, not the form around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ingest.github.records import Comment, Description, Thread
from kb.words import capped, path_terms, prose_words

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_ADDRESS = re.compile(r"https?://\S+")
_BOX = re.compile(r"^\s*[-*]\s*\[[ xX]\]")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
# sections of the engines' templates that say nothing of the change
_FORM = re.compile(r"^(checklist|review process|review and merge process|pr checklist|pre-?submission checklist)\b", re.IGNORECASE)  # fmt: skip
_QUOTE = re.compile(r"^\s{0,3}>")
_COMMAND = re.compile(r"^\s*/[a-z][\w-]*(?:\s+\S+){0,6}\s*$")  # `/tag-and-rerun-ci`
_LONGEST = 60_000
_DESCRIPTION_WORDS = 2000
_REVIEW_WORDS = 2000
_THREAD_WORDS = 1500


def said(body: str) -> str:
    """A body without hidden comments, tags, addresses, check boxes, and the sections of a form."""
    text = _TAG.sub(" ", _COMMENT.sub(" ", body[:_LONGEST]))
    text = _ADDRESS.sub(" ", text)
    kept: list[str] = []
    in_form = False
    for line in text.split("\n"):
        heading = _HEADING.match(line)
        if heading:
            in_form = bool(_FORM.match(heading[1]))
            continue  # `Motivation` stands in every description
        if not in_form and not _BOX.match(line):
            kept.append(line)
    return "\n".join(kept)


def replied(body: str) -> str:
    """A comment without what it quotes, and nothing where it only commands a bot."""
    if _COMMAND.match(body):
        return ""
    return "\n".join(line for line in said(body).split("\n") if not _QUOTE.match(line))


def description_words(description: Description) -> str:
    """The words of a description; a bot's own text has none."""
    if description.author.kind == "bot":
        return ""
    return capped(prose_words(said(description.body)), 3, _DESCRIPTION_WORDS)


def review_words(threads: Iterable[Thread]) -> str:
    """The words of people in the threads of one pull request."""
    words = (w for c in people(threads) for w in comment_words(c.body))
    return capped(words, 3, _REVIEW_WORDS)


def thread_words(thread: Thread, symbol: str) -> str:
    """What a thread is found by: its comments, people's where people wrote, its path, and its symbol."""
    spoken = list(people([thread])) or list(thread.comments)
    words = [w for c in spoken for w in comment_words(c.body)]
    path = thread.anchor.path
    if path:
        words += [*prose_words(path.replace("/", " ")), *path_terms(path)]
    words += prose_words(symbol.replace("::", "."))
    return capped(words, 3, _THREAD_WORDS)


@lru_cache(maxsize=8192)  # a thread's words are those of its pull request as well
def comment_words(body: str) -> tuple[str, ...]:
    """The words of a comment, in order."""
    return tuple(prose_words(replied(body)))


def people(threads: Iterable[Thread]) -> Iterator[Comment]:
    """Comments by people and by accounts that are gone."""
    return (c for t in threads for c in t.comments if c.author.kind != "bot" and not c.minimized)
