"""The gate of written cards: embedded cards pass, planted defects do not."""

from __future__ import annotations

import msgspec
import pytest

from ingest.records import Facts
from kb.cards import Anchor, Card, CardFile, CardSymbol, Coverage, plain_claims
from kb.families import load_families
from kb.gate import Defect, check_card, check_shared_sentences, check_starter
from kb.starter import known_families, load_starter_cards, load_written

GOOD = Card(
    id="sgl-project/sglang#1",
    title="Heap eviction",
    kind="perf",
    status="reviewed",
    origin="starter",
    additions=3,
    deletions=1,
    coverage=Coverage(lines_total=4, lines_indexed=4, files_total=1),
    claims=plain_claims(
        motivation="Sorting every leaf on each eviction dominated the scheduler when a host pool held many nodes.",
        implementation=(
            "`HiRadixCache.evict` asks a heap for the oldest leaves instead of sorting all of them, so that one call costs the "
            "logarithm of the pool; `--evict-policy` chooses between the two orders at start."
        ),
        validation=("Evict half of a pool of 10,000 nodes and compare both orders.",),
        risks=("Ties between nodes of one access time come in another order.",),
    ),
    written_by="person",
    anchors=(
        Anchor(
            path="srt/hiradix_cache.py",
            lines=(10, 12),
            says="the heap",
            hunk="@@ -1,2 +1,3 @@",
            sha256="a" * 64,
        ),
    ),
    files=(CardFile(path="srt/hiradix_cache.py", group="runtime", status="modified", added=3, removed=1),),
    symbols=(
        CardSymbol(
            name="HiRadixCache.evict",
            kind="method",
            change="changed",
            path="srt/hiradix_cache.py",
            start=1,
            end=9,
        ),
    ),
    facts=Facts(flags_added=("--evict-policy",)),
)
UNREAD = msgspec.structs.replace(
    GOOD,
    coverage=Coverage(state="not read"),
    anchors=(),
    files=(),
    symbols=(),
    sources=("https://example.com/1",),
)


def but(card: Card = GOOD, **changes: object) -> Card:
    """The card with other values; prose is given by its part."""
    parts = {
        "motivation": card.motivation,
        "implementation": card.implementation,
        "validation": card.validation,
        "risks": card.risks,
    }
    if prose := {name: changes.pop(name) for name in parts if name in changes}:
        changes["claims"] = plain_claims(**(parts | prose))
    return msgspec.structs.replace(card, **changes)


def test_every_embedded_card_passes():
    assert check_starter() == []


def test_the_embedded_cards_cover_what_the_issue_asks_for():
    cards = load_starter_cards()
    ids = {c.id for c in cards}
    assert len(cards) >= 60
    assert {f"sgl-project/sglang#{n}" for n in (15679, 18856, 19743, 23454)} <= ids
    assert sum(c.repo == "NVIDIA/TensorRT-LLM" for c in cards) >= 6
    table = load_families()
    for name in (
        "moss-vl",
        "ernie45",
        "qwen3",
        "qwen-vl",
        "deepseek-v3",
        "deepseek-v3-2",
        "gpt-oss",
        "glm",
        "kimi",
        "llama4",
    ):
        assert any(set(table.resolve(name)) & set(c.families) for c in cards), name
    assert known_families(load_written(), table) == []


def test_an_embedded_card_ships_no_title_or_code_of_others():
    for card in load_starter_cards():
        assert card.status == "reviewed"
        assert card.origin == "starter"
        assert card.excerpts == ()


def test_the_anchors_that_people_wrote_are_those_that_were_proven():
    facts = {c.id: c for c in load_starter_cards()}
    for written in load_written():
        wrote = [(a.path, a.side, a.lines, a.says) for a in written.anchors]
        proven = [(a.path, a.side, a.lines, a.says) for a in facts[written.id].anchors]
        assert wrote == proven, written.id


@pytest.mark.parametrize("card", [GOOD, UNREAD, but(status="extracted", claims=(), written_by="")])
def test_a_good_card_passes(card):
    assert check_card(card) == []


@pytest.mark.parametrize(
    ("card", "defects"),
    [
        (but(motivation=""), ["motivation has 0 words, at least 8 are wanted"]),
        (but(motivation="Sorting leaves was slow."), ["motivation has 4 words, at least 8 are wanted"]),
        (but(motivation="This adds support and improves performance of the model code."), ["motivation says nothing concrete"]),
        (but(implementation="`evict` uses a heap."), ["implementation has 4 words, at least 20 are wanted"]),
        (but(validation=()), ["no validation lane"]),
        (but(risks=()), ["no risk"]),
        (but(files=(), symbols=()), [
            "its files add up to +0 -0, the card says +3 -1", "0 of 1 changed files are named", "no files",
            "anchor srt/hiradix_cache.py is no file of the change",
        ]),
        (but(anchors=()), ["no anchor"]),
        (but(anchors=(but_anchor := Anchor(path="srt/hiradix_cache.py", lines=(10, 12), says="x"),)), ["anchor srt/hiradix_cache.py:10 has no hash"]),
        (but(anchors=(msgspec.structs.replace(GOOD.anchors[0], path="other.py"),)), ["anchor other.py is no file of the change"]),
        (but(anchors=(msgspec.structs.replace(GOOD.anchors[0], hunk=""),)), ["anchor srt/hiradix_cache.py:10 has no hash"]),
        (but(implementation="A heap gives the oldest leaves instead of sorting all of them, so that one call costs the logarithm of the pool and no more."), ["the prose names nothing: put files and symbols in backticks"]),
        (but(implementation=GOOD.implementation.replace("HiRadixCache.evict", "Scheduler.run").replace("--evict-policy", "--x-y")),
         ["the prose names no file, symbol or flag of the diff"]),
        (but(UNREAD, sources=()), ["the diff was not read and no source is named"]),
        (but(UNREAD, risks=()), ["no risk"]),
    ],
)  # fmt: skip
def test_a_planted_defect_is_refused_with_its_reason(card, defects):
    assert [d.what for d in check_card(card)] == defects


@pytest.mark.parametrize("field", ["motivation", "implementation", "risks", "validation"])
def test_a_sentence_that_two_cards_share_is_refused(field):
    shared = "Check that nothing else in the scheduler changes."
    one, two = "First of all, this. ", "Then again, that. "
    cards = [
        but(id=f"a/b#{n}", **{field: (own + shared,) if field in ("risks", "validation") else own + shared})
        for n, own in enumerate((one, two), start=1)
    ]
    blank = {"motivation": "", "implementation": "", "risks": (), "validation": ()}
    del blank[field]
    cards = [but(c, **blank) for c in cards]
    assert check_shared_sentences(cards) == [
        Defect("a/b#1", f"shares a sentence with a/b#2: {shared!r}", "shared sentence")
    ]


def test_short_sentences_and_one_cards_own_may_repeat():
    cards = [
        but(id=f"a/b#{n}", motivation=f"{n}. None.", implementation="", risks=(), validation=())
        for n in (1, 2)
    ]
    assert check_shared_sentences(cards) == []
    twice = but(motivation="The same thing is said here twice. The same thing is said here twice.")
    assert check_shared_sentences([twice]) == []
