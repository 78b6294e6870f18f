"""Evidence for a bottleneck over the embedded cards."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kb.commands.evidence import evidence
from kb.commands.options import UsageProblem
from kb.evidence import Bottleneck, evidence_for
from kb.reports.evidence import evidence_text
from kb.search import Searcher
from kb.starter_build import add_starter
from kb.store import Store


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("evidence") / "kb")
    with Store.create(place, {}) as store:
        add_starter(store)
    return place


@pytest.fixture(scope="module")
def found(uri):
    store = Store.open(uri)
    asked = Bottleneck(
        kernel="void at::native::elementwise_kernel<cos_sin>",
        path="ernie45_vl.py:rot_pos_emb",
        engine="sglang",
    )
    return evidence_for(Searcher(store), store, asked, ("ernie45",))


def test_a_kernel_and_its_place_become_a_question():
    asked = Bottleneck(
        kernel="void cutlass::device_kernel<flash::FlashAttnFwdSm90<128>>(Params)",
        path="a/b.py:forward",
        stage="decode",
    )
    assert asked.question() == "flash FlashAttnFwdSm90 128 forward a/b.py decode"
    assert Bottleneck(path="x.py").question() == "x.py"


def test_the_cards_of_the_place_come_first(found):
    assert found.answered
    assert {c.id for c in found.cards[:2]} <= {f"sgl-project/sglang#{n}" for n in (15679, 18856, 19743)}
    assert all("ernie45" in card.families for card in found.cards)
    assert found.cards[0].excerpts or found.cards[0].status != "extracted"
    assert {c.id.split("#")[0] for c in found.elsewhere} <= {"vllm-project/vllm", "NVIDIA/TensorRT-LLM"}


def test_it_reads_as_text_and_as_json(uri, found):
    text = evidence_text(found)
    assert found.cards[0].id in text
    result = CliRunner().invoke(
        evidence, ["--path", "ernie45_vl.py", "--engine", "sglang", "--kb", uri, "--json"]
    )
    bundle = json.loads(result.output)
    assert set(bundle) == {"bottleneck", "question", "answered", "confidence", "cards", "elsewhere"}
    assert bundle["bottleneck"]["engine"] == "sgl-project/sglang"


def test_something_has_to_be_named():
    result = CliRunner().invoke(evidence, ["--stage", "decode"])
    assert isinstance(result.exception, UsageProblem)
    assert "--kernel" in str(result.exception)
