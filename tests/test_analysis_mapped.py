"""Long arrays a window at a time give what numpy gives for them as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import mapped
from analysis.errors import AnalysisError
from analysis.finding import ByThread, Index
from analysis.trace import Trace

KEYS = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), max_size=80),
    st.lists(st.integers(0, 3), max_size=80),
    st.lists(st.sampled_from([5, 5, 5, 5, 9, -1]), max_size=80),
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(mapped, "WINDOW", 4)


def numbers(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@given(KEYS, st.data())
def test_a_long_sort_is_a_sort(tmp_path_factory, values, data):
    folder, keys = tmp_path_factory.mktemp("sort"), numbers(values)
    assert mapped.order_of(folder, keys).tolist() == np.argsort(keys, kind="stable").tolist()
    second = numbers(data.draw(st.lists(st.integers(0, 3), min_size=len(keys), max_size=len(keys))))
    got = mapped.order_of(folder, keys, second)
    assert keys[got].tolist() == sorted(values)
    if max((values.count(v) for v in values), default=0) <= 4 * mapped.WINDOW:
        assert got.tolist() == np.lexsort((-second, keys)).tolist()
    assert mapped.ascends(keys) == (values == sorted(values))
    assert list(folder.iterdir()) == []


@given(KEYS.filter(bool), st.data())
def test_a_place_in_the_order_needs_no_sort(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    assert mapped.smallest(numbers(values), place) == sorted(values)[place]


@given(st.lists(st.integers(-1, 6), max_size=60))
def test_rows_with_one_key_come_together_as_soon_as_they_are_whole(values):
    keys = numbers(values)
    got = {one: rows.tolist() for one, rows in mapped.together(len(keys), lambda at: keys[at])}
    assert got == {v: np.flatnonzero(keys == v).tolist() for v in set(values) - {-1}}


@given(KEYS, KEYS)
def test_an_index_finds_the_last_row(tmp_path_factory, values, wanted):
    index = Index(tmp_path_factory.mktemp("index"), numbers(values))
    last = {v: row for row, v in enumerate(values) if v >= 0}
    assert index.rows(numbers(wanted)).tolist() == [last.get(v, -1) for v in wanted]
    alone = {v: row for v, row in last.items() if values.count(v) == 1}
    assert index.rows(numbers(wanted), alone=True).tolist() == [alone.get(v, -1) for v in wanted]
    assert index.repeats == (len(alone) < len(last))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=40),
    st.integers(0, 3),
    st.integers(-1, 31),
)
def test_the_last_event_of_a_thread(tmp_path_factory, events, track, at):
    events.sort(key=lambda event: event[1])
    tracks, times = np.array([t for t, _ in events], np.int32), numbers([ts for _, ts in events])
    found = ByThread(tmp_path_factory.mktemp("thread"), tracks, times).last(
        np.array([track], np.int32), numbers([at])
    )
    rows = [row for row, (t, ts) in enumerate(events) if t == track and ts <= at]
    assert found.tolist() == [rows[-1] if rows else -1]


def test_what_is_long_is_on_disk_and_what_was_written_stays(tmp_path):
    made = mapped.scratch(tmp_path, 10, "<i8")
    made[:] = range(10)
    mapped.let_go()
    assert made.tolist() == list(range(10))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(AnalysisError, match=r"No space left on device; .*PRLORE_CACHE"):
        mapped.scratch(tmp_path, 100, "<i8")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("analysis.kineto.load.load", full)
    (tmp_path / "t.json").write_text("[]")
    with pytest.raises(AnalysisError, match="No space left on device"):
        Trace.open(tmp_path / "t.json", cache=tmp_path / "cache")
