"""What kind of line each line of a hunk is, and how much it says.

The kinds that are no news (blank lines, brackets, imports, licence headers, moved lines, reformatted runs) score
nothing, comments and docstrings little. The rest scores by how many different words it holds and whether it
decides something: a condition, a definition, a raise, a registration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Literal

LineKind = Literal[
    "code", "comment", "import", "licence", "blank", "bracket", "moved", "format", "long", "context", "mark"
]

LONGEST_LINE = 400  # characters; longer lines are data
_SHORT_MOVE = 9  # shorter lines stand everywhere without having moved

_LEGAL = re.compile(
    r"licen[sc]e[ds]?\b|copyright|\bspdx\b|all rights reserved|without warranties or conditions|express or implied|"
    r"redistribution and use|\bwarranty\b|distributed under the|distributed on an|you may not use this file|"
    r"you may obtain a copy|in compliance with|law or agreed to in writing|agreed to in writing|\"as is\"",
    re.IGNORECASE,
)
_HASH_COMMENTS = frozenset(
    (".py", ".pyi", ".sh", ".yaml", ".yml", ".toml", ".cfg", ".cmake", ".dockerfile", "")
)
_IMPORT = re.compile(
    r"from\s+\S+\s+import\b|import\s+[\w.{*\"']|(?:pub(?:\([\w:]+\))?\s+)?use\s+[\w:]+|#\s*include\b|using\s+namespace\b|"
    r"if\s+(?:typing\.)?TYPE_CHECKING\s*:|pub\s+mod\s+\w+;|mod\s+\w+;|extern\s+crate\b"
)  # fmt: skip
_OPEN_IMPORT = re.compile(
    r"(?:from\s+\S+\s+import|import)\b[^)}#]*[({][^)}]*$|(?:pub\s+)?use\s+[^;]*\{[^;]*$"
)
_PREPROCESSOR = re.compile(r"#\s*(?:if|ifdef|ifndef|define|pragma|elif|else|endif|undef|error|include)\b")
_BRACKET = re.compile(
    r"[\])}\[({,;:.>\"'`|=+*/<\-]+$|(?:pass|else|try|finally|return|continue|break|\.\.\.|do|done|fi|then|end|begin)[:;]?$"
)
_QUOTES = re.compile(r"[rRbBuUfF]{0,2}(\"\"\"|''')")
_TRIPLE = re.compile(r"\"\"\"|'''")
_OPENS_STRING = re.compile(r"[=(,\[{+]\s*[rRbBuUfF]{0,2}(?:\"\"\"|''')")
_STRONG = re.compile(
    r"\b(?:def|class|fn|struct|enum|__global__|__device__|triton\.jit|if|elif|while|assert|raise|return|yield|add_argument|register\w*|"
    r"torch\.ops|environ|getenv|template|await|match|switch|case|launch_kernel)\b|<<<"
)
_LOGGING = re.compile(
    r"\s*(?:self\.)?(?:logger|logging|log|print|warnings)\b[.(]|^\s*(?:LOG|TLLM_LOG|info!|warn!|debug!|println!)"
)
_PARAMETER = re.compile(
    r"\s*\*{0,2}\w+\s*(?::\s*[^=(]+)?(?:=\s*[^(]+)?,$"
)  # of a signature, or a name passed on
# five words and no sign of code: a line of a docstring that begins above the hunk
_SENTENCE = re.compile(r"[A-Za-z`(-][\w`'’,.;:/()-]*(?: [\w`'’,.;:/()-]+){4,}$")
_STATEMENT = re.compile(
    r"(?:return|raise|if|elif|else|for|while|with|assert|yield|await|from|del|global|class|def|not|and|or|lambda|async|except|in|is)\b|.*[\w)]\("
)
_EXPRESSION = re.compile(r".* (?:if .* else|for \w+ in|is not|not in|and|or) ")
_WORD = re.compile(r"[A-Za-z]{2,}")
_COMMENT_WORTH = 0.12  # prose in comments explains, but shows no behaviour
_LOG_WORTH = 0.35
_STRING_WORTH = 0.3
_PARAMETER_WORTH = 0.55
_REMOVED_WORTH = 0.6  # what was there before says less than what is there now


def line_kinds(path: str, lines: Sequence[str], moved: Collection[str] = ()) -> list[LineKind]:
    """The kind of each line of one hunk.

    Args:
        path: the file; its suffix says what a comment is.
        lines: with their marks.
        moved: stripped texts of lines that the change takes out in one place and puts in at another.
    """
    reader = _Reader(PurePosixPath(path).suffix.lower())
    reader.begin(lines)
    kinds = [reader.kind(line) for line in lines]
    for first, last in _runs(lines):
        if _is_reformatted(lines[first:last]):
            kinds[first:last] = ["format" if k == "code" else k for k in kinds[first:last]]
    if moved:
        for i, line in enumerate(lines):
            if (
                kinds[i] in ("code", "comment")
                and (text := line[1:].strip()) in moved
                and len(text) >= _SHORT_MOVE
            ):
                kinds[i] = "moved"
    return kinds


class _Reader:
    """Reads a hunk from top to bottom and remembers what is open: a docstring, a block comment, an import list."""

    def __init__(self, suffix: str) -> None:
        self._hash = suffix in _HASH_COMMENTS
        self._python = suffix in (".py", ".pyi")
        self._quotes = ""
        self._block = False
        self._string = ""  # a string of several lines that is no docstring
        self._import = False

    def begin(self, lines: Sequence[str]) -> None:
        """Look ahead: a hunk may begin inside a docstring, whose end would look like the beginning of one."""
        if not self._python:
            return
        texts = [text for line in lines if line[:1] in "+ " and (text := line[1:].strip())]
        with_quotes = [i for i, text in enumerate(texts) if '"""' in text or "'''" in text]
        if not with_quotes:
            return
        first, place = texts[with_quotes[0]], with_quotes[0]
        quotes = _TRIPLE.findall(first)
        if len(quotes) != 1:
            return
        if first not in ('"""', "'''"):
            ends = not _QUOTES.match(first) and first.endswith(quotes[0]) and not _OPENS_STRING.search(first)
        elif place:
            before = texts[place - 1]
            ends = not before.partition("  #")[0].rstrip().endswith(":") and before[0] not in "#@"
        else:
            ends = sum(len(_TRIPLE.findall(texts[i])) for i in with_quotes) % 2 == 1
        if ends:
            self._quotes = quotes[0]

    def kind(self, line: str) -> LineKind:
        """The kind of the next line."""
        mark, text = line[:1], line[1:].strip()
        if mark == "\\" or mark == "@":
            return "mark"
        kind = self._content(text)
        if mark == " ":
            return "context"
        return "long" if len(line) > LONGEST_LINE and kind == "code" else kind

    def _content(self, text: str) -> LineKind:
        if not text:
            return "blank"
        if self._string:
            self._string = "" if self._string in text else self._string
            return "comment" if text[0] == "#" else "code"
        if self._quotes or self._block:
            return self._inside(text)
        if self._import:
            if text[:1] in ")}" or ")" in text or text.endswith("};"):
                self._import = False
            return "import"
        if self._python and (opening := _QUOTES.match(text)):
            if text.count(opening[1]) == 1:
                self._quotes = opening[1]
            return "licence" if _LEGAL.search(text) else "comment"
        if not self._python and text.startswith("/*"):
            self._block = "*/" not in text
            return "licence" if _LEGAL.search(text) else "comment"
        if self._is_comment(text):
            return "licence" if _LEGAL.search(text) else "comment"
        if _IMPORT.match(text):
            if _OPEN_IMPORT.match(text):
                self._import = True
            return "import"
        if self._python and (quotes := _TRIPLE.findall(text)) and len(quotes) % 2:
            self._string = quotes[-1]
        if self._python and _is_sentence(text):
            return "licence" if _LEGAL.search(text) else "comment"
        return "bracket" if _BRACKET.match(text) else "code"

    def _inside(self, text: str) -> LineKind:
        if self._block and "*/" in text:
            self._block = False
        if self._quotes and self._quotes in text:
            self._quotes = ""
        return "licence" if _LEGAL.search(text) else "comment"

    def _is_comment(self, text: str) -> bool:
        if text[0] == "#":
            return not text.startswith("#include") if self._hash else not _PREPROCESSOR.match(text)
        if text.startswith(("//", "* ", "*/", "<!--")) or text == "*":
            return not self._hash or not self._python
        return False


def _is_sentence(text: str) -> bool:
    return bool(
        _SENTENCE.match(text)
        and not _STATEMENT.match(text)
        and (text[-1] == "." or not _EXPRESSION.match(text))
    )


def _runs(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Ranges of neighbouring changed lines that hold both sides."""
    runs, start = [], -1
    for i, line in enumerate([*lines, " "]):
        if line[:1] in ("+", "-"):
            start = i if start < 0 else start
        elif start >= 0:
            if {line[0] for line in lines[start:i]} == {"+", "-"}:
                runs.append((start, i))
            start = -1
    return runs


_LAYOUT = re.compile(r"[\s,()'\"\\]+")


def _is_reformatted(lines: Sequence[str]) -> bool:
    """Whether both sides of a run hold the same text but for blanks, quotes, brackets and trailing commas."""
    old = "".join(line[1:] for line in lines if line[0] == "-")
    new = "".join(line[1:] for line in lines if line[0] == "+")
    return abs(len(old) - len(new)) < 200 and _LAYOUT.sub("", old) == _LAYOUT.sub("", new)


def line_worth(line: str, kind: LineKind) -> float:
    """Information in one diff line of a known kind, 0 to 1.5."""
    if kind == "comment":
        return _COMMENT_WORTH * min(len(set(_WORD.findall(line))), 8) / 8
    if kind != "code":
        return 0.0
    words = len(set(_WORD.findall(line)))
    worth = min(words, 8) / 8 + (0.5 if _STRONG.search(line) else 0.0)
    if words < 1:
        worth = 0.06
    elif _LOGGING.match(line, 1):
        worth *= _LOG_WORTH
    elif line[1:].lstrip()[:1] in ("'", '"') or line[1:].lstrip()[:2] in ('f"', "f'", 'r"'):
        worth *= _STRING_WORTH
    elif _PARAMETER.match(line, 1):
        worth *= _PARAMETER_WORTH
    return worth if line[0] == "+" else _REMOVED_WORTH * worth
