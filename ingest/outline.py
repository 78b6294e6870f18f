"""Definitions of a source file by tree-sitter: which class, function or kernel a line belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tree_sitter
import tree_sitter_cpp
import tree_sitter_cuda
import tree_sitter_python
import tree_sitter_rust

_GRAMMARS: dict[str, Callable[[], object]] = {
    "python": tree_sitter_python.language,
    "cuda": tree_sitter_cuda.language,
    "cpp": tree_sitter_cpp.language,
    "rust": tree_sitter_rust.language,
}
_DEFINITIONS: dict[str, tuple[str, ...]] = {
    "python": ("class_definition", "function_definition"),
    "cpp": (
        "function_definition",
        "class_specifier",
        "struct_specifier",
        "enum_specifier",
        "namespace_definition",
    ),
    "rust": (
        "function_item",
        "impl_item",
        "struct_item",
        "enum_item",
        "trait_item",
        "mod_item",
        "macro_definition",
    ),
}
_DEFINITIONS["cuda"] = _DEFINITIONS["cpp"]
# what stands before a definition and belongs to it: decorators, template parameters
_WRAPPERS = {
    "python": ("decorated_definition",),
    "cpp": ("template_declaration",),
    "cuda": ("template_declaration",),
}
_KINDS = {
    "class_definition": "class", "class_specifier": "class", "struct_specifier": "struct", "struct_item": "struct",
    "enum_specifier": "enum", "enum_item": "enum", "namespace_definition": "namespace", "mod_item": "module",
    "impl_item": "impl", "trait_item": "trait", "macro_definition": "macro",
}  # fmt: skip
_CONTAINERS = {"class", "struct", "impl", "trait"}
_NAME_NODES = {"identifier", "field_identifier", "qualified_identifier", "destructor_name", "operator_name",
               "template_function", "type_identifier"}  # fmt: skip
_NO_STATEMENT = ("comment", "line_continuation")
_WORTH_SPLITTING = 30  # rows; a shorter definition is parsed whole
_KERNEL_DECORATOR = (b"triton.jit", b"cute.kernel", b"tilelang.jit", b"gluon.jit", b"T.prim_func")

Rows = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition whose 0-based rows `first..last` include its decorators; `header` is the row of its name."""

    name: str
    kind: str
    first: int
    header: int
    last: int


@dataclass(frozen=True, slots=True)
class Outline:
    """All definitions of one version of a file, and where its statements begin. Rows are 0-based.

    Attributes:
        names: qualified names, in the order of the source, outer before inner.
        kinds: their kinds.
        spans: (definitions, 3): first row, decorators included; row of the name; last row.
        errors: (places, 2): first and last row of what did not parse.
        rows: first rows of the statements that stand directly in the module or in a definition worth splitting, in
            order; empty where a change can't be parsed apart from the rest.
        scopes: for each of them the index of that definition, -1 for the module.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    spans: Rows
    errors: Rows
    rows: Rows
    scopes: Rows

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return 120 * len(self.names) + 8 * len(self.rows) + 500

    def find(self, name: str) -> Definition | None:
        """The first definition of a name."""
        if name not in self.names:
            return None
        place = self.names.index(name)
        return Definition(name, self.kinds[place], *self.spans[place].tolist())

    def touching(self, first: int, last: int) -> tuple[list[Definition], bool]:
        """Definitions that overlap the rows `first..last`, outer before inner, and whether those rows parsed."""
        spans = self.spans
        found = np.flatnonzero((spans[:, 0] <= last) & (spans[:, 2] >= first)).tolist()
        definitions = [Definition(self.names[i], self.kinds[i], *spans[i].tolist()) for i in found]
        return definitions, not bool(((self.errors[:, 0] <= last) & (self.errors[:, 1] >= first)).any())


@cache
def language_named(name: str) -> tree_sitter.Language:
    """A grammar by its name."""
    return tree_sitter.Language(_GRAMMARS[name]())


@cache
def parser_of(name: str) -> tree_sitter.Parser:
    """A grammar's parser."""
    return tree_sitter.Parser(language_named(name))


@cache
def _query(name: str) -> tree_sitter.Query:
    nodes = [*_DEFINITIONS[name], *_WRAPPERS.get(name, ())]
    return tree_sitter.Query(
        language_named(name), "[" + " ".join(f"({n})" for n in nodes) + "] @definition (ERROR) @error"
    )


def outline_of(language: str, source: bytes) -> Outline:
    """Parse a file."""
    root = parser_of(language).parse(source).root_node
    return _outline(language, source, root, 0, splits=language == "python" and not root.has_error)


def outline_of_piece(source: bytes, headers: int, end: tuple[int, int, int] | None) -> Outline | None:
    """Parse Python statements that stand below some headers.

    Args:
        source: the headers, one a row, each the only statement of the one above; the statements; and where they end
            the statement `0`.
        headers: how many headers there are.
        end: row and column of that `0`, and how many of the headers it has to stand below. None where the file ends.

    Returns:
        The outline of all that; None when it does not parse on its own, or does not end where it should.
    """
    root = parser_of("python").parse(source).root_node
    if root.has_error or (end is not None and not _ends_at(root, *end)):
        return None
    return _outline("python", source, root, headers, splits=True)


def _ends_at(root: tree_sitter.Node, row: int, column: int, depth: int) -> bool:
    """Whether a number is a statement of its own below exactly the first `depth` headers."""
    node = root.descendant_for_point_range((row, column), (row, column + 1))
    if node is None or node.type != "integer" or node.start_point != (row, column):
        return False
    statement = node.parent
    if (
        statement is None
        or statement.type != "expression_statement"
        or statement.start_byte != node.start_byte
    ):
        return False
    body = statement.parent
    for level in reversed(range(depth)):
        owner = body.parent if body is not None and body.type == "block" else None
        if owner is None or owner.start_point[0] != level:
            return False
        body = owner.parent
    return body is not None and body.type == "module"


def _outline(language: str, source: bytes, root: tree_sitter.Node, headers: int, *, splits: bool) -> Outline:
    captures = tree_sitter.QueryCursor(_query(language)).captures(root)
    kinds = frozenset(_DEFINITIONS[language])
    nodes = {(n.start_byte, n.end_byte, n.type): n for n in captures.get("definition", [])}
    ordered = sorted(nodes.values(), key=lambda n: (n.start_byte, -n.end_byte, n.type in kinds))
    found = _qualify(ordered)
    places = {start: i for i, (start, _) in enumerate(found)}
    statements = _statements(root, places, source, headers) if splits else []
    definitions = [definition for _, definition in found]
    errors = [(n.start_point[0], n.end_point[0]) for n in captures.get("error", [])]
    return Outline(
        names=tuple(d.name for d in definitions),
        kinds=tuple(d.kind for d in definitions),
        spans=_rows([(d.first, d.header, d.last) for d in definitions], 3),
        errors=_rows(errors, 2),
        rows=_rows(statements, 2)[:, 0],
        scopes=_rows(statements, 2)[:, 1],
    )


def _rows(values: Sequence[tuple[int, ...]], width: int) -> Rows:
    return np.array(values, np.int32).reshape(-1, width)


def _statements(
    root: tree_sitter.Node, places: dict[int, int], source: bytes, headers: int
) -> list[tuple[int, int]]:
    """(first row, index of the definition it stands in or -1) of statements that begin a row, in order.

    Only definitions that are long, or begin in the first `headers` rows, are looked into. Comments are no
    statements: whose they are depends on what follows.
    """
    found: list[tuple[int, int]] = []
    bodies = [(root, -1)]
    while bodies:
        body, scope = bodies.pop()
        for node in body.named_children:
            kind = node.type
            row, column = node.start_point
            if kind in _NO_STATEMENT or source[node.start_byte - column : node.start_byte].strip(b" \t"):
                continue
            found.append((row, scope))
            inner = node.child_by_field_name("definition") if kind == "decorated_definition" else node
            if inner is not None and inner.type in _DEFINITIONS["python"]:
                place = places.get(inner.start_byte)
                below = inner.child_by_field_name("body")
                if (
                    place is not None
                    and below is not None
                    and (row < headers or inner.end_point[0] - row >= _WORTH_SPLITTING)
                ):
                    bodies.append((below, place))
    return sorted(found)


def _qualify(nodes: Sequence[tree_sitter.Node]) -> list[tuple[int, Definition]]:
    """(start byte, definition) of nodes in the order of the source."""
    found: list[tuple[int, Definition]] = []
    stack: list[tuple[int, str, str]] = []  # end byte, qualified name, kind
    decorated: tuple[int, int, bool] | None = None  # end byte, first row, is a kernel
    for node in nodes:
        if node.type == "template_declaration":
            # nested templates keep the first row of the outermost
            outer = decorated is not None and decorated[0] == node.end_byte
            decorated = (node.end_byte, decorated[1] if outer and decorated else node.start_point[0], False)
            continue
        if node.type == "decorated_definition":
            head = b" ".join(c.text or b"" for c in node.children if c.type == "decorator")
            decorated = (node.end_byte, node.start_point[0], any(word in head for word in _KERNEL_DECORATOR))
            continue
        while stack and stack[-1][0] <= node.start_byte:
            stack.pop()
        named = _name(node)
        if named is None:
            continue
        name, header = named
        start, end = node.start_point[0], node.end_point[0]
        kind = _KINDS.get(node.type, "function")
        if kind == "function":
            inside = bool(stack) and stack[-1][2] in _CONTAINERS
            if (decorated is not None and decorated[0] == node.end_byte and decorated[2]) or _is_cuda_kernel(
                node
            ):
                kind = "kernel"
            elif inside:
                kind = "method"
        if decorated is not None and decorated[0] == node.end_byte:
            start = decorated[1]
        decorated = None
        qualified = f"{stack[-1][1]}.{name}" if stack and stack[-1][1] else name
        stack.append(
            (
                node.end_byte,
                stack[-1][1] if kind == "namespace" and stack else "" if kind == "namespace" else qualified,
                kind,
            )
        )
        if kind != "namespace":
            found.append((node.start_byte, Definition(qualified, kind, start, header, end)))
    return found


def _name(node: tree_sitter.Node) -> tuple[str, int] | None:
    """Name of a definition and the 0-based row it stands on; None for anonymous ones."""
    part = node.child_by_field_name("name") or node.child_by_field_name(
        "type" if node.type == "impl_item" else "declarator"
    )
    for _ in range(8):  # int *&(*f(…))(…): declarators nest, never deeply
        if part is None or part.type in _NAME_NODES or node.type != "function_definition":
            break
        inner = part.child_by_field_name("declarator")
        if inner is None:
            inner = next(
                (c for c in part.named_children if c.type in _NAME_NODES or c.type.endswith("declarator")),
                None,
            )
        part = inner
    if part is None or part.text is None:
        return None
    name = " ".join(part.text.decode("utf-8", "replace").split())
    return (name[:200], part.start_point[0]) if name else None


def _is_cuda_kernel(node: tree_sitter.Node) -> bool:
    if node.type != "function_definition" or node.text is None:
        return False
    return b"__global__" in node.text[:200]
