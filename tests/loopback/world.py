"""What the loop-back GitHub holds: one repository whose people, pull requests and comments can be edited.

Everything is made from a seed, so that a server process and a test know the same repository.
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

EPOCH = 1_735_689_600  # 2025-01-01T00:00:00Z


def stamp(seconds: int | None) -> str | None:
    """A time as GitHub writes it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha(*parts: object) -> str:
    return hashlib.sha1(repr(parts).encode()).hexdigest()


@dataclass
class Person:
    login: str
    type: str = "User"
    association: str = "CONTRIBUTOR"


GHOST = Person("", "")
PEOPLE = [
    Person("ada", "User", "MEMBER"), Person("grace", "User", "COLLABORATOR"), Person("linus"), Person("claude-shannon"),
    Person("sweepy"), Person("cursor-fan"), Person("gemini-code-assist[bot]", "Bot", "NONE"), Person("sglang-bot", "User", "NONE"),
    Person("dependabot[bot]", "Bot", "NONE"), GHOST, *(Person(f"dev{i}") for i in range(40)),
]  # fmt: skip
WORDS = """prefill decode kernel attention cache radix batch scheduler token graph capture stream overlap quantize fp8 scale
expert router all-reduce latency throughput block page table mask rope norm fused triton cutlass flashinfer launch host
device memory pool evict prefix chunk speculative draft verify sampler logits grammar lora adapter vision encoder""".split()
PATHS = [
    "python/sglang/srt/layers/attention/flashinfer_backend.py", "python/sglang/srt/managers/scheduler.py",
    "python/sglang/srt/models/deepseek_v2.py", "python/sglang/srt/mem_cache/radix_cache.py", "sgl-kernel/csrc/moe/fused_moe.cu",
    "python/sglang/srt/server_args.py", "test/srt/test_radix.py", "docs/references/faq.md",
]  # fmt: skip


@dataclass
class Comment:
    id: int
    kind: str  # inline, conversation, issue
    number: int
    user: Person
    body: str
    created: int
    updated: int
    reply_to: int = 0
    review: int = 0
    path: str = ""
    line: int | None = None
    start_line: int | None = None
    original_line: int | None = None
    original_start_line: int | None = None
    side: str = "RIGHT"
    subject: str = "line"
    commit: str = ""
    hunk: str = ""


@dataclass
class Review:
    id: int
    number: int
    user: Person
    state: str
    body: str
    created: int
    commit: str = ""


@dataclass
class Thread:
    id: str
    number: int
    root: int
    resolved: bool = False
    outdated: bool = False
    origin: int = 0  # the first comment it ever had; replies name it even when it is deleted


@dataclass
class ChangedFile:
    path: str
    status: str = "modified"
    additions: int = 1
    deletions: int = 0
    patch: str = ""
    sha: str = ""


@dataclass
class Pull:
    number: int
    user: Person
    title: str
    body: str | None
    created: int
    updated: int
    state: str = "open"
    draft: bool = False
    merged: int | None = None
    closed: int | None = None
    head: str = ""
    labels: tuple[str, ...] = ()
    files: list[ChangedFile] = field(default_factory=list)

    @property
    def node_id(self) -> str:
        return "PR_" + base64.b64encode(str(self.number).encode()).decode().rstrip("=")


@dataclass
class World:
    """The repository. Methods that change it move `now` and the times that GitHub would move."""

    repo: str = "acme/engine"
    now: int = EPOCH
    pulls: dict[int, Pull] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    reviews: dict[int, Review] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    _next: int = 1000
    _lists: dict[str, list[Any]] = field(default_factory=dict)
    _of_pull: dict[str, dict[int, list[Any]]] = field(default_factory=dict)

    def fresh_id(self) -> int:
        self._next += 1
        return self._next

    def changed(self) -> None:
        self._lists.clear()
        self._of_pull.clear()

    def tick(self, seconds: int = 1) -> int:
        self.now += seconds
        self.changed()
        return self.now

    # making ------------------------------------------------------------------------------------------

    def pull(self, number: int, user: Person, title: str, body: str | None = "", **more: Any) -> Pull:
        made = Pull(number, user, title, body, self.now, self.now, head=sha("head", number, 0), **more)
        self.pulls[number] = made
        return made

    def comment(self, kind: str, number: int, user: Person, body: str, **more: Any) -> Comment:
        made = Comment(self.fresh_id(), kind, number, user, body, self.now, self.now, **more)
        self.comments[made.id] = made
        if number in self.pulls:
            self.pulls[number].updated = self.now
        if kind == "inline" and not made.reply_to:
            node = f"PRRT_{made.id}"
            self.threads[node] = Thread(
                node, number, made.id, outdated=made.line is None and made.subject == "line", origin=made.id
            )
        return made

    def review(self, number: int, user: Person, state: str, body: str) -> Review:
        made = Review(self.fresh_id(), number, user, state, body, self.now, self.pulls[number].head)
        self.reviews[made.id] = made
        self.pulls[number].updated = self.now
        return made

    # changing ----------------------------------------------------------------------------------------

    def edit(self, comment: int, body: str) -> None:
        found = self.comments[comment]
        self.comments[comment] = replace(found, body=body, updated=self.tick())

    def delete(self, comment: int) -> None:
        self.tick()
        del self.comments[comment]
        for node, thread in list(self.threads.items()):
            if thread.root == comment:
                left = sorted(c.id for c in self.comments.values() if c.reply_to == thread.origin)
                if left:
                    thread.root = left[0]
                else:
                    del self.threads[node]

    def resolve(self, node: str) -> None:
        self.tick()
        self.threads[node].resolved = True

    def push(self, number: int) -> None:
        found = self.pulls[number]
        found.head, found.updated = sha("head", number, self.tick()), self.now

    def merge(self, number: int) -> None:
        found = self.pulls[number]
        found.state, found.merged, found.closed, found.updated = "closed", self.tick(), self.now, self.now

    # lists -------------------------------------------------------------------------------------------

    def listed(self, kind: str) -> list[Any]:
        """Comments of a list by update, oldest first."""
        if kind not in self._lists:
            kinds = ("inline",) if kind == "inline" else ("conversation", "issue")
            found = [c for c in self.comments.values() if c.kind in kinds]
            self._lists[kind] = sorted(found, key=lambda c: (c.updated, c.id))
        return self._lists[kind]

    def since(self, kind: str, seconds: int) -> list[Any]:
        """The part of a list that was updated at or after a time."""
        rows = self.listed(kind)
        return rows[bisect.bisect_left(rows, seconds, key=lambda c: c.updated) :]

    def sorted_pulls(self, by: str) -> list[Pull]:
        key = f"pulls {by}"
        if key not in self._lists:
            self._lists[key] = sorted(self.pulls.values(), key=lambda p: (getattr(p, by), p.number))
        return self._lists[key]

    def of_pull(self, what: str, number: int) -> list[Any]:
        if what not in self._of_pull:
            groups: dict[int, list[Any]] = {}
            source = {"reviews": self.reviews, "threads": self.threads}.get(what, self.comments)
            for item in source.values():
                if what in ("reviews", "threads") or item.kind == what:
                    groups.setdefault(item.number, []).append(item)
            self._of_pull[what] = groups
        return self._of_pull[what].get(number, [])

    def comments_of_thread(self, thread: Thread) -> list[Comment]:
        found = [
            c
            for c in self.of_pull("inline", thread.number)
            if c.id == thread.root or c.reply_to == thread.origin
        ]
        return sorted(found, key=lambda c: c.id)


def hunk(chance: random.Random, line: int, length: int = 6) -> str:
    rows = [
        f"@@ -{max(1, line - length)},{length} +{max(1, line - length + 1)},{length} @@ def forward(self, x):"
    ]
    rows += [
        f"{chance.choice('+ ')}    {chance.choice(WORDS)} = {chance.choice(WORDS)}({chance.randrange(100)})"
        for _ in range(length)
    ]
    return "\n".join(rows)


def sentence(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words)).capitalize() + "."


def make_world(pulls: int = 30, inline: int = 60, conversation: int = 60, reviews: int = 40, issues: int = 10, seed: int = 0, spread: int = 3) -> World:  # fmt: skip
    """A repository of a given size. Every shape that GitHub sends occurs in it."""
    chance = random.Random(seed)
    world = World()
    for number in range(1, pulls + 1):
        world.now += chance.randrange(60, 600)
        made = world.pull(
            number,
            chance.choice(PEOPLE),
            f"{sentence(chance, 5)[:-1]} (part {number})",
            sentence(chance, 60) if number % 9 else None,
        )
        made.labels = ("performance",) if number % 7 == 0 else ()
        if number % 5:
            made.state, made.closed = "closed", world.now
            made.merged = world.now if number % 11 else None
        made.files = [
            ChangedFile(
                path,
                additions=2,
                deletions=1,
                sha=sha(path, number),
                patch=f"@@ -{10 * number},3 +{10 * number},4 @@ class Cache:\n context\n-old {number}\n+new {number}\n+{chance.choice(WORDS)}",
            )
            for path in chance.sample(PATHS, 2)
        ]
    numbers = list(range(1, pulls + 1))
    roots: list[Comment] = []
    for _ in range(inline):
        world.now += chance.randrange(0, spread)
        if roots and chance.random() < 0.45:
            above = chance.choice(roots[-50:])
            world.comment(
                "inline",
                above.number,
                chance.choice(PEOPLE),
                sentence(chance, 15),
                reply_to=above.id,
                path=above.path,
                line=above.line,
                original_line=above.original_line,
                commit=above.commit,
                hunk=above.hunk,
                subject=above.subject,
            )
            continue
        number, line = chance.choice(numbers), chance.randrange(5, 800)
        shape = chance.random()
        extra = "\n```suggestion\n    x = fused(x)\n```" if shape < 0.1 else ""
        made = world.comment(
            "inline", number, chance.choice(PEOPLE), sentence(chance, 25) + extra, path=chance.choice(PATHS),
            line=None if 0.1 < shape < 0.3 or shape > 0.97 else line, original_line=None if shape > 0.97 else line,
            start_line=line - 2 if shape < 0.05 else None, original_start_line=line - 2 if shape < 0.05 else None,
            subject="file" if shape > 0.97 else "line", side="LEFT" if 0.9 < shape < 0.95 else "RIGHT",
            commit=sha("head", number, 0), hunk="" if shape > 0.97 else hunk(chance, line),
        )  # fmt: skip
        roots.append(made)
    for _ in range(conversation):
        world.now += chance.randrange(0, spread)
        world.comment("conversation", chance.choice(numbers), chance.choice(PEOPLE), sentence(chance, 20))
    for i in range(issues):
        world.now += chance.randrange(0, spread)
        world.comment("issue", pulls + 1 + i, chance.choice(PEOPLE), sentence(chance, 10))
    for _ in range(reviews):
        world.now += chance.randrange(0, spread)
        state = chance.choice(["APPROVED", "COMMENTED", "CHANGES_REQUESTED"])
        world.review(
            chance.choice(numbers),
            chance.choice(PEOPLE),
            state,
            sentence(chance, 12) if chance.random() < 0.4 else "",
        )
    world.tick(3600)
    return world
