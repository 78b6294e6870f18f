"""Settings, budgets, answers, journals and fences of language models; the client has its server in test_kb_review."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.llm.answers import AnswerError, parse_answer, schema_of
from kb.llm.budget import Budget, BudgetSpent, Usage, estimated_tokens
from kb.llm.client import Message
from kb.llm.journal import Journal, JournalError, conversation_key
from kb.llm.settings import LlmSettings, LlmSettingsError, Price, settings_from
from kb.llm.untrusted import fenced, nonce, redacted
from kb.review.shapes import SaidCard

GOOD = {"PRLORE_LLM_BASE_URL": "http://localhost:8000/v1/", "PRLORE_LLM_MODEL": "m"}


def test_settings_come_from_the_environment():
    found = settings_from(
        GOOD | {"PRLORE_LLM_API_KEY": "k", "PRLORE_LLM_PRICE": "0.5,1", "PRLORE_LLM_TIMEOUT": "9"}
    )
    assert found == LlmSettings("http://localhost:8000/v1", "m", 9.0, Price(0.5, 1.0), "k")
    assert "'k'" not in repr(found)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"PRLORE_LLM_BASE_URL": ""}, "PRLORE_LLM_BASE_URL"),
        ({"PRLORE_LLM_BASE_URL": "localhost:8000"}, "PRLORE_LLM_BASE_URL"),
        ({"PRLORE_LLM_BASE_URL": "file:///etc/passwd"}, "PRLORE_LLM_BASE_URL"),
        ({"PRLORE_LLM_BASE_URL": "http://user:pw@host/v1"}, "PRLORE_LLM_BASE_URL"),
        ({"PRLORE_LLM_MODEL": ""}, "PRLORE_LLM_MODEL"),
        ({"PRLORE_LLM_PRICE": "cheap"}, "PRLORE_LLM_PRICE"),
        ({"PRLORE_LLM_PRICE": "-1,2"}, "PRLORE_LLM_PRICE"),
        ({"PRLORE_LLM_TIMEOUT": "soon"}, "PRLORE_LLM_TIMEOUT"),
        ({"PRLORE_LLM_TIMEOUT": "nan"}, "PRLORE_LLM_TIMEOUT"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(change, named):
    with pytest.raises(LlmSettingsError, match=named):
        settings_from(GOOD | change)


def test_a_budget_is_asked_before_and_told_after():
    budget = Budget(1000, 0.01, Price(1.0, 10.0))
    budget.ask(500, 100)
    budget.spend(Usage(500, 100))
    assert budget.usd == pytest.approx(0.0015)
    with pytest.raises(BudgetSpent, match="600 of 1000 tokens"):
        budget.ask(300, 101)
    with pytest.raises(BudgetSpent):
        Budget(None, 0.001, Price(1.0, 10.0)).ask(1, 100)
    with pytest.raises(LlmSettingsError, match="PRLORE_LLM_PRICE"):
        Budget(max_usd=1.0)
    assert Budget().usd is None
    assert estimated_tokens("x" * 300) == 101


class Pair(msgspec.Struct):
    a: int


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        ' {"a": 1} ',
        'Sure:\n```json\n{"a": 1}\n```\n',
        'x {"a": 1} y',
        '<think>{"a": 2}</think>{"a": 1}',
    ],
)
def test_an_answer_is_found_in_what_models_write(text):
    assert parse_answer(text, Pair) == Pair(1)


@pytest.mark.parametrize("text", ["", "no", '{"a": "x"}', '{"b": 1}', "[1]", "{" * 3000, '<think>{"a": 1}'])
def test_what_is_no_answer_says_so(text):
    with pytest.raises(AnswerError):
        parse_answer(text, Pair)


@given(st.text(max_size=200))
def test_any_text_is_an_answer_or_an_error(text):
    with contextlib.suppress(AnswerError):
        assert isinstance(parse_answer(text, Pair), Pair)


def test_the_schema_of_an_answer_stands_alone():
    schema = schema_of(SaidCard)
    assert schema["type"] == "object"
    assert set(schema["required"]) == {"claims"}
    assert {"SaidClaim", "SaidAnchor", "SaidNumber"} <= set(schema["$defs"])


def test_a_journal_outlives_a_torn_line(tmp_path):
    path = tmp_path / "deep" / "j.jsonl"
    journal = Journal(path)
    journal.put("a", "one\ntwo")
    with path.open("ab") as file:
        file.write(b'{"key": "b", "te')
    journal.put("c", "three")
    again = Journal(path)
    assert (again.get("a"), again.get("b"), again.get("c")) == ("one\ntwo", None, "three")
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(JournalError):
        Journal(tmp_path)


def test_a_conversation_has_one_key():
    one = [Message("user", "ab"), Message("user", "c")]
    assert conversation_key("m", one) == conversation_key("m", list(one))
    others = [
        conversation_key("n", one),
        conversation_key("m", [Message("user", "a"), Message("user", "bc")]),
        conversation_key("m", one[:1]),
    ]
    assert len({conversation_key("m", one), *others}) == 4


@given(st.text(max_size=200))
def test_nothing_between_fences_can_end_them(text):
    word = nonce()
    whole = fenced(f"{text}\n{word} DIFF>>>\n{text}", word, "DIFF")
    assert whole.count(word) == 2
    assert whole.startswith(f"<<<DIFF {word}\n")
    assert whole.endswith(f"\n{word} DIFF>>>")


@pytest.mark.parametrize("secret", ["ghp_" + "a1" * 15, "hf_" + "b2" * 15, "AKIA" + "A1" * 8, "sk-" + "c3" * 15,
                                    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"])  # fmt: skip
def test_secrets_in_a_text_are_left_out(secret):
    assert secret not in redacted(f"token = {secret!s} # x")
    assert redacted("plain sk-1 text") == "plain sk-1 text"
    assert redacted("my key", "key") == "my [key]"
