"""Threads in the knowledge base: joined to cards and diffs, searched, trusted by where they came from, forgotten."""

from __future__ import annotations

import gzip
import json
import random

import pyarrow as pa
import pytest
from loopback.clients import sync_once
from loopback.server import Loopback
from loopback.world import PEOPLE, World

from ingest.git import open_repository
from ingest.github.ledger import author_hash, open_ledger
from ingest.github.records import Anchor, Author, Comment, Suggestion, Thread
from kb.build import Options, build
from kb.cards import Card, CardFile, CardSymbol
from kb.families import Families, Family, load_families
from kb.filters import ThreadFilter
from kb.search import Searcher
from kb.store import Store
from kb.threads.build import joined_rows, rejoin, write_ledger
from kb.threads.corpus import import_corpus
from kb.threads.diff import DiffLine, MergedFile
from kb.threads.forget import forget
from kb.threads.joins import join
from kb.threads.reader import ThreadIndex, holds, quote, read_descriptions, read_thread
from kb.threads.search import search_threads
from kb.threads.text import replied, said

FAMILIES = load_families()
PATH = "python/engine/radix.py"
OLD = "import heapq\n\n\nclass Radix:\n    def evict(self, count):\n        return sorted(self.leaves)[:count]\n"
NEW = "import heapq\n\n\nclass Radix:\n    def evict(self, count):\n        heap = heapq.nsmallest(count, self.leaves)\n        return heap\n"
HUNK = "@@ -3,4 +3,5 @@ class Radix:\n class Radix:\n     def evict(self, count):\n-        return sorted(self.leaves)[:count]\n+        heap = heapq.heapify(self.leaves)\n+        return heap"
DESCRIPTION = "<!-- template -->\n## Motivation\nEviction walked quokka leaves one by one.\n## Checklist\n- [ ] wombat\nwombat wombat"


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    from conftest import GitRepo

    repo = GitRepo(tmp_path_factory.mktemp("history"))
    repo.commit("Add the cache (#1)", {PATH: OLD.encode()})
    repo.commit("Faster eviction (#2)", {PATH: NEW.encode()})
    repo.commit("Unrelated (#3)", {"docs/x.md": b"words\n"})
    return repo.git_dir


def world_of_two() -> World:
    world = World(now=1_735_600_000)  # before the commits of the history
    for number in (1, 2, 3, 4):
        world.tick()
        world.pull(number, PEOPLE[2], f"Number {number}", DESCRIPTION if number == 2 else None)
    at = {"path": PATH, "commit": "c0ffee", "line": None}
    world.comment(
        "inline",
        2,
        PEOPLE[0],
        "heapify sorts nothing: this drops random numbats",
        original_line=6,
        hunk=HUNK.rsplit("\n", 1)[0],
        **at,
    )
    world.comment("inline", 2, PEOPLE[1], "return is fine", original_line=7, hunk=HUNK, **at)
    world.comment(
        "inline",
        2,
        PEOPLE[6],
        "As a bot I suggest:\n```suggestion\n        heap = heapq.nsmallest(count, self.leaves)\n```",
        original_line=6,
        hunk=HUNK.rsplit("\n", 1)[0],
        **at,
    )
    world.comment("inline", 4, PEOPLE[0], "never merged", original_line=7, hunk=HUNK, **at)
    world.comment("conversation", 2, PEOPLE[5], "/rerun-ci")
    world.comment(
        "conversation", 2, PEOPLE[3], "> who asked\nEviction latency halves on the bandicoot workload"
    )
    world.review(2, PEOPLE[0], "CHANGES_REQUESTED", "Please keep the order of leaves")
    world.tick()
    world.review(2, PEOPLE[0], "APPROVED", "")
    world.tick(3600)
    return world


@pytest.fixture(scope="module")
def synced(history, tmp_path_factory):
    """A store: history first, reviews after it."""
    folder = tmp_path_factory.mktemp("synced")
    store = Store.create(str(folder / "kb"), {"created_by": "test"})
    read_history(store, history)
    with Loopback(world_of_two()) as hub:
        read_reviews(store, hub, folder / "pages")
    yield store
    store.close()


def read_history(store, history):
    with open_repository(history) as repository:
        build(store, repository, Options("acme/engine", workers=1), lambda done, total: None)


def read_reviews(store, hub, pages):
    sync_once(hub, pages)
    with open_ledger(pages, hub.world.repo) as ledger:
        return write_ledger(store, ledger)


def tables(store):
    found = {}
    for name, key in (("threads", "id"), ("pulls", "id"), ("cards", "id"), ("postings", "field")):
        rows = store.rows_where(name, "", store._table(name).schema.names)
        found[name] = rows.sort_by([(key, "ascending")]).drop_columns(["batch"] if name == "cards" else [])
    return found


def test_what_became_of_the_lines(synced):
    index = ThreadIndex(synced)
    heads = {h.id.rsplit("/", 1)[1]: h for h in index.heads(index.of_kind("inline"))}
    threads = {
        t.comments[0].body[:7]: heads[t.id.rsplit("/", 1)[1]] for t in index.read(index.of_kind("inline"))
    }
    assert (threads["heapify"].addressed, threads["heapify"].addressed_by) == ("yes", "lines changed")
    assert (threads["return "].addressed, threads["return "].line) == ("no", 7)
    assert (threads["As a bo"].addressed, threads["As a bo"].addressed_by) == ("yes", "suggestion taken")
    assert threads["never m"].addressed == "unknown"
    assert threads["return "].symbol == "Radix.evict"
    assert threads["return "].hunk.startswith("@@ -")


def test_the_index_finds_by_everything(synced):
    index = ThreadIndex(synced)
    assert len(index) == 7
    assert len(index.at_path(PATH)) == len(index.under("python/engine")) == 4
    assert len(index.of_pull("acme/engine#2")) == 6
    assert (
        len(index.at_symbol("evict"))
        == len(index.at_symbol("Radix::evict")) + len(index.at_symbol("nothing")) + 1
    )
    assert len(index.of_family("no-such")) == 0
    assert len(index.older_than("2025-01-01T00:00:00Z")) == 7
    assert len(ThreadIndex(synced, ThreadFilter(kinds=("review",)))) == 2
    first = index.read(index.all()[:1])[0]
    assert index.row(first.id) == 0
    assert read_thread(synced, first.id) == first
    assert read_thread(synced, "acme/engine#2/r'; DROP") is None
    taken = quote(first, first.comments[0], first.comments[0].body[:9])
    assert holds(first, taken)
    with pytest.raises(ValueError, match="not in the comment"):
        quote(first, first.comments[0], "never said")
    assert read_descriptions(synced, ["acme/engine#2"])["acme/engine#2"].body == DESCRIPTION


def test_pull_requests_carry_each_reviewers_last_word(synced):
    row = synced.rows_where("pulls", "number = 2", ["approvals", "changes_requested", "authors"]).to_pylist()[
        0
    ]
    assert (row["approvals"], row["changes_requested"]) == (1, 0)
    assert "ada" in row["authors"]


def test_words_of_descriptions_and_reviews_find_cards(synced):
    for word in ("quokka", "bandicoot", "numbats"):
        answer = Searcher(synced).search(word)
        assert [h.card.id for h in answer.hits][:1] == ["acme/engine#2"], word
    row = synced.cards_by_id(["acme/engine#2"], ["description_words", "review_words"]).to_pylist()[0]
    assert "wombat" not in row["description_words"].split()
    assert "motivation" not in row["description_words"].split()
    assert not {"rerun", "bot", "asked"} & set(row["review_words"].split())


def test_threads_are_searched(synced):
    answer = search_threads(synced, "heapify drops numbats in radix.py", FAMILIES, ThreadFilter(), 5)
    assert answer.answered
    assert answer.hits[0].said.author.login == "ada"
    assert answer.hits[0].addressed == "yes"
    assert not search_threads(synced, "protein folding triangle", FAMILIES, ThreadFilter(), 5).answered
    assert not search_threads(synced, "numbats", FAMILIES, ThreadFilter(pulls=("acme/engine#1",)), 5).hits
    assert {
        h.thread.kind
        for h in search_threads(synced, "leaves", FAMILIES, ThreadFilter(kinds=("review",)), 5).hits
    } == {"review"}


def test_history_and_reviews_in_either_order_give_the_same(synced, history, tmp_path):
    with Store.create(str(tmp_path / "kb"), {"created_by": "test"}) as store:
        with Loopback(world_of_two()) as hub:
            read_reviews(store, hub, tmp_path / "pages")
        read_history(store, history)
        other = tables(store)
    for name, rows in tables(synced).items():
        assert rows.equals(other[name]), name


def test_threads_follow_the_table_of_families(history, tmp_path):
    with Store.create(str(tmp_path / "kb"), {"created_by": "test"}) as store:
        read_history(store, history)
        with Loopback(world_of_two()) as hub:
            read_reviews(store, hub, tmp_path / "pages")
        assert rejoin(store, FAMILIES) == len(ThreadIndex(store).of_pull("acme/engine#2"))
        assert rejoin(store, FAMILIES) == 0
        radix = Family(slug="radix-family", name="Radix", paths=("python/engine/radix.py",))
        other = Families((*FAMILIES.entries, radix), "another")
        assert rejoin(store, other) == len(ThreadIndex(store))
        assert len(ThreadIndex(store).of_family("radix-family")) == 4
        assert rejoin(store, other) == 0


def test_an_old_store_gets_the_tables_it_lacks(tmp_path, history):
    store = Store.create(str(tmp_path), {"created_by": "test"})
    read_history(store, history)
    for name in ("threads", "pulls"):
        store._database.drop_table(name)
    store.close()
    old = Store.open(str(tmp_path))
    assert len(ThreadIndex(old)) == 0
    assert not search_threads(old, "x", FAMILIES, ThreadFilter(), 1).hits
    assert old.is_finished()
    with Store.create(str(tmp_path), {"created_by": "test"}) as whole:
        assert whole.count("cards") == 3
        assert whole.count("threads") == 0


# rules of addressed --------------------------------------------------------------------------------------


def card(**more):
    files = (CardFile(path="a.py", group="runtime", status="modified", added=2, removed=1),)
    return Card(
        id="a/b#1",
        title="t",
        kind="fix",
        status="extracted",
        origin="git",
        sha="s",
        merged_at="2025-02-01T00:00:00Z",
        files=files,
        **more,
    )


def merged(*lines, status="modified", complete=True):
    rows, old, new = [], 10, 10
    for line in lines:
        mark = line[0]
        rows.append(
            DiffLine(
                mark, line[1:], 0 if mark == "+" else old, 0 if mark == "-" else new, "@@ -10,3 +10,4 @@"
            )
        )
        old, new = old + (mark != "+"), new + (mark != "-")
    return {"a.py": MergedFile("a.py", status, complete, tuple(rows))}


def thread(hunk, side="new", created="2025-01-01T00:00:00Z", kind="inline", suggestion="", **anchor):
    said = Comment(
        id=1, body="x", created_at=created, suggestions=(Suggestion(text=suggestion),) if suggestion else ()
    )
    return Thread(
        id="a/b#1/r1",
        repo="a/b",
        number=1,
        kind=kind,
        comments=(said,),
        anchor=Anchor(path="a.py", side=side, diff_hunk=f"@@ -1,3 +1,3 @@\n{hunk}", **anchor),
    )


MERGED = merged(" def scale(x):", "-    return x * factor", "+    return x * self.factor", "+    # kept")


@pytest.mark.parametrize(
    ("hunk", "more", "wanted"),
    [
        (" def scale(x):\n+    return x * self.factor", {}, ("no", "")),
        (" def scale(x):\n+    return x * wrong_factor", {}, ("yes", "lines changed")),
        ("-    return x * factor", {"side": "old"}, ("no", "")),
        ("-    return y * factor", {"side": "old"}, ("yes", "lines changed")),
        (" def scale(x):", {}, ("no", "")),
        ("     return x * factor", {}, ("yes", "lines changed")),  # was context then, is removed by the merge
        ("     some_other_place(untouched)", {}, ("no", "")),
        ("+    return x * wrong_factor", {"suggestion": "    return x * self.factor"}, ("yes", "suggestion taken")),
        ("+    return x * wrong_factor", {"created": "2025-03-01T00:00:00Z"}, ("unknown", "")),
        ("+    )", {}, ("unknown", "")),
        ("", {"kind": "file", "side": ""}, ("unknown", "")),
        (" def scale(x):\n+    return x * self.factor\n+    # lost", {"original_start_line": 2, "original_line": 3}, ("yes", "lines changed")),
    ],
)  # fmt: skip
def test_addressed(hunk, more, wanted):
    found = join(thread(hunk, **more), card(), MERGED)
    assert (found.addressed, found.addressed_by) == wanted


def test_addressed_needs_the_diff():
    asked = thread("+    return x * wrong_factor")
    assert join(asked, None, {}).addressed == "unknown"
    assert join(asked, card(), {}).addressed_by == "file gone"
    assert join(asked, card(), merged("+x", complete=False)).addressed == "unknown"
    assert join(asked, card(), merged("-x", status="deleted")).addressed_by == "file gone"
    symbols = (
        CardSymbol(name="Linear.scale", kind="method", change="changed", path="a.py", start=9, end=20),
    )
    found = join(thread("+    return x * self.factor"), card(symbols=symbols), MERGED)
    assert (found.symbol, found.line, found.hunk) == ("Linear.scale", 11, "@@ -10,3 +10,4 @@")


def test_what_is_said_is_not_the_form():
    assert said("<!-- x -->a<br>b https://x.y/z").split() == ["a", "b"]
    assert said("## Checklist\n- [ ] a\nb\n## Results\nc").split() == ["c"]
    assert replied("/tag-and-rerun-ci") == ""
    assert replied("> quoted\nmine").strip() == "mine"
    assert said("<!-- never closed") == " "


# corpus --------------------------------------------------------------------------------------------------


def row(thread_id=11, number=2, path="a.py", **more):
    said = {
        "kind": "inline",
        "id": thread_id,
        "body": "imported echidna words",
        "created_at": "2024-01-01T00:00:00Z",
        "author": {"login": "zoe", "type": "User", "association": "MEMBER"},
    }
    made = {
        "schema_version": 2, "row_type": "inline_review_thread", "source": {"repo": "acme/engine"}, "thread_id": thread_id,
        "pull_request": {"number": number, "title": "T", "state": "closed", "merged_at": "2025-02-01T00:00:00Z", "author": {"login": "pat", "type": "User"}},
        "path": path, "diff_hunk": "@@ -1 +1 @@\n+x", "line": 1, "side": "RIGHT", "comments": [said], "categories": ["tests-ci"],
    }  # fmt: skip
    return made | more


@pytest.fixture
def corpus(tmp_path):
    def write(*lines, compress=True):
        raw = b"".join(
            (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
        )
        path = tmp_path / ("c.jsonl.gz" if compress else "c.jsonl")
        path.write_bytes(gzip.compress(raw) if compress else raw)
        return path

    return write


def words(store):
    rows = store.cards_by_id(["acme/engine#1", "acme/engine#2"], ["id", "review_words"]).to_pylist()
    return {r["id"]: "echidna" in r["review_words"] for r in rows}


def test_a_corpus_stays_below_own_sync(synced, history, corpus, tmp_path):
    with Store.create(str(tmp_path / "kb"), {"created_by": "test"}) as store:
        read_history(store, history)
        with Loopback(world_of_two()) as hub:
            own = next(c.id for c in hub.world.comments.values() if c.body.startswith("heapify"))
            path = corpus(
                row(own),
                row(own + 5000),
                row(77, number=1),
                row(own + 5000),
                b"{",
                row(5, path="../x"),
                row(6, schema_version=1),
            )
            found = import_corpus(store, path)
            assert (found.threads, found.held, found.left_out) == (3, 0, 4)
            assert [p.line for p in found.problems] == [4, 5, 6, 7]
            assert "duplicate of line 2" in found.problems[0].what
            assert words(store) == {"acme/engine#1": True, "acme/engine#2": True}
            read_reviews(store, hub, tmp_path / "pages")
            assert import_corpus(store, path).held == 1
        thread = read_thread(store, f"acme/engine#2/r{own}")
        assert thread.trust == "synced"
        assert "echidna" not in str(thread)
        hits = search_threads(store, "echidna words heapify", FAMILIES, ThreadFilter(), 10).hits
        trusts = [h.thread.trust for h in hits]
        assert trusts == sorted(trusts, key=lambda t: t != "synced")
        assert "imported" in trusts
        assert words(store) == {"acme/engine#1": False, "acme/engine#2": False}


# forgetting ----------------------------------------------------------------------------------------------


def everything(folder):
    """All text in a folder: file bytes, unpacked pages, columns of tables."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()
            if path.suffix == ".gz":
                yield path.name, gzip.decompress(path.read_bytes())


def test_a_forgotten_author_stays_forgotten(history, corpus, tmp_path):
    with Store.create(str(tmp_path / "kb"), {"created_by": "test"}) as store:
        read_history(store, history)
        with Loopback(world_of_two()) as hub:
            read_reviews(store, hub, tmp_path / "kb" / "pages")
            import_corpus(
                store,
                corpus(
                    row(
                        5000,
                        number=3,
                        comments=[
                            {
                                "id": 5000,
                                "body": "numbat of old",
                                "created_at": "2024-01-01T00:00:00Z",
                                "author": {"login": "Ada", "type": "User"},
                            }
                        ],
                    )
                ),
            )
            gone = forget(store, tmp_path / "kb" / "pages", "ADA")
            assert gone.threads == 5
            assert gone.pages > 0

            def check():
                for name, data in everything(tmp_path / "kb"):
                    assert b"numbat" not in data, name
                    assert b'"ada"' not in data.lower(), name
                for rows in tables(store).values():
                    text = json.dumps(rows.to_pylist(), default=str).lower()
                    assert "numbat" not in text
                    assert '"ada"' not in text
                assert store.is_finished()

            check()
            hub.world.edit(
                next(c.id for c in hub.world.comments.values() if c.user.login == "ada"), "numbats again"
            )
            hub.world.review(3, PEOPLE[0], "APPROVED", "a numbat approves")
            hub.world.changed()
            read_reviews(store, hub, tmp_path / "kb" / "pages")
            assert (
                import_corpus(
                    store,
                    corpus(
                        row(
                            5001,
                            number=3,
                            comments=[
                                {
                                    "id": 5001,
                                    "body": "numbat returns",
                                    "created_at": "2024-01-01T00:00:00Z",
                                    "author": {"login": "ada", "type": "User"},
                                }
                            ],
                        )
                    ),
                ).threads
                == 1
            )
            check()
    assert author_hash("Ada ") == author_hash("ada")


# size ----------------------------------------------------------------------------------------------------


def test_a_sweep_reads_no_text(tmp_path):
    chance = random.Random(1)
    with Store.create(str(tmp_path), {"created_by": "test"}) as store:
        threads = [
            Thread(id=f"a/b#{n}/r{n}", repo="a/b", number=n, kind="inline", comments=(Comment(id=n, body="word " * 50, author=Author(login="x")),), anchor=Anchor(path=f"f{chance.randrange(50)}.py", diff_hunk="@@ -1 +1 @@\n" + "+line\n" * 40))
            for n in range(1, 3001)
        ]  # fmt: skip
        store.append("threads", joined_rows(store, threads, FAMILIES))
        before = pa.total_allocated_bytes()
        index = ThreadIndex(store)
        assert pa.total_allocated_bytes() - before < 1_000_000
        assert sum(len(index.at_path(f"f{i}.py")) for i in range(50)) == 3000
