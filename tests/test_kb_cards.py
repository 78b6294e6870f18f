"""The card as it is stored, and anchors that prove where its claims stand."""

from __future__ import annotations

import dataclasses
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records import Facts, Hunk, Link
from kb.anchors import AnchorError, AnchorUnseen, NoDiscussion, resolve_anchor, resolve_any
from kb.cards import (
    Anchor,
    Card,
    CardFile,
    CardSymbol,
    Coverage,
    Excerpt,
    Number,
    decode_card,
    encode_card,
    plain_claims,
)
from kb.distill import card_rows, field_words, utc
from kb.stored_diff import Diff, DiffFile

CARD = Card(
    id="sgl-project/sglang#18856",
    title="Fused rotary\nfor \x1b[31mErnie\u202e",
    kind="perf",
    status="reviewed",
    origin="git",
    sha="a" * 40,
    parent="b" * 40,
    merged_at="2026-02-01T10:00:00Z",
    additions=10,
    deletions=2,
    families=("ernie45",),
    tickets=("TRTLLM-1",),
    coverage=Coverage(lines_total=12, lines_indexed=11, files_total=1),
    claims=plain_claims("Why.", "How `HiRadixCache`.", ("A test.",), ("A risk.",)),
    numbers=(Number(value="1.2", unit="x", workload="decode", where="H100"),),
    anchors=(
        Anchor(
            path="a.py", lines=(1, 2), says="does it", side="old", hunk="@@ -1,2 +1,1 @@", sha256="c" * 64
        ),
    ),
    files=(
        CardFile(
            path="b/New_Name.py", group="runtime", status="renamed", added=10, removed=2, old_path="a.py"
        ),
    ),
    symbols=(
        CardSymbol(
            name="HiRadixCache.evict",
            kind="method",
            change="introduced",
            path="b/New_Name.py",
            start=3,
            end=9,
        ),
    ),
    facts=Facts(flags_added=("--tp-size",), env_removed=("SGLANG_X",)),
    blast_radius=("scheduler",),
    links=(Link("reverts", "sgl-project/sglang#1"),),
    excerpts=(Excerpt(path="a.py", hunk="@@ -1,2 +1,1 @@", text="+x\n-\ty"),),
    sources=("https://github.com/sgl-project/sglang/pull/18856",),
)


# cards --------------------------------------------------------------------------------------------


def test_a_card_reads_back_whole():
    assert decode_card(encode_card(CARD)) == CARD
    assert decode_card(encode_card(CARD).encode()) == CARD


def test_a_card_that_says_little_takes_little():
    card = Card(id="a/b#1", title="t", kind="other", status="extracted", origin="git")
    assert (
        encode_card(card) == '{"id":"a/b#1","title":"t","kind":"other","status":"extracted","origin":"git"}'
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_any_text_of_a_card_reads_back(title, names):
    card = msgspec.structs.replace(CARD, title=title, tickets=tuple(names))
    assert decode_card(encode_card(card)) == card


def test_what_a_card_derives():
    assert (CARD.repo, CARD.number) == ("sgl-project/sglang", 18856)
    assert CARD.url == "https://github.com/sgl-project/sglang/pull/18856"
    assert CARD.paths() == ["b/New_Name.py", "a.py"]
    assert CARD.coverage.truncated
    assert not Coverage(lines_total=3, lines_indexed=3).truncated


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"id":"a/b#1"}',
        encode_card(CARD).replace('"kind":"perf"', '"kind":"faster"'),
        encode_card(CARD).replace('"status":"reviewed"', '"status":"trusted"'),
        encode_card(CARD).replace('"tickets"', '"tickts"'),
        encode_card(CARD).replace('"additions":10', '"additions":"10"'),
    ],
)
def test_what_is_no_card_is_refused(text):
    with pytest.raises(msgspec.DecodeError):
        decode_card(text)


def test_the_searched_words_of_a_card_stay_in_their_fields():
    words = {
        name: set(text.split()) for name, text in field_words(CARD, "rotary_triton rotary_triton x").items()
    }
    assert {"rotary", "ernie"} <= words["title_words"]
    assert {"b/new_name.py", "new_name.py", "a.py", "new", "name"} <= words["path_words"]
    assert {"hiradixcache", "evict", "+hiradixcache.evict", "+evict", "--tp-size"} <= words[
        "introduced_words"
    ]
    assert "sglang_x" in words["changed_words"]
    assert words["diff_words"] == {"rotary_triton", "x"}
    assert "risk" in words["description_words"]
    assert "risk" not in words["title_words"]
    assert words["review_words"] == set()


def test_the_row_of_a_card_can_be_filtered_by_marked_lines():
    (row,) = card_rows([(CARD, field_words(CARD, ""))], 3).to_pylist()
    assert row["path_text"] == "~b/New_Name.py\n-a.py"
    assert row["symbol_text"] == "+HiRadixCache.evict\n+--tp-size\n-SGLANG_X"
    assert (row["repo"], row["number"], row["batch"], decode_card(row["card"])) == (
        "sgl-project/sglang",
        18856,
        3,
        CARD,
    )


@pytest.mark.parametrize(
    ("moment", "same"),
    [
        ("2026-01-31T23:00:00-02:00", "2026-02-01T01:00:00Z"),
        ("2026-01-31T23:00:00", "2026-01-31T23:00:00Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("yesterday", "yesterday"),
        ("", ""),
        ("9999-12-31T23:59:59-10:00", "9999-12-31T23:59:59-10:00"),
    ],
)
def test_times_are_kept_in_utc(moment, same):
    assert utc(moment) == same


# anchors ------------------------------------------------------------------------------------------

BODY = " def f():\n-    return 1\n+    return 2\n+    # done\n     context()\n\\ No newline at end of file\n"


def files() -> Diff:
    """One renamed file whose hunk begins at line 10 before and line 20 after the change."""
    hunks = (Hunk(10, 3, 20, 4, "", BODY, 2, 1), Hunk(50, 0, 61, 1, "", "+last\n", 1, 0))
    return Diff((DiffFile("new.py", "old.py", hunks, whole=True),))


def anchor(lines: tuple[int, int], path: str = "new.py", **more: str) -> Anchor:
    return Anchor(path=path, lines=lines, says="says", **more)


def sha(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize(
    ("given", "hunk", "lines"),
    [
        (anchor((21, 22)), "@@ -10,3 +20,4 @@", ["    return 2", "    # done"]),
        (anchor((20, 23)), "@@ -10,3 +20,4 @@", ["def f():", "    return 2", "    # done", "    context()"]),
        (anchor((11, 11), side="old"), "@@ -10,3 +20,4 @@", ["    return 1"]),
        (
            anchor((10, 12), "old.py", side="old"),
            "@@ -10,3 +20,4 @@",
            ["def f():", "    return 1", "    context()"],
        ),
        (anchor((61, 61)), "@@ -50,0 +61,1 @@", ["last"]),
    ],
)
def test_an_anchor_gets_its_hunk_and_the_hash_of_its_lines(given, hunk, lines):
    found = resolve_anchor(given, files())
    assert found.anchor == msgspec.structs.replace(given, hunk=hunk, sha256=sha(*lines))
    assert found.text == "\n".join(lines)
    assert resolve_anchor(found.anchor, files()) == found


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (anchor((21, 21), "other.py"), "other.py:21-21 (new): the diff has no such file"),
        (anchor((20, 20)), "new.py:20-20 (new): none of these lines was changed"),
        (anchor((12, 12), side="old"), "new.py:12-12 (old): none of these lines was changed"),
        (anchor((23, 24)), "new.py:23-24 (new): no hunk holds these lines"),
        (anchor((19, 21)), "new.py:19-21 (new): no hunk holds these lines"),
        (anchor((21, 61)), "new.py:21-61 (new): no hunk holds these lines"),
        (anchor((22, 21)), "new.py:22-21 (new): no hunk holds these lines"),
        (anchor((0, 0)), "new.py:0-0 (new): no hunk holds these lines"),
        (anchor((22, 22), side="old"), "new.py:22-22 (old): no hunk holds these lines"),
        (anchor((21, 22), sha256=sha("    return 2", "# done")), "new.py:21-22 (new): the lines are others than those that were anchored"),
    ],
)  # fmt: skip
def test_an_anchor_that_does_not_hold_is_refused(given, reason):
    with pytest.raises(AnchorError) as caught:
        resolve_anchor(given, files())
    assert str(caught.value) == reason


def test_an_anchor_that_names_another_hunk_is_refused():
    with pytest.raises(AnchorError):
        resolve_anchor(anchor((21, 22), hunk="@@ -1,1 +1,1 @@"), files())


def test_lines_that_a_store_holds_in_part_are_neither_proven_nor_refuted():
    (file,) = files().files
    part = Diff((dataclasses.replace(file, hunks=file.hunks[:1], whole=False),))
    with pytest.raises(AnchorUnseen):
        resolve_anchor(anchor((61, 61)), part)
    with pytest.raises(AnchorError) as caught:
        resolve_anchor(anchor((20, 20)), part)
    assert not isinstance(caught.value, AnchorUnseen)


class Talk:
    """A discussion with one thread."""

    def description(self, card_id: str) -> str | None:
        return "It hangs." if card_id == "a/b#1" else None

    def thread(self, card_id: str, thread: str) -> str | None:
        return "Why not a heap?" if thread == "7" else None


@pytest.mark.parametrize(
    ("source", "thread", "span", "text"),
    [
        ("message", "", (4, 9), "leaks"),
        ("description", "", (0, 9), "It hangs."),
        ("thread", "7", (8, 15), "a heap?"),
    ],
)
def test_an_anchor_into_prose_gets_its_hash(source, thread, span, text):
    card = Card(
        id="a/b#1",
        title="t",
        kind="fix",
        status="extracted",
        origin="git",
        message="It   leaks.".replace("   ", "  "),
    )
    given = Anchor(source=source, thread=thread, span=span)
    found = resolve_any(given, card, files(), Talk())
    assert (found.text, found.anchor.sha256) == (text, sha(text))
    with pytest.raises(AnchorError, match="are others than"):
        resolve_any(msgspec.structs.replace(given, sha256=sha("x")), card, files(), Talk())
    with pytest.raises(AnchorError, match="characters"):
        resolve_any(msgspec.structs.replace(given, span=(0, 99)), card, files(), Talk())


def test_a_thread_that_is_not_there_is_refused_and_an_unknown_description_is_unseen():
    card = Card(id="a/b#2", title="t", kind="fix", status="extracted", origin="git")
    with pytest.raises(AnchorError, match="no such review thread"):
        resolve_any(Anchor(source="thread", thread="8", span=(0, 1)), card, files(), Talk())
    for talk in (Talk(), NoDiscussion()):
        with pytest.raises(AnchorUnseen):
            resolve_any(Anchor(source="description", span=(0, 1)), card, files(), talk)
