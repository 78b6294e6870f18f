"""The embedded cards' files: joined with their facts, refused by name where they can't be used."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from ingest.records import Link
from kb.cards import Anchor, Card, CardFile, Coverage, encode_card, plain_claims
from kb.gate import check_starter
from kb.starter import StarterError, join, load_starter_cards, load_written, merge_prose, without_diff
from kb.starter_facts import FactsReport, write_facts

YAML = """\
id: a/b#7
title: Ours
kind: perf
families: [qwen3-core]
motivation: " Why. "
implementation: How.
validation: [A test.]
risks: [A risk.]
links: [{kind: extends, target: "a/b#6"}]
"""
ANCHORED = YAML + "anchors: [{path: x.py, lines: [3, 4], says: does}]\n"
FACTS = Card(
    id="a/b#7", title="", kind="fix", status="extracted", origin="starter", sha="a" * 40, merged_at="2026-01-01T00:00:00Z",
    additions=2, deletions=1, families=("glm",), coverage=Coverage(lines_total=3, lines_indexed=3, files_total=1),
    anchors=(Anchor(path="x.py", lines=(3, 4), says="does", hunk="@@ -1,1 +1,2 @@", sha256="b" * 64),),
    files=(CardFile(path="x.py", group="runtime", status="modified", added=2, removed=1),),
    links=(Link("reverts", "a/b#5"),),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "facts.jsonl").write_text(encode_card(FACTS) + "\n")
    return tmp_path


def put(folder, text: str, name: str = "7.yaml"):
    path = folder / "engine" / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# the one anchor stands for every claim
PROSE = tuple(
    msgspec.structs.replace(c, anchors=(0,)) for c in plain_claims("Why.", "How.", ("A test.",), ("A risk.",))
)


def test_facts_come_from_the_history_and_prose_from_people(folder):
    put(folder, ANCHORED)
    assert load_starter_cards(folder) == [
        msgspec.structs.replace(
            FACTS, title="Ours", kind="perf", status="reviewed", families=("glm", "qwen3-core"),
            claims=PROSE, written_by="person",
            links=(Link("reverts", "a/b#5"), Link("extends", "a/b#6")),
        )
    ]  # fmt: skip


def test_a_card_without_a_diff_rests_on_what_is_stated(folder):
    put(
        folder,
        YAML.replace("a/b#7", "a/b#8")
        + "source: [https://x.example]\nmerged_at: 2026-02-03\npaths: [csrc/k.cu]\n".replace(
            "2026-02-03", "'2026-02-03'"
        ),
        "8.yaml",
    )
    (card,) = load_starter_cards(folder)
    assert (card.id, card.coverage, card.merged_at, card.sources) == (
        "a/b#8",
        Coverage(state="not read", files_total=1),
        "2026-02-03",
        ("https://x.example",),
    )
    assert card.files == (CardFile(path="csrc/k.cu", group="kernel", status="modified"),)


def test_cards_come_in_the_order_of_their_ids(folder):
    for number in (30, 4, 8):
        put(folder, YAML.replace("#7", f"#{number}"), f"{number}.yaml")
    assert [c.id for c in load_starter_cards(folder)] == ["a/b#30", "a/b#4", "a/b#8"]


def test_prose_joins_a_card_that_is_read_later(folder):
    put(folder, ANCHORED)
    (starter,) = load_starter_cards(folder)
    read = Card(id="a/b#7", title="Upstream", kind="model", status="extracted", origin="git", sha="c" * 40, families=("kimi",),
                links=(Link("follows", "a/b#1"),), additions=9)  # fmt: skip
    merged = merge_prose(read, starter)
    assert merged == msgspec.structs.replace(
        read, status="reviewed", claims=PROSE, written_by="person",
        anchors=FACTS.anchors, families=("glm", "kimi", "qwen3-core"),
        links=(Link("follows", "a/b#1"), Link("reverts", "a/b#5"), Link("extends", "a/b#6")),
    )  # fmt: skip


def test_joining_twice_says_nothing_twice(folder):
    put(folder, ANCHORED)
    (written,) = load_written(folder)
    once = join(FACTS, written)
    assert join(once, written) == once
    assert merge_prose(once, once) == once
    assert without_diff(written).files == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: [", "while parsing"),
        ("just words", "Expected `object`"),
        ("", "Expected `object`"),
        (YAML.replace("kind: perf", "kind: faster"), "Invalid enum value 'faster'"),
        (YAML.replace("risks", "risk"), "unknown field `risk`"),
        (YAML.replace("title: Ours\n", ""), "missing required field `title`"),
        (YAML.replace("[qwen3-core]", "qwen3-core"), "families"),
        (YAML.replace("a/b#7", "a/b#8"), "the file name is not the number of a/b#8"),
        (ANCHORED.replace("[3, 4]", "[3]"), "lines"),
        (ANCHORED.replace("[3, 4]", "[three, four]"), "lines"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        (b"id: \xff\xfe", "unacceptable character"),
        ("id: a/b#7\x00", "unacceptable character"),
    ],
)
def test_a_file_that_is_no_card_is_named(folder, text, said):
    path = put(folder, text)
    with pytest.raises(StarterError) as caught:
        load_starter_cards(folder)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nonsense", "a/b#x", "b#7", "a/b#-7", "#7"])
def test_an_id_that_names_no_pull_request_is_refused(folder, name):
    path = put(folder, YAML.replace("a/b#7", name), name.rpartition("#")[2] + ".yaml")
    with pytest.raises(StarterError, match=str(path)):
        load_starter_cards(folder)


def test_two_files_of_one_pull_request_are_refused(folder):
    put(folder, YAML)
    (folder / "other").mkdir()
    (folder / "other" / "7.yaml").write_text(YAML)
    with pytest.raises(StarterError, match=r"other/7\.yaml: a/b#7 is described by another file as well$"):
        load_starter_cards(folder)


def test_a_folder_in_place_of_a_card_is_named(folder):
    (folder / "engine" / "7.yaml").mkdir()
    with pytest.raises(StarterError, match=r"engine/7\.yaml"):
        load_starter_cards(folder)


def test_an_anchored_card_without_facts_is_refused_with_the_remedy(folder):
    put(folder, ANCHORED.replace("a/b#7", "a/b#8"), "8.yaml")
    with pytest.raises(StarterError, match=r"^no facts for a/b#8: run `prlore starter facts`"):
        load_starter_cards(folder)


def test_an_anchor_that_was_edited_after_it_was_proven_is_refused(folder):
    put(folder, ANCHORED.replace("[3, 4]", "[5, 6]"))
    with pytest.raises(StarterError):
        load_starter_cards(folder)


@pytest.mark.parametrize(
    ("facts", "said"), [("{\n", ":1: "), ("{}\n", ":1: "), (encode_card(FACTS) + "\nx\n", ":2: ")]
)
def test_a_line_of_facts_that_is_none_is_named(folder, facts, said):
    (folder / "facts.jsonl").write_text(facts)
    with pytest.raises(StarterError) as caught:
        load_starter_cards(folder)
    assert str(caught.value).startswith(f"{folder / 'facts.jsonl'}{said}")


def test_missing_facts_are_named(folder):
    (folder / "facts.jsonl").unlink()
    with pytest.raises(StarterError, match=r"can't read .*facts\.jsonl: "):
        load_starter_cards(folder)


# facts --------------------------------------------------------------------------------------------


@pytest.fixture
def read_history(make_repo):
    repo = make_repo("history")
    repo.commit("Base (#6)", {"x.py": b"def f():\n    a = 1\n    return a\n"})
    sha = repo.commit("Upstream title (#7)", {"x.py": b"def f():\n    a = 1\n    b = 2\n    return a + b\n"})
    repo.commit("A number used twice (#7)", {"y.py": b"y = 1\n"})
    return repo.path, sha


def test_facts_are_read_from_a_history_and_prove_the_anchors(folder, read_history):
    path, sha = read_history
    put(folder, ANCHORED)
    assert write_facts({"a/b": path}, folder) == FactsReport(written=1)
    (card,) = load_starter_cards(folder)
    lines = "    b = 2\n    return a + b"
    assert (card.title, card.sha, card.additions, card.deletions, card.excerpts) == ("Ours", sha, 2, 1, ())
    assert card.anchors == (
        Anchor(
            path="x.py",
            lines=(3, 4),
            says="does",
            hunk="@@ -1,3 +1,4 @@",
            sha256=hashlib.sha256(lines.encode()).hexdigest(),
        ),
    )
    assert [(s.name, s.change) for s in card.symbols] == [("f", "changed")]
    assert "Upstream" not in (folder / "facts.jsonl").read_text()
    assert all("hash" not in d.what and "anchor" not in d.what for d in check_starter(folder))


def test_facts_that_can_not_be_had_are_reported(folder, read_history):
    path, _ = read_history
    put(folder, ANCHORED.replace("[3, 4]", "[1, 1]"))
    put(folder, YAML.replace("a/b#7", "a/b#99"), "99.yaml")
    report = write_facts({"a/b": path}, folder)
    assert report == FactsReport(
        written=1,
        not_found=["a/b#99"],
        broken_anchors=["a/b#7 x.py:1-1 (new): none of these lines was changed"],
    )


def test_facts_are_the_same_each_time(folder, read_history):
    path, _ = read_history
    put(folder, ANCHORED)
    write_facts({"a/b": path}, folder)
    first = (folder / "facts.jsonl").read_bytes()
    write_facts({"a/b": path}, folder)
    assert (folder / "facts.jsonl").read_bytes() == first


def test_facts_of_a_repository_whose_history_is_not_given_stay(folder, read_history):
    path, _ = read_history
    put(folder, ANCHORED)
    (folder / "facts.jsonl").write_text(encode_card(msgspec.structs.replace(FACTS, id="c/d#7")) + "\n")
    (folder / "other").mkdir()
    (folder / "other" / "7.yaml").write_text(ANCHORED.replace("a/b#7", "c/d#7"))
    write_facts({"a/b": path}, folder)
    assert [c.id for c in load_starter_cards(folder)] == ["a/b#7", "c/d#7"]
