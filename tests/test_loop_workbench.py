"""The bound parts of a campaign on the fake engine: servers, load, profiles, cards, proposers and gates, task by task."""

from __future__ import annotations

import pytest

from ingest.git import open_repository
from loop.campaign.begin import begin
from loop.campaign.seeds import Seeds
from loop.campaign.steps import block_name
from loop.campaign.tasks import (
    Applied,
    ApplyTask,
    Arm,
    ClusterEnded,
    ClusterTask,
    Gated,
    GateTask,
    Preflighted,
    PreflightTask,
    Profiled,
    ProfileTask,
    Proposed,
    ProposeTask,
    Retrieved,
    RetrieveTask,
)
from loop.driver.session import spec_of
from loop.records import BenchBlock, Comparison, Declined, EvidenceBundle, GateResult, PatchProposal, decode
from loop.selftest.demo import demo_spec, prepare
from loop.stats.compare import Question, compare
from loop.workbench.perform import workbench_of


class Room:
    """A frozen campaign and its workbench, with a spool."""

    def __init__(self, path):
        self.made = prepare(path, lambda text: None)
        with open_repository(self.made.repository) as opened:
            self.base = opened.resolve("release")
        self.folder = begin(path / "campaign", demo_spec(self.made, self.base), Seeds(b"w" * 32), sync=False)
        self.blobs = self.folder.blobs()
        self.bench = workbench_of(self.folder, spec_of(self.folder))
        self.count = 0

    def does(self, task, want):
        self.count += 1
        self.spool = self.folder.spool / str(self.count)
        self.spool.mkdir()
        result = self.bench.perform(task, self.spool)
        assert isinstance(result, want), result
        return result


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return Room(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def tree(room):
    found = room.does(PreflightTask(), Preflighted)
    assert found.missing == ()
    assert found.base.commit == room.base
    return found.base


@pytest.fixture(scope="module")
def blocks(room, tree):
    task = ClusterTask("gap/1/0", 0, 0, 1, Arm(-1, tree), Arm(0))
    assert room.does(task, ClusterEnded).blocks == 1
    return [decode(BenchBlock, (room.spool / block_name(0)).read_bytes())]


@pytest.fixture(scope="module")
def gap(room, blocks):
    question = Question("gap", "gap/1/0", "", "", 0.1, 16)
    return room.blobs.keep(compare(question, spec_of(room.folder).policy, None, blocks))


@pytest.fixture(scope="module")
def profiles(room, tree):
    found = room.does(ProfileTask(Arm(-1, tree)), Profiled)
    assert len(found.profiles) == 2, found.note
    return found.profiles


@pytest.fixture(scope="module")
def bundles(room, tree, gap, profiles):
    found = room.does(RetrieveTask(profiles, gap, tree, 0), Retrieved)
    assert found.bundles, found.thin
    return found.bundles


def gate(room, name, tree, gap, profiles, proposal, candidate=None):
    made = room.blobs.load(PatchProposal, proposal)
    task = GateTask(name, proposal, made.evidence, gap, profiles, tree, candidate, ())
    return room.blobs.load(GateResult, room.does(task, Gated).gate)


def test_a_pair_is_measured_on_both_arms_with_the_same_prompts(room, blocks):
    (block,) = blocks
    assert block.valid
    assert {run.arm for run in block.runs} == {"A", "B"}
    assert all(run.metrics.success_rate == 1.0 for run in block.runs)
    assert all(run.cpu_s > 0 for run in block.runs)
    assert len(block.nonce) == 64
    assert block.order == room.folder.seeds().order("gap/1/0", 0)


def test_the_competitor_uses_less_of_the_processor(room, gap):
    assert room.blobs.load(Comparison, gap).mean > 0.05


def test_evidence_names_places_in_the_tree_and_cards_of_its_history(room, bundles, tree):
    first = room.blobs.load(EvidenceBundle, bundles[0])
    assert first.tree == tree.tree
    assert first.location.startswith("tinyserve/")
    assert {card.card_id.partition("#")[0] for card in first.cards} == {"prlore/tinyserve"}


def test_a_merged_pull_request_that_the_target_lacks_comes_back(room, bundles, tree, gap, profiles):
    for bundle in bundles:
        found = room.does(ProposeTask(0, bundle, tree, (), 0), Proposed)
        if found.proposal:
            break
    made = room.blobs.load(PatchProposal, found.proposal)
    assert made.source.startswith("prlore/tinyserve#7")
    for name in ("evidence", "novelty", "policy"):
        assert gate(room, name, tree, gap, profiles, found.proposal).outcome == "pass", name
    applied = room.does(ApplyTask(found.proposal), Applied)
    assert applied.tree.tree != tree.tree
    assert gate(room, "build", tree, gap, profiles, found.proposal, applied.tree).outcome == "pass"


def test_a_persons_patch_is_a_proposal_like_any_other(room, bundles, tree, gap, profiles):
    digest = room.blobs.put(room.made.patch)
    found = room.does(ProposeTask(-1, bundles[0], tree, (), 1, (), digest, "a person"), Proposed)
    made = room.blobs.load(PatchProposal, found.proposal)
    assert (made.proposer, made.source, made.files) == ("human", "a person", ("tinyserve/layers.py",))
    assert gate(room, "policy", tree, gap, profiles, found.proposal).outcome == "pass"
    wrong = room.blobs.put(room.made.patch.replace(b"tinyserve::", b"elsewhere::"))
    declined = room.does(ProposeTask(-1, bundles[0], tree, (), 2, (), wrong, "a person"), Proposed).declined
    assert room.blobs.load(Declined, declined).reason == "DOES_NOT_APPLY"


def test_options_are_proposed_as_a_set(room, bundles, tree):
    found = room.does(ProposeTask(1, bundles[0], tree, (), 3), Proposed)
    assert room.blobs.load(PatchProposal, found.proposal).flags == ("--attention-backend", "fused")


def test_an_arm_whose_server_does_not_start_is_named(room, tree):
    broken = Arm(-1, tree, ("--attention-backend", "fused", "--page-size", "64"))
    ended = room.does(ClusterTask("c9/measure", 0, 0, 1, Arm(-1, tree), broken), ClusterEnded)
    assert (ended.blocks, ended.broken) == (0, "B")
    assert "pages of at most 32" in ended.reason
