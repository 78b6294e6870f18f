"""`prlore trace`: every format of real output, evidence from a real store, and foreign names that stay inert."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from traces.generator import Pass, Spec, generate

from loop.cli import cli, main
from tests.small_traces import TraceFile

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m|`*_[x](http://evil)"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))

    def call(*args: str) -> str:
        done = CliRunner().invoke(cli, ["trace", *map(str, args)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return call


@pytest.fixture
def path(tmp_path):
    made = generate(Spec(passes=(Pass("prefill", 1, 2048), Pass("decode", 8)), layers=("fp8", "dense")))
    (tmp_path / "t.json").write_bytes(made.json())
    return tmp_path / "t.json"


class Seen(HTMLParser):
    """Tags and attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_text_names_stages_tables_and_references(run, path):
    out = run(path)
    assert re.search(r"^prefill +1 +1 +2048", out, re.MULTILINE)
    assert "norm+quant" in out
    assert re.search(r"trace:[0-9a-f]{12}/decode/kernel/1", out)
    assert "without source; --capture FILE" in out


def test_markdown_explains_its_columns(run, path):
    out = run(path, "--format", "md")
    assert out.count("\n|:---") == 4
    assert "- share: of the stage's summed durations" in out


def test_json_and_csv_hold_every_row(run, path):
    found = json.loads(run(path, "--format", "json"))["traces"][0]
    rows = list(csv.DictReader(io.StringIO(run(path, "--format", "csv"))))
    assert [r["ref"] for r in rows] == [r["ref"] for r in found["kernels"]]
    assert found["kernel_ns"] == sum(r["time_ns"] for r in found["kernels"])
    fuse = list(csv.DictReader(io.StringIO(run(path, "--format", "csv", "--table", "fuse"))))
    assert {r["ref"] for r in fuse} == {r["ref"] for r in found["fusions"]}


def test_a_stage_alone(run, path):
    out = run(path, "--stage", "extend", "--table", "kernel")
    assert "/prefill/kernel/1" in out
    assert "/decode/" not in out
    assert "Overlap" not in out


def test_html_is_one_page_that_loads_nothing(run, path, tmp_path):
    run(path, "--format", "html", "--output", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    seen = Seen(text)
    assert not {"link", "iframe", "object", "img", "base"} & set(seen.tags)
    assert seen.tags.count("script") == 1
    assert [value for name, value in seen.attributes if name == "src"] == []
    assert "default-src 'none'" in text
    assert {"svg", "table", "rect"} <= set(seen.tags)
    assert "ui.perfetto.dev/#!/?visStart=" in text


@pytest.mark.parametrize("form", ["text", "md", "html", "csv", "json"])
def test_names_out_of_a_trace_do_nothing(run, tmp_path, form):
    file = TraceFile()
    root = file.frame(f"{NASTY}.py(3): {NASTY}", 0, 1000)
    file.frame(f"model{NASTY}.py(3): f{NASTY}", 0, 900, root)
    file.step("step[DECODE bs=1]", 1, 900)
    file.launch(
        [(f"flash_fwd{NASTY}", 1000, 5), ("per_token_quant_fp8" + NASTY, 1006, 5)], 10, op="aten::" + NASTY
    )
    file.header["deviceProperties"] = [{"id": 0, "name": NASTY}]
    file.add("kennel" + NASTY, "x", 1, 1)
    out = run(file.write(tmp_path / "t.json"), "--format", form)
    assert "\x1b" not in out.replace("\\u001b", "")
    if form == "html":
        seen = Seen(out)
        assert seen.tags.count("script") == 1
        assert "img" not in seen.tags
        assert not [name for name, _ in seen.attributes if name.startswith("on")]
    if form == "md":
        assert not re.search(r"(?<!\\)<(?:script|img)", out)
        assert "](http" not in out.replace("\\](http", "")


def test_several_traces_and_a_missing_one(run, path, capsys):
    assert run(path, path).count("trace:") > 2
    with pytest.raises(SystemExit) as stop:
        main(["trace", str(path), "nowhere.json"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "prlore: nowhere.json: No such file or directory\n"


def test_ranks_stand_beside_each_other(run, tmp_path):
    """The rank that is longest in its own work waits least in collectives."""
    made = generate(Spec(ranks=2, passes=(Pass("decode", 8), Pass("decode", 8))))
    paths = []
    for rank in range(2):
        (tmp_path / f"r{rank}.json").write_bytes(made.json(rank))
        paths.append(tmp_path / f"r{rank}.json")
    found = json.loads(run(*paths, "--format", "json"))["ranks"]
    assert [(row["stage"], row["rank"], row["waiting_ns"]) for row in found] == [
        ("decode", 0, 0),
        ("decode", 1, 0),
    ]
    truth = made.truth.overlap(0)
    assert found[0]["exposed_ns"] == truth.exposed_communication
    assert found[0]["compute_ns"] == truth.busy - truth.exposed_communication
    assert run(*paths).startswith("Ranks")
    assert "<h2>Ranks</h2>" in run(*paths, "--format", "html")
    assert "Ranks" not in run(paths[0], paths[0])


def test_evidence_comes_from_the_knowledge_base(run, tmp_path, path):
    done = CliRunner().invoke(
        cli, ["ingest", "starter", "--kb", str(tmp_path / "kb")], catch_exceptions=False
    )
    assert done.exit_code == 0
    out = run(path, "--evidence", "--kb", tmp_path / "kb", "--limit", "2")
    assert "Evidence" in out
    found = json.loads(run(path, "--evidence", "--kb", tmp_path / "kb", "--format", "json", "--limit", "2"))
    refs = {row["ref"] for row in found["traces"][0]["kernels"] + found["traces"][0]["fusions"]}
    assert {row["ref"] for row in found["evidence"]} <= refs
    assert all(
        card["url"].startswith("https://github.com/") for row in found["evidence"] for card in row["cards"]
    )
    run(path, "--evidence", "--kb", tmp_path / "kb", "--limit", "2", "--format", "html")


def test_help_of_the_group_and_of_the_default_command(run):
    assert "prlore trace diff A B" in " ".join(run("--help").split())
    assert "--capture" in run("show", "--help")


@pytest.mark.parametrize("command", ["trace", "layers"])
def test_a_stage_that_is_not_there_is_said(tmp_path, monkeypatch, path, command):
    monkeypatch.setenv("PRLORE_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(cli, [command, str(path), "--stage", "mixed"])
    assert "t.json: no mixed in this trace; its stages: prefill, decode" in done.stderr
    assert "no mixed" not in done.stdout
