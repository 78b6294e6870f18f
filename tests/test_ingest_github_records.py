"""Pages to rows, rows to threads: the shapes that GitHub sends, and those that it should not."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.github.assemble import _code_threads
from ingest.github.authors import BotListError, Bots, load_bots
from ingest.github.pages import Page, page_of
from ingest.github.queries import Asked, graphql_rows
from ingest.github.records import Anchor, Comment
from ingest.github.rows import CommentRow, rows_of
from ingest.github.suggestions import parse_suggestions
from kb.datafiles import data_file

BOTS = Bots(frozenset(("sglang-bot",)))


def page(stream, data):
    return page_of(stream, "/x", json.dumps(data).encode())


def test_bots_are_told_by_type_and_list_alone():
    bots = load_bots(data_file("bots.yaml"))
    for login in ("claude-shannon", "cursor-fan", "sweepy", "Sweeper", "dependabot-lover", "codexyz"):
        assert bots.kind(login, "User") == "human", login
    for login, account in (
        ("gemini-code-assist", "User"),
        ("SGLang-Bot", "User"),
        ("anything", "Bot"),
        ("x[bot]", ""),
    ):
        assert bots.kind(login, account) == "bot", login
    assert bots.kind("", "") == bots.kind("ghost", "User") == "ghost"
    assert bots.author("Ada", "User", "NONE", "ada").role == "pr_author"
    assert bots.author("ada", "User", "COLLABORATOR", "x").role == "maintainer"


def test_a_list_of_bots_that_is_none(tmp_path):
    for text in ("bots: 3", "- a", "bots: [a", "x: []"):
        (tmp_path / "b.yaml").write_text(text)
        with pytest.raises(BotListError, match="can't read the list of bots"):
            load_bots(tmp_path / "b.yaml")
    with pytest.raises(BotListError):
        load_bots(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("```suggestion\nx = 1\ny = 2\n```", [(3, 5, "x = 1\ny = 2")]),
        ("text\n```suggestion\r\nx\r\n```\r\nmore\n```suggestion\nz\n```", [(3, 5, "x"), (3, 5, "z")]),
        ("~~~~suggestion\n~~~\n~~~~", [(3, 5, "~~~")]),
        ("```suggestion\n```", [(3, 5, "")]),
        ("```suggestion:-1+2\nx\n```", [(4, 7, "x")]),
        ("```suggestion\nnever closed", []),
        ("```python\nsuggestion\n```", []),
        ("a suggestion in prose", []),
    ],
)
def test_suggestions(body, wanted):
    found = parse_suggestions(body, Anchor(path="a", line=5, start_line=3))
    assert [(s.start, s.end, s.text) for s in found] == wanted


def test_an_outdated_suggestion_counts_on_the_reviewed_lines():
    found = parse_suggestions(
        "```suggestion\nx\n```", Anchor(path="a", original_line=9, original_start_line=8)
    )
    assert (found[0].start, found[0].end) == (8, 9)


@given(st.text(alphabet="`~suggestion \n:-+1", max_size=80))
def test_suggestions_of_any_text(body):
    for found in parse_suggestions(body, Anchor(path="a", line=5)):
        assert found.text in body.replace("\r", "")


def inline(number, **more):
    return {
        "id": number,
        "pull_request_url": "https://api.github.com/repos/a/b/pulls/7",
        "user": {"login": "x", "type": "User"},
        "body": "b",
        "path": "a.py",
        "updated_at": "2025-01-01T00:00:00Z",
    } | more


def test_a_page_of_comments_on_code():
    rows = rows_of(
        page(
            "inline",
            [
                inline(1),
                inline(
                    2, user=None, body=None, line=4, subject_type="file", in_reply_to_id=1, extra={"a": 1}
                ),
            ],
        )
    )
    assert [(c.id, c.number, c.login, c.reply_to, c.whole_file) for c in rows.comments] == [
        (1, 7, "x", 0, False),
        (2, 7, "", 1, True),
    ]
    assert rows.listed == 2


def test_comments_of_plain_issues_are_passed_over():
    spoken = [{"id": 1, "html_url": "https://github.com/a/b/pull/7#issuecomment-1", "updated_at": "2025-01-02T00:00:00Z"}, {"id": 2, "html_url": "https://github.com/a/b/issues/8#issuecomment-2", "updated_at": "2025-01-03T00:00:00Z"}]  # fmt: skip
    rows = rows_of(page("conversation", spoken))
    assert [c.id for c in rows.comments] == [1]
    assert (rows.listed, rows.newest) == (2, "2025-01-03T00:00:00Z")


def test_a_lone_surrogate_is_replaced():
    raw = json.dumps([inline(1)]).replace('"b"', '"x \\ud83d y"').encode()
    assert rows_of(page_of("inline", "/x", raw)).comments[0].body == "x ? y"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda v: (
            st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["id", "number", "body", "user"]), v)
        ),
        max_leaves=8,
    )
)
@settings(max_examples=80)
def test_a_page_of_another_form_is_refused_whole(data):
    for stream in ("pulls", "inline", "conversation"):
        try:
            rows_of(page(stream, data))
        except msgspec.ValidationError:
            continue
        assert data == [] or isinstance(data, list)


def test_a_query_that_names_a_pull_request_that_is_gone():
    asked = msgspec.json.encode(Asked("reviews", (1, 2))).decode()
    body = {
        "data": {
            "nodes": [None, {"number": 2, "reviews": {"nodes": [None], "pageInfo": {"hasNextPage": False}}}]
        }
    }
    rows = graphql_rows(Page(stream="graphql", url="graphql", params=asked, body=json.dumps(body)))
    assert rows.gone == (1,)
    assert [(c.number, c.what, c.ids) for c in rows.complete] == [(2, "reviews", ())]


def test_replies_find_their_thread():
    rows = [
        CommentRow(id=1, kind="inline", number=7, created_at="1", path="a"),
        CommentRow(id=2, kind="inline", number=7, reply_to=1, created_at="2"),
        CommentRow(id=3, kind="inline", number=7, reply_to=2, created_at="3"),
        CommentRow(id=5, kind="inline", number=7, reply_to=4, created_at="5", line=3),
        CommentRow(id=6, kind="inline", number=7, reply_to=7, created_at="6"),
        CommentRow(id=7, kind="inline", number=7, reply_to=6, created_at="7"),
    ]
    threads = {t.id: t for t in _code_threads("a/b#7", rows, {}, BOTS, "")}
    assert [c.id for c in threads["a/b#7/r1"].comments] == [1, 2, 3]
    assert threads["a/b#7/r1"].outdated
    assert (threads["a/b#7/r4"].root_missing, threads["a/b#7/r4"].outdated) == (True, False)
    assert sum(len(t.comments) for t in threads.values()) == 6


def test_hidden_text_is_flagged():
    assert not Comment(id=1, body="plain – text").has_hidden_text
    assert Comment(id=1, body="a <!-- b -->").has_hidden_text
    assert Comment(id=1, body="a\u200bb").has_hidden_text
    assert Comment(id=1, body="x").sha256.startswith("2d711642")
