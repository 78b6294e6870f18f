"""The changed execution path as Mermaid flowcharts: real definitions and real calls, the changed ones marked.

A chart has 6 to 14 nodes and shows one path, a connected part of the call graph. What is too small for a picture of
its own gets none: a box with an arrow explains nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from kb.critique.calls import Edge, FileFlow
from kb.critique.findings import Record

FEWEST, MOST = 6, 14
_CHARTS = 3
_CALLEES = 4  # of one definition that are shown for what it calls, changed ones not counted
_LABEL = 60


class Chart(Record, frozen=True, kw_only=True):
    """A flowchart: its Mermaid text, how many nodes it has, and what it shows."""

    mermaid: str
    nodes: int
    says: str


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A definition or a called name; `path` is empty for what the patch does not define."""

    name: str
    path: str = ""


class _Graph:
    """Calls between changed definitions and what stands around them."""

    def __init__(self, files: Iterable[FileFlow]) -> None:
        self.files = list(files)
        self.changed: set[Node] = {Node(c, f.path) for f in self.files for c in f.changed}
        self.edges: dict[tuple[Node, Node], bool] = {}  # -> whether the call is new
        self._by_last: dict[str, list[Node]] = defaultdict(list)
        for f in self.files:
            for name in dict.fromkeys((*f.definitions, *f.changed)):
                self._by_last[_last(name)].append(Node(name, f.path))
        for f in self.files:
            for edge in f.edges:
                self._add(edge)

    def _add(self, edge: Edge) -> None:
        if not edge.caller or edge.is_gone:
            return
        caller, callee = Node(edge.caller, edge.path), self._resolve(edge)
        if caller == callee or (caller not in self.changed and callee not in self.changed):
            return
        self.edges[caller, callee] = self.edges.get((caller, callee), False) or edge.is_new

    def _resolve(self, edge: Edge) -> Node:
        """The definition a call reaches: of the same class, of the same file, else the only one of that name."""
        fitting = self._by_last.get(edge.name, [])
        if edge.callee.startswith(("self.", "cls.")) and "." not in edge.callee.split(".", 1)[1]:
            own = f"{edge.caller.rpartition('.')[0]}.{edge.name}"
            same = [n for n in fitting if n.path == edge.path and n.name == own]
            if same:
                return same[0]
        if edge.callee == edge.name:
            plain = [n for n in fitting if n.path == edge.path and n.name == edge.name]
            if plain:
                return plain[0]
        if len(fitting) == 1 and (len(edge.name) > 8 or fitting[0].path == edge.path):
            return fitting[0]
        return Node(edge.callee)

    def paths(self) -> list[set[Node]]:
        """Connected parts, the one with most changed definitions first. Names that the patch does not define join nothing."""
        parent = {n: n for pair in self.edges for n in pair if n.path}

        def root(node: Node) -> Node:
            while parent[node] != node:
                parent[node] = parent[parent[node]]
                node = parent[node]
            return node

        for a, b in self.edges:
            if a.path and b.path:
                parent[root(a)] = root(b)
        groups: dict[Node, set[Node]] = defaultdict(set)
        for node in parent:
            groups[root(node)].add(node)
        ranked = [g for g in groups.values() if g & self.changed]
        ranked.sort(key=lambda g: (-len(g & self.changed), sorted(g)[0]))
        return ranked


def charts(files: Iterable[FileFlow]) -> list[Chart]:
    """The flowcharts of a patch, largest path first."""
    graph = _Graph(files)
    made: list[Chart] = []
    small: list[set[Node]] = []
    for group in graph.paths():
        chosen = _choose(graph, group)
        if len(chosen) < FEWEST:
            small.append(chosen)
        elif len(made) < _CHARTS:
            made.append(_draw(graph, chosen))
    if not made:  # several short paths of one change make a picture together
        together: set[Node] = set()
        for group in small:
            if len(together | group) <= MOST:
                together |= group
        if len(together) >= FEWEST:
            made.append(_draw(graph, together))
    return made


def _choose(graph: _Graph, group: set[Node]) -> set[Node]:
    """At most 14 nodes of a path: changed definitions by how many calls they take part in, callers, new calls, other calls."""
    degree: dict[Node, int] = defaultdict(int)
    for a, b in graph.edges:
        degree[a] += 1
        degree[b] += 1
    changed = sorted(group & graph.changed, key=lambda n: (-degree[n], n))
    chosen = set(_linked(graph, changed)[: MOST - 4])
    around = [(a, b) for a, b in graph.edges if a in chosen or b in chosen]
    callers = sorted({a for a, b in around if b in chosen and a not in chosen}, key=lambda n: (not n.path, n))
    for node in callers[:3]:
        if len(chosen) < MOST:
            chosen.add(node)
    shown: dict[Node, int] = defaultdict(int)
    for new in (True, False):
        for a, b in sorted(around, key=lambda e: (-degree[e[0]], e)):
            if graph.edges[a, b] != new or b in chosen or a not in chosen or len(chosen) >= MOST:
                continue
            if shown[a] >= _CALLEES or (not new and len(chosen) >= FEWEST + 2):
                continue
            shown[a] += 1
            chosen.add(b)
    return chosen


def _linked(graph: _Graph, nodes: list[Node]) -> list[Node]:
    """Nodes in an order in which each is linked to one before it, as far as there is one."""
    if not nodes:
        return []
    order, rest = [nodes[0]], nodes[1:]
    neighbours: dict[Node, set[Node]] = defaultdict(set)
    for a, b in graph.edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    while rest:
        near = next((n for n in rest if neighbours[n] & set(order)), rest[0])
        order.append(near)
        rest.remove(near)
    return order


def _draw(graph: _Graph, nodes: set[Node]) -> Chart:
    edges = sorted((a, b) for a, b in graph.edges if a in nodes and b in nodes)
    starts = {b for _, b in edges}
    ordered = sorted(nodes, key=lambda n: (n in starts, not n.path, n))
    names = {n: f"n{i}" for i, n in enumerate(ordered, start=1)}
    lines = ["flowchart TD"]
    for node in ordered:
        mark = ":::changed" if node in graph.changed else ""
        lines.append(f'    {names[node]}["{_label(node)}"]{mark}')
    all_new = all(graph.edges[e] for e in edges)
    for a, b in edges:
        arrow = '-->|"new call"|' if graph.edges[a, b] and not all_new else "-->"
        lines.append(f"    {names[a]} {arrow} {names[b]}")
    lines.append("    classDef changed fill:#fff3bf,stroke:#e67700,color:#000")
    return Chart(mermaid="\n".join(lines), nodes=len(nodes), says=_says(graph, nodes, edges, starts))


def _says(graph: _Graph, nodes: set[Node], edges: list[tuple[Node, Node]], reached: set[Node]) -> str:
    """What the picture shows, from its own edges."""
    changed = sorted(nodes & graph.changed)
    entries = [n for n in sorted(nodes) if n not in reached and any(a == n for a, _ in edges)]
    new = [(a, b) for a, b in edges if graph.edges[a, b]]
    parts = [f"{len(changed)} of {len(nodes)} boxes are definitions that the patch changes (marked)"]
    if entries:
        parts.append("it begins at " + ", ".join(f"`{n.name}`" for n in entries[:2]))
    if new and len(new) == len(edges):
        parts.append("every call shown is on added lines")
    elif new:
        a, b = new[0]
        more = f" ({len(new) - 1} more calls are new)" if len(new) > 1 else ""
        parts.append(f"`{a.name}` now calls `{b.name}`{more}")
    else:
        parts.append("no call is new: what changes is inside the marked boxes")
    return "; ".join(parts) + "."


def _last(name: str) -> str:
    return re.split(r"\.|::|->", name)[-1]


def _label(node: Node) -> str:
    """A label that no Markdown or Mermaid reader takes for anything but text."""
    name = node.name if len(node.name) <= _LABEL else "…" + node.name[1 - _LABEL :]
    text = f"{name} · {PurePosixPath(node.path).name}" if node.path else name
    return re.sub(r"[^A-Za-z0-9_.:·… ()/-]", "_", text).replace("->", ".")
