"""Artefacts are named by what they hold, and nothing else gets in."""

from __future__ import annotations

import msgspec
import pytest

from loop import records
from loop.records import (
    Artefact,
    CampaignSpec,
    EngineSpec,
    LedgerRow,
    ModelSpec,
    Workload,
    canonical,
    decode,
)

SPEC = CampaignSpec(
    name="x", target=EngineSpec(name="fake"), model=ModelSpec(path="m"), workloads=(Workload(name="chat"),)
)


def test_an_artefact_comes_back_as_it_was_with_the_same_name():
    again = decode(CampaignSpec, canonical(SPEC))
    assert again == SPEC
    assert again.id == SPEC.id
    assert len(SPEC.id) == 64


def test_any_other_value_has_another_name():
    assert msgspec.structs.replace(SPEC, name="y").id != SPEC.id
    assert Workload(name="chat", seed_commitment="a").id != Workload(name="chat", seed_commitment="b").id


def test_an_unknown_field_or_another_type_is_refused():
    raw = msgspec.json.decode(canonical(Workload(name="chat")))
    for wrong in ({**raw, "extra": 1}, {**raw, "artefact": "Policy"}):
        with pytest.raises(msgspec.ValidationError):
            decode(Workload, msgspec.json.encode(wrong))


def test_every_artefact_is_frozen_and_tagged():
    kinds = [k for k in vars(records).values() if isinstance(k, type) and issubclass(k, Artefact)]
    assert {"CampaignSpec", "BenchBlock", "Comparison", "LedgerRow", "PatchProposal"} <= {
        k.__name__ for k in kinds
    }
    assert all(k.__struct_config__.frozen and k.__struct_config__.forbid_unknown_fields for k in kinds)
    row = LedgerRow(1, "c", 0, 0, "init", "INIT", "b", "t", "")
    with pytest.raises(AttributeError):
        row.seq = 2
