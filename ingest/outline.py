"""Definitions of a source file by tree-sitter: which class, function or kernel a line belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

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
_KERNEL_DECORATOR = (b"triton.jit", b"cute.kernel", b"tilelang.jit", b"gluon.jit", b"T.prim_func")


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition whose 0-based rows `first..last` include its decorators; `header` is the row of its name."""

    name: str
    kind: str
    first: int
    header: int
    last: int


@dataclass(frozen=True, slots=True)
class Region:
    """Definitions that touch a range of rows, outermost first, and whether the range parsed without error."""

    definitions: tuple[Definition, ...]
    parsed: bool


@cache
def _language(name: str) -> tree_sitter.Language:
    return tree_sitter.Language(_GRAMMARS[name]())


@cache
def _parser(name: str) -> tree_sitter.Parser:
    return tree_sitter.Parser(_language(name))


@cache
def _query(name: str) -> tree_sitter.Query:
    nodes = [*_DEFINITIONS[name], *_WRAPPERS.get(name, ())]
    return tree_sitter.Query(
        _language(name), "[" + " ".join(f"({n})" for n in nodes) + "] @definition (ERROR) @error"
    )


def parse(language: str, source: bytes, before: tree_sitter.Tree | None = None) -> tree_sitter.Tree:
    """Parse a file; `before` is the edited tree of its earlier version, whose unchanged parts are reused."""
    parser = _parser(language)
    return parser.parse(source) if before is None else parser.parse(source, before)


def definitions_in(language: str, tree: tree_sitter.Tree, first: int, last: int) -> Region:
    """Definitions that overlap the 0-based rows `first..last`, with qualified names."""
    cursor = tree_sitter.QueryCursor(_query(language))
    cursor.set_point_range((first, 0), (last + 1, 0))
    captures = cursor.captures(tree.root_node)
    errors = [n for n in captures.get("error", []) if n.start_point[0] <= last and n.end_point[0] >= first]
    found = captures.get("definition", [])
    kinds = frozenset(_DEFINITIONS[language])
    # a change in a wrapper alone does not reach the definition in it
    found = [
        *found,
        *(inner for n in found if n.type not in kinds for inner in n.children if inner.type in kinds),
    ]
    nodes = {(n.start_byte, n.end_byte, n.type): n for n in found}
    ordered = sorted(nodes.values(), key=lambda n: (n.start_byte, -n.end_byte, n.type in kinds))
    return Region(tuple(_qualify(ordered, first, last)), not errors)


def _qualify(nodes: Sequence[tree_sitter.Node], first: int, last: int) -> list[Definition]:
    found: list[Definition] = []
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
        if kind != "namespace" and start <= last and end >= first:
            found.append(Definition(qualified, kind, start, header, end))
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
