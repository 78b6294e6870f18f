"""The loop-back GitHub's GraphQL: parsed and executed query by query, with GitHub's limits on pages and nodes, and its costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopback.world import Comment, Person, Pull, Review, Thread, World, sha, stamp

MOST_NODES = 500_000
_TOKEN = re.compile(
    r"\s*(?:#[^\n]*\n\s*)*(\.\.\.|[A-Za-z_]\w*|\$\w+|-?\d+|\"(?:[^\"\\]|\\.)*\"|[{}()\[\]:!,|=@])"
)


class GraphQLError(Exception):
    """An error with GitHub's type."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Field:
    """A field, or an inline fragment where `on` is set."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: list[Field] = field(default_factory=list)
    alias: str = ""
    on: str = ""


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if re.sub(r"\s|,", "", _TOKEN.sub("", text)):
            raise GraphQLError("Parse error")
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise GraphQLError(f"Parse error on {token!r}, expected {wanted!r}")
        self._at += 1
        return token

    def document(self) -> list[Field]:
        if self.peek() == "query":
            self.take()
            if self.peek() not in ("(", "{"):
                self.take()
            if self.peek() == "(":
                while self.take() != ")":
                    pass
        return self.selection()

    def selection(self) -> list[Field]:
        self.take("{")
        found = []
        while self.peek() != "}":
            if self.peek() == "...":
                self.take()
                self.take("on")
                found.append(Field("", on=self.take(), fields=self.selection()))
                continue
            name, alias = self.take(), ""
            if self.peek() == ":":
                self.take()
                alias, name = name, self.take()
            arguments = {}
            if self.peek() == "(":
                self.take()
                while self.peek() != ")":
                    key = self.take()
                    self.take(":")
                    arguments[key] = self.value()
                    if self.peek() == ",":
                        self.take()
                self.take(")")
            fields = self.selection() if self.peek() == "{" else []
            found.append(Field(name, arguments, fields, alias))
        self.take("}")
        return found

    def value(self) -> Any:
        token = self.take()
        if token == "[":
            items = []
            while self.peek() != "]":
                items.append(self.value())
                if self.peek() == ",":
                    self.take()
            self.take("]")
            return items
        if token == "{":
            made = {}
            while self.peek() != "}":
                key = self.take()
                self.take(":")
                made[key] = self.value()
                if self.peek() == ",":
                    self.take()
            self.take("}")
            return made
        if token.startswith("$"):
            return ("variable", token[1:])
        if token[0] == '"':
            return token[1:-1]
        return (
            int(token)
            if re.fullmatch(r"-?\d+", token)
            else {"true": True, "false": False, "null": None}.get(token, token)
        )


@dataclass
class _Connection:
    items: list[Any]


class Executor:
    """Runs one query. `cost` is known before it is executed, as GitHub has it."""

    def __init__(self, world: World, query: str, variables: dict[str, Any]) -> None:
        self._world = world
        self._variables = variables
        self._fields = _Parser(query).document()
        self.cost, self.nodes = self._weigh()

    def _bound(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {k: self._variables.get(v[1]) if isinstance(v, tuple) else v for k, v in arguments.items()}

    def _weigh(self) -> tuple[int, int]:
        requests, nodes = 1, 0

        def walk(fields: list[Field], times: int) -> None:
            nonlocal requests, nodes
            for f in fields:
                arguments = self._bound(f.arguments)
                inner = times
                if f.name == "nodes" and "ids" in arguments:
                    inner = len(arguments["ids"] or [])
                    if inner > 100:
                        raise GraphQLError(
                            "You may not provide more than 100 node ids; you provided " + str(inner),
                            "ARGUMENT_LIMIT",
                        )
                    nodes += inner
                elif "first" in arguments or "last" in arguments:
                    size = arguments.get("first") or arguments.get("last") or 0
                    requests += times
                    nodes += times * size
                    inner = times * size
                walk(f.fields, inner)

        walk(self._fields, 1)
        if nodes > MOST_NODES:
            raise GraphQLError(
                f"This query requests up to {nodes:,} possible nodes which exceeds the maximum limit of 500,000.",
                "MAX_NODE_LIMIT_EXCEEDED",
            )
        return max(1, round(requests / 100)), nodes

    def run(self, rate: dict[str, Any]) -> dict[str, Any]:
        """`{data, errors}`."""
        self._errors: list[dict[str, Any]] = []
        data: dict[str, Any] = {}
        for f in self._fields:
            name = f.alias or f.name
            if f.name == "rateLimit":
                data[name] = {k.name: ({"cost": self.cost} | rate).get(k.name) for k in f.fields}
            elif f.name == "nodes":
                data[name] = [self._node(i, f) for i in self._bound(f.arguments)["ids"]]
            elif f.name == "repository":
                wanted = self._bound(f.arguments)
                if f"{wanted.get('owner')}/{wanted.get('name')}".lower() != self._world.repo.lower():
                    self._errors.append(
                        {
                            "type": "NOT_FOUND",
                            "path": [name],
                            "message": "Could not resolve to a Repository with the name.",
                        }
                    )
                    data[name] = None
                else:
                    data[name] = self._object(self._world, f.fields, "Repository")
            else:
                raise GraphQLError(f"Field '{f.name}' doesn't exist on type 'Query'", "undefinedField")
        return {"data": data} | ({"errors": self._errors} if self._errors else {})

    def _node(self, node_id: str, f: Field) -> Any:
        found = next((p for p in [self._world.pulls.get(_number(node_id))] if p), None)
        if found is None:
            self._errors.append(
                {
                    "type": "NOT_FOUND",
                    "path": ["nodes"],
                    "message": f"Could not resolve to a node with the global id of '{node_id}'",
                }
            )
            return None
        return self._object(found, f.fields, "PullRequest")

    def _object(self, item: Any, fields: list[Field], kind: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for f in fields:
            if f.on:
                if f.on == kind:
                    made |= self._object(item, f.fields, kind)
                continue
            if f.name == "__typename":
                made[f.alias or f.name] = item.type if isinstance(item, Person) else kind
                continue
            resolver = RESOLVERS.get((kind, f.name))
            if resolver is None:
                raise GraphQLError(f"Field '{f.name}' doesn't exist on type '{kind}'", "undefinedField")
            inner, make = resolver
            value = make(self._world, item)
            made[f.alias or f.name] = self._value(value, f, inner)
        return made

    def _value(self, value: Any, f: Field, inner: str) -> Any:
        if isinstance(value, _Connection):
            return self._page(value.items, f, inner)
        if value is None or not inner:
            return value
        return self._object(value, f.fields, inner)

    def _page(self, items: list[Any], f: Field, inner: str) -> dict[str, Any]:
        arguments = self._bound(f.arguments)
        wants = {k.name for k in f.fields}
        first, last = arguments.get("first"), arguments.get("last")
        if wants - {"totalCount"}:
            size = first if first is not None else last
            if size is None:
                raise GraphQLError(
                    f"You must provide a `first` or `last` value to properly paginate the `{f.name}` connection.",
                    "MISSING_PAGINATION_BOUNDARIES",
                )
            if not 1 <= size <= 100:
                raise GraphQLError(
                    f"Requesting {size} records on the `{f.name}` connection exceeds the `first` limit of 100 records.",
                    "EXCESSIVE_PAGINATION",
                )
        order = arguments.get("orderBy") or {}
        if order:
            items = sorted(
                items,
                key=lambda p: (
                    getattr(p, {"UPDATED_AT": "updated", "CREATED_AT": "created"}[order["field"]]),
                    p.number,
                ),
                reverse=order["direction"] == "DESC",
            )
        states = arguments.get("states")
        if states:
            wanted = [states] if isinstance(states, str) else states
            items = [p for p in items if _state(p) in wanted]
        start = _offset(arguments.get("after"))
        page = items[start:][: first or 0] if last is None else items[-last:]
        end = start + len(page)
        made: dict[str, Any] = {}
        for k in f.fields:
            if k.name == "totalCount":
                made["totalCount"] = len(items)
            elif k.name == "pageInfo":
                made["pageInfo"] = {
                    "hasNextPage": end < len(items) and last is None,
                    "endCursor": f"c{end}" if page else None,
                }
            elif k.name == "nodes":
                made["nodes"] = [self._object(i, k.fields, inner) for i in page]
            else:
                raise GraphQLError(f"Field '{k.name}' doesn't exist on a connection", "undefinedField")
        return made


def _number(node_id: str) -> int:
    import base64
    import binascii

    try:
        text = node_id.removeprefix("PR_")
        return int(base64.b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        return 0


def _offset(cursor: str | None) -> int:
    return int(cursor[1:]) if cursor else 0


def _state(p: Pull) -> str:
    return "MERGED" if p.merged else p.state.upper()


def _person(p: Person) -> Person | None:
    return p if p.login else None


def _bare(p: Person) -> str:
    return p.login.removesuffix("[bot]")  # GraphQL leaves the mark out


Resolver = tuple[str, Callable[[World, Any], Any]]
RESOLVERS: dict[tuple[str, str], Resolver] = {
    ("Repository", "pullRequests"): ("PullRequest", lambda w, r: _Connection(w.sorted_pulls("created"))),
    ("Repository", "nameWithOwner"): ("", lambda w, r: w.repo),
    ("Actor", "login"): ("", lambda w, p: _bare(p)),
    ("Commit", "oid"): ("", lambda w, c: c),
    **{("PullRequest", name): made for name, made in {
        "id": ("", lambda w, p: p.node_id), "number": ("", lambda w, p: p.number), "title": ("", lambda w, p: p.title),
        "body": ("", lambda w, p: p.body or ""), "url": ("", lambda w, p: f"https://github.com/{w.repo}/pull/{p.number}"),
        "state": ("", lambda w, p: _state(p)), "isDraft": ("", lambda w, p: p.draft),
        "createdAt": ("", lambda w, p: stamp(p.created)), "updatedAt": ("", lambda w, p: stamp(p.updated)),
        "mergedAt": ("", lambda w, p: stamp(p.merged)), "headRefOid": ("", lambda w, p: p.head),
        "baseRefName": ("", lambda w, p: "main"), "mergeable": ("", lambda w, p: "MERGEABLE"),
        "changedFiles": ("", lambda w, p: len(p.files)), "additions": ("", lambda w, p: sum(f.additions for f in p.files)),
        "deletions": ("", lambda w, p: sum(f.deletions for f in p.files)), "author": ("Actor", lambda w, p: _person(p.user)),
        "authorAssociation": ("", lambda w, p: p.user.association), "labels": ("Label", lambda w, p: _Connection(list(p.labels))),
        "reviewDecision": ("", lambda w, p: None), "mergeCommit": ("Commit", lambda w, p: sha("merge", p.number) if p.merged else None),
        "comments": ("IssueComment", lambda w, p: _Connection(sorted(w.of_pull("conversation", p.number), key=lambda c: c.id))),
        "reviews": ("PullRequestReview", lambda w, p: _Connection(sorted(w.of_pull("reviews", p.number), key=lambda r: r.id))),
        "latestReviews": ("PullRequestReview", lambda w, p: _Connection(sorted({r.user.login: r for r in w.of_pull("reviews", p.number)}.values(), key=lambda r: r.id))),
        "reviewThreads": ("PullRequestReviewThread", lambda w, p: _Connection(sorted(w.of_pull("threads", p.number), key=lambda t: t.root))),
        "files": ("PullRequestChangedFile", lambda w, p: _Connection(p.files)),
    }.items()},
    ("Label", "name"): ("", lambda w, name: name),
    ("PullRequestChangedFile", "path"): ("", lambda w, f: f.path),
    ("PullRequestChangedFile", "additions"): ("", lambda w, f: f.additions),
    ("PullRequestChangedFile", "deletions"): ("", lambda w, f: f.deletions),
    ("PullRequestChangedFile", "changeType"): ("", lambda w, f: f.status.upper()),
    **{("PullRequestReview", name): made for name, made in {
        "id": ("", lambda w, r: f"PRR_{r.id}"), "fullDatabaseId": ("", lambda w, r: str(r.id)), "state": ("", lambda w, r: r.state),
        "body": ("", lambda w, r: r.body), "authorAssociation": ("", lambda w, r: r.user.association),
        "submittedAt": ("", lambda w, r: stamp(r.created)), "updatedAt": ("", lambda w, r: stamp(r.created)),
        "isMinimized": ("", lambda w, r: False), "minimizedReason": ("", lambda w, r: None),
        "author": ("Actor", lambda w, r: _person(r.user)), "commit": ("Commit", lambda w, r: r.commit),
    }.items()},
    ("PullRequestReviewThread", "id"): ("", lambda w, t: t.id),
    ("PullRequestReviewThread", "isResolved"): ("", lambda w, t: t.resolved),
    ("PullRequestReviewThread", "isOutdated"): ("", lambda w, t: t.outdated),
    ("PullRequestReviewThread", "path"): ("", lambda w, t: w.comments[t.root].path),
    ("PullRequestReviewThread", "comments"): ("PullRequestReviewComment", lambda w, t: _Connection(w.comments_of_thread(t))),
    ("PullRequestReviewComment", "fullDatabaseId"): ("", lambda w, c: str(c.id)),
    ("IssueComment", "fullDatabaseId"): ("", lambda w, c: str(c.id)),
}  # fmt: skip
__all__ = ["Comment", "Executor", "GraphQLError", "Review", "Thread"]
