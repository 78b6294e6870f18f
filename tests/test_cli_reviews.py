"""The commands around reviews as a user meets them: what they print, and one line for whatever went wrong."""

from __future__ import annotations

import gzip
import json
import os
import shutil

import pytest
from loopback.server import TOKEN, Loopback
from loopback.world import PEOPLE, make_world

from loop.cli import main


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.startswith(("PRLORE", "GITHUB", "GH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)


@pytest.fixture
def prlore(capsys):
    def run(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def hub():
    world = make_world(12, 20, 12, 10, 2)
    world.comment(
        "inline",
        5,
        PEOPLE[0],
        "The numbat \x1b[31mkernel overflows <b>int32</b> offsets",
        path="a/b.py",
        line=4,
        original_line=4,
        hunk="@@ -1 +1,4 @@ def f():\n+x",
        commit="c",
    )
    world.tick(3600)
    with Loopback(world) as running:
        yield running


def test_from_a_sync_to_an_answer(prlore, hub, tmp_path):
    kb = ("--kb", tmp_path / "kb")
    source = ("acme/engine", "--api-url", hub.url)
    status, out, err = prlore("ingest", "github", *source, "--dry-run", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["requests"] < 12
    status, out, _ = prlore("ingest", "github", *source, "--max-requests", "2", *kb)
    assert status == 0
    assert "run the same command again" in out
    status, out, _ = prlore("ingest", "github", *source, *kb, "--json")
    told = json.loads(out)
    assert (told["complete"], told["failed"], told["retries"]) == (True, [], 0)
    status, out, _ = prlore("ingest", "github", *source, *kb)
    assert status == 0
    assert "3 unchanged" in out
    status, out, _ = prlore("query", "--threads", "numbat int32 overflow", *kb, "--json")
    hit = json.loads(out)["hits"][0]
    assert (hit["path"], hit["line"], hit["said"]["author"], hit["addressed"]) == (
        "a/b.py",
        4,
        "ada",
        "unknown",
    )
    assert len(hit["said"]["sha256"]) == 64
    status, out, _ = prlore("query", "--threads", "numbat int32 overflow", "--path", "a/*.py", *kb)
    assert "discussion_r" in out
    assert "\x1b" not in out
    assert "No thread answers" in prlore("query", "--threads", "protein folding", *kb)[1]
    assert prlore("query", "--threads", "x", "--kind", "fix", *kb)[0] == 2
    status, out, _ = prlore("ingest", "replay", "acme/engine", *kb, "--json")
    assert json.loads(out)[0]["pull_requests"] == 12
    status, out, _ = prlore("forget", "--author", "@ada", *kb, "--json")
    assert json.loads(out)["threads"] >= 1
    assert "numbat" not in prlore("query", "--threads", "numbat int32 overflow", *kb)[1]


def test_a_corpus_and_a_watch(prlore, hub, tmp_path):
    row = {"schema_version": 2, "row_type": "inline_review_thread", "source": {"repo": "a/b"}, "thread_id": 1, "path": "x.py", "pull_request": {"number": 7}, "comments": [{"id": 1, "body": "quokka", "created_at": "2024-01-01T00:00:00Z", "author": {"login": "z"}}]}  # fmt: skip
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\nnonsense\n"))
    status, out, _ = prlore("ingest", "corpus", path, "--kb", tmp_path / "kb")
    assert status == 0
    assert "1 threads with 1 comments" in out
    assert "line 2:" in out
    assert "imported" in prlore("query", "--threads", "quokka", "--kb", tmp_path / "kb")[1]
    status, out, _ = prlore("watch", "--repo", "acme/engine", "--path", "scheduler.py", "--api-url", hub.url)
    assert status == 0
    assert out.startswith("# Open pull requests: scheduler.py")
    status, out, err = prlore(
        "watch", "--repo", "acme/engine", "--repo", "acme/none", "--api-url", hub.url, "--json"
    )
    assert status == 0
    assert json.loads(out)["problems"]
    assert "not fetched" in err


def test_what_goes_wrong_is_one_line(prlore, hub, tmp_path, monkeypatch):
    kb, empty = ("--kb", tmp_path / "kb"), ("--kb", tmp_path / "empty")
    cases = [
        (("ingest", "github", "acme/none", "--api-url", hub.url, *kb), "check the name"),
        (("ingest", "github", "no-name", *kb), "write owner/name"),
        (("ingest", "github", "a/b", "--api-url", "http://api.github.com", *kb), "unencrypted"),
        (("ingest", "github", "a/b", "--since", "soon", *kb), "--since"),
        (("ingest", "replay", *empty), "prlore ingest github"),
        (("ingest", "replay", "a/b", *empty), "prlore ingest github a/b"),
        (("ingest", "corpus", tmp_path / "none.jsonl", *kb), "can't read"),
        (("watch", "--repo", "acme/none", "--api-url", hub.url), "nothing could be fetched"),
        (("watch", "--family", "no such family", "--api-url", hub.url), "no family named"),
        (("forget", "--author", " ", *kb), "empty"),
    ]
    for args, said in cases:
        status, out, err = prlore(*args)
        assert (status, out) == (2, ""), (args, out, err)
        assert err.startswith("prlore: ")
        assert len(err.splitlines()) == 1
        assert said in err, (args, err)
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert "gh auth login" in prlore("watch", "--repo", "acme/engine", "--api-url", hub.url)[2]
