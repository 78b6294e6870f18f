"""The watch over open pull requests: all pages, files that GitHub leaves out, overlaps, and no empty report."""

from __future__ import annotations

import pytest
from loopback.clients import client_of
from loopback.server import Loopback
from loopback.world import PEOPLE, ChangedFile, World

from ingest.github.authors import Bots
from ingest.github.openpulls import OpenFile, open_pulls, patched_files
from kb.families import load_families
from kb.reports.watch import watch_json, watch_markdown
from kb.watch import Surface, WatchFailed, find_overlaps, matches, watch

FAMILIES = load_families()
REPO = "acme/engine"
DEEPSEEK = "python/sglang/srt/models/deepseek_v2.py"


def quiet(repo, done, total):
    pass


def world_of(count=3):
    world = World()
    for number in range(1, count + 1):
        world.tick(60)
        made = world.pull(number, PEOPLE[number % 5], f"Change {number}")
        made.files = [
            ChangedFile(f"src/f{number}.py", additions=1, deletions=1, patch="@@ -1 +1 @@\n-a\n+b", sha="s")
        ]
    world.tick(60)
    return world


EVERYTHING = Surface()


def look(world, surface=EVERYTHING, repos=(REPO,), most=None, **switches):
    with Loopback(world) as hub:
        hub.too_many_files = switches.pop("too_many", set())
        for name, times in switches.items():
            hub.switch(name, times, "/files" if name == "502" else "")
        with client_of(hub, most=most) as client:
            return watch(client, repos, surface, FAMILIES, Bots(), quiet)


def test_all_pages_are_read():
    world = world_of(130)
    report = look(world, Surface(paths=("f1.py", "f77.py", "f130.py")))
    assert report.seen == 130
    assert {w.pull.number for w in report.pulls} == {1, 77, 130}


def test_a_family_is_met_by_its_files_and_by_titles():
    world = world_of(3)
    world.pulls[1].files = [
        ChangedFile(
            DEEPSEEK,
            patch="@@ -5,3 +5,3 @@ class DeepseekV2ForCausalLM(nn.Module):\n x\n-a\n+def forward_absorb(self):",
            sha="s",
        )
    ]
    world.pulls[2].title = "DeepSeek V3: faster shared experts"
    slugs = FAMILIES.resolve("deepseek")
    report = look(world, Surface(families=slugs))
    found = {w.pull.number: w for w in report.pulls}
    assert set(found) == {1, 2}
    assert found[1].on_surface == (DEEPSEEK,)
    assert found[1].definitions == ("DeepseekV2ForCausalLM", "forward_absorb")
    assert any("title" in why for why in found[2].why)


def test_reviews_and_overlaps():
    world = world_of(4)
    shared = "python/sglang/srt/server_args.py"
    for number, at in ((1, 100), (2, 103), (3, 900)):
        world.pulls[number].files = [
            ChangedFile(
                shared, additions=3, deletions=1, patch=f"@@ -{at},8 +{at},10 @@\n context\n-a\n+b", sha="s"
            )
        ]
    world.review(1, PEOPLE[0], "CHANGES_REQUESTED", "no")
    world.tick()
    world.review(1, PEOPLE[0], "APPROVED", "yes")
    world.comment(
        "inline", 1, PEOPLE[1], "open question", path=shared, line=1, hunk="@@ -1 +1 @@\n+x", commit="c"
    )
    world.changed()
    report = look(world, Surface(paths=("server_args.py",)))
    first = next(w for w in report.pulls if w.pull.number == 1)
    assert (
        first.pull.approvals,
        first.pull.changes_requested,
        first.pull.unresolved,
        first.pull.threads,
    ) == (1, 0, 1, 1)
    assert first.shared == ("server arguments",)
    assert [(o.first, o.second, o.lines) for o in report.overlaps] == [
        (1, 2, (shared,)),
        (1, 3, ()),
        (2, 3, ()),
    ]
    text = watch_markdown(report)
    assert "\\#1, \\#2" in text
    assert "1 of 1 threads open" in text
    assert watch_json(report)["overlaps"][0] == {
        "repo": REPO,
        "pulls": [1, 2],
        "files": [shared],
        "lines": [shared],
    }


def test_files_that_github_lists_without_their_changes():
    world = world_of(1)
    patch = "@@ -1 +1,900 @@\n" + "\n".join("+line" for _ in range(900))
    world.pulls[1].files = [
        ChangedFile(f"csrc/k{i}.cu", additions=900, deletions=0, patch=patch, sha=f"s{i}") for i in range(60)
    ]
    with Loopback(world) as hub, client_of(hub) as client:
        with_zeros = client.get(f"/repos/{REPO}/pulls/1/files", {"per_page": 100}).data
        assert sum(f["changes"] == 0 for f in with_zeros) > 30
        files, complete = patched_files(client, REPO, 1)
    assert complete
    assert [f.additions for f in files] == [900] * 60
    assert all(f.patch for f in files)


def test_a_diff_of_too_many_files_has_its_paths():
    world = world_of(2)
    world.pulls[1].files = [ChangedFile(f"a/{i}.py", sha="s", patch="@@ -1 +1 @@\n+x") for i in range(320)]
    report = look(world, too_many={1})
    large = next(w for w in report.pulls if w.pull.number == 1)
    assert len(large.pull.files) == 320
    assert not large.patches_complete
    assert not report.problems
    assert "does not give the whole diff" in watch_markdown(report)


def test_nothing_fetched_is_an_error_and_part_of_it_is_said():
    with pytest.raises(WatchFailed, match="nothing could be fetched: acme/none"):
        look(world_of(), repos=("acme/none",))
    report = look(world_of(), repos=("acme/none", REPO))
    assert len(report.pulls) == 3
    assert "acme/none" in report.problems[0]
    assert "incomplete" in watch_markdown(report)
    with pytest.raises(WatchFailed):
        look(world_of(), most=0)
    report = look(world_of(), most=2)
    assert len(report.problems) == 2
    assert [p.number for p in (w.pull for w in report.pulls)] == [3, 2, 1]


def test_a_list_that_is_too_much_is_asked_for_in_smaller_pieces():
    world = world_of(40)
    with Loopback(world) as hub, client_of(hub) as client:
        hub.switch("query timed out", 3, "/graphql")
        assert len(list(open_pulls(client, REPO, Bots(), lambda done, total: None))) == 40


def test_foreign_text_stays_text():
    world = world_of(1)
    world.pulls[1].title = "<img src=x> [a](https://evil.example) | \x1b[31m `x`\n# Heading"
    world.pulls[1].files = [ChangedFile("a`b|c.py", patch="@@ -1 +1 @@\n+x", sha="s")]
    text = watch_markdown(look(world))
    assert "\x1b" not in text
    assert "<img" not in text.replace("\\<img", "")
    assert "\n# Heading" not in text
    assert "](https://evil" not in text


def test_paths():
    assert matches("a/b/server_args.py", "server_args")
    assert matches("a/b/c.cu", "*.cu")
    assert matches("python/x/c.py", "x/*.py")
    assert not matches("a/b.py", "b/*.py")
    assert find_overlaps([]) == []
    assert OpenFile("a", 1, 1).patch == ""
