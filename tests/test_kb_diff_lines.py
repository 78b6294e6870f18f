"""What kind of line each line of a hunk is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.diff_lines import line_kinds, line_worth


def kinds(path: str, *lines: str, moved: tuple[str, ...] = ()) -> list[str]:
    return list(line_kinds(path, lines, moved))


@pytest.mark.parametrize(
    ("path", "lines", "wanted"),
    [
        ("a.py", ["+# a remark", "+x = f(1)", "+", "+)", " y = 2"], ["comment", "code", "blank", "bracket", "context"]),
        ("a.py", ["+# SPDX-License-Identifier: Apache-2.0", "+# Copyright 2025"], ["licence", "licence"]),
        ("a.py", ["+from x import (", "+    Alpha,", "+    beta,", "+)", "+z = 1"], ["import"] * 4 + ["code"]),
        ("a.py", ["+import torch", "+if TYPE_CHECKING:", "+    pass"], ["import", "import", "bracket"]),
        ("a.py", ['+"""Says what it does.', "+More.", '+"""', "+x = 1"], ["comment"] * 3 + ["code"]),
        ("a.py", ['+"""One line."""', "+x = 1"], ["comment", "code"]),
        # a hunk that begins inside a docstring
        ("a.py", ["-    told before", "+    told now", '     """', "+x = 1"], ["comment", "comment", "context", "code"]),
        # a hunk inside a docstring whose quotes are out of sight
        ("a.py", ["-    reserved for the HTTP server.", "+    reserved for the HTTP server. The socket is not listening yet.", "+x = first if a else b"],
         ["comment", "comment", "code"]),
        ("a.py", ["+    value is not None and other is None or third", "+    call(a) and b or c and d", "+    x if y else z if v else w"],
         ["code", "code", "code"]),
        # a string of several lines that is no docstring
        ("a.py", ['+q = """', "+select", '+"""', "+x = 1"], ["code", "code", "code", "code"]),
        ("k.cu", ["+// a remark", "+#include <a.h>", "+#define N 4", "+/* begins", "+ends */", "+f(x);"],
         ["comment", "import", "code", "comment", "comment", "code"]),
        ("k.rs", ["+use a::b;", "+use x::{", "+    y,", "+};", "+let z = 1;"], ["import", "import", "import", "import", "code"]),
        ("a.py", ["+" + "x" * 400 + "(y)"], ["long"]),
        ("a.py", ["\\ No newline at end of file"], ["mark"]),
    ],
)  # fmt: skip
def test_lines_are_told_apart(path, lines, wanted):
    assert kinds(path, *lines) == wanted


def test_a_reformatted_run_is_no_news():
    run = ["-    call(alpha, beta)", "+    call(", "+        alpha,", "+        beta,", "+    )"]
    assert kinds("a.py", *run) == ["format", "format", "format", "format", "bracket"]
    run[3] = "+        gamma,"
    assert kinds("a.py", *run)[0] == "code"


def test_a_moved_line_is_no_news_and_a_short_one_has_not_moved():
    lines = ["+    result = evict(node)", "+    x = 1"]
    assert kinds("a.py", *lines, moved=("result = evict(node)", "x = 1")) == ["moved", "code"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("+    if pool.full:", "+    pool.full"),
        ("+    value = compute(alpha, beta)", '+    logger.info("value of alpha and beta")'),
        ("+    kv_indices = pool.alloc(n)", "+    kv_indices: torch.Tensor,"),
        ("+    x = first(second)", '+    "first second third fourth"'),
        ("+x = f(y)", "-x = f(y)"),
    ],
)
def test_what_decides_something_is_worth_more(better, worse):
    assert line_worth(better, "code") > line_worth(worse, "code") > 0


@given(
    st.lists(st.text(max_size=30).map(lambda t: "+" + t.replace("\n", " ")), max_size=30),
    st.sampled_from(["a.py", "b.cu", "c.md", "d"]),
)
def test_every_line_gets_one_kind_and_a_worth(lines, path):
    found = line_kinds(path, lines)
    assert len(found) == len(lines)
    assert all(0 <= line_worth(line, kind) <= 1.5 for line, kind in zip(lines, found, strict=True))
