"""A small history with a fix, a change that was taken back, and review threads: what critiques are tested on."""

from __future__ import annotations

from pathlib import Path

from conftest import GitRepo

from ingest.git import open_repository
from ingest.github.records import Anchor, Author, Comment, Description, ReviewedPull, Thread
from kb.build import Options, build
from kb.families import load_families
from kb.store import Store
from kb.threads.build import joined_rows
from kb.threads.rows import pull_rows

REPO = "acme/engine"
PATH = "python/engine/radix_cache.py"
BASE = '''"""A cache of prefixes."""


class RadixCache:
    def __init__(self, page_size):
        self.page_size = page_size
        self.evictable_leaves = []

    def evict(self, num_tokens):
        freed_pages = 0
        for leaf_node in self._ordered_leaves():
            if freed_pages >= num_tokens:
                break
            freed_pages += self.release_node(leaf_node)
        return freed_pages

    def release_node(self, leaf_node):
        released = len(leaf_node.page_indices)
        self.evictable_leaves.remove(leaf_node)
        return released

    def _ordered_leaves(self):
        return sorted(self.evictable_leaves, key=lambda entry: entry.last_access)

    def match_prefix(self, token_ids):
        return self.root.match(token_ids)
'''
GUARD = """            if leaf_node.lock_ref > 0 or leaf_node.is_pinned_by_request:
                self.skipped_locked_leaves += 1
                continue
"""
FIXED = BASE.replace(
    "            if freed_pages >= num_tokens:\n", GUARD + "            if freed_pages >= num_tokens:\n"
)
FAST_LINE = """        cached_order = self.order_snapshot.get_if_fresh(self.evict_generation)
        if cached_order is not None and self.use_fast_eviction_order:
            return cached_order.leaves_by_access_time
"""
FAST = FIXED.replace("    def _ordered_leaves(self):\n", "    def _ordered_leaves(self):\n" + FAST_LINE)
TEST = b"def test_evict_skips_locked():\n    assert cache.evict(2) == 0\n"
HUNK = (
    "@@ -9,3 +9,5 @@ class RadixCache:\n     def evict(self, num_tokens):\n         freed_pages = 0\n"
    "+            if leaf_node.lock_ref > 0 or leaf_node.is_pinned_by_request:\n+                self.skipped_locked_leaves += 1"
)
ASKED = "Please add a test for leaf_node.lock_ref here: skipped_locked_leaves is wrong when evict runs twice."


def make_history(folder: Path) -> GitRepo:
    """The history: #1 adds the cache, #2 fixes it, #3 makes it faster, #4 takes that back, #5 is docs."""
    repo = GitRepo(folder)
    repo.commit("Add the radix cache (#1)", {PATH: BASE.encode()})
    repo.commit(
        "[Bugfix] Fix crash when a locked leaf is evicted (#2)",
        {PATH: FIXED.encode(), "tests/test_radix.py": TEST},
    )
    repo.commit("[Perf] Fast eviction order (#3)", {PATH: FAST.encode()})
    repo.commit('Revert "[Perf] Fast eviction order (#3)" (#4)', {PATH: FIXED.encode()})
    repo.commit("Document eviction (#5)", {"docs/cache.md": b"# Cache\n"})
    return repo


def thread(number: int, body: str, *, kind: str = "inline", login: str = "carol", who: str = "human", at: str = "2025-01-01T01:30:00Z", key: int = 1) -> Thread:  # fmt: skip
    """A thread of one comment."""
    said = Comment(
        id=key, author=Author(login=login, kind=who, role="maintainer" if who == "human" else "bot"), body=body,  # type: ignore[arg-type]
        created_at=at, updated_at=at,
    )  # fmt: skip
    anchor = (
        Anchor(path=PATH, side="new", line=12, original_line=12, diff_hunk=HUNK)
        if kind == "inline"
        else Anchor()
    )
    mark = {"inline": f"r{key}", "conversation": "conversation", "review": f"v{key}"}[kind]
    return Thread(
        id=f"{REPO}#{number}/{mark}", repo=REPO, number=number, kind=kind, anchor=anchor, comments=(said,)
    )  # type: ignore[arg-type]


def make_store(folder: Path, history: Path, threads: list[Thread] | None = None) -> str:
    """A store of the history and of threads."""
    uri = str(folder / "kb")
    with Store.create(uri, {"created_by": "tests"}) as store:
        with open_repository(history) as repository:
            build(store, repository, Options(REPO, encoder="none", workers=1), lambda done, total: None)
        if threads is not None:
            add_threads(store, threads)
        store.finish()
    return uri


def add_threads(store: Store, threads: list[Thread]) -> None:
    """Threads and their pull requests, joined to the cards as a sync does it."""
    store.append("threads", joined_rows(store, threads, load_families()))
    numbers = sorted({t.number for t in threads})
    pulls = [
        ReviewedPull(
            description=Description(id=f"{REPO}#{n}", title=f"Number {n}", author=Author(login="dora"), state="merged"),
            threads=tuple(t for t in threads if t.number == n),
        )
        for n in numbers
    ]  # fmt: skip
    store.append("pulls", pull_rows(pulls))


def patch_of(repo: GitRepo, old: str, new: str, path: str = PATH) -> bytes:
    """What `git diff` prints between two texts of a file."""
    a, b = (
        repo.git("hash-object", "-w", "--stdin", stdin=text.encode()).decode().strip() for text in (old, new)
    )
    body = repo.git("diff", "--no-color", a, b).decode()
    lines = body.split("\n")
    start = next(i for i, row in enumerate(lines) if row.startswith("@@"))
    head = [
        f"diff --git a/{path} b/{path}",
        f"index {a[:7]}..{b[:7]} 100644",
        f"--- a/{path}",
        f"+++ b/{path}",
    ]
    return "\n".join([*head, *lines[start:]]).encode()
