"""References to pull requests as people write them."""

from __future__ import annotations

import pytest
from growth import is_linear
from hypothesis import given
from hypothesis import strategies as st

from kb.references import Reference, engine_of, parse_card_id, repository_of, take_references

SGLANG, VLLM, TRTLLM = "sgl-project/sglang", "vllm-project/vllm", "NVIDIA/TensorRT-LLM"


@pytest.mark.parametrize(
    ("text", "references", "rest"),
    [
        ("#18856", [("", 18856)], ""),
        ("sglang#23454", [(SGLANG, 23454)], ""),
        ("SGLang #23454", [(SGLANG, 23454)], ""),
        ("vllm-project/vllm#22514", [(VLLM, 22514)], ""),
        ("VLLM-Project/vLLM#22514", [(VLLM, 22514)], ""),
        ("trtllm#3302", [(TRTLLM, 3302)], ""),
        ("TensorRT-LLM#3302", [(TRTLLM, 3302)], ""),
        ("someone/fork#7", [("someone/fork", 7)], ""),
        ("PR 123", [("", 123)], ""),
        ("pr #123", [("", 123)], ""),
        ("pull request 123", [("", 123)], ""),
        ("vllm PR 123", [(VLLM, 123)], ""),
        ("sglang PR #123", [(SGLANG, 123)], ""),
        ("fixes #12", [("", 12)], "fixes"),
        ("(#18856)", [("", 18856)], "( )"),
        ("https://github.com/sgl-project/sglang/pull/23454", [(SGLANG, 23454)], ""),
        ("https://github.com/vllm-project/vllm/pull/22514/files#diff-0 why", [(VLLM, 22514)], "why"),
        ("http://www.github.com/nvidia/tensorrt-llm/issues/5", [(TRTLLM, 5)], ""),
        ("how do #12 and sglang#13 differ", [("", 12), (SGLANG, 13)], "how do and differ"),
        ("#12 #12", [("", 12)], ""),
    ],
)
def test_a_reference_is_taken_out_of_the_text(text, references, rest):
    found, left = take_references(text)
    assert (found, " ".join(left.split())) == ([Reference(*r) for r in references], rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "qwen3",
        "#12345678",
        "#12ab",
        "#",
        "a/b/c#3",
        "c1#",
        "pr review",
        "approve 12",
        "https://github.com/a/b",
        "h100 x 8",
    ],
)
def test_what_names_no_pull_request_stays_as_it_is(text):
    assert take_references(text) == ([], text)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("sglang#18856", (SGLANG, 18856)),
        (" owner/name#5 ", ("owner/name", 5)),
        ("#5", ("", 5)),
        ("5", ("", 5)),
        ("https://github.com/vllm-project/vllm/pull/9", (VLLM, 9)),
    ],
)
def test_a_card_id_is_one_whole_reference(text, reference):
    assert parse_card_id(text) == Reference(*reference)


@pytest.mark.parametrize("text", ["", "qwen3", "#5 and more", "#5 #6", "12345678", "fixes #5", "-1"])
def test_anything_else_is_no_card_id(text):
    assert parse_card_id(text) is None


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("sglang", SGLANG), ("SGL", SGLANG), ("vllm", VLLM), ("TRTLLM", TRTLLM), ("trt-llm", TRTLLM),
        ("nvidia/tensorrt-llm", TRTLLM), ("a/b", "a/b"), ("tgi", None), ("a/b/c", None), ("", None), ("a b/c", None),
    ],
)  # fmt: skip
def test_engine_names_stand_for_repositories(name, repository):
    assert repository_of(name) == repository


def test_repositories_have_short_names():
    assert [engine_of(r) for r in (SGLANG, VLLM, TRTLLM, "a/b")] == ["sglang", "vllm", "trtllm", "a/b"]


@given(st.text(st.sampled_from("#/ .-aPRprvlmg0123456789\n\0"), max_size=60))
def test_every_reference_has_a_number_and_a_second_look_finds_no_more(text):
    found, rest = take_references(text)
    assert all(0 <= r.number < 10**7 for r in found)
    assert not found or len(rest) <= len(text) + 2 * len(found)


@given(
    st.sampled_from(["", "sgl-project/sglang", "vllm-project/vllm", "a-b/c.d_e"]), st.integers(0, 9_999_999)
)
def test_an_id_reads_back(repo, number):
    assert parse_card_id(f"{repo}#{number}") == Reference(repo, number)


@pytest.mark.parametrize(("part", "tail"), [("a-", ""), ("a.", "#"), ("pr ", ""), ("a/", ""), ("#1", "")])
def test_long_text_costs_what_its_length_says(part, tail):
    assert is_linear(lambda times: take_references(part * times + tail), 500)
