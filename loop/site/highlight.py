"""Lines of a diff as HTML: what was added and removed, and the words of the language, as far as they help the eye.

pygments takes the code apart; only six kinds of words get a mark, which halves a page's weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType

from kb.reports.safe import plain

_LEXERS = {
    ".py": "python", ".pyi": "python", ".cu": "cuda", ".cuh": "cuda", ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp",
    ".h": "cpp", ".hpp": "cpp", ".c": "c", ".rs": "rust", ".go": "go", ".ts": "typescript", ".js": "javascript",
    ".sh": "bash", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json", ".cmake": "cmake",
}  # fmt: skip
_MARKS: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c"), (String, "s"), (Number, "m"), (Name.Function, "f"), (Name.Class, "f"), (Name.Decorator, "d"),
    (Keyword, "k"),
)  # fmt: skip
_KINDS = {"+": "a", "-": "r"}
_LONGEST = 20_000  # characters; a longer text is shown without colours


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a diff: `kind` is `a` added, `r` removed or empty, `code` its words as HTML, `mark` its first character."""

    kind: str
    mark: str
    code: Markup


def diff_lines(text: str, path: str) -> list[Line]:
    """The lines of a hunk's text, each with its mark in front, as HTML."""
    lines = plain(text).rstrip("\n").split("\n")
    bare = [line[1:] for line in lines]
    coloured = _coloured("\n".join(bare), path)
    return [
        Line(_KINDS.get(line[:1], ""), line[:1] or " ", code)
        for line, code in zip(lines, coloured, strict=True)
    ]


def _coloured(code: str, path: str) -> list[Markup]:
    """Each line of a text as HTML."""
    lexer = _lexer(PurePosixPath(path).suffix.lower())
    if lexer is None or len(code) > _LONGEST:
        return [escape(line) for line in code.split("\n")]
    lines: list[list[str]] = [[]]
    for kind, value in _tokens(lexer, code):
        mark = next((m for of, m in _MARKS if kind[: len(of)] == of), "")
        for number, part in enumerate(value.split("\n")):
            if number:
                lines.append([])
            if part:
                lines[-1].append(f"<i class={mark}>{escape(part)}</i>" if mark else str(escape(part)))
    return [Markup("".join(parts)) for parts in lines]  # every part is escaped


def _tokens(lexer: Lexer, code: str) -> Iterator[tuple[_TokenType, str]]:
    """The words of a text; together they are the text, whatever the lexer makes of it."""
    for _, kind, value in lexer.get_tokens_unprocessed(code):
        yield kind, value


@cache
def _lexer(suffix: str) -> Lexer | None:
    name = _LEXERS.get(suffix)
    return None if name is None else get_lexer_by_name(name, stripnl=False, ensurenl=False)
