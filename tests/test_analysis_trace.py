"""Traces read into columns: every event, exact to the nanosecond, whatever wrote the file and however it is damaged."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import UnreadableTrace
from analysis.kineto import chunks as chunking
from analysis.trace import Trace
from tests.small_traces import TraceFile

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "traces"
GPU = ("kernel", "gpu_memcpy", "gpu_memset")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def small(kernels: int = 5) -> TraceFile:
    file = TraceFile()
    file.step("step[DECODE bs=4]", 0, 100 * kernels)
    for i in range(kernels):
        file.launch(
            [(f"kernel_{i % 3}", 4_382_087_881_356.225 + 10 * i, 3.001 + i / 1000)], 5 + 10 * i, op="aten::mm"
        )
    return file


def naive(raw: bytes) -> tuple[int, int]:
    """GPU events and their time in ns by an independent reading."""
    rows = [e for e in json.loads(raw, parse_float=Decimal)["traceEvents"] if e.get("cat") in GPU]
    return len(rows), int(sum(Decimal(e["dur"]) * 1000 for e in rows))


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize(
    "dump", [{}, {"indent": 1}, {"separators": (",", ":")}, {"sort_keys": True, "indent": "\t"}]
)
def test_any_layout_of_the_same_events_reads_the_same(tmp_path, cache, suffix, dump):
    file = small(50)
    raw = json.dumps(json.loads(file.text()), **dump).encode()
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(raw) if suffix.endswith("gz") else raw)
    trace = Trace.open(path, cache=cache)
    assert (len(trace.kernels), int(trace.kernels.dur.sum())) == naive(raw)
    assert [trace.text(int(n)) for n in trace.kernels.name] == [f"kernel_{i % 3}" for i in range(50)]
    assert trace.problems == ()
    assert trace.header["traceName"] == "t.json"


def test_a_bare_array_of_events_is_a_trace(tmp_path, cache):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(small().events))
    assert len(Trace.open(path, cache=cache).kernels) == 5


def test_chunks_split_nowhere_but_between_events(tmp_path, cache, monkeypatch):
    file = small(40)
    for event in file.events[::3]:
        event["args"]["nested"] = [{"name": 1}, {"name": 2, "args": [{"ph": 3}]}]
    path = file.write(tmp_path / "t.json")
    whole = json.loads(file.text())["traceEvents"]
    for size in (1, 64, 300, 4096):
        monkeypatch.setattr(chunking, "CHUNK", size)
        monkeypatch.setattr(chunking, "_INFLATED", max(size, 50))
        reading = chunking.Reading()
        parts = list(chunking.chunks(path, reading))
        assert [e for part in parts for e in json.loads(part)] == whole
        assert reading.problems == []


def test_two_processes_read_what_one_reads(tmp_path, monkeypatch):
    file = small(2000)
    for i in range(3000):
        file.frame(f"model.py({i % 7}): f{i % 11}", i, 1, i or None)
    path = file.write(tmp_path / "t.json")
    monkeypatch.setattr(chunking, "CHUNK", 20_000)
    monkeypatch.setattr(chunking, "_INFLATED", 10_000)
    one = Trace.open(path, cache=tmp_path / "one", processes=1)
    two = Trace.open(path, cache=tmp_path / "two", processes=2)
    for table in ("kernels", "launches", "ops", "annotations", "frames"):
        a, b = getattr(one, table), getattr(two, table)
        assert np.array_equal(a.ts, b.ts)
        assert np.array_equal(a.dur, b.dur)
        assert [one.text(int(n)) for n in a.name] == [two.text(int(n)) for n in b.name]
    assert np.array_equal(one.frames.python_id, two.frames.python_id)
    assert one.events == two.events == len(file.events)


def test_the_second_opening_reads_the_sidecar(tmp_path, cache):
    path = small().write(tmp_path / "t.json.gz")
    first = Trace.open(path, cache=cache)
    [folder] = [f for f in (cache / "traces").iterdir() if f.name.startswith(first.sha256)]
    stamp = (folder / "trace.json").stat().st_ino
    copy = tmp_path / "elsewhere.json.gz"
    copy.write_bytes(path.read_bytes())
    again = Trace.open(copy, cache=cache)
    assert (folder / "trace.json").stat().st_ino == stamp
    assert again.sha256 == first.sha256
    assert np.array_equal(again.kernels.ts, first.kernels.ts)
    (folder / "kernels.dur").unlink()  # a damaged sidecar is made anew
    assert int(Trace.open(path, cache=cache).kernels.dur.sum()) == int(first.kernels.dur.sum())


@given(
    st.lists(
        st.tuples(st.integers(0, 2**53 // 1000), st.integers(0, 10**9)),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([0, 4_382_087_881_356_225, 8_796_093_022_207_999, 1_790_857_026_000_000_000]),
)
def test_times_are_exact_to_the_nanosecond(tmp_path_factory, spans, base):
    folder = tmp_path_factory.mktemp("t")
    rows = ",".join(
        f'{{"ph":"X","cat":"kernel","name":"k{i}","pid":0,"tid":7,"ts":{Decimal(base + ts) / 1000:f},'
        f'"dur":{Decimal(dur) / 1000:f},"args":{{"device":0,"stream":7,"correlation":{i}}}}}'
        for i, (ts, dur) in enumerate(spans)
    )
    (folder / "t.json").write_text(f'{{"traceEvents":[{rows}]}}')
    trace = Trace.open(folder / "t.json", cache=folder)
    first = min(ts for ts, _ in spans)
    found = sorted((int(t), int(d)) for t, d in zip(trace.kernels.ts, trace.kernels.dur, strict=True))
    assert found == sorted((ts - first, dur) for ts, dur in spans)
    assert trace.origin_ns == base + first


def with_damage(text: str) -> str:
    return text.replace('"name": "kernel_1"', '"name": "a "quoted" name"', 1)


@pytest.mark.parametrize(
    ("damage", "kind", "left"),
    [
        (with_damage, "broken", 199),
        (lambda t: t.replace('"name": "kernel_1"', '"name": "bell\x07"', 1), "repaired", 200),
        (lambda t: t.replace('"name": "kernel_1"', r'"name": "C:\Users\x"', 1), "repaired", 200),
        (lambda t: t.replace('"dur": 3.001', '"dur": -3.001', 1), "untimed", 199),
        (lambda t: t.replace('"dur": 3.001', '"dur": 1e400', 1), "untimed", 199),
        (lambda t: t.replace('"dur": 3.001', '"dur": "3.001"', 1), None, 200),
        (lambda t: t.replace('"dur": 3.001', '"long": 3.001', 1), "untimed", 199),
        (lambda t: t.replace('"cat": "kernel"', '"cat": "kennel"', 1), "unknown_category", 199),
        (lambda t: t.replace('"stream": 7', '"stream": 1e30', 1), "repaired", 200),
        (lambda t: t.replace('"ph": "X"', '"ph": "B"', 1), "unpaired", 200),
        (lambda t: t.replace('"name": "kernel_1"', '"game": "kernel_1"', 1), "nameless", 200),
    ],
)
def test_a_broken_event_costs_one_event_and_is_told(tmp_path, cache, damage, kind, left):
    path = tmp_path / "t.json"
    path.write_text(damage(small(200).text()))
    trace = Trace.open(path, cache=cache)
    assert [p.kind for p in trace.problems] == [kind] * (kind is not None)
    assert len(trace.kernels) == left


def test_a_truncated_file_is_read_up_to_there(tmp_path, cache):
    raw = small(300).text().encode()
    for name, data in {"t.json": raw[: len(raw) // 2], "t.json.gz": gzip.compress(raw)[:-600]}.items():
        (tmp_path / name).write_bytes(data)
        trace = Trace.open(tmp_path / name, cache=cache)
        assert 0 < len(trace.kernels) < 300
        assert "damaged" in [p.kind for p in trace.problems]


def test_a_wrong_checksum_is_told(tmp_path, cache):
    data = bytearray(gzip.compress(small(20).text().encode()))
    data[-6] ^= 1
    (tmp_path / "t.json.gz").write_bytes(bytes(data))
    trace = Trace.open(tmp_path / "t.json.gz", cache=cache)
    assert "checksum" in trace.problems[0].text
    assert len(trace.kernels) == 20


def test_members_of_a_gzip_file_are_one_trace(tmp_path, cache):
    raw = small(20).text().encode()
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(raw[:999]) + gzip.compress(raw[999:]) + b"\0" * 64)
    trace = Trace.open(tmp_path / "t.json.gz", cache=cache)
    assert len(trace.kernels) == 20
    assert trace.problems == ()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"hello", b'{"traceEvents": 3}', b"\x1f\x8b\x08\x00", b"\xff\xfe\x00"]
)
def test_what_is_no_trace_is_refused_in_one_line(tmp_path, cache, content):
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(UnreadableTrace) as error:
        Trace.open(tmp_path / "t.json", cache=cache)
    assert "\n" not in str(error.value)
    assert "t.json" in str(error.value)


def test_a_missing_file_is_named(tmp_path, cache):
    with pytest.raises(UnreadableTrace, match=r"nowhere\.json: No such file"):
        Trace.open(tmp_path / "nowhere.json", cache=cache)


@pytest.mark.parametrize(
    "content",
    [
        b'{"traceEvents": [' + b"[" * 200_000,
        b'{"traceEvents": [' + b'{"ph": "X", "args": ' * 50_000,
        b'{"traceEvents": [' + b'},{"ph":' * 200_000,
        b'{"traceEvents": [{"name": "' + b"a" * 6_000_000,
        b'{"a": "' + b"x" * 6_000_000,
        b'{"traceEvents": [{"ph": "M", "args": {"x": ['
        + b'{"name": 1},' * 200_000
        + b'{"name": 1}]}}, {"ph": "M"}]}',
        gzip.compress(b'{"traceEvents": [' + b" " * 30_000_000),
        b'{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 1, "args": {"stream": 7e999999999}}]}',
        b'{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "ts": 7e999999999, "dur": 1e-999999999}]}',
        b'{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "ts": "1e99999999", "dur": '
        + b"9" * 100_000
        + b"}]}",
    ],
)
def test_what_could_take_for_ever_does_not(tmp_path, cache, content):
    (tmp_path / "t.json").write_bytes(content)
    began = time.process_time()
    try:
        problems = Trace.open(tmp_path / "t.json", cache=cache).problems
        assert problems or b'{"name": 1}]}}, {"ph"' in content
    except UnreadableTrace:
        pass
    assert (
        time.process_time() - began < 30
    )  # CPU time, which is a second or two, and without end where a guard is missing


def test_keys_before_the_events_may_be_long_and_cut_anywhere(tmp_path, cache, monkeypatch):
    header = {
        "schemaVersion": 1,
        "notes": ["traceEvents"] * 50,
        "distributedInfo": {"rank": 3, "world_size": 4},
    }
    file = small(30)
    file.header = header
    path = tmp_path / "t.json"
    path.write_bytes(b"\xef\xbb\xbf" + file.text().encode())
    for size in (7, 61, 500):
        monkeypatch.setattr(chunking, "_INFLATED", size)
        trace = Trace.open(path, cache=cache / str(size))
        assert (trace.rank, trace.world_size, len(trace.kernels), trace.problems) == (3, 4, 30, ())


def test_an_empty_trace_is_a_trace(tmp_path, cache):
    (tmp_path / "t.json").write_text('{"traceEvents": [], "rank": 1}')
    trace = Trace.open(tmp_path / "t.json", cache=cache)
    assert (len(trace.kernels), trace.span_ns, trace.problems) == (0, 0, ())


def test_random_damage_never_ends_in_a_traceback_or_a_silent_loss(tmp_path):
    """Bytes flipped, cut out and doubled: either the total is what the file still says or there is a problem."""
    rng = random.Random(5)
    raw = small(12).text().encode()
    for _ in range(150):
        data = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            change = rng.randrange(4)
            if change == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif change == 1:
                del data[at : at + rng.randint(1, 40)]
            elif change == 2:
                data[at:at] = data[at : at + rng.randint(1, 40)]
            else:
                del data[at:]
                break
        path = tmp_path / "t.json"
        path.write_bytes(bytes(data))
        try:
            trace = Trace.open(path, cache=tmp_path / "cache")
        except UnreadableTrace:
            continue
        if not trace.problems:
            expected = [
                e
                for e in json.loads(data.decode("utf-8", "replace"), parse_float=Decimal, strict=False)[
                    "traceEvents"
                ]
                if e.get("cat") in GPU
            ]
            total = sum(Decimal(e["dur"]) * 1000 for e in expected)
            assert int(trace.kernels.dur.sum()) == total.to_integral_value() if expected else total == 0


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="no real traces beside the checkout")
def test_real_traces_are_exact(tmp_path):
    for path in sorted(p for p in REAL.rglob("*.gz") if p.stat().st_size < 400_000):
        raw = gzip.decompress(path.read_bytes())
        trace = Trace.open(path, cache=tmp_path)
        assert (len(trace.kernels), int(trace.kernels.dur.sum())) == naive(raw)
        events = json.loads(raw)["traceEvents"]
        counts = Counter(e.get("cat") for e in events if e["ph"] == "X")
        assert (len(trace.frames), len(trace.ops)) == (counts["python_function"], counts["cpu_op"])
        assert trace.problems == ()
        assert trace.events == len(events)
