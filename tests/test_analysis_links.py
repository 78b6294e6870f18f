"""Frames found by their start and their callers are those that a scan of all frames finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import mapped
from analysis.links import FrameIndex, Operators, launch_of_kernels, read_site
from analysis.trace import Trace
from tests.small_traces import TraceFile


@st.composite
def calls(draw):
    """Nested calls of two threads: (thread, start, end, parent)."""
    rows: list[tuple[int, int, int, int | None]] = []

    def grow(thread: int, start: int, end: int, parent: int | None, depth: int) -> None:
        at = start
        while at < end and len(rows) < 40 and draw(st.booleans()):
            first = draw(st.integers(at, end))
            last = draw(st.integers(first, end))
            rows.append((thread, first, last, parent))
            if depth < 4:
                grow(thread, first, last, len(rows) - 1, depth + 1)
            at = last + 1

    for thread in (1, 2):
        grow(thread, 0, 60, None, 0)
    return rows


@given(calls(), st.randoms(), st.sampled_from([1 << 17, 7]))
def test_the_innermost_frame_is_the_one_a_scan_finds(tmp_path_factory, rows, random, window):
    folder = tmp_path_factory.mktemp("frames")
    file = TraceFile()
    for thread, first, last, parent in rows:
        number = None if parent is None else parent + 1
        file.frame(f"m.py({thread}): f", first, last - first, number, tid=thread)
    file.add("cuda_runtime", "x", 0, 1, tid=1)
    file.add("cuda_runtime", "x", 0, 1, tid=2)
    if random.random() < 0.5:
        random.shuffle(file.events)
    times = np.arange(0, 62_000, 500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "WINDOW", window)
        trace = Trace.open(file.write(folder / "t.json"), cache=folder)
        of_thread = {tid: number for number, (_, tid) in enumerate(trace.tracks)}
        for thread in (1, 2):
            track = np.full(len(times), of_thread[thread], np.int32)
            got = FrameIndex(trace).innermost(track, times)
            for time, row in zip(times.tolist(), got.tolist(), strict=True):
                around = [(f, -e) for t, f, e, _ in rows if t == thread and f * 1000 <= time <= e * 1000]
                if row < 0:
                    assert not around
                else:
                    found = int(trace.frames.ts[row]), -int(trace.frames.end[row])
                    assert found == tuple(1000 * x for x in max(around))


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            "/sgl-workspace/sglang/python/sglang/srt/layers/linear.py(410): forward",
            "sglang/srt/layers/linear.py:410 forward",
        ),
        (
            "/usr/lib/python3.12/site-packages/vllm/v1/utils.py(130): copy_to_gpu",
            "vllm/v1/utils.py:130 copy_to_gpu",
        ),
        (
            "vllm/model_executor/models/qwen3.py(7): <lambda>",
            "vllm/model_executor/models/qwen3.py:7 <lambda>",
        ),
        ("a.py(3): <object at 0x7f3ab849d0f0>", "a.py:3 <object>"),
        ("<built-in function launch>", None),
        ("nn.Module: Linear_3", None),
    ],
)
def test_a_frame_names_a_place(frame, expected):
    found = read_site(frame)
    assert (str(found) if found else None) == expected


def test_operator_and_launch_are_joined_by_ids(tmp_path):
    file = TraceFile()
    file.launch([("a", 100, 5)], 10, op="aten::mm")
    file.launch([("b", 110, 5)], 20)
    file.add("kernel", "lost", 120, 5, pid=0, tid=7, device=0, stream=7, correlation=9_999)
    trace = Trace.open(file.write(tmp_path / "t.json"), cache=tmp_path)
    launch = launch_of_kernels(trace)
    assert launch.tolist() == [0, 1, -1]
    ops = Operators(trace).of_kernels(slice(0, 3), launch)
    assert [trace.text(int(trace.ops.name[n])) if n >= 0 else None for n in ops] == [
        "aten::mm",
        None,
        None,
    ]
