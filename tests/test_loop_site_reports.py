"""Reports in the site: traces with links to its own cards, benchmarks as tables and plots, a campaign's folder of Markdown."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from seen_pages import SeenPage, target
from small_traces import TraceFile
from test_analysis_bench_compare import row
from test_loop_site import kb  # noqa: F401  the same store

from analysis.errors import AnalysisError
from kb.store import Store
from loop.cli import cli
from loop.site.build import Plan, build
from loop.site.pages import POLICY
from loop.site.places import Held
from loop.site.prose import Neighbours, document_html
from loop.site.report_pages import ReportError, Wanted, report_pages

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
REPORT = f"""# Qwen3 on one H200
3.1% faster, told apart. {NASTY}

See [the appendix](appendix.md#arms), [a patch](patches/001-accepted.patch), [outside](../../secret.md),
[run](javascript:alert(1)) and [a card](https://github.com/sgl-project/sglang/pull/2).
![gains](plots/gains.svg) ![tracker](https://evil.example/x.png) ![up](../secret.svg)

| arm | req/s |
|---|---|
| a | 1 |
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    file = TraceFile()
    file.step("step[DECODE bs=1]", 1, 900)
    file.launch([(f"flash_fwd{NASTY}", 1000, 5), ("rms_norm", 1006, 5)], 10, op="aten::" + NASTY)
    file.write(folder / "a.trace.json")
    rows = [
        row(f"one{NASTY}", 10.0),
        row(f"one{NASTY}", 10.2),
        row("two", 12.0),
        row("two", 12.1),
        row("lost", None),
    ]
    (folder / "candidates.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    run = folder / "campaign" / "run"
    for name, text in {
        "final_report.md": REPORT, "appendix.md": "# Appendix\n\n[back](final_report.md)\n", "patches/001-accepted.patch": "+x\n",
        "plots/gains.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>", "plots/notes.md": "[up](../appendix.md)", "blob.bin": "x",
    }.items():  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text)
    (folder / "secret.md").write_text("# secret")
    (run / "linked.md").symlink_to(folder / "secret.md")
    return folder


@pytest.fixture(scope="module")
def site(kb, inputs, tmp_path_factory):  # noqa: F811
    out = tmp_path_factory.mktemp("made") / "site"
    patch = pytest.MonkeyPatch()
    patch.setenv("PRLORE_CACHE", str(tmp_path_factory.mktemp("cache")))
    trace = inputs / "a.trace.json"
    wanted = Wanted((trace, trace), (str(inputs / "candidates.jsonl"),), (inputs / "campaign",))
    build(Store.open(kb), Plan(out, manuals=0, reports=wanted))
    patch.undo()
    return out


def seen(site, page):
    return SeenPage((site / page).read_text("utf-8"))


def test_reports_are_listed_and_every_page_leads_to_the_list(site):
    links = seen(site, "reports.html").links()
    for address in ("traces/a.trace.html", "traces/a.trace-2.html", "benches/comparison.html", "campaigns/campaign/final_report.html"):  # fmt: skip
        assert address in links
        assert (site / address).is_file()
    assert "reports.html" in seen(site, "index.html").links()
    assert "../reports.html" in seen(site, "traces/a.trace.html").links()
    assert "Qwen3 on one H200" in seen(site, "reports.html").words


def test_a_trace_keeps_its_own_policy_and_hostile_names_stay_words(site):
    for name in ("traces/a.trace.html", "benches/comparison.html"):
        page = seen(site, name)
        assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
        assert page.tags.count("script") == 1
        assert page.loads() == []
        assert page.handlers() == []
        assert "alert(1)" in page.words
        assert not {"img", "iframe", "object", "link"} & set(page.tags)


def test_benchmarks_have_tables_and_plots(site):
    page = seen(site, "benches/comparison.html")
    assert "can't be told apart" in page.words or "wins" in page.words
    assert page.tags.count("svg") >= 4
    assert "lost" in page.words


def test_a_campaign_is_a_folder_of_pages(site):
    name = "campaigns/campaign/final_report.html"
    page = seen(site, name)
    assert page.policy == POLICY
    assert {"appendix.html#arms", "patches/001-accepted.patch", "../../cards/sgl-project/sglang/2.html"} <= set(page.links())  # fmt: skip
    assert [a for tag, attr, a in page.attributes if tag == "img" and attr == "src"] == ["plots/gains.svg"]
    for address in page.links() + page.loads():
        if not address.startswith(("https://", "#")):
            assert target(site, name, address).is_file(), address
    assert not any(a.startswith("javascript") or "secret" in a for a in page.links())
    assert page.tags.count("script") == 1
    assert "../appendix.html" in seen(site, "campaigns/campaign/plots/notes.html").links()
    copied = {p.name for p in (site / "campaigns").rglob("*") if p.is_file()}
    assert copied == {"final_report.html", "appendix.html", "notes.html", "gains.svg", "001-accepted.patch"}


def test_a_folder_without_markdown_is_no_report(tmp_path):
    with pytest.raises(ReportError, match="holds no Markdown"):
        report_pages(Wanted(campaigns=(tmp_path,)), None, Held.of([]), "")


def test_what_can_not_be_read_stops_the_build_and_leaves_nothing(kb, tmp_path):  # noqa: F811
    with pytest.raises(AnalysisError):
        build(
            Store.open(kb), Plan(tmp_path / "s", manuals=0, reports=Wanted(traces=(tmp_path / "none.json",)))
        )
    assert list(tmp_path.iterdir()) == []


def test_pictures_come_from_the_list_only():
    text = "![a](a.svg) ![b](b.svg) ![c](https://e.example/c.png)"
    shown = SeenPage(str(document_html(text, "x/y.html", {}, Neighbours({}, {"a.svg": "a.svg"}))))
    assert [a for a in shown.attributes if a[1] == "src"] == [("img", "src", "a.svg")]


def test_the_bench_command_writes_the_page_too(inputs):
    done = CliRunner().invoke(cli, ["bench", "compare", str(inputs / "candidates.jsonl"), "--format", "html"])
    assert done.exit_code == 0
    assert SeenPage(done.output).tags.count("svg") >= 4
