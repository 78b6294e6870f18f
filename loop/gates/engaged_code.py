"""Which functions a patch changes, by the line at which Python says they begin."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_MODULE = "<module>"


def changed_functions(before: bytes | None, after: bytes) -> dict[int, str]:
    """First line -> name of the functions of a file that are new or differ; the module itself at 0 when only it does.

    The first line is that of the first decorator, as in a code object's `co_firstlineno`. A function around a changed one
    differs only by what is its own.
    """
    new = dict(_functions(after))
    if not new:
        return {}
    old = {name: body for name, (_, body) in _functions(before or b"")}
    found = {line: name for name, (line, body) in new.items() if old.get(name) != body and name != _MODULE}
    if not found and old.get(_MODULE) != new.get(_MODULE, (0, ""))[1]:
        return {0: _MODULE}
    return found


def _functions(source: bytes) -> Iterator[tuple[str, tuple[int, str]]]:
    """(qualified name, (first line, what is its own)) of a file; nothing for one that can't be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    yield _MODULE, (0, _own(tree))
    yield from _within(tree, "")


def _within(node: ast.AST, prefix: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            line = min([child.lineno, *(d.lineno for d in child.decorator_list)])
            yield f"{prefix}{child.name}", (line, _own(child))
            yield from _within(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _within(child, f"{prefix}{child.name}.")
        else:
            yield from _within(child, prefix)


def _own(node: ast.AST) -> str:
    """A definition without the functions within it, and without docstrings."""
    copy = _Outer().visit(ast.parse(ast.unparse(node)))
    return ast.dump(copy)


class _Outer(ast.NodeTransformer):
    """Takes inner functions out; the outermost one, or the module, stays."""

    def __init__(self) -> None:
        self._depth = 0

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if self._depth:
            return ast.Pass()
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        only = len(node.body) == 1 and isinstance(node.body[0], (ast.FunctionDef, ast.AsyncFunctionDef))
        self._depth = 0 if only else 1
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.Pass()
        self.generic_visit(node)
        return node
