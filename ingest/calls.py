"""Who calls whom in a source text, by tree-sitter: the facts that a picture of a changed execution path is made of.

Works on whole files and on pieces of them: the grammars go on behind what does not parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import tree_sitter

from ingest.outline import Definition, language_named, outline_of, parser_of

_CALLS = {
    "python": "(call function: (_) @callee)",
    "cpp": "(call_expression function: (_) @callee)",
    "cuda": "(call_expression function: (_) @callee)",
    "rust": "(call_expression function: (_) @callee)",
}
_LAUNCH = re.compile(rb"(\w[\w:]*)\s*(?:<[^<>;{}]{0,200}>)?\s*<<<")
_PLAIN = re.compile(r"[A-Za-z_][\w]*(?:(?:\.|::|->)[A-Za-z_]\w*)*")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Call:
    """A call: the qualified name around it (empty outside of any definition), what is called as written, its 0-based row."""

    caller: str
    callee: str
    row: int

    @property
    def name(self) -> str:
        """The called name alone, without what it is called on."""
        return re.split(r"\.|::|->", self.callee)[-1]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Definitions of a text, outer before inner, and its calls in order."""

    definitions: tuple[Definition, ...]
    calls: tuple[Call, ...]


@cache
def _query(language: str) -> tree_sitter.Query:
    return tree_sitter.Query(language_named(language), _CALLS[language])


def source_facts(language: str, source: bytes, enclosing: Callable[[int], str] | None = None) -> SourceFacts:
    """Read the calls of a text.

    Args:
        language: python, cuda, cpp or rust.
        source: a file or a piece of one.
        enclosing: names the definition around a row where the text itself does not hold it.
    """
    outline = outline_of(language, source)
    definitions = tuple(
        Definition(n, k, *s)
        for n, k, s in zip(outline.names, outline.kinds, outline.spans.tolist(), strict=True)
    )
    found: list[tuple[int, str]] = []
    root = parser_of(language).parse(source).root_node
    for node in tree_sitter.QueryCursor(_query(language)).captures(root).get("callee", []):
        text = _callee(node)
        if text:
            found.append((node.start_point[0], text))
    if language in ("cuda", "cpp"):  # a launch is no call expression in every version of the grammar
        for match in _LAUNCH.finditer(source):
            found.append((source.count(b"\n", 0, match.start()), match[1].decode("utf-8", "replace")))
    owners = _owners(definitions)
    calls = []
    for row, text in sorted(set(found)):
        owner = owners(row) or (enclosing(row) if enclosing else "")
        calls.append(Call(owner, text, row))
    return SourceFacts(definitions, tuple(calls))


def _callee(node: tree_sitter.Node) -> str:
    text = (node.text or b"")[: _LONGEST + 1].decode("utf-8", "replace")
    text = re.sub(r"\s+", "", text)
    text = re.sub(r"<[^<>]*>$", "", text)  # template arguments
    return text if len(text) <= _LONGEST and _PLAIN.fullmatch(text) else ""


def _owners(definitions: tuple[Definition, ...]) -> Callable[[int], str]:
    """The innermost function around a row; a class where there is none."""

    def owner(row: int) -> str:
        around = [d for d in definitions if d.first <= row <= d.last]
        functions = [d for d in around if d.kind in ("function", "method", "kernel")]
        best = min(functions or around, key=lambda d: (d.last - d.first, -d.first), default=None)
        return best.name if best else ""

    return owner
