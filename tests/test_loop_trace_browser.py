"""The HTML report of a trace in a real Chromium: quiet, readable in both widths and schemes, sorted by click and by key."""

from __future__ import annotations

from itertools import pairwise

import chromium
import pytest
from click.testing import CliRunner
from small_traces import TraceFile
from traces.generator import Pass, Spec, generate

from loop.cli import cli

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "-")
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def running():
    with chromium.browser() as made:
        yield made


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of two traces: a generated server with four steps, and a file with hostile names."""
    folder = tmp_path_factory.mktemp("report")
    passes = (Pass("prefill", 1, 2048), Pass("decode", 8), Pass("decode", 8), Pass("decode", 8))
    (folder / "t.json").write_bytes(generate(Spec(passes=passes, layers=("fp8", "dense"))).json())
    file = TraceFile()
    file.step("step[DECODE bs=1]", 1, 900)
    file.launch([(f"flash_fwd{NASTY}", 1000, 5), ("rms_norm", 1006, 5)], 10, op="aten::" + NASTY)
    file.header["deviceProperties"] = [{"id": 0, "name": NASTY}]
    second = file.write(folder / "hostile.json")
    done = CliRunner().invoke(
        cli, ["trace", str(folder / "t.json"), str(second), "--format", "html", "--output", str(folder / "r.html")],
        env={"PRLORE_CACHE": str(folder / "cache")}, catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return (folder / "r.html").as_uri()


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
)
def test_it_is_quiet_and_fits(running, report, width, scheme):
    with chromium.opened(running, width, scheme) as seen:
        dialogs = []
        seen.page.on("dialog", lambda d: dialogs.append(d.message) or d.dismiss())
        seen.page.goto(report)
        assert seen.console == []
        assert seen.requests == [report]
        assert dialogs == []
        assert chromium.overflow(seen.page) <= 0
        assert chromium.complaints(seen.page) == []
        addresses = seen.page.eval_on_selector_all(
            "a", "all => all.map(a => new URL(a.getAttribute('href')).origin)"
        )
        assert set(addresses) == {"https://ui.perfetto.dev"}


def test_a_table_sorts_by_click_and_by_key(running, report):
    with chromium.opened(running) as seen:
        page = seen.page
        page.goto(report)
        table = page.locator("table").nth(1)
        heads = table.locator("th").all_text_contents()
        at = heads.index("time us")

        def values():
            return [float(c) for c in table.locator("tbody tr").evaluate_all("(rows, at) => rows.map(r => r.cells[at].dataset.v)", at)]  # fmt: skip

        button = table.locator("th").nth(at).locator("button")
        button.click()
        assert values() == sorted(values(), reverse=True)
        button.focus()
        page.keyboard.press("Enter")
        assert values() == sorted(values())
        assert table.locator("th").nth(at).get_attribute("aria-sort") == "ascending"
        name = heads.index("kernel")
        table.locator("th").nth(name).locator("button").click()
        words = table.locator("tbody tr").evaluate_all(
            "(rows, at) => rows.map(r => r.cells[at].textContent)", name
        )
        assert words == page.evaluate("words => [...words].sort((a, b) => a.localeCompare(b))", words)


def test_the_time_line_can_be_read_on_a_phone(running, report):
    with chromium.opened(running, 390) as seen:
        seen.page.goto(report)
        plot = seen.page.locator("svg.plot").first
        texts = plot.locator("text").evaluate_all("all => all.map(t => t.getBoundingClientRect().height)")
        assert min(texts) >= 9
        lanes = plot.locator("a").evaluate_all("all => all.map(a => { const r = a.querySelector('rect').getBBox(); return [r.y, r.x, r.x + r.width] })")  # fmt: skip
        assert len(lanes) == 4
        ordered = sorted(lanes)
        for (y, _, end), (below, start, _) in pairwise(ordered):
            assert y != below or end <= start + 0.5  # steps of a lane don't cover each other
        labels = plot.locator("text").all_text_contents()
        assert {"prefill", "decode"} <= set(labels)
        assert sum(label.endswith(" ms") for label in labels) >= 2
