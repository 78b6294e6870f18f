"""What a question asks for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from growth import is_linear
from hypothesis import given
from hypothesis import strategies as st

from kb.families import load_families
from kb.question import parse_question, wanted_names, wanted_paths
from kb.references import Reference
from kb.words import prose_words


@pytest.fixture(scope="module")
def ask():
    families = load_families()
    return lambda text: parse_question(text, families)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("who changed python/sglang/srt/models/ernie45.py last", ("python/sglang/srt/models/ernie45.py",)),
        ("qwen3_moe.py and rotary.cu", ("qwen3_moe.py", "rotary.cu")),
        ("./csrc/Attention.CUH", ("csrc/attention.cuh",)),
        ("files in python/sglang/srt/", ("python/sglang/srt",)),
        ("`server_args.py`", ("server_args.py",)),
        ("cos/sin cache", ()),
        ("fp8.1 and v0.9", ()),
    ],
)
def test_paths_are_seen(ask, text, paths):
    assert ask(text).paths == paths


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("--prefill-attention-backend", ("--prefill-attention-backend",)),
        ("what does --tp-size=8 do", ("--tp-size",)),
        ("--kv_cache.dtype", ("--kv_cache.dtype",)),
        ("set SGLANG_ENABLE_JIT_DEEPGEMM and VLLM_USE_V1", ("sglang_enable_jit_deepgemm", "vllm_use_v1")),
        ("a -- b", ()),
        ("x--y", ()),
        ("FP8", ()),
    ],
)
def test_flags_and_variables_are_seen_whole(ask, text, exact):
    assert ask(text).exact == exact


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("HiRadixCache", ("HiRadixCache",)),
        ("where is write_back called", ("write_back",)),
        ("RadixCache.evict", ("RadixCache.evict",)),
        ("flashinfer::BatchPrefill fails", ("flashinfer::BatchPrefill",)),
        ("why is _private slow", ("_private",)),
        ("Radix cache", ()),
        ("model in models/qwen3_moe.py", ()),
        ("SGLANG_USE_X is a variable", ()),
    ],
)
def test_symbols_are_seen_as_typed(ask, text, names):
    assert ask(text).names == names


@pytest.mark.parametrize(
    ("text", "families", "topic"),
    [
        ("Moss-VL flashinfer prefill", ("moss-vl",), ("flashinfer", "prefill")),
        ("Ernie4.5 cos/sin cache", ("ernie45",), ("cos", "sin", "cache")),
        ("history of ernie 4.5", ("ernie45",), ()),
        ("radix cache eviction", (), ("radix", "cache", "eviction")),
    ],
)
def test_families_are_told_from_their_topic(ask, text, families, topic):
    question = ask(text)
    assert (question.families, question.topic) == (families, topic)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("speedups merged for Qwen3", ("perf",)),
        ("bug fixes and tests of EAGLE", ("fix", "test")),
        ("which optimizations were reverted", ("perf", "revert")),
        ("documentation of the router", ("docs",)),
        ("radix cache", ()),
        ("prefix cache", ()),
    ],
)
def test_kinds_of_change_are_asked_for_by_name(ask, text, kinds):
    assert ask(text).kinds == kinds


def test_references_leave_the_words(ask):
    question = ask("how does sglang#23454 differ from #18856")
    assert question.references == (Reference("sgl-project/sglang", 23454), Reference("", 18856))
    assert question.words == ("differ",)


@pytest.mark.parametrize(
    "text", ["#18856", "sglang#1 vllm#1", "PR 12", "PR #12", "https://github.com/a/b/pull/3"]
)
def test_a_question_can_be_nothing_but_references(ask, text):
    assert ask(text).only_references


def test_words_are_content_words_each_once(ask):
    assert ask("How do I make the prefill of a prefill faster?").words == ("prefill", "faster")


def test_terms_of_paths_and_names_come_plain_and_as_definitions(ask):
    question = ask("srt/models/Foo.py and --tp-size and HiRadixCache.evict")
    terms = ["srt/models/foo.py", "+srt/models/foo.py", "foo.py", "+foo.py"]
    assert sorted(wanted_paths(question)) == sorted(terms)
    assert wanted_names(question) == ["--tp-size", "+hiradixcache.evict"]


@given(st.text(max_size=300))
def test_any_text_is_a_question(ask, text):
    question = ask(text)
    assert question.text == text
    assert len(set(question.words)) == len(question.words)
    assert set(question.words) <= set(prose_words(text))
    assert all(w == w.lower() and " " not in w for w in question.words)
    assert all(f.startswith("--") or f.replace("_", "").isalnum() for f in question.exact)


@given(
    st.lists(
        st.sampled_from(["Aa", "B", "/", "_", ".", "::", "--x", "a/", "Z9", "#1 ", "qwen3", "-", " "]),
        max_size=40,
    )
)
def test_any_mix_of_names_is_a_question(ask, parts):
    ask("".join(parts))


@pytest.mark.parametrize(
    ("head", "part", "tail"),
    [
        ("", "a/", ""),
        ("", "a.", "x"),
        ("", "A_", ""),
        ("--a", "-a", ""),
        ("", "Ab", ""),
        ("", "::", ""),
        ("", "qwen-", ""),
    ],
)
def test_long_text_costs_what_its_length_says(ask, head, part, tail):
    assert is_linear(lambda times: ask(head + part * times + tail), 500)


def test_a_long_run_of_capitals_before_a_slash_is_read_in_time():
    # in a process of its own: a pattern that backtracks without end can't be stopped
    code = "from kb.families import load_families as f; from kb.question import parse_question as q; q('Aa' + 'B' * 60 + '/', f())"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
