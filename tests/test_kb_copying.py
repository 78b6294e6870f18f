"""Stores copied and kept in order: nothing changes but the place, and what does is noticed."""

from __future__ import annotations

import json
from datetime import timedelta

import pyarrow as pa
import pytest
from bench import kill_resume
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from kb.copying import copy_store
from kb.location import StoreError
from kb.maintenance import maintain
from kb.store import Store
from kb.table_digest import digest_of
from kb.tables import LINKS
from loop.cli import cli

SCHEMA = pa.schema(
    [
        ("text", pa.string()), ("number", pa.int32()), ("flag", pa.bool_()), ("names", pa.list_(pa.string())),
        ("vector", pa.list_(pa.float16(), 2)), ("blob", pa.large_binary()),
    ]
)  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | st.text(max_size=4), "number": st.none() | st.integers(-5, 5), "flag": st.none() | st.booleans(),
            "names": st.lists(st.none() | st.text(max_size=2), max_size=2), "vector": st.tuples(st.integers(0, 3), st.integers(0, 3)).map(list),
            "blob": st.binary(max_size=3),
        }
    ),
    max_size=6,
)  # fmt: skip


def digest(rows: list[dict[str, object]], size: int) -> str:
    import numpy as np

    rows = [{**r, "vector": [np.float16(v) for v in r["vector"]]} for r in rows]
    return digest_of(SCHEMA, pa.Table.from_pylist(rows, SCHEMA).to_batches(size)).hexdigest()


@given(ROWS, ROWS, st.integers(1, 3))
def test_a_digest_is_of_rows_and_not_of_batches(one, other, size):
    assert digest(one, size) == digest(one, 100)
    assert (digest(one, size) == digest(other, 100)) == (one == other)


def test_a_copy_has_the_same_tables_and_answers(evict_kb, tmp_path):
    target = tmp_path / "copy"
    done = CliRunner().invoke(
        cli, ["kb", "copy", str(evict_kb), str(target), "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0
    counts = {t["name"]: t["rows"] for t in json.loads(done.stdout)["tables"]}
    assert counts["cards"] == 4
    one, other = (kill_resume.tables_of(Store.open(str(p))) for p in (evict_kb, target))
    assert kill_resume.differences(other, one) == []
    assert Store.open(str(target)).is_finished()
    with pytest.raises(StoreError, match="holds something already"):
        copy_store(str(evict_kb), str(target))


def test_a_copy_that_was_cut_off_is_no_store_and_is_made_anew(evict_kb, tmp_path):
    target = str(tmp_path / "copy")
    with Store.begin(target) as store:
        store.write_stream("links", LINKS, Store.open(str(evict_kb)).stream("links", 1))
    with pytest.raises(StoreError, match="no prlore knowledge base"):
        Store.open(target)
    copy_store(str(evict_kb), target)
    assert Store.open(target).count("cards") == 4


def test_a_table_that_arrives_otherwise_is_noticed(evict_kb, tmp_path, monkeypatch):
    whole = Store.stream

    def short(self: Store, name: str, rows: int):
        batches = list(whole(self, name, rows))
        return batches[:-1] if name == "chunks" and self.uri.endswith("copy") else batches

    monkeypatch.setattr(Store, "stream", short)
    with pytest.raises(StoreError, match="chunks arrived with 0 rows"):
        copy_store(str(evict_kb), str(tmp_path / "copy"))


def test_upkeep_merges_cleans_and_changes_no_row(evict_kb, tmp_path):
    uri = f"file://{tmp_path}/kb"  # an address: writers lease it, readers see what is published
    copy_store(str(evict_kb), uri)
    before = kill_resume.tables_of(Store.open(uri))
    row = {"repo": "a/b", "source": "a/b#1", "kind": "fixes", "target": "a/b#2", "batch": 10**6}
    with Store.create(uri, {}) as store:
        for _ in range(6):
            store.append("links", pa.Table.from_pylist([row], schema=LINKS))
        done = maintain(store, timedelta(milliseconds=1))
    assert done.leftovers == 6
    assert all(t.versions <= 2 for t in done.after if t.name != "writers"), done.after
    assert sum(t.versions for t in done.after) < sum(t.versions for t in done.before)
    after = kill_resume.tables_of(Store.open(uri))
    before.pop("meta"), after.pop("meta")
    assert kill_resume.differences(after, before) == []
    told = CliRunner().invoke(cli, ["kb", "maintain", "--kb", uri, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["leftovers"] == 0


def test_upkeep_makes_no_store(tmp_path):
    with pytest.raises(StoreError, match="no knowledge base"):
        CliRunner().invoke(cli, ["kb", "maintain", "--kb", str(tmp_path / "none")], catch_exceptions=False)
    assert not (tmp_path / "none").exists()
