"""The alias table: every name of a concept leads to the others, in both languages."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import PrloreError
from kb.aliases import (
    BROADER_WEIGHT,
    PART_SHARE,
    SYNONYM_WEIGHT,
    Aliases,
    Concept,
    expand,
    faults,
    load_aliases,
)
from kb.datafiles import data_file
from kb.words import prose_words

SMALL = Aliases(
    (
        Concept(terms=("deepep", "expert all to all"), zh=("专家通信",), broader=("ep",)),
        Concept(terms=("all to all", "a2a"), zh=("全交换",)),
        Concept(terms=("cuda graph", "graph mode"), zh=("cuda图",)),
        Concept(terms=("cache",), zh=("缓存",)),
        Concept(terms=("prefix cache", "apc"), zh=("前缀缓存",)),
        Concept(terms=("kv cache", "key value cache"), zh=("kv缓存",)),
    )
)


@pytest.mark.parametrize(
    ("question", "leads_to"),
    [
        ("DeepEP hangs", "alltoall"),
        ("the expert all-to-all library hangs", "deepep"),
        ("guided generation is slow", "constrained"),
        ("constrained decoding is slow", "guided"),
        ("prefill-decode disaggregation", "pd"),
        ("PD disaggregation", "prefill"),
        ("multi-token prediction layer", "nextn"),
        ("EAGLE head", "speculative"),
        ("speculative sampling", "spec"),
        ("OpenAI open-weight model", "oss"),
        ("Alibaba's vision language model", "vl"),
        ("expert load balancer", "eplb"),
        ("adapter weights", "lora"),
        ("picture encoder", "vit"),
        ("Huawei accelerators", "npu"),
        ("OOM at start", "memory"),
        ("投机解码", "spec"),
        ("月之暗面的模型", "moonshot"),
        ("昇腾上死锁", "hang"),
        ("首字延迟", "ttft"),
    ],
)
def test_a_name_leads_to_the_other_names(question, leads_to):
    expansion = expand(question)
    assert leads_to in {*prose_words(expansion.text), *(word for word, _ in expansion.words)}


@pytest.mark.parametrize(
    ("chinese", "english"),
    [
        ("投机解码时卡住", "speculative decoding when hang"),
        ("PD 分离下前缀缓存命中率低", "pd disaggregation under prefix cache hit rate low"),
        ("开 CUDA 图后输出乱码", "after wrong output"),
        ("FlashInfer 后端报错", "flashinfer error"),
        ("端口占用", "port conflict"),
    ],
)
def test_chinese_becomes_words_of_the_corpus(chinese, english):
    words = prose_words(expand(chinese).text)
    assert set(prose_words(english)) <= set(words)


def test_the_spellings_of_a_compound_are_one():
    spellings = ["all-to-all", "AllToAll", "all to all", "all_to_all"]
    assert all(dict(SMALL.expand(s).words)["a2a"] == SYNONYM_WEIGHT for s in spellings)
    assert dict(SMALL.expand("alltoall").words)["a2a"] == SYNONYM_WEIGHT


def test_letters_and_digits_that_say_nothing_alone_stay_together():
    assert dict(SMALL.expand("全交换").words) == {"a2a": SYNONYM_WEIGHT, "alltoall": SYNONYM_WEIGHT}


def test_the_longest_name_counts():
    words = dict(SMALL.expand("expert all-to-all").words)
    assert "deepep" in words
    assert "a2a" not in words


def test_weights_of_names_of_their_parts_and_of_broader_words():
    expansion = SMALL.expand("a2a deepep")
    assert expansion.text == "a2a deepep"
    assert dict(expansion.words) == {
        "alltoall": SYNONYM_WEIGHT,
        "all": SYNONYM_WEIGHT * PART_SHARE,
        "to": SYNONYM_WEIGHT * PART_SHARE,
        "expert": SYNONYM_WEIGHT * PART_SHARE,
        "ep": BROADER_WEIGHT,
    }


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("前缀缓存", "prefix cache"),
        ("开启前缀缓存后", "开启 prefix cache 后"),
        ("CUDA 图 replay", "cuda graph replay"),
        ("cuda-图", "cuda graph"),
        ("KV 缓存", "kv cache"),
        ("MKV 缓存", "MKV cache"),  # a Latin word is not cut
        ("前缀 缓存", "prefix cache"),
        ("no Chinese at all", "no Chinese at all"),
        ("", ""),
    ],
)
def test_only_the_chinese_forms_are_replaced(text, replaced):
    assert SMALL.expand(text).text == replaced


def test_the_table_of_the_project_is_sound():
    table = load_aliases()
    assert faults(table) == []
    assert len(table.concepts) >= 350
    assert sum(len(c.terms) for c in table.concepts) >= 700
    assert sum(len(c.zh) for c in table.concepts) >= 700


def test_the_table_is_yaml_as_well():
    lines = data_file("aliases.yaml").read_text("utf-8").splitlines()
    sample = yaml.safe_load("\n".join(lines[:60]))
    assert sample == [json.loads(line[2:]) for line in lines[:60] if line.startswith("- ")]


@pytest.mark.parametrize(
    ("concepts", "fault"),
    [
        ((Concept(terms=("AllReduce",)),), "'allreduce'"),
        ((Concept(terms=("tp",)), Concept(terms=("rank", "tp"))), "'tp' stands under 'tp' and 'rank'"),
        ((Concept(terms=("cache",), zh=("cache",)),), "Chinese"),
        ((Concept(terms=("cache",), zh=("kv 缓存",)),), "'kv缓存'"),
        ((Concept(terms=(), zh=("缓存",)),), "no term"),
    ],
)
def test_faults_name_what_a_reviewer_must_mend(concepts, fault):
    assert fault in "".join(faults(Aliases(concepts)))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'- {"terms": ["a"]}\n- {"terms": 3}\n', "line 2"),
        (b'# comment\n\n- {"terms": ["a"], "cn": []}\n', "line 3"),
        (b"- {broken\n", "line 1"),
        (b'- {"terms": []}\n', "line 1"),
        (b"\xff\xfe\n", "line 1"),
    ],
)
def test_a_malformed_table_is_one_line(tmp_path, content, named):
    path = tmp_path / "aliases.yaml"
    path.write_bytes(content)
    with pytest.raises(PrloreError, match=named) as error:
        load_aliases(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_table_is_one_line(tmp_path):
    with pytest.raises(PrloreError, match=r"nowhere\.yaml"):
        load_aliases(tmp_path / "nowhere.yaml")


texts = st.lists(
    st.sampled_from(
        ["DeepEP", "all-to-all", "KV", " ", "缓存", "前缀缓存", "CUDA", "图", "İ", "-", "，", "x", "专家"]
    )
    | st.text(max_size=8)
).map("".join)


@given(texts)
def test_any_text_is_expanded_by_the_rules(text):
    expansion = SMALL.expand(text)
    words = [word for word, _ in expansion.words]
    assert len(words) == len(set(words))
    assert not set(words) & set(prose_words(expansion.text))
    assert all(0 < weight <= 1 for _, weight in expansion.words)
    weights = [weight for _, weight in expansion.words]
    assert weights == sorted(weights, reverse=True)
    spans = SMALL.chinese_spans(text)
    assert all(start < end for start, end, _ in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    outside = re.sub(
        r"\s", "", "".join(c for i, c in enumerate(text) if not any(s <= i < e for s, e, _ in spans))
    )
    assert set(outside) <= set(expansion.text)
    assert SMALL.chinese_spans(expansion.text) == []


@given(st.sampled_from(load_aliases().concepts))
def test_every_form_of_every_concept_is_recognised(concept):
    table = load_aliases()
    assert all(concept in table._mentioned(term) for term in concept.terms)
    assert all(table.chinese_spans(form) == [(0, len(form), concept)] for form in concept.zh)
