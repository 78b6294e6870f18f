"""What a language model reads of a card: its title, and its code as words. One rule for training, embedding and reranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from ingest.paths import group_of
from kb.words import split_identifier

_PATHS = 6
_NAMES = 16
_CODE_WORDS = 64  # about 100 word pieces: what a model of 128 has room for beside a title
_SYNTAX = frozenset(
    "and or not in is if elif else for while with as def class return import from self cls none true false try except raise "
    "assert lambda yield pass break continue del print int str float bool dict list tuple len range isinstance super init args "
    "kwargs const void auto static include template typename namespace struct public private this let mut fn impl use pub".split()
)
_SIDE_GROUPS = ("test", "benchmark", "docs", "ci")


def code_text(path_text: str, symbol_text: str, diff_words: str) -> str:
    """The code side of a card as plain words: files, names it introduces, names it changes, then words of its diff.

    Args:
        path_text: paths behind marks, a line each, as the store has them.
        symbol_text: names behind marks, a line each, as the store has them.
        diff_words: words of the diff by the code-aware rule.
    """
    paths = [line[1:] for line in path_text.split("\n") if line]
    paths.sort(key=lambda p: group_of(p) in _SIDE_GROUPS)  # stable: what runs stands before what tests it
    names = [line for line in symbol_text.split("\n") if line]
    new = [n[1:] for n in names if n.startswith("+") and "test" not in n.lower()]
    old = [n[1:] for n in names if not n.startswith("+") and "test" not in n.lower()]
    parts = [
        *_split(" ".join(PurePosixPath(p).parts[-2:]) for p in paths[:_PATHS]),
        *_split(new[:_NAMES]),
        *_split(old[:_NAMES]),
    ]
    words = list(dict.fromkeys(parts))[:_CODE_WORDS]
    seen = {*words, *_SYNTAX}
    listed = dict.fromkeys(diff_words.split(" "))
    for word in listed:
        if len(words) >= _CODE_WORDS:
            break
        if len(word) > 1 and word not in seen and not _is_joined(word, listed):
            seen.add(word)
            words.append(word)
    return " ".join(words)


def _is_joined(word: str, listed: Mapping[str, None]) -> bool:
    """Whether a word is nothing but other listed words in a row: an identifier whose parts are listed too."""
    ends = [0]
    for stop in range(2, len(word) + 1):
        if any(word[start:stop] in listed and stop - start < len(word) for start in ends):
            ends.append(stop)
    return ends[-1] == len(word)


def _split(names: Iterable[str]) -> list[str]:
    """Parts of identifiers without the joined whole, which no word-piece vocabulary has."""
    words: list[str] = []
    for name in names:
        for piece in name.replace("/", " ").replace(".", " ").replace(":", " ").split():
            parts = split_identifier(piece)
            words += parts[1:] if len(parts) > 1 else parts
    return [w for w in words if len(w) > 1]
