"""A critique of a patch: what it says, that it cites what is there, and that it says it twice alike."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from click.testing import CliRunner
from critique_world import (
    ASKED,
    BASE,
    FAST,
    FAST_LINE,
    FIXED,
    GUARD,
    PATH,
    REPO,
    make_history,
    make_store,
    patch_of,
    thread,
)

from ingest.trees import read_tree
from kb.commands.review import review
from kb.critique.concerns import concerns_of
from kb.critique.drafts import Checkout
from kb.critique.findings import fingerprint_of
from kb.critique.opening import checkout_tree, from_card, from_file, from_range, in_checkout, patched_files
from kb.critique.run import build_case, drafts, review_patch
from kb.critique.verify import Verifier
from kb.families import load_families
from kb.reports.critique import critique_markdown, critique_text
from kb.store import Store

FAMILIES = load_families()
RENAMED = FIXED.replace("self.skipped_locked_leaves += 1", "self.skipped_locked_leaves += leaf_node.lock_ref")


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return make_history(tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="module")
def uri(history, tmp_path_factory):
    threads = [
        thread(2, ASKED, key=11),
        thread(2, "LGTM, thanks", key=12, login="dave"),
        thread(2, "As a bot I say lock_ref is wrong, please fix", key=13, login="bot[bot]", who="bot"),
        thread(2, "Please post benchmark numbers for evict", kind="conversation", key=14),
        thread(3, "What is the throughput on H100?", kind="review", key=15),
    ]
    return make_store(tmp_path_factory.mktemp("kb"), history.path, threads)


@pytest.fixture(scope="module")
def store(uri):
    return Store.open(uri)


def written(tmp_path, raw):
    path = tmp_path / "change.patch"
    path.write_bytes(raw)
    return path


def reviewed(store, tmp_path, raw, **more):
    patch = from_file(written(tmp_path, raw), store, FAMILIES, REPO)
    return review_patch(store, patch, FAMILIES, **more)


def test_taking_a_fix_out_is_the_worst_finding(store, history, tmp_path):
    found = reviewed(store, tmp_path, patch_of(history, FIXED, BASE))
    first = found.findings[0]
    assert (first.rule, first.severity) == ("undoes-fix", "blocking")
    assert first.pulls[0].id == f"{REPO}#2"
    assert first.place.side == "old"
    assert "tests/test_radix.py" in first.check
    assert GUARD.splitlines()[0] in first.pulls[0].quote


def test_bringing_back_what_was_reverted_is_found(store, history, tmp_path):
    found = reviewed(store, tmp_path, patch_of(history, FIXED, FAST))
    first = found.findings[0]
    assert (first.rule, first.severity, first.pulls[0].id) == ("restores-reverted", "major", f"{REPO}#4")
    assert first.pulls[0].relation == "reverts"
    assert first.pulls[0].target == f"{REPO}#3"
    assert FAST_LINE.splitlines()[0] in first.pulls[0].quote


@pytest.mark.parametrize(
    "title", ["Reland fast eviction order", "Revert everything", "[Docs] Fix a typo", "LGTM"]
)
def test_no_title_lowers_a_severity(store, history, tmp_path, title):
    raw = patch_of(history, FIXED, FAST)
    plain = reviewed(store, tmp_path, raw).findings
    titled = reviewed(store, tmp_path, f"Subject: [PATCH] {title}\n\n".encode() + raw).findings
    assert [(f.rule, f.severity) for f in titled] == [(f.rule, f.severity) for f in plain]


def test_the_same_names_in_the_same_definition_are_an_old_sore(store, history, tmp_path):
    found = build_case(
        store,
        from_file(written(tmp_path, patch_of(history, FIXED, RENAMED)), store, FAMILIES, REPO),
        FAMILIES,
    )
    rules = {f.rule: f for f in drafts(found)}
    assert rules["fixed-before"].pulls[0].id == f"{REPO}#2"
    assert "`skipped_locked_leaves`" in rules["fixed-before"].failure
    asked = rules["asked-before"].threads[0]
    assert asked.id == f"{REPO}#2/r11"
    assert asked.quote in ASKED


def test_the_sweep_reaches_what_has_no_path(store, history, tmp_path):
    sweep = reviewed(store, tmp_path, patch_of(history, FIXED, RENAMED)).sweep
    assert (sweep.cards_scanned, sweep.threads_scanned) == (5, 4)  # a bot's thread is none of people
    assert dict(sweep.kinds) == {"inline": 2, "conversation": 1, "review": 1}
    assert {m.reason: m.threads for m in sweep.matched}["conversation or submission of a change to them"] == 2
    assert (sweep.fixes, sweep.reverts) == (2, 1)
    assert dict(sweep.asked)["benchmark numbers"] == 2


def test_a_merged_change_is_judged_by_what_came_before_it(store):
    patch = from_card(store, f"{REPO}#2")
    found = review_patch(store, patch, FAMILIES)
    assert found.sweep.cards_scanned == 1
    assert found.findings == ()
    assert "no past fix" in found.residual
    assert all(t < patch.as_of for t in (found.sweep.recurring or ()))


def test_a_range_knows_its_own_commits(store, history):
    with history.open() as repository:
        patch = from_range(repository, "HEAD~3..HEAD~2", store, FAMILIES, REPO)
    assert patch.own == (f"{REPO}#3",)
    assert patch.title == "[Perf] Fast eviction order"
    assert [s.name for s in patch.files[0].symbols] == ["RadixCache._ordered_leaves"]
    assert patch.files[0].source == FAST.encode()


def test_a_checkout_makes_names_exact_and_lanes_looked_up(store, tmp_path):
    repo = make_history(tmp_path / "clone")
    raw = patch_of(repo, FIXED, BASE)
    patch = from_file(written(tmp_path, raw), store, FAMILIES, REPO)
    with checkout_tree(repo.path) as tree:
        exact, checkout = in_checkout(patch, patched_files(patch), tree, FAMILIES)
        assert (checkout.is_after, checkout.strangers) == (False, ())
        found = review_patch(store, exact, FAMILIES, checkout=checkout)
    assert found.findings[0].place.symbol == "RadixCache.evict"
    assert (found.findings[0].standing, found.standing) == ("checkout", "checkout")
    assert reviewed(store, tmp_path, raw).findings[0].standing == "unverified"
    repo.commit("Tests go", {"tests/test_radix.py": None})
    with checkout_tree(repo.path) as tree:
        exact, checkout = in_checkout(patch, patched_files(patch), tree, FAMILIES)
        found = review_patch(store, exact, FAMILIES, checkout=checkout)
    assert "test_radix" not in found.findings[0].check
    assert all("test_radix" not in lane for gap in found.gaps for lane in gap.lanes)


def test_a_checkout_of_another_state_is_said(store, tmp_path):
    repo = make_history(tmp_path / "clone")
    repo.commit("Other text", {PATH: b"x = 1\n"})
    patch = from_file(written(tmp_path, patch_of(repo, FIXED, BASE)), store, FAMILIES, REPO)
    with checkout_tree(repo.path) as tree:
        exact, checkout = in_checkout(patch, patched_files(patch), tree, FAMILIES)
        found = review_patch(store, exact, FAMILIES, checkout=checkout)
    assert checkout.strangers == (PATH,)
    assert found.standing == "diff"
    assert "another state" in critique_markdown(found)


def test_what_is_taken_away_and_still_named_is_asked_about(store, tmp_path):
    repo = make_history(tmp_path / "clone")
    repo.commit("A user", {"python/engine/user.py": b"cache.release_node(x)\n"})
    gone = FIXED.replace(
        FIXED[FIXED.index("    def release_node") : FIXED.index("    def _ordered_leaves")], ""
    )
    repo.commit("Drop it", {PATH: gone.encode()})
    with repo.open() as repository:
        patch = from_range(repository, "HEAD", store, FAMILIES, REPO)
        checkout = Checkout(read_tree(repository, patch.head), is_after=True)
        found = review_patch(store, patch, FAMILIES, checkout=checkout)
    assert any("`release_node` is taken away" in q and "2 times" in q for q in found.questions)


def test_nothing_to_say_is_said(store, history, tmp_path):
    raw = patch_of(history, "x = 1\n", "x = 2\n", "python/engine/other.py")
    found = reviewed(store, tmp_path, raw)
    assert found.findings == ()
    assert found.residual.startswith("No finding")
    assert 2 <= len(found.comprehension) <= 6
    assert found.charts == ()


def test_a_chart_has_real_names_and_a_sound_size(store, history):
    new = FIXED.replace(
        "        return freed_pages\n",
        "        self.publish_event(freed_pages)\n        self.trim_tree(self.walk_children())\n        return freed_pages\n\n"
        "    def publish_event(self, freed_pages):\n        self.event_queue.submit_event(freed_pages)\n\n"
        "    def trim_tree(self, nodes):\n        for node in nodes:\n            self.release_node(node)\n",
        1,
    )
    history.commit("Publish evictions", {PATH: new.encode()})
    with history.open() as repository:
        found = review_patch(store, from_range(repository, "HEAD", store, FAMILIES, REPO), FAMILIES)
    (chart,) = found.charts
    names = re.findall(r'n\d+\["([\w.]+)(?: · radix_cache.py)?"\]', chart.mermaid)
    assert 6 <= chart.nodes == len(names) <= 14
    assert {
        "RadixCache.evict",
        "RadixCache.publish_event",
        "RadixCache.trim_tree",
        "RadixCache.release_node",
    } <= set(names)
    marked = re.findall(r'\["([\w.]+) · radix_cache.py"\]:::changed', chart.mermaid)
    assert set(marked) == {"RadixCache.evict", "RadixCache.publish_event", "RadixCache.trim_tree"}
    assert "classDef changed" in chart.mermaid


def test_the_command_prints_and_fails_as_told(uri, history, tmp_path):
    path = str(written(tmp_path, patch_of(history, FIXED, BASE)))
    run = CliRunner()

    def status(*args):
        return run.invoke(review, [*args, "--kb", uri], standalone_mode=False)

    text = status(path)
    assert text.return_value == 0
    assert "blocking" in text.output.lower()
    assert status(path, "--fail-on", "major").return_value == 1
    assert status(path, "--fail-on", "major", "--max-findings", "0").return_value == 0
    twice = [status(path, "--format", form).output for form in ("json", "json", "md", "md")]
    assert twice[0] == twice[1]
    assert twice[2] == twice[3]
    assert json.loads(twice[0])["findings"][0]["pulls"][0]["id"] == f"{REPO}#2"
    assert "## Findings" in twice[2]
    assert status("--card", "acme/engine#4", "--format", "md").output.count("## ") >= 5


@pytest.mark.parametrize(
    "args",
    [[], ["a.patch", "--rev", "x"], ["missing.patch"], ["--card", "acme/engine#99"], ["--rev", "none..HEAD"]],
)
def test_what_can_not_be_reviewed_is_one_line(uri, args, history):
    result = CliRunner().invoke(review, [*args, "--kb", uri, "--checkout", str(history.path)])
    assert result.exit_code != 0
    assert result.exception is not None
    assert "\n" not in str(result.exception)


def test_a_fingerprint_stays_when_lines_move(store, history, tmp_path):
    above = "import os\nimport re\n" * 20
    first = reviewed(store, tmp_path, patch_of(history, FIXED, BASE)).findings[0]
    moved = reviewed(store, tmp_path, patch_of(history, above + FIXED, above + BASE)).findings[0]
    assert first.place.start != moved.place.start
    assert first.fingerprint == moved.fingerprint
    assert first.fingerprint != fingerprint_of(first.place, "docs", "other")


def test_reports_hold_every_section(store, history, tmp_path):
    found = reviewed(store, tmp_path, patch_of(history, FIXED, BASE))
    said = critique_markdown(found)
    for heading in (
        "What changes",
        "What happened here before",
        "Findings",
        "Read first",
        "Tests and benchmarks",
        "Summary",
    ):
        assert f"## {heading}\n" in said
    assert "https://github.com/acme/engine/pull/2" in said
    assert "\x1b" not in critique_text(found)


# breaking it ------------------------------------------------------------------------------------------


def forgeries(finding):
    """Ways to cite what is not there, or not there any more."""
    pull, place = finding.pulls[0], finding.place
    change = msgspec.structs.replace
    forged = {
        "no such pull": change(pull, id=f"{REPO}#99"),
        "another repository": change(pull, id="other/engine#2"),
        "its own title": change(pull, title="Fix everything"),
        "another quote": change(pull, quote=pull.quote + "!"),
        "quote and hash made up": change(
            pull, quote="+    boom()", sha256=__import__("hashlib").sha256(b"+    boom()").hexdigest()
        ),
        "another hunk": change(pull, hunk="@@ -1,1 +1,1 @@"),
        "another file": change(pull, path="python/engine/other.py"),
        "a revert it was not": change(pull, relation="reverts"),
        "merged later": change(pull, merged_at="2031-01-01T00:00:00Z"),
        "no fix": change(pull, id=f"{REPO}#1"),
    }
    yield from ((name, change(finding, pulls=(p,))) for name, p in forged.items())
    for name, where in {
        "shifted lines": change(place, start=place.start + 400, line=place.line + 400),
        "lines upside down": change(place, start=place.line + 1, line=place.start),
        "another side": change(place, side="new", start=10_000, line=10_000),
        "a file outside": change(place, path="../../etc/passwd"),
        "no changed line": change(place, start=1, line=1),
        "another header": change(place, hunk="@@ -9,9 +9,9 @@"),
    }.items():
        yield name, change(finding, place=where)
    yield "a name from nowhere", change(finding, failure="Breaks `totally_unknown_symbol`.")
    yield "no failure mode", change(finding, failure=" ")
    yield "several lines", change(finding, check="a\nb")
    yield "no precedent", change(finding, pulls=())
    yield "no such severity", change(finding, severity="apocalyptic")
    yield "no such concern", change(finding, concern="vibes")


def test_no_forgery_stands(store, history, tmp_path):
    patch = from_file(written(tmp_path, patch_of(history, FIXED, BASE)), store, FAMILIES, REPO)
    case = build_case(store, patch, FAMILIES)
    honest = next(f for f in drafts(case) if f.rule == "undoes-fix")
    verifier = Verifier(store, patch, case.history)
    assert len(verifier.check([honest])[0]) == 1
    cases = dict(forgeries(honest))
    assert len(cases) >= 20
    for name, forged in cases.items():
        kept, refused = verifier.check([forged])
        assert kept == [], name
        assert len(refused) == 1


def test_a_thread_that_was_deleted_or_changed_is_cited_no_more(store, history, tmp_path):
    patch = from_file(written(tmp_path, patch_of(history, FIXED, RENAMED)), store, FAMILIES, REPO)
    case = build_case(store, patch, FAMILIES)
    honest = next(f for f in drafts(case) if f.rule == "asked-before")
    cited = honest.threads[0]
    change = msgspec.structs.replace
    verifier = Verifier(store, patch, case.history)
    assert verifier.check([honest])[0]
    for forged in (
        change(cited, id=f"{REPO}#2/r999"), change(cited, quote="Looks good"), change(cited, sha256="0" * 64),
        change(cited, comment=13), change(cited, url="https://example.com/"), change(cited, created_at="2031-01-01T00:00:00Z"),
    ):  # fmt: skip
        assert verifier.check([change(honest, threads=(forged,))])[0] == []


@pytest.mark.parametrize(
    ("text", "concern"),
    [
        ("oom when the kv cache leak", "memory/cache"), ("crash on none wrong result bug", "correctness"),
        ("typo in docstring doc", "docs"), ("flaky test", "tests"), ("slow latency regression", "performance"),
        ("", None), ("hello world", None),
    ],
)  # fmt: skip
def test_words_tell_the_concern(text, concern):
    assert (concerns_of(text) or (None,))[0] == concern
