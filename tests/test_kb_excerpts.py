"""Chunks and excerpts: what of a diff is found by, and what of it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.records import ChangedFile, Hunk, RawEntry
from kb import excerpts
from kb.chunks import FileDigest, digest_file
from kb.diff_lines import line_kinds, line_worth
from kb.excerpts import MOST_LINES
from kb.words import code_words

LICENCE = [
    "+# Copyright 2025 The engine team",
    '+# Licensed under the Apache License, Version 2.0 (the "License");',
    "+# SPDX-License-Identifier: Apache-2.0",
]
IMPORTS = ["+from __future__ import annotations", "+import torch", "+from x.y import z", "+"]
CODE = [
    "+def evict(self, count):",
    "+    for node in self.leaves[:count]:",
    "+        self.host_pool.write_back(node)",
]

line = st.one_of(
    st.sampled_from(
        [
            *LICENCE,
            *IMPORTS,
            *CODE,
            " context = here()",
            "-old = call(1)",
            "+",
            " ",
            "-",
            "+)",
            "+" + "x" * 500,
        ]
    ),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=30).map(
        lambda t: "+" + t
    ),
)
# a hunk has at least one changed line
body = st.lists(line, min_size=1, max_size=40).filter(lambda lines: any(x[0] in "+-" for x in lines))
bodies = st.lists(body, min_size=1, max_size=6)


def line_score(line: str) -> float:
    (kind,) = line_kinds("", [line])
    return line_worth(line, kind)


def best_window(text: str, wanted: dict[str, float] | None = None) -> tuple[float, str]:
    window = excerpts.best_window(text, wanted)
    return window.score, window.text


def hunk(lines: list[str], start: int = 1, section: str = "") -> Hunk:
    new = [x for x in lines if x[0] in "+ "]
    old = [x for x in lines if x[0] in "- "]
    added, removed = sum(x[0] == "+" for x in lines), sum(x[0] == "-" for x in lines)
    return Hunk(start, len(old), start, len(new), section, "\n".join(lines) + "\n", added, removed)


def changed(*hunks: Hunk, path: str = "python/sglang/srt/cache.py", group: str = "runtime") -> ChangedFile:
    added, removed = sum(h.added for h in hunks), sum(h.removed for h in hunks)
    entry = RawEntry(path, path, "modified", "100644", "100644", "a" * 40, "b" * 40, added, removed)
    return ChangedFile(entry, group, hunks)


def diff_of(parts: list[list[str]]) -> str:
    return "\n".join(f"@@ -{i},1 +{i},1 @@\n" + "\n".join(lines) for i, lines in enumerate(parts, start=1))


# excerpts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *LICENCE,
        *IMPORTS,
        "+",
        "-",
        "+)",
        "+    pass",
        " context()",
        "@@ -1 +1 @@",
        "+x" * 300,
    ],
)
def test_noise_scores_nothing(text):
    assert line_score(text) == 0.0


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("+def evict(self):", "+evicted"),
        ("+    call(alpha, beta, gamma)", "+    call()"),
        ("+    return total", "-    return total"),
        ("+# this comment explains", "+)"),
    ],
)
def test_what_says_more_scores_more(better, worse):
    assert line_score(better) > line_score(worse)


def test_code_is_shown_rather_than_the_licence_and_imports_above_it():
    score, window = best_window("\n".join(["@@ -0,0 +1,30 @@", *LICENCE * 3, *IMPORTS * 3, *CODE]))
    assert (score > 0, window.split("\n")[-3:]) == (True, CODE)


def test_a_short_new_file_does_not_open_with_its_licence():
    _, window = best_window("\n".join(["@@ -0,0 +1,8 @@", *LICENCE, "+", *CODE]))
    assert window.split("\n") == CODE


@pytest.mark.parametrize("noise", [LICENCE, IMPORTS[:3]])
def test_noise_is_shown_where_a_change_is_nothing_else(noise):
    assert best_window("\n".join(["@@ -0,0 +1,3 @@", *noise])) == (0.0, "\n".join(noise))


def test_the_words_of_a_question_choose_the_lines():
    lines = [f"+    value_{i} = compute_something({i}, alpha, beta)" for i in range(40)]
    lines[30] = "+    x = all_reduce(y)"
    _, window = best_window("\n".join(["@@ -1 +1 @@", *lines]), {"allreduce": 5.0})
    assert lines[30] in window.split("\n")
    assert lines[30] not in best_window("\n".join(["@@ -1 +1 @@", *lines]))[1].split("\n")


def test_of_nothing_but_long_lines_the_beginning_of_one_is_shown():
    for wanted in ({}, {"x": 1.0}):
        assert best_window(diff_of([["+" + "x" * 500]]), wanted)[1] == "+" + "x" * 399


@given(
    bodies,
    st.dictionaries(st.sampled_from(["evict", "torch", "x", "license"]), st.floats(0.1, 5), max_size=2),
)
def test_a_window_is_a_run_of_lines_of_one_hunk(parts, wanted):
    text = diff_of(parts)
    score, window = best_window(text, wanted)
    shown = window.split("\n")
    assert 0 < len(shown) <= MOST_LINES
    assert not any(s.startswith("@@") for s in shown)
    whole = [[x[:400] for x in lines] for lines in parts]
    assert any(shown == lines[i : i + len(shown)] for lines in whole for i in range(len(lines)))
    if any(line_score(x) > 0 for lines in parts for x in lines):
        assert score > 0
    if not wanted and score > 0:
        assert any(line_score(x) > 0 for lines in parts for x in lines if x[:400] in shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "@@ -1 +1 @@",
        "@@ -1 +1 @@\n",
        "@@ -1 +1 @@\n@@ -2 +2 @@",
        " only\n context",
        "\\ No newline at end of file",
    ],
)
def test_a_text_without_changed_lines_has_some_window(text):
    score, window = best_window(text)
    assert score == 0.0
    assert "@@" not in window


# chunks -------------------------------------------------------------------------------------------


def test_a_file_without_hunks_has_an_empty_digest():
    assert digest_file(changed()) == FileDigest()


def test_small_hunks_share_a_chunk_and_keep_their_headers():
    digest = digest_file(changed(hunk(CODE, 1, "class Cache:"), hunk(["-a = old()", "+a = new()"], 40)))
    assert [(c.hunk, c.text) for c in digest.chunks] == [
        (
            "@@ -1,0 +1,3 @@ class Cache:",
            "\n".join(
                ["@@ -1,0 +1,3 @@ class Cache:", *CODE, "@@ -40,1 +40,1 @@", "-a = old()", "+a = new()"]
            ),
        )
    ]
    assert digest.lines_indexed == 5
    assert digest.windows[0][1:] == ("@@ -1,0 +1,3 @@", "\n".join(CODE), 1)


def test_the_words_of_a_chunk_are_those_of_its_file_name_section_and_changed_lines():
    (chunk,) = digest_file(changed(hunk([" context_only()", *CODE], section="class HiRadixCache:"))).chunks
    words = set(chunk.words.split())
    assert {"cache", "hiradixcache", "evict", "writeback", "hostpool"} <= words
    assert "contextonly" not in words


def test_data_keeps_few_chunks_and_code_many():
    big = [hunk([f"+line_{i}_{j} = {j}" for j in range(150)], 1 + 200 * i) for i in range(40)]
    code, data = digest_file(changed(*big)), digest_file(changed(*big, path="uv.lock", group="build"))
    assert (len(code.chunks), len(data.chunks)) == (24, 2)
    assert data.lines_indexed < code.lines_indexed < 6000


def test_a_very_long_line_is_cut_in_the_chunk_only():
    (chunk,) = digest_file(changed(hunk(["+" + "word " * 2000]))).chunks
    assert len(chunk.text) < 500


@settings(max_examples=60)
@given(bodies, st.integers(1, 60))
def test_chunks_hold_every_changed_line_once_in_order(parts, repeat):
    hunks = [hunk(lines * repeat, 1 + 5000 * i) for i, lines in enumerate(parts)]
    digest = digest_file(changed(*hunks))
    marked = [x[:400] for h in hunks for x in h.text.rstrip("\n").split("\n") if x[0] in "+-"]
    chunked = [x for c in digest.chunks for x in c.text.split("\n") if x[:1] in "+-"]
    assert digest.lines_indexed == len(chunked)
    assert chunked == marked[: len(chunked)]
    assert len(digest.chunks) == 24 or chunked == marked
    for chunk in digest.chunks:
        lines = chunk.text.split("\n")
        assert lines[0] == chunk.hunk
        assert not lines[-1].startswith("@@")
        assert len(chunk.text) < 6000
    for window in digest.windows:
        assert window.hunk in {h.header for h in hunks}
        assert 0 < len(window.text.split("\n")) <= MOST_LINES
        assert set(window.text.split("\n")) <= {x for c in digest.chunks for x in c.text.split("\n")}


@given(bodies)
def test_a_window_stands_in_the_hunk_it_names_at_the_place_it_names(parts):
    hunks = [hunk(lines, 1 + 100 * i) for i, lines in enumerate(parts)]
    for window in digest_file(changed(*hunks)).windows:
        (named,) = [h for h in hunks if h.header == window.hunk]
        lines, shown = named.text.rstrip("\n").split("\n"), window.text.split("\n")
        assert lines[window.at - 1 : window.at - 1 + len(shown)] == shown
        assert all(len(x) <= 400 for x in shown)


@given(bodies)
def test_the_words_of_a_file_are_those_of_its_changed_lines(parts):
    digest = digest_file(changed(*(hunk(lines, 1 + 100 * i) for i, lines in enumerate(parts))))
    said = {w for lines in parts for x in lines if x[0] in "+-" for w in code_words(x[:400])}
    assert set(digest.words.split()) <= said
