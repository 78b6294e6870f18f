"""What became of merged pull requests, and the scores of reviews against it."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner
from conftest import GitRepo
from critique_world import BASE, FAST, FIXED, PATH, REPO, TEST, make_store

from kb.commands.evaluate import evaluate as command
from kb.critique.evaluate import CasesError, evaluate, predicted_concerns, read_cases, shifted, sign_test
from kb.critique.history import read_history
from kb.critique.opening import from_card
from kb.critique.ranking import Weights, load_weights, rank
from kb.critique.run import build_case
from kb.critique.truth import MendedHunk, ReviewCase, chosen, find_cases
from kb.families import load_families
from kb.reports.critique_evaluation import evaluation_json, evaluation_text
from kb.store import Store

FAMILIES = load_families()
OTHER = "python/engine/pool.py"
POOL = "class PagePool:\n    def allocate_pages(self, wanted_pages):\n        return self.free_pages[:wanted_pages]\n"
CALM = "def describe_engine_version(engine_name):\n    return engine_name.upper_case_name()\n"
DAY = 24


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """#1 is mended by #2 within the hour, #3 taken back by #4, #5 never touched, #6 changed for no fault, #7 fixed too late."""
    repo = GitRepo(tmp_path_factory.mktemp("fates"))
    repo.commit("Add the radix cache (#1)", {PATH: BASE.encode(), OTHER: POOL.encode()})
    repo.commit(
        "[Bugfix] Fix crash when a locked leaf is evicted (#2)",
        {PATH: FIXED.encode(), "tests/test_radix.py": TEST},
    )
    repo.commit("[Perf] Fast eviction order (#3)", {PATH: FAST.encode()})
    repo.commit('Revert "[Perf] Fast eviction order (#3)" (#4)', {PATH: FIXED.encode()})
    repo.commit("Describe the engine (#5)", {"python/engine/version.py": CALM.encode()})
    repo.commit(
        "Allocate from the end (#6)", {OTHER: POOL.replace("[:wanted_pages]", "[-wanted_pages:]").encode()}
    )
    repo.commits += 70 * DAY
    repo.commit(
        "Fix the order of free pages (#7)",
        {OTHER: POOL.replace("[:wanted_pages]", "[::-1][:wanted_pages]").encode()},
    )
    repo.commits += 70 * DAY
    repo.commit("Last (#8)", {"docs/x.md": b"x\n"})
    return Store.open(make_store(tmp_path_factory.mktemp("kb"), repo.path))


@pytest.fixture(scope="module")
def cases(store):
    return {int(c.id.rpartition("#")[2]): c for c in find_cases(store, REPO)}


def test_a_fix_within_sixty_days_marks_the_hunk_it_mends(cases):
    (mended,) = cases[1].mended
    assert (mended.path, mended.by) == (PATH, (f"{REPO}#2",))
    assert (cases[1].files, cases[1].clean, cases[1].reverted) == (2, False, False)
    assert cases[1].concerns == ("correctness",)


def test_what_was_taken_back_is_marked_as_such(cases):
    assert cases[3].reverted
    assert cases[3].mended[0].by == (f"{REPO}#4",)


def test_only_what_nobody_touched_again_is_clean(cases):
    assert cases[5].clean
    assert 6 not in cases  # its line was changed, and by a fix that came too late
    assert not [n for n, c in cases.items() if c.clean and c.mended]


def test_cases_have_something_to_rank(cases):
    listed = list(cases.values())
    assert [c.id for c in chosen(listed, 2, 10, 10) if c.mended] == [f"{REPO}#1"]
    assert chosen(listed, 2, 0, 0) == []
    assert all(c.clean for c in chosen(listed, 99, 10, 10))


def test_scores_gates_and_baselines(store, cases):
    found = evaluate(
        store, [cases[1], cases[5], msgspec.structs.replace(cases[1], id=f"{REPO}#99")], FAMILIES
    )
    assert found.unread == (f"{REPO}#99",)
    assert (len(found.mended), len(found.clean)) == (1, 1)
    assert found.scores["ours"]["file-hit@3"].value == found.scores["churn"]["file-hit@3"].value == 1.0
    assert found.scores["alphabetical"]["file-hit@1"].value == 0.0  # pool.py stands before radix_cache.py
    assert all(
        o.same_bytes and o.repeated == 0 and o.valid == o.findings == o.anchored for o in found.outcomes
    )
    told = evaluation_json(found, per_case=True)
    assert told["gates"]["same bytes twice"] == "2 of 2 reviews"
    assert set(told["scores"]) == {"ours", "churn", "alphabetical", "majority"}
    assert "sign test" in evaluation_text(found)


def test_findings_are_counted_and_checked_again(store):
    last = ReviewCase(id=f"{REPO}#4", merged_at="2025-01-01", files=1, hunks=1, mended=(MendedHunk(path=PATH, hunk="@@ -1,1 +1,1 @@", by=("x",)),), concerns=("tests",))  # fmt: skip
    found = evaluate(store, [last], FAMILIES)
    assert found.outcomes[0].findings == found.outcomes[0].valid == found.outcomes[0].anchored
    assert found.scores["ours"]["hunk-hit@5"].value == 0.0


def test_a_shift_moves_every_line_and_no_word(store):
    patch = from_card(store, f"{REPO}#2")
    moved = shifted(patch)
    assert [h.hunk.text for h in moved.hunks] == [h.hunk.text for h in patch.hunks]
    assert [h.symbol for h in moved.hunks] == [h.symbol for h in patch.hunks]
    starts = [
        (a.hunk.new_start, b.hunk.new_start)
        for a, b in zip(patch.hunks, moved.hunks, strict=True)
        if a.path == PATH
    ]
    assert all(b == a + 37 for a, b in starts)


def test_shares_add_up_and_follow_the_weights(store):
    patch = from_card(store, f"{REPO}#1")
    history = read_history(store, patch)
    ranked = rank(patch.as_of, patch, history)
    assert sum(s.share for s in ranked.spots) == pytest.approx(1.0, abs=1e-3)
    assert dict(ranked.files)[PATH] > dict(ranked.files)[OTHER]
    upside = rank(patch.as_of, patch, history, Weights({"telling": -3.0}))
    assert upside.files[0][0] == OTHER
    assert load_weights().weights["telling"] > 0
    assert len(predicted_concerns(build_case(store, patch, FAMILIES))) == 3


@pytest.mark.parametrize(
    ("better", "worse", "p"), [(0, 0, 1.0), (5, 0, 0.0625), (3, 3, 1.0), (10, 0, 0.00195)]
)
def test_the_sign_test(better, worse, p):
    assert sign_test(better, worse) == pytest.approx(p, abs=1e-4)


def test_the_commands(store, tmp_path):
    out = tmp_path / "cases.jsonl"
    made = CliRunner().invoke(
        command, ["review-cases", str(out), "--repo", REPO, "--files", "2", "--kb", store.uri]
    )
    assert "1 mended and 4 clean" in made.output
    assert [c.id for c in read_cases(out) if c.mended] == [f"{REPO}#1"]
    assert {c.id for c in read_cases(out) if c.clean} == {f"{REPO}#{n}" for n in (2, 4, 5, 7)}
    told = CliRunner().invoke(command, ["review", str(out), "--kb", store.uri, "--json"])
    assert json.loads(told.output)["cases"] == 5
    text = CliRunner().invoke(command, ["review", str(out), "--kb", store.uri])
    assert "file-hit@3" in text.output


@pytest.mark.parametrize(("text", "said"), [("", "holds no case"), ("{}\n", ":1:"), ("not json", ":1:")])
def test_a_file_without_cases_is_one_line(tmp_path, text, said):
    path = tmp_path / "cases.jsonl"
    path.write_text(text)
    with pytest.raises(CasesError, match=said):
        read_cases(path)
    with pytest.raises(CasesError, match="can't read"):
        read_cases(tmp_path / "none")
