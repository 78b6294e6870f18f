"""Evidence for rows of a profile out of a real store: bundles that their gate accepts, quotes that hold, reverts that count."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from conftest import EVICT, EVICT_OLD
from redteam.hostile import HONEST
from redteam.stage import Stage

from loop.gates.evidence import EvidenceGate
from loop.proposers.backport.pulls import CardPulls
from loop.records import CardQuote, ProfileDigest, ProfileRow
from loop.retrieval.base import KnowledgeBase


@pytest.fixture(scope="module")
def base(evict_kb: Path) -> KnowledgeBase:
    return KnowledgeBase(str(evict_kb))


@pytest.fixture
def stage(repo, tmp_path):
    return Stage(
        repo, tmp_path / "stage", {EVICT: EVICT_OLD.encode(), "python/sglang/srt/other.py": b"x = 1\n"}
    )


def row(number: int, share: float, source: str, symbol: str, family: str = "cache") -> ProfileRow:
    return ProfileRow(
        f"decode/kernel/{number}", f"evict: {symbol}", family, share, 10, (source,), (symbol,), share
    )


def profile(stage, *rows: ProfileRow, tree: str = "") -> ProfileDigest:
    return ProfileDigest(tree or stage.base.tree, "sglang", "decode", "", rows)


def test_a_row_becomes_evidence_that_its_gate_accepts(stage, base):
    made = profile(
        stage,
        row(1, 0.3, "srt/mem_cache/evict.py:13", "HostPool.evict"),
        row(2, 0.2, "nowhere.py:3", "gone"),
        row(3, 0.004, "srt/mem_cache/evict.py:10", "HostPool.evict"),
    )
    found = base.retriever(stage.trees).bundles(stage.base, [made], None, stage.spec.policy, widen=2)
    (bundle,) = found.bundles
    assert (bundle.row_id, bundle.location, bundle.symptom) == ("decode/kernel/1", f"{EVICT}:13", "")
    assert "sgl-project/sglang#2" in {c.card_id for c in bundle.cards}
    assert [(n.row_id, n.reason) for n in found.without] == [
        ("decode/kernel/2", "NO_PLACE"),
        ("decode/kernel/3", "CANNOT_PAY"),
    ]
    proposal = stage.proposal(HONEST, evidence=bundle.id)
    context = stage.context(proposal, bundle=bundle, profiles=(made,))
    result = EvidenceGate(base.cards).check(context)
    assert result.outcome == "pass", result.detail
    forged = msgspec.structs.replace(
        bundle, cards=(msgspec.structs.replace(bundle.cards[0], path="python/sglang/srt/other.py"),)
    )
    refused = EvidenceGate(base.cards).check(
        stage.context(stage.proposal(HONEST, evidence=forged.id), bundle=forged, profiles=(made,))
    )
    assert (refused.outcome, refused.reason) == ("fail", "QUOTE")


def test_rows_of_another_tree_or_a_forbidden_family_give_nothing(stage, base):
    ask = base.retriever(stage.trees).bundles
    rows = row(1, 0.3, "srt/mem_cache/evict.py:13", "HostPool.evict")
    assert (
        ask(stage.base, [profile(stage, rows, tree="0" * 40)], None, stage.spec.policy, widen=2).bundles == ()
    )
    assert (
        ask(
            stage.base, [profile(stage, rows)], None, stage.spec.policy, widen=2, without=frozenset({"cache"})
        ).bundles
        == ()
    )


def test_quotes_are_checked_line_by_line(base):
    cards = base.cards
    good = "-        ordered = sorted(self.leaves, key=lambda node: node.last_access)\n-        for node in ordered[:count]:"

    def why(text: str, path: str = EVICT, card: str = "sgl-project/sglang#2"):
        return cards.quoted(CardQuote(card, path, text, hashlib.sha256(text.encode()).hexdigest()))

    assert why(good) is None
    assert why(good.replace("sorted", "sort")) is not None
    assert why(good.replace("-", "+", 1)) is not None
    assert why(good, path="python/sglang/srt/other.py") is not None
    assert why(good, card="sgl-project/sglang#999") == "there is no such card"


def test_pull_requests_of_the_evidence_come_from_its_cards(stage, base):
    made = profile(stage, row(1, 0.3, "srt/mem_cache/evict.py:13", "HostPool.evict"))
    (bundle,) = (
        base.retriever(stage.trees).bundles(stage.base, [made], None, stage.spec.policy, widen=2).bundles
    )
    pulls = CardPulls(base.cards, base.searcher, "sglang")
    found = list(pulls.pulls(bundle, "2020-01-01T00:00:00Z"))
    assert "sgl-project/sglang#2" in {p.id for p in found}
    assert all(len(p.sha) == 40 and len(p.parent) == 40 for p in found)
    assert pulls.reverted_by(found[0]) is None
    later = {p.id for p in pulls.pulls(bundle, "2030-01-01T00:00:00Z")}
    assert later <= {c.card_id for c in bundle.cards}  # nothing was merged after the target
    assert list(CardPulls(base.cards, None, "vllm").pulls(bundle, "2020-01-01T00:00:00Z")) == []
