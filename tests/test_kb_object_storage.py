"""A knowledge base on a real S3 server: built, read, killed, failed upon; one writer, whole views, no secret anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import s3_server
from bench import kill_resume, small_history
from s3_server import BUCKET, KEY, SECRET, Proxy, S3Server, random_faults

from ingest.git import open_repository
from kb.build import Options, build
from kb.location import StoreError
from kb.object_storage import check_address, failure, storage_options, without_secrets
from kb.search import Searcher
from kb.store import Store
from kb.tables import LINKS, WRITERS
from kb.writer_lease import Lease, read_lease

REPO = "sgl-project/sglang"
OWN = ("finished", "snapshot", "store", "created_by")  # entries of meta that tell stores apart

server_wanted = pytest.mark.skipif(s3_server.weed() is None, reason="no SeaweedFS for this platform")


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    return small_history.write(tmp_path_factory.mktemp("engine") / "repo.git")


@pytest.fixture(scope="module")
def local(history, tmp_path_factory) -> str:
    uri = str(tmp_path_factory.mktemp("local") / "kb")
    ingest(uri, history)
    return uri


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as running, Proxy(running.endpoint) as proxy:
        running.proxy = proxy
        with pytest.MonkeyPatch.context() as patch:
            for name, value in s3_server.environment(proxy.endpoint).items():
                patch.setenv(name, value)
            patch.setenv("PRLORE_STORAGE_OPTIONS", "timeout=1s,client_retry_timeout=60")
            yield running


@pytest.fixture
def proxy(server) -> Iterator[Proxy]:
    before = server.proxy.fault
    yield server.proxy
    server.proxy.fault = before


@pytest.fixture(scope="module")
def remote(server, history) -> str:
    uri = f"s3://{BUCKET}/team"
    ingest(uri, history)
    return uri


def ingest(uri: str, history: Path) -> None:
    with open_repository(history) as repository, Store.create(uri, {"created_by": "tests"}) as store:
        build(store, repository, Options(REPO, workers=1, encoder="none"), lambda done, total: None)


def tables(uri: str) -> dict[str, pa.Table]:
    found = kill_resume.tables_of(Store.open(uri))
    found.pop(WRITERS, None)
    keys = found["meta"]["key"].to_pylist()
    found["meta"] = found["meta"].filter(pa.array([k not in OWN for k in keys]))
    return found


def prlore(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loop", *args],
        capture_output=True, text=True, env={**os.environ, **env}, timeout=300, check=False,
    )  # fmt: skip


@server_wanted
def test_a_store_on_object_storage_has_the_tables_of_a_folder(remote, local):
    assert kill_resume.differences(tables(remote), tables(local)) == []
    question = "evict from a heap instead of sorting all leaves"
    there, here = (Searcher(Store.open(uri)).search(question) for uri in (remote, local))
    assert [h.card.id for h in there.hits] == [h.card.id for h in here.hits]


@server_wanted
def test_a_second_run_reads_only_what_is_new(remote, history):
    before = Store.open(remote).meta()
    ingest(remote, history)
    assert Store.open(remote).meta() == before


@server_wanted
def test_a_reader_sees_what_a_writer_last_published(remote, history, server):
    uri = f"s3://{BUCKET}/views"
    ingest(uri, history)
    reader = Store.open(uri)
    cards, links = reader.count("cards"), reader.count("links")
    with Store.create(uri, {}) as writer:
        ids = writer.scan("cards", ["id"])["id"].to_pylist()
        batch = writer.last_batch() + 1
        row = {"repo": REPO, "source": f"{REPO}#1", "kind": "fixes", "target": f"{REPO}#2", "batch": batch}
        writer.append("links", pa.Table.from_pylist([row], schema=LINKS))
        writer.remove_cards(ids[:3])
        assert Store.open(uri).count("links") == links  # a new reader as well
        assert Store.open(uri).count("cards") == cards
        writer.finish()
        assert Store.open(uri).count("cards") == cards - 3
        assert reader.count("cards") == cards
        assert len(Searcher(reader).search("evict from a heap").hits) > 0  # rows of its view are still there
    assert Store.open(uri).count("cards") == cards - 3


@server_wanted
def test_what_a_run_that_failed_left_is_not_seen_and_goes(history, server):
    uri = f"s3://{BUCKET}/failed"
    ingest(uri, history)
    row = {"repo": REPO, "source": f"{REPO}#1", "kind": "fixes", "target": f"{REPO}#2", "batch": 99}
    links = Store.open(uri).count("links")

    class Boom(Exception):
        pass

    def fail() -> None:
        with Store.create(uri, {}) as writer:
            writer.append("links", pa.Table.from_pylist([row], schema=LINKS))
            raise Boom

    with pytest.raises(Boom):
        fail()
    assert Store.open(uri).count("links") == links
    with Store.create(uri, {}) as writer:
        assert writer.discard_after(writer.last_batch()) == 1
    assert Store.open(uri).count("links") == links


@server_wanted
def test_one_of_many_writers_gets_the_store_and_the_others_hear_why(server, monkeypatch):
    uri = f"s3://{BUCKET}/race"
    Store.create(uri, {"created_by": "tests"}).close()
    start, stop, said = threading.Barrier(4), threading.Event(), []

    def write() -> None:
        start.wait()
        try:
            with Store.create(uri, {}) as store:
                said.append("")
                store.set_meta({"winner": "one"})
                stop.wait(60)
        except StoreError as exc:
            said.append(str(exc))
        if len(said) == 4:
            stop.set()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("") == 1, said
    assert all(s.startswith("another prlore ") and "wait for it to end" in s and uri in s for s in said if s)


@server_wanted
def test_tables_stand_two_writers_that_ignore_the_lease(server):
    """Below the lease: LanceDB commits by conditional put, so that no append is lost."""
    uri = f"s3://{BUCKET}/ignored"
    Store.create(uri, {"created_by": "tests"}).close()
    row = {"repo": REPO, "source": "", "kind": "fixes", "target": f"{REPO}#2", "batch": 1}

    def append(writer: int) -> None:
        store = Store.open(uri)
        for i in range(6):
            store.append("links", pa.Table.from_pylist([{**row, "source": f"{writer}-{i}"}], schema=LINKS))

    threads = [threading.Thread(target=append, args=(w,)) for w in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Store.open(uri).scan("links", ["source"])["source"].to_pylist()
    assert sorted(found) == sorted(f"{w}-{i}" for w in range(3) for i in range(6))


@server_wanted
def test_a_lease_is_renewed_runs_out_and_is_taken_over(server, monkeypatch):
    uri = f"s3://{BUCKET}/lease"
    monkeypatch.setenv("PRLORE_KB_LEASE", "1.5")
    store = Store.create(uri, {"created_by": "tests"})
    table = store._database.open_table(WRITERS)
    first = read_lease(table)
    for _ in range(60):
        threading.Event().wait(0.2)
        if (now := read_lease(table)).until > first.until:
            break
    assert (now.epoch, now.holder) == (first.epoch, first.holder)
    assert now.until > first.until
    table.update(where="epoch > 0", values={"epoch": 7, "holder": "elsewhere/1 1/x", "until": 0.0})
    for _ in range(60):
        threading.Event().wait(0.2)
        if store._lock._lost:
            break
    with pytest.raises(StoreError, match="ran out"):
        store.set_meta({"a": "b"})
    store.close()
    assert read_lease(table).holder == "elsewhere/1 1/x"  # closing did not touch the other's
    with Store.create(uri, {}):  # its end has passed
        assert read_lease(table).epoch == 8
    assert read_lease(table).holder == ""


@server_wanted
def test_a_killed_writer_of_this_machine_holds_nothing_up(server):
    uri = f"s3://{BUCKET}/killed"
    code = "import os, sys; from kb.store import Store; Store.create(sys.argv[1], {'created_by': 'tests'}); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, uri], check=False, timeout=120).returncode == 9
    with Store.create(uri, {}) as store:
        assert read_lease(store._database.open_table(WRITERS)).epoch == 2


@server_wanted
def test_no_view_changes_and_no_row_is_lost_or_doubled_under_faults(server, proxy, history, local):
    uri = f"s3://{BUCKET}/faults"
    before = proxy.counts.faults
    proxy.fault = random_faults(0.04, seed=3)
    ingest(uri, history)
    found = tables(uri)
    proxy.fault = lambda method, path: ""
    assert proxy.counts.faults > before
    assert kill_resume.differences(found, tables(local)) == []


@server_wanted
def test_failures_are_one_line_without_secrets(server, proxy, remote):
    found = prlore("status", "--kb", remote, "--json")
    assert (found.returncode, json.loads(found.stdout)["uri"]) == (0, remote), found.stderr
    wrong = "another-secret-that-is-never-printed"
    for env, part in (
        ({"AWS_SECRET_ACCESS_KEY": wrong}, "the credentials are not taken"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "can't be reached"),
    ):
        env = {"PRLORE_STORAGE_OPTIONS": "client_max_retries=1,timeout=2s", **env}
        done = prlore("query", "heap", "--kb", remote, **env)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert part in done.stderr
        assert not any(s in done.stderr for s in (SECRET, wrong, KEY))
    done = prlore("query", "heap", "--kb", "s3://no-such-bucket-here/kb")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no such bucket" in done.stderr
    done = prlore("query", "heap", "--kb", f"s3://{BUCKET}/empty")
    assert (done.returncode, "holds no knowledge base" in done.stderr) == (2, True), done.stderr
    proxy.fault = lambda method, path: "503"
    done = prlore("query", "heap", "--kb", remote, PRLORE_STORAGE_OPTIONS="client_max_retries=1,timeout=2s")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "answers with errors" in done.stderr


@pytest.mark.parametrize(
    "uri", ["s3://key:secret@bucket/kb", "s3://bucket/kb?secret=secret", "az://box/kb?sig=secret#x"]
)
def test_an_address_with_credentials_is_refused_and_not_shown(uri):
    with pytest.raises(StoreError, match="environment") as found:
        check_address(uri)
    assert "secret@" not in str(found.value)
    assert "=secret" not in str(found.value)


def test_storage_options_come_from_the_environment_and_hold_no_secret(monkeypatch):
    monkeypatch.setenv("PRLORE_STORAGE_OPTIONS", "timeout=9s, region = eu-central-1,")
    assert storage_options() | {"timeout": "9s", "region": "eu-central-1"} == storage_options()
    for wrong in ("timeout", "aws_secret_access_key=abcdef", "sas_token=abcdef", "a b=c"):
        monkeypatch.setenv("PRLORE_STORAGE_OPTIONS", wrong)
        with pytest.raises(StoreError, match="PRLORE_STORAGE_OPTIONS") as found:
            storage_options()
        assert "abcdef" not in str(found.value)


def test_texts_lose_the_values_of_credentials(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "account+key+value")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert without_secrets("x account+key+value eu-central-1") == "x *** eu-central-1"
    assert str(failure("az://a/b", OSError("odd: account+key+value"))) == "az://a/b: odd: ***"


def test_a_lease_time_that_is_none_is_refused(monkeypatch):
    for wrong in ("soon", "0", "nan"):
        monkeypatch.setenv("PRLORE_KB_LEASE", wrong)
        with pytest.raises(StoreError, match="PRLORE_KB_LEASE"):
            Lease.take(None, "s3://x/y")
