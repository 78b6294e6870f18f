"""A finished report is kept and is the same; other captures, rules or names ask anew."""

from __future__ import annotations

import msgspec
import pytest
from traces.generator import Pass, Spec, generate

from analysis import remembered
from analysis.remembered import report_of
from analysis.report import analyse
from analysis.steps import Stage
from analysis.trace import Trace
from tests.small_traces import TraceFile


@pytest.fixture
def trace(tmp_path):
    made = generate(Spec(passes=(Pass("prefill", 1, 512), Pass("decode", 4)), layers=("dense", "fp8")))
    (tmp_path / "t.json").write_bytes(made.json())
    return Trace.open(tmp_path / "t.json", cache=tmp_path / "cache")


def kept(trace: Trace) -> list[str]:
    return sorted(path.name for path in trace.folder.glob("report.*"))


def test_the_second_report_is_the_first(trace):
    first = report_of(trace)
    assert first == analyse(trace)
    assert len(kept(trace)) == 1
    assert report_of(trace) == first


def test_a_damaged_one_is_made_anew(trace):
    first = report_of(trace)
    (trace.folder / kept(trace)[0]).write_bytes(b"{")
    assert report_of(trace) == first


def test_captures_and_rules_make_another(trace, monkeypatch):
    report_of(trace)
    report_of(trace, [trace])
    assert len(kept(trace)) == 2
    monkeypatch.setattr(remembered, "_rules", lambda: "other rules")
    report_of(trace)
    assert len(kept(trace)) == 3


def test_the_same_content_under_another_name_has_its_own_name_and_stage(tmp_path):
    file = TraceFile()
    file.launch([("k", 10, 5)], 0)
    found = {}
    for name in ("a.json", "1-TP-0-DECODE.trace.json", "1-TP-0-EXTEND.trace.json"):
        report = report_of(Trace.open(file.write(tmp_path / name), cache=tmp_path / "cache"))
        found[report.file] = report.stages[0].stage
    assert found == {
        "a.json": Stage.UNKNOWN,
        "1-TP-0-DECODE.trace.json": Stage.DECODE,
        "1-TP-0-EXTEND.trace.json": Stage.PREFILL,
    }


def test_every_value_survives_json(trace):
    report = analyse(trace)
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report
