"""Backports on real histories: exact merges, what a change stands on, reverts, conflicts that are handed on."""

from __future__ import annotations

import pytest
from redteam.stage import Stage

from loop.proposers.backport.history import Pull, days_between, lacks, prerequisites
from loop.proposers.backport.merging import bring
from loop.proposers.backport.proposer import BackportProposer, Settled
from loop.proposers.handing_in import Desk
from loop.protocols import ProposalBudget
from loop.records import CardQuote, Cost, EvidenceBundle
from loop.redaction import Redactor

RUNNER = "python/sglang/srt/runner.py"
CACHE = "python/sglang/srt/cache.py"
TEST = "test/srt/test_runner.py"


def lines(prefix: str, count: int = 40, **changed: str) -> bytes:
    texts = {int(k[1:]): v for k, v in changed.items()}
    return "".join(f"{texts.get(n, f'{prefix}_{n} = {n}')}\n" for n in range(count)).encode()


@pytest.fixture
def stage(repo, tmp_path):
    return Stage(
        repo,
        tmp_path / "stage",
        {RUNNER: lines("r"), CACHE: lines("c"), TEST: lines("t"), "python/pyproject.toml": b"[project]\n"},
    )


@pytest.fixture
def desk(stage):
    return Desk(stage.trees, stage.blobs, Redactor([]))


def pull(stage, number: int, title: str, files) -> Pull:
    """A pull request merged onto the main line."""
    parent = stage.repo.head()
    return Pull(
        f"sgl-project/sglang#{number}", stage.repo.commit(f"{title} (#{number})", files), parent, title
    )


class Listed:
    """`Pulls` from a list."""

    def __init__(self, *pulls: Pull, reverts: dict[str, str] | None = None) -> None:
        self._pulls, self._reverts = pulls, reverts or {}

    def pulls(self, bundle, after):
        assert after.endswith("Z")
        return self._pulls

    def reverted_by(self, found):
        return self._reverts.get(found.id)


def evidence(stage, path=RUNNER) -> EvidenceBundle:
    quote = CardQuote("sgl-project/sglang#2", path, "+x", "")
    return EvidenceBundle(
        "", "", 0.1, "decode", "", "decode/kernel/1", 0.2, f"{path}:3", stage.base.tree, (quote,), "", 0.25
    )


BUDGET = ProposalBudget()


def test_a_pull_request_that_the_target_lacks_is_handed_in(stage, desk):
    pull(stage, 1, "Other", {CACHE: lines("c", L5="c_5 = 50")})
    wanted = pull(stage, 2, "Faster runner", {
        RUNNER: lines("r", L10="r_10 = fast()"), TEST: lines("t", L1="t_1 = 2"), "python/pyproject.toml": b"[project]\nx = 1\n",
        ".github/workflows/a.yml": b"on: push\n",
    })  # fmt: skip
    made = BackportProposer(desk, Listed(wanted)).propose(evidence(stage), stage.base, BUDGET)
    assert set(made.files) == {RUNNER, TEST}
    assert made.source == f"{wanted.id} {wanted.sha[:12]}"
    assert "Left out: .github/workflows/a.yml, python/pyproject.toml" in made.claim
    candidate = stage.trees.apply(stage.base, stage.blobs.get(made.diff))
    assert stage.trees.read(candidate, RUNNER) == lines("r", L10="r_10 = fast()")
    assert stage.trees.read(candidate, CACHE) == lines("c")
    again = BackportProposer(desk, Listed(wanted), tried=(made,)).propose(evidence(stage), stage.base, BUDGET)
    assert again.exhausted


def test_the_nearest_comes_first_and_reverted_ones_not_at_all(stage, desk):
    other = pull(stage, 1, "Other file", {CACHE: lines("c", L5="c_5 = 50")})
    broken = pull(stage, 2, "Reverted", {RUNNER: lines("r", L5="r_5 = 1")})
    stage.repo.commit('Revert "Reverted (#2)" (#3)', {RUNNER: lines("r")})
    good = pull(stage, 4, "Good", {RUNNER: lines("r", L20="r_20 = 1")})
    source = Listed(other, broken, good, reverts={broken.id: "sgl-project/sglang#3"})
    made = BackportProposer(desk, source).propose(evidence(stage), stage.base, BUDGET)
    assert made.source.startswith(good.id)
    second = BackportProposer(desk, source, tried=(made,)).propose(evidence(stage), stage.base, BUDGET)
    assert second.source.startswith(other.id)
    held = stage.trees.resolve(str(stage.repo.path), stage.repo.head())
    none = BackportProposer(desk, source).propose(evidence(stage), held, BUDGET)
    assert (none.reason, none.exhausted) == ("NONE_LACKING", True)


def test_what_a_change_stands_on_comes_with_it(stage, desk):
    first = pull(stage, 1, "Rename", {RUNNER: lines("r", L10="renamed = 10")})
    pull(stage, 2, "Elsewhere", {CACHE: lines("c", L3="c_3 = 1")})
    wanted = pull(stage, 3, "Faster", {RUNNER: lines("r", L10="renamed = fast(10)")})
    store = stage.trees.store(stage.base.repository)
    assert lacks(store, stage.base.commit, wanted.sha)
    assert not lacks(store, wanted.sha, first.sha)
    assert 0 < days_between(store, stage.base.commit, wanted.sha) < 1
    assert prerequisites(store, stage.base.commit, wanted, [RUNNER]) == [first.sha]
    brought = bring(store, stage.base.commit, stage.base.tree, wanted)
    assert brought.is_clean
    assert brought.stands_on == (first.sha,)
    assert store.read(brought.tree, RUNNER) == lines("r", L10="renamed = fast(10)")
    assert store.read(brought.tree, CACHE) == lines("c")
    made = BackportProposer(desk, Listed(wanted)).propose(evidence(stage), stage.base, BUDGET)
    assert "which it stands on" in made.claim


def test_a_conflict_in_tests_alone_is_settled_by_leaving_them(stage):
    pull(stage, 1, "Tests", {TEST: lines("t", L4="t_4 = 4.0")})
    wanted = pull(stage, 2, "Faster", {RUNNER: lines("r", L8="r_8 = fast()"), TEST: lines("t", L4="t_4 = 8")})
    store = stage.trees.store(stage.base.repository)
    brought = bring(store, stage.base.commit, stage.base.tree, wanted)
    assert brought.is_clean
    assert not brought.stands_on
    assert store.read(brought.tree, TEST) == lines("t")


@pytest.fixture
def conflict(stage):
    """A change that stands on five others: too many to bring along."""
    for number in range(1, 6):
        pull(
            stage,
            number,
            "Step",
            {
                RUNNER: lines(
                    "r", L10="r_10 = " + "x" * number, L12=f"r_12 = {number}", **{f"L{12 + number}": "y = 0"}
                )
            },
        )
    return pull(
        stage, 9, "Faster", {RUNNER: lines("r", L10="r_10 = fast(xxxxx)", L12="r_12 = 5", L17="y = 0")}
    )


class Model:
    """A settler that takes theirs for every conflict, or gives up."""

    def __init__(self, give_up: bool = False) -> None:
        self.asked, self.give_up = [], give_up

    def settle(self, found, marked, title, budget):
        self.asked.append((found.path, marked.count(b"<<<<<<<"), title))
        return None if self.give_up else Settled(found.theirs, Cost(tokens=7), ("p",))


def test_a_conflict_in_one_file_is_handed_on(stage, desk, conflict):
    declined = BackportProposer(desk, Listed(conflict)).propose(evidence(stage), stage.base, BUDGET)
    assert declined.reason == "ONE_FILE_CONFLICT"
    assert f"{conflict.id} in {RUNNER}" in declined.detail
    model = Model()
    made = BackportProposer(desk, Listed(conflict), settler=model).propose(
        evidence(stage), stage.base, BUDGET
    )
    assert model.asked[0][0] == RUNNER
    assert model.asked[0][1] >= 1
    assert (made.cost.tokens, made.prompts) == (7, ("p",))
    assert "settled by a model" in made.claim
    given_up = BackportProposer(desk, Listed(conflict), settler=Model(give_up=True)).propose(
        evidence(stage), stage.base, BUDGET
    )
    assert given_up.reason == "ONE_FILE_CONFLICT"


def test_commits_that_are_no_commits_of_this_repository_are_passed_over(stage, desk):
    odd = [
        Pull("x#1", "--help", "HEAD"),
        Pull("x#2", "0" * 40, "1" * 40),
        Pull("x#3", stage.base.commit, "main"),
    ]
    declined = BackportProposer(desk, Listed(*odd)).propose(evidence(stage), stage.base, BUDGET)
    assert declined.reason == "NONE_LACKING"
    assert "3 passed over" in declined.detail
