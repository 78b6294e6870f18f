"""What a model reads of a card."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kb.texts import code_text

PATHS = "~test/srt/test_hicache.py\n+python/sglang/srt/mem_cache/hiradix_cache.py"
NAMES = "~Scheduler.run_batch\n+HiRadixCache.evict_host\n+test_evicts\n-OldCache"


def test_what_runs_stands_before_its_tests_and_new_names_before_changed_ones():
    words = code_text(PATHS, NAMES, "").split()
    assert words[:6] == ["mem", "cache", "hiradix", "py", "srt", "test"]
    assert words.index("evict") < words.index("scheduler") < words.index("old")


def test_joined_identifiers_and_syntax_are_left_out_of_the_diff():
    text = code_text("", "", "hiradixcache hi radix cache self none return prefetch")
    assert text == "hi radix cache prefetch"


@given(st.text(max_size=200), st.text(max_size=200), st.lists(st.text("abc+", max_size=9), max_size=60))
def test_any_card_gives_words_of_bounded_number(paths, names, words):
    found = code_text(paths, names, " ".join(words)).split()
    assert len(found) <= 64
    assert len(set(found)) == len(found)
