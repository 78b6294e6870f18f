"""A stranger's corpus: bounded reading, and rows that are checked before they are believed."""

from __future__ import annotations

import gzip
import json
import os
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.corpus import lines as lines_module
from ingest.corpus.lines import CorpusError, read_lines
from ingest.corpus.rows import RowProblem, parse_row
from ingest.github.authors import Bots

BOTS = Bots(frozenset(("sglang-bot",)))


def write(path, raw):
    path.write_bytes(raw)
    return path


def found(path):
    return [(line.number, line.data, line.problem) for line in read_lines(path)]


def test_lines_of_both_forms(tmp_path):
    raw = b"a\n\n  \nbb\r\nlast"
    wanted = [(1, b"a", ""), (4, b"bb\r", ""), (5, b"last", "")]
    assert found(write(tmp_path / "c.jsonl", raw)) == wanted
    assert found(write(tmp_path / "c.jsonl.gz", gzip.compress(raw))) == wanted
    halves = gzip.compress(raw[:5]) + gzip.compress(raw[5:]) + b"\0\0"
    assert found(write(tmp_path / "two.gz", halves)) == wanted
    assert found(write(tmp_path / "empty", b"")) == []


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b), max_size=20), st.integers(1, 64))
@settings(max_examples=60)
def test_any_bytes_in_any_pieces(tmp_path_factory, parts, block):
    raw = b"\n".join(parts)
    if raw.startswith(b"\x1f\x8b"):
        return
    path = write(tmp_path_factory.mktemp("lines") / "c", raw)
    before, lines_module._READ = lines_module._READ, block
    try:
        assert found(path) == [(i + 1, p, "") for i, p in enumerate(parts) if p.strip()]
    finally:
        lines_module._READ = before


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_file_that_ends_in_the_middle(tmp_path, share):
    raw = "".join(f"line {i} {zlib.crc32(str(i).encode())}\n" for i in range(20_000)).encode()
    packed = gzip.compress(raw)
    got = found(write(tmp_path / "c.gz", packed[: int(len(packed) * share)]))
    assert "ends in the middle" in got[-1][2]
    assert all(data + b"\n" in raw[:0] + raw and not problem for _, data, problem in got[:-1])
    assert [n for n, _, _ in got] == list(range(1, len(got) + 1))


def test_damage_is_named(tmp_path):
    raw = "".join(f"line {i} {zlib.crc32(str(i).encode())}\n" for i in range(20_000)).encode()
    packed = bytearray(gzip.compress(raw))
    packed[len(packed) // 2] ^= 0xFF
    assert "damaged" in found(write(tmp_path / "c.gz", bytes(packed)))[-1][2]


def test_long_lines_and_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "MOST_LINE", 1 << 16)
    got = found(
        write(tmp_path / "c.gz", gzip.compress(b"a\n" + b"x" * (1 << 18) + b"\nb\n" + b"y" * (1 << 17)))
    )
    assert [(n, bool(p)) for n, _, p in got] == [(1, False), (2, True), (3, False), (4, True)]
    monkeypatch.setattr(lines_module, "_RATIO_FROM", 1 << 20)
    with pytest.raises(CorpusError, match="refused as a bomb"):
        found(write(tmp_path / "bomb.gz", gzip.compress(b"\0" * (32 << 20), 9)))
    monkeypatch.setattr(lines_module, "MOST_TOTAL", 1 << 10)
    with pytest.raises(CorpusError, match="refused"):
        found(write(tmp_path / "large.gz", gzip.compress(os.urandom(1 << 12))))


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "no plain file|directory"),
        (tmp_path / "pipe", "no plain file"),
        (tmp_path / "none", "can't read"),
    ):
        with pytest.raises(CorpusError, match=said):
            list(read_lines(path))


def comment(number=1, **more):
    return {
        "id": number,
        "body": "b",
        "created_at": f"2024-01-01T00:00:{number:02d}Z",
        "author": {"login": "zoe", "type": "User", "association": "MEMBER"},
    } | more


def row(**more):
    return {
        "schema_version": 2, "row_type": "inline_review_thread", "source": {"repo": "a/b"}, "thread_id": 1, "path": "a.py",
        "pull_request": {"number": 7, "title": "T", "author": {"login": "pat", "type": "User"}}, "comments": [comment(1)],
        "diff_hunk": "@@ -1 +1 @@\n+x", "line": None, "original_line": 3, "side": "LEFT", "original_commit_id": "ab12", "unknown": [1],
    } | more  # fmt: skip


def parsed(**more):
    return parse_row(json.dumps(row(**more)).encode(), BOTS)


def test_an_inline_thread():
    thread = parsed(
        comments=[comment(2, in_reply_to_id=1, author={"login": "pat", "type": "User"}), comment(1)]
    ).threads[0]
    assert (thread.id, thread.kind, thread.trust, thread.outdated) == ("a/b#7/r1", "inline", "imported", True)
    assert (thread.anchor.side, thread.anchor.original_line, thread.anchor.reviewed_sha) == ("old", 3, "ab12")
    assert [c.id for c in thread.comments] == [1, 2]
    assert [c.author.role for c in thread.comments] == ["maintainer", "pr_author"]
    assert thread.url == "https://github.com/a/b/pull/7#discussion_r1"
    assert parsed(thread_id=9).threads[0].root_missing
    assert parsed(subject_type="file").threads[0].kind == "file"


def test_conversations_and_submissions():
    talk = parsed(
        row_type="pr_conversation", thread_id="pr-conversation-7", path="", comments=[comment(1, author=None)]
    ).threads
    assert [(t.id, t.comments[0].author.kind) for t in talk] == [("a/b#7/conversation", "ghost")]
    reviews = parsed(
        row_type="review_submission",
        thread_id="review-submissions-7",
        path="",
        comments=[comment(1, state="APPROVED", commit_id="cd"), comment(2), comment(2)],
    ).threads
    assert [(t.id, t.comments[0].state) for t in reviews] == [("a/b#7/v1", "approved"), ("a/b#7/v2", "")]


def test_author_kinds_are_ours():
    kinds = {
        login: parsed(comments=[comment(1, author={"login": login, "type": type_, "is_agent": True})]).threads[0].comments[0].author.kind
        for login, type_ in (("claude-shannon", "User"), ("sweepy", "User"), ("sglang-bot", "User"), ("x[bot]", "Bot"), ("", None))
    }  # fmt: skip
    assert kinds == {
        "claude-shannon": "human",
        "sweepy": "human",
        "sglang-bot": "bot",
        "x[bot]": "bot",
        "": "ghost",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema_version": 1}, {"schema_version": "2"}, {"row_type": "other"}, {"source": {"repo": "a"}}, {"source": {"repo": "a/b' OR 1=1"}},
        {"path": ""}, {"path": "/etc/passwd"}, {"path": "a/../../b"}, {"path": "a\x1bb"}, {"path": None}, {"thread_id": "r1"},
        {"comments": []}, {"comments": [comment(1)] * 3000}, {"comments": [comment(1, id=-3)]}, {"comments": [comment(1, created_at="soon")]},
        {"comments": [comment(1, author={"login": "a b"})]}, {"comments": [comment(1, body="x" * 500_000)]}, {"comments": "none"},
        {"pull_request": {"number": 0}}, {"pull_request": {"number": 10**9}}, {"original_commit_id": "--upload-pack"}, {"line": -5}, {"line": 1 << 40},
    ],
)  # fmt: skip
def test_rows_that_say_what_none_can(wrong):
    with pytest.raises(RowProblem) as refused:
        parsed(**wrong)
    assert "\n" not in str(refused.value)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda v: json.dumps(v).encode())
)
@settings(max_examples=80)
def test_whatever_a_line_holds(data):
    with pytest.raises(RowProblem):
        parse_row(data, BOTS)


@given(
    st.dictionaries(
        st.sampled_from(sorted(row())),
        st.none() | st.integers() | st.text(max_size=8) | st.just([]),
        min_size=1,
    )
)
@settings(max_examples=120)
def test_whatever_a_field_holds(changes):
    try:
        threads = parse_row(json.dumps(row(**changes)).encode(), BOTS).threads
    except RowProblem:
        return
    assert threads
    assert all(t.trust == "imported" for t in threads)


def test_hostile_text_is_kept_as_text():
    thread = parsed(comments=[comment(1, body="a\x00b \x1b[31m <script> <!-- hidden -->")]).threads[0]
    assert "\x00" not in thread.comments[0].body
    assert thread.comments[0].has_hidden_text
    with pytest.raises(RowProblem):
        parse_row(b'{"a": "\\ud800"}', BOTS)
