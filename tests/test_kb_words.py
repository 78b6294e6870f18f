"""The code-aware word rule: code, prose and questions meet in the same words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.words import capped, code_words, name_ends, path_terms, prose_words, split_identifier

# names as programs have them: letters, digits, underscores, signs between them
names = st.text("abcxyzABCXYZ0123456789_-.", max_size=80)


@pytest.mark.parametrize("written", ["HiRadixCache", "hi_radix_cache", "hi-radix cache", "Hi-Radix-Cache"])
def test_the_spellings_of_a_name_share_its_parts(written):
    assert [w for w in prose_words(written) if w in ("hi", "radix", "cache")] == ["hi", "radix", "cache"]


@pytest.mark.parametrize("written", ["HiRadixCache", "hi_radix_cache", "hi-radix-cache", "HI_RADIX_CACHE"])
def test_an_identifier_gives_its_whole_and_its_parts(written):
    assert split_identifier(written) == ("hiradixcache", "hi", "radix", "cache")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("qwen3", ("qwen3",)),
        ("fp8", ("fp8",)),
        ("v2", ("v2",)),
        ("sm90", ("sm90",)),
        ("FP8Linear", ("fp8linear", "fp8", "linear")),
        ("DeepSeekV3", ("deepseekv3", "deep", "seek", "v3")),
        ("MLAAttention", ("mlaattention", "mla", "attention")),
        ("__init__", ("init",)),
        ("_", ()),
        ("kernels", ("kernel",)),
        ("fused_kernels", ("fusedkernel", "fused", "kernel")),
        ("bias", ("bias",)),
        ("class", ("class",)),
        ("corpus", ("corpus",)),
        ("gas", ("gas",)),
        ("GPUs", ("gpu",)),
        ("LLMs", ("llm",)),
    ],
)
def test_what_an_identifier_says(written, words):
    assert split_identifier(written) == words


def test_code_has_no_bare_numbers_and_no_single_letters():
    assert code_words("x = 128 + y2 * all_reduce(a, 31)  # TP") == ["y2", "allreduce", "all", "reduce", "tp"]


def test_prose_keeps_numbers_and_joins_compounds():
    assert prose_words("all-reduce over 8 cards (a)") == ["allreduce", "all", "reduce", "over", "8", "card"]


def test_words_are_capped_in_count_and_kind_in_order_of_first_sight():
    assert capped(["b", "a", "b", "b", "c", "a"], most=2, limit=2) == "b b a a"


def test_the_terms_of_a_path_are_it_and_its_file_name():
    assert path_terms("Python/Models/Qwen3.py") == ("python/models/qwen3.py", "qwen3.py")


def test_a_qualified_name_is_found_by_its_ends():
    assert name_ends("ns::Outer.Method") == ["ns.outer.method", "outer.method", "method"]


@given(names)
def test_parts_are_lower_case_words_that_stay_whole(name):
    parts = split_identifier(name)
    for word in parts:
        assert word == word.lower()
        assert word.isalnum()
    for part in parts[1:]:
        assert split_identifier(part)[0] == part


@given(names)
def test_the_whole_is_the_parts_without_what_stands_between(name):
    parts = split_identifier(name)
    assert len(parts) != 2
    assert len(parts) < 3 or parts[0] == "".join(parts[1:])


@given(st.text(max_size=200))
def test_any_text_has_words_that_an_index_can_hold(text):
    for word in (*code_words(text), *prose_words(text)):
        assert word
        assert word == word.lower()
        assert not any(c.isspace() or c in "'\"\0" for c in word)


@given(st.text(max_size=200))
def test_words_are_those_of_their_lines(text):
    lines = text.split("\n")
    assert prose_words(text) == [w for line in lines for w in prose_words(line)]
    assert code_words(text) == [w for line in lines for w in code_words(line)]


@given(st.lists(st.sampled_from("abcd")), st.integers(1, 4), st.integers(1, 4))
def test_capping_never_adds_a_word(words, most, limit):
    kept = capped(words, most, limit).split()
    assert set(kept) <= set(words)
    assert len(set(kept)) == min(limit, len(set(words)))
    assert all(kept.count(w) == min(most, words.count(w)) for w in set(kept))
