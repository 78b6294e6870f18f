"""The sync against the loop-back GitHub: what it holds afterwards is what GitHub has, however it was interrupted."""

from __future__ import annotations

import json
import random

import pytest
from loopback.clients import client_of, rows_of, sync_once
from loopback.faults import FAULTS, GRAPHQL_FAULTS
from loopback.server import Loopback
from loopback.world import GHOST, PEOPLE, World, make_world, sha, stamp

from ingest.errors import GitHubError
from ingest.github.assemble import reviewed_pulls
from ingest.github.authors import Bots
from ingest.github.client import PER_PAGE
from ingest.github.ledger import archived, open_ledger
from ingest.github.pages import ArchiveError
from ingest.github.plan import plan_first, planned
from ingest.github.queries import WITH_THREADS
from ingest.github.replay import all_rows

BOTS = Bots(frozenset(("sglang-bot",)))


@pytest.fixture
def world():
    return make_world(110, 120, 110, 60, 10)


@pytest.fixture(scope="module")
def small():
    return make_world(110, 30, 30, 20, 5)


@pytest.fixture(scope="module")
def clean_rows(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    with Loopback(small) as hub:
        sync_once(hub, folder)
    return rows_of(folder)


def said(folder, world):
    """Everything a ledger holds, in the words of the world."""
    with open_ledger(folder, world.repo) as ledger:
        pulls = list(reviewed_pulls(ledger, sorted(world.pulls), BOTS))
    return {
        "titles": {p.description.number: p.description.title for p in pulls},
        "heads": {p.description.number: p.description.head_sha for p in pulls},
        "comments": {
            c.id: c.body for p in pulls for t in p.threads for c in t.comments if t.kind != "review"
        },
        "reviews": {
            c.id: (c.state, c.body)
            for p in pulls
            for t in p.threads
            for c in t.comments
            if t.kind == "review"
        },
        "threads": {
            t.node_id: (t.comments[0].id, t.resolved, t.outdated, len(t.comments))
            for p in pulls
            for t in p.threads
            if t.kind in ("inline", "file")
        },
    }


def truth(world: World):
    comments = {c.id: c.body for c in world.comments.values() if c.kind != "issue"}
    reviews = {
        r.id: (r.state.lower(), r.body)
        for r in world.reviews.values()
        if r.body.strip() or r.state != "COMMENTED"
    }
    threads = {
        t.id: (world.comments_of_thread(t)[0].id, t.resolved, t.outdated, len(world.comments_of_thread(t)))
        for t in world.threads.values()
    }
    return {
        "titles": {p.number: p.title for p in world.pulls.values()}, "heads": {p.number: p.head for p in world.pulls.values()},
        "comments": comments, "reviews": reviews, "threads": threads,
    }  # fmt: skip


def test_a_first_sync_holds_what_github_has(world, tmp_path):
    with Loopback(world) as hub:
        report, requests = sync_once(hub, tmp_path)
        assert report.complete
        assert not report.failed
        assert requests == report.pages == sum(hub.requests.values())
        assert said(tmp_path, world) == truth(world)
        again, requests = sync_once(hub, tmp_path)
        assert requests <= 10
        assert again.listed == 0
        assert hub.log[-1][0] == "POST"


def test_changes_are_followed(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        inline = [c for c in world.comments.values() if c.kind == "inline"]
        world.edit(inline[3].id, "edited: the scale is wrong")
        world.edit(next(c.id for c in world.comments.values() if c.kind == "conversation"), "edited too")
        world.push(7)
        world.merge(5)
        world.tick()
        world.pull(111, PEOPLE[2], "A new one", "with a body")
        world.comment(
            "inline",
            111,
            PEOPLE[0],
            "look here",
            path="a.py",
            line=3,
            original_line=3,
            commit="c",
            hunk="@@ -1 +1 @@\n+x",
        )
        world.comment(
            "inline", inline[0].number, PEOPLE[1], "a reply", reply_to=inline[0].id, path=inline[0].path
        )
        world.review(111, PEOPLE[0], "APPROVED", "ship it")
        world.changed()
        sync_once(hub, tmp_path)
        assert said(tmp_path, world) == truth(world)
    with open_ledger(tmp_path, world.repo) as ledger:
        pushed = next(reviewed_pulls(ledger, [7], BOTS)).description
    assert pushed.head_history == (sha("head", 7, 0), pushed.head_sha)


def test_a_resolved_thread_leaves_no_trace_but_is_found(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        open_ones = [t for t in world.threads.values() if world.pulls[t.number].state == "open"]
        world.resolve(open_ones[0].id)
        _, requests = sync_once(hub, tmp_path)
        assert requests <= 10
        assert said(tmp_path, world)["threads"][open_ones[0].id][1] is True


def test_deletions_become_tombstones(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        roots = [
            c
            for c in world.comments.values()
            if c.kind == "inline" and any(r.reply_to == c.id for r in world.comments.values())
        ]
        world.delete(roots[0].id)
        world.delete(next(c.id for c in world.comments.values() if c.kind == "conversation"))
        lone = next(t for t in world.threads.values() if len(world.comments_of_thread(t)) == 1)
        world.delete(lone.root)
        sync_once(hub, tmp_path)
        assert said(tmp_path, world)["comments"] != truth(world)["comments"]
        report, _ = sync_once(hub, tmp_path, reconcile=True)
        assert report.reconciled
        assert said(tmp_path, world) == truth(world)
    with open_ledger(tmp_path, world.repo) as ledger:
        threads = [t for p in reviewed_pulls(ledger, [roots[0].number], BOTS) for t in p.threads]
    assert [t.root_missing for t in threads if t.id.endswith(f"/r{roots[0].id}")] == [True]


def test_reconciliation_comes_by_itself_after_a_week(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        world.now += 8 * 86400
        world.delete(next(c.id for c in world.comments.values() if c.kind == "conversation"))
        report, _ = sync_once(hub, tmp_path)
        assert report.reconciled
        assert said(tmp_path, world)["comments"] == truth(world)["comments"]


@pytest.mark.parametrize("step", [1, 3, 7])
def test_any_number_of_stops_ends_in_the_same_place(world, tmp_path, step):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path / "whole")
        runs = 0
        while not sync_once(hub, tmp_path / "parts", most=step)[0].complete:
            runs += 1
            assert runs < 100
    parts, whole = rows_of(tmp_path / "parts"), rows_of(tmp_path / "whole")
    assert runs >= 1
    assert parts == whole


@pytest.mark.parametrize("fault", [*FAULTS, *GRAPHQL_FAULTS])
def test_a_sync_under_a_fault_ends_as_one_without(small, clean_rows, tmp_path, fault):
    with Loopback(small) as hub:
        path = "/graphql" if fault in GRAPHQL_FAULTS else ""
        for after in (0, 2, 3):
            hub.switch(fault, 1, path, after if not path else 0)
        sync_once(hub, tmp_path / "faulty")
        assert not any(s.times for s in hub.switches), "every switched fault has to occur"
    assert rows_of(tmp_path / "faulty") == clean_rows


def test_a_query_that_fails_is_halved_and_the_one_at_fault_left_for_later(world, tmp_path):
    with Loopback(world) as hub:
        hub.switch("query timed out", 12, "/graphql")
        report, _ = sync_once(hub, tmp_path)
        assert report.complete
        assert report.failed
        sync_once(hub, tmp_path)
        assert said(tmp_path, world) == truth(world)


def test_lists_that_one_page_does_not_hold(tmp_path):
    world = make_world(3, 0, 0, 0, 0)
    for i in range(130):
        world.tick()
        world.comment(
            "inline",
            2,
            PEOPLE[i % 4],
            f"thread {i}",
            path="a.py",
            line=i + 1,
            original_line=i + 1,
            commit="c",
            hunk="@@ -1 +1 @@\n+x",
        )
        world.review(2, PEOPLE[i % 3], "COMMENTED", f"review {i}")
    world.tick(3600)
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        assert said(tmp_path, world) == truth(world)


def test_more_comments_in_a_second_than_a_page_holds(tmp_path):
    world = make_world(3, 0, 0, 0, 0)
    for i in range(2 * PER_PAGE + 30):
        world.comment("conversation", 1 + i % 3, PEOPLE[0], f"at once {i}")
    world.tick(3600)
    for i in range(PER_PAGE + 5):
        world.comment("conversation", 1, PEOPLE[0], f"later {i}")
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        assert said(tmp_path, world) == truth(world)
        world.comment("conversation", 1, PEOPLE[0], "one more in the same second")
        world.changed()
        sync_once(hub, tmp_path)
        assert said(tmp_path, world) == truth(world)


def test_edits_while_pages_are_read_lose_nothing(tmp_path):
    world = make_world(40, 0, 450, 0, 0)
    ids = [c.id for c in world.listed("conversation")]
    chance = random.Random(5)
    with Loopback(world) as hub:

        def progress(stream, done, total):
            if stream == "conversation":
                with hub.lock:
                    for i in chance.sample(ids, 3):
                        world.edit(i, f"edited at {done}")

        sync_once(hub, tmp_path, progress=progress)
        sync_once(hub, tmp_path)
        assert said(tmp_path, world)["comments"] == truth(world)["comments"]


def test_only_what_changed_since_a_day(world, tmp_path):
    day = stamp(sorted(p.updated for p in world.pulls.values())[100])
    with Loopback(world) as hub:
        sync_once(hub, tmp_path, since=day)
        held = said(tmp_path, world)
    assert {n for n, t in held["titles"].items() if t} >= {
        p.number for p in world.pulls.values() if stamp(p.updated) >= day
    }
    assert held["comments"] == {
        c.id: c.body for c in world.comments.values() if c.kind != "issue" and stamp(c.updated) >= day
    }


def test_a_renamed_repository_is_read_to_its_end(world, tmp_path):
    with Loopback(world) as hub:
        hub.renamed_from = "acme/old"
        sync_once(hub, tmp_path, repo="acme/old")
    assert len(rows_of(tmp_path, "acme/old")["pull"]) == 110


def test_a_repository_that_is_not_there(world, tmp_path):
    with Loopback(world) as hub, pytest.raises(GitHubError, match="has no repos/acme/none/pulls"):
        sync_once(hub, tmp_path, repo="acme/none")


def test_a_page_of_another_form_is_not_kept(world, tmp_path, monkeypatch):
    from loopback import server

    with Loopback(world) as hub:
        monkeypatch.setattr(server.render, "pull", lambda world, p, base: {"number": "one"})
        with pytest.raises(GitHubError, match="another form than documented"):
            sync_once(hub, tmp_path)
    with open_ledger(tmp_path, world.repo) as ledger:
        assert ledger.count("page") == 0


def test_replay_gives_the_same_rows_without_the_network(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
        world.push(3)
        sync_once(hub, tmp_path)
    before = rows_of(tmp_path)
    with open_ledger(tmp_path, world.repo) as ledger:
        assert ledger.rebuild(all_rows(ledger)) == ledger.count("page")
    assert rows_of(tmp_path) == before
    assert archived(tmp_path) == ["acme/engine"]


def test_what_a_killed_run_appended_is_cut_off(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path, most=4)
        segment = next((tmp_path / "acme+engine").glob("pages-*.gz"))
        size = segment.stat().st_size
        with segment.open("ab") as file:
            file.write(b"\x1f\x8b half a page")
        (tmp_path / "acme+engine" / "pages-00009.jsonl.gz").write_bytes(b"of an older run")
        sync_once(hub, tmp_path)
        assert segment.stat().st_size > size
        assert len(list(segment.parent.glob("pages-*.gz"))) == 1
        assert said(tmp_path, world) == truth(world)


def test_a_damaged_page_is_named(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
    segment = next((tmp_path / "acme+engine").glob("pages-*.gz"))
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    segment.write_bytes(raw)
    with (
        open_ledger(tmp_path, world.repo) as ledger,
        pytest.raises(ArchiveError, match=r"is damaged|not what was received"),
    ):
        ledger.rebuild(all_rows(ledger))
    assert rows_of(tmp_path)["pull"], "a replay that fails takes nothing away"


def test_pages_are_readable_without_prlore(world, tmp_path):
    import gzip

    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
    with gzip.open(next((tmp_path / "acme+engine").glob("pages-*.gz")), "rt") as file:
        pages = [json.loads(line) for line in file]
    assert {p["stream"] for p in pages} == {"pulls", "inline", "conversation", "graphql"}
    assert json.loads(pages[0]["body"])[0]["number"] == 1


def test_one_process_at_a_time(tmp_path):
    with (
        open_ledger(tmp_path, "a/b"),
        pytest.raises(ArchiveError, match="another prlore"),
        open_ledger(tmp_path, "a/b"),
    ):
        pass
    with pytest.raises(ArchiveError, match="ingest github a/c"), open_ledger(tmp_path, "a/c", create=False):
        pass


def test_the_plan_is_near_what_it_costs(world, tmp_path):
    with Loopback(world) as hub:
        with client_of(hub) as client:
            plan = plan_first(client, world.repo)
            assert client.pace.counts.requests == plan.probes == 3
        _, requests = sync_once(hub, tmp_path)
    assert abs(plan.requests - requests) <= 6
    whole = planned("a/b", {"pulls": 21_000, "inline": 51_000, "conversation": 63_000}, 3)
    assert whole.requests < 3500


def test_people_and_programs(world, tmp_path):
    with Loopback(world) as hub:
        sync_once(hub, tmp_path)
    with open_ledger(tmp_path, world.repo) as ledger:
        found = {
            c.author.login or "ghost": c.author
            for p in reviewed_pulls(ledger, sorted(world.pulls), BOTS)
            for t in p.threads
            for c in t.comments
        }
    kinds = {login: a.kind for login, a in found.items()}
    assert kinds["claude-shannon"] == kinds["sweepy"] == kinds["cursor-fan"] == "human"
    assert kinds["sglang-bot"] == kinds["dependabot[bot]"] == "bot"
    assert kinds["ghost"] == "ghost"
    assert found["ada"].role in ("maintainer", "pr_author")
    assert GHOST.login == ""
    assert WITH_THREADS == 25
