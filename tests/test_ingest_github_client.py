"""The client against a real HTTP server: every fault is mended or said in one line, and the token stays where it belongs."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import pytest
from loopback.clients import Naps, client_of
from loopback.faults import FAULTS
from loopback.graphql import Executor
from loopback.server import TOKEN, Loopback
from loopback.world import make_world

from ingest.errors import GitHubError, GitHubUnavailable, OffHost
from ingest.github.client import Client, QueryTooLarge, checked_address, link_header
from ingest.github.pace import Clock, Pace, RateLimited, RequestBudgetSpent, number
from ingest.github.queries import REVIEWS, points
from ingest.github.retry import limit_wait
from ingest.github.tokens import Token, TokenError, find_token

LIST = "/repos/acme/engine/pulls/comments"


@pytest.fixture(scope="module")
def world():
    return make_world(12, 40, 20, 20)


@pytest.fixture
def hub(world):
    with Loopback(world) as running:
        yield running


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_survives_every_fault(hub, fault, times):
    naps = Naps()
    with client_of(hub) as client:
        wanted = client.get(LIST, {"per_page": 10}).data
    hub.switch(fault, times)
    with client_of(hub, naps) as client:
        assert client.get(LIST, {"per_page": 10}).data == wanted
        assert client.pace.counts.retries == times
        assert client.pace.counts.requests == times + 1
    assert len(naps.taken) == times


@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("500", "502")])
def test_a_query_survives_every_fault(hub, world, fault):
    hub.switch(fault, 2)
    with client_of(hub) as client:
        answer = client.graphql(REVIEWS, {"ids": [world.pulls[1].node_id]}, 1)
    assert answer.data["nodes"][0]["number"] == 1


@pytest.mark.parametrize("fault", ["500", "502", "query timed out", "resource limits"])
def test_a_query_that_is_too_much_is_said_to_be(hub, world, fault):
    hub.switch(fault)
    with client_of(hub) as client, pytest.raises(QueryTooLarge):
        client.graphql(REVIEWS, {"ids": [world.pulls[1].node_id]}, 1)


def test_a_spent_query_quota_is_waited_for(hub, world):
    hub.switch("query quota spent", 2)
    naps = Naps()
    with client_of(hub, naps) as client:
        assert client.graphql(REVIEWS, {"ids": [world.pulls[1].node_id]}, 1).data["nodes"]
    assert naps.taken == [60.0, 120.0]


def test_more_nodes_than_github_gives_is_too_much(hub, world):
    query = REVIEWS.replace("first: 50", "first: 100").replace("author {", "a: author {")
    deep = query.replace("commit { oid }", "commit { oid }")
    with client_of(hub) as client:
        ids = [p.node_id for p in world.pulls.values()]
        assert client.graphql(deep, {"ids": ids}, 1).data["nodes"]
        with pytest.raises(GitHubError, match="exceeds the `first` limit"):
            client.graphql(REVIEWS.replace("first: 50", "first: 101"), {"ids": ids}, 1)
        with pytest.raises(GitHubError, match="doesn't exist"):
            client.graphql(REVIEWS.replace("isMinimized", "isShort"), {"ids": ids}, 1)


def test_the_cost_of_a_query_is_known_before_it_is_sent(world):
    from ingest.github.queries import QUERIES

    for name, query in QUERIES.items():
        pulls = (
            25
            if name == "reviews and threads"
            else 1
            if name.startswith("more") or name.endswith("ids")
            else 50
        )
        ids = [f"PR_{i}" for i in range(pulls)]
        assert Executor(world, query, {"ids": ids, "after": None}).cost == points(name, pulls), name


def test_faults_that_stay_are_one_line_and_lose_nothing(hub):
    for fault, said in (
        ("502", "status 502"),
        ("HTML with status 200", "no JSON"),
        ("truncated body", "broke off"),
    ):
        hub.switch(fault, 50)
        with client_of(hub) as client, pytest.raises(GitHubUnavailable, match=said) as failed:
            client.get(LIST)
        assert "\n" not in str(failed.value)
        hub.switches.clear()


def test_waits_follow_githubs_order():
    clock = Clock(now=lambda: 1000.0)
    pace = Pace(clock=clock)
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1090"}
    assert limit_wait(403, {"retry-after": "7"} | spent, "", 0, pace) == 7
    assert limit_wait(429, spent, "", 0, pace) == 91
    assert limit_wait(429, {}, "", 0, pace) == 60
    assert limit_wait(429, {}, "", 2, pace) == 240
    assert limit_wait(403, {}, "You have exceeded a secondary rate limit", 0, pace) == 60
    assert limit_wait(403, {}, "Resource not accessible by integration", 0, pace) is None
    assert limit_wait(403, {"retry-after": "soon"}, "", 0, pace) is None


def test_a_refusal_is_not_tried_again(hub):
    with (
        client_of(hub, token="ghp_wrong") as client,
        pytest.raises(GitHubError, match="does not take the token from the test"),
    ):
        client.get(LIST)
    with (
        client_of(hub) as client,
        pytest.raises(GitHubError, match="has no repos/acme/other/pulls") as failed,
    ):
        client.get("/repos/acme/other/pulls")
    assert failed.value.status == 404
    assert sum(hub.requests.values()) == 2


def test_a_wait_beyond_the_hour_ends_the_run(hub):
    hub.limit = 0
    hub._reset += 7200
    with client_of(hub) as client, pytest.raises(RateLimited, match="again then; what was fetched is kept"):
        client.get(LIST)


def test_the_last_tenth_of_the_quota_is_left_to_others(hub):
    hub.limit = 30
    naps = Naps()
    with client_of(hub, naps) as client:
        for page in range(1, 29):
            client.get(LIST, {"per_page": 1, "page": page})
        assert len(naps.taken) == 1
        assert naps.taken[0] > 3000


def test_points_a_minute_are_spread():
    naps = Naps()
    pace = Pace(rest_a_minute=10, clock=naps.clock())
    for _ in range(25):
        pace.before("core")
    assert pace.counts.requests == 25
    assert 100 < sum(naps.taken) < 130


def test_a_budget_counts_what_is_sent_again(hub):
    hub.switch("502", 2)
    with client_of(hub, most=3) as client:
        client.get(LIST)
        with pytest.raises(RequestBudgetSpent):
            client.get(LIST)
    hub.switch("429 secondary", 5)
    with client_of(hub, most=2) as client, pytest.raises(RequestBudgetSpent):
        client.get(LIST)
    assert sum(hub.requests.values()) == 5


def test_an_unchanged_page_costs_no_quota(hub):
    with client_of(hub) as client:
        first = client.get(LIST)
        again = client.get(LIST, etag=first.etag)
        assert (again.status, again.body) == (304, b"")
        assert again.remaining == first.remaining


def test_a_renamed_repository_is_followed_with_its_query(hub):
    hub.renamed_from = "old/name"
    with client_of(hub) as client:
        assert (
            client.get("/repos/old/name/pulls/comments", {"per_page": 3, "page": 2}).data
            == client.get(LIST, {"per_page": 3, "page": 2}).data
        )


def test_no_other_host_gets_the_token(hub, world):
    with Loopback(world) as other:
        hub.off_host = other.url
        with client_of(hub) as client, pytest.raises(OffHost, match="points to another host"):
            client.get(LIST)
        assert not other.seen_tokens
    hub.off_host = ""
    assert hub.seen_tokens == {f"token {TOKEN}"} or hub.seen_tokens == {f"Bearer {TOKEN}"}


def test_a_link_to_another_host_is_refused(hub):
    with client_of(hub) as client:
        for address in ("https://evil.example/repos/x", f"{hub.url}0/repos/x", "http://127.0.0.1@evil.example/x", "//evil.example/x", "file:///etc/passwd"):  # fmt: skip
            with pytest.raises(OffHost):
                client._same_host(address, 0)
        assert client._same_host(f"{hub.url}/repos/x?page=2", 0) == "/repos/x?page=2"


@pytest.mark.parametrize("address", ["api.github.com", "ftp://api.github.com", "http://api.github.com", "https://u:p@api.github.com", "https://api.github.com?x=1", "https://", "https://host:0", "https://host:port"])  # fmt: skip
def test_an_address_that_would_leak_the_token_is_refused(address):
    with pytest.raises(GitHubError):
        checked_address(address)


def test_link_headers():
    text = '<https://a/x?page=2>; rel="next", <https://a/x?page=9>; rel="last prev"'
    assert link_header(text) == {
        "next": "https://a/x?page=2",
        "last": "https://a/x?page=9",
        "prev": "https://a/x?page=9",
    }
    assert link_header("nonsense <<>>;;; rel=next") == {}
    assert number("1e99") is None
    assert number("-3") is None


def test_a_token_shows_itself_to_nobody(caplog):
    token = Token(TOKEN, "GITHUB_TOKEN")
    assert TOKEN not in f"{token} {token!r} {[token]}"
    with pytest.raises(TypeError):
        pickle.dumps(token)
    with pytest.raises(TypeError):
        json.dumps(token)
    assert token.redact(f"Authorization: token {TOKEN}!") == "Authorization: token ***!"


def test_a_token_in_an_error_is_masked(hub):
    hub.switch("502", 0)
    with client_of(hub) as client:
        assert TOKEN not in client._clean(f"bad\n{TOKEN} here")


def test_nothing_is_logged_of_the_token(hub, caplog):
    caplog.set_level(logging.DEBUG)
    hub.switch("429 secondary")
    with client_of(hub) as client:
        client.get(LIST)
    assert TOKEN not in caplog.text


def test_where_a_token_comes_from(tmp_path):
    assert find_token("https://api.github.com", {"GITHUB_TOKEN": " a1 ", "GH_TOKEN": "b"}).reveal() == "a1"
    assert find_token("https://api.github.com", {"GH_TOKEN": "b"}).source == "GH_TOKEN"
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/asked"\necho fromgh\n')
    gh.chmod(0o755)
    found = find_token("https://api.github.com", {"PATH": str(tmp_path)})
    assert (found.reveal(), found.source) == ("fromgh", "gh")
    assert (tmp_path / "asked").read_text().split() == ["auth", "token", "--hostname", "github.com"]
    find_token("https://ghe.example/api/v3", {"PATH": str(tmp_path)})
    assert (tmp_path / "asked").read_text().split()[-1] == "ghe.example"
    with pytest.raises(TokenError, match="gh auth login"):
        find_token("https://api.github.com", {"PATH": str(tmp_path / "none")})
    with pytest.raises(TokenError, match="characters"):
        find_token("https://api.github.com", {"GITHUB_TOKEN": "a b\nc"})


def test_the_client_names_no_objects_of_pygithub():
    source = Path(__file__).resolve().parent.parent / "ingest" / "github"
    text = "".join(p.read_text("utf-8") for p in source.glob("*.py"))
    assert ".get_repo(" not in text
    assert ".get_pull" not in text
    assert Client.__doc__
