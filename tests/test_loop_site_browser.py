"""The site in a real Chromium: no console error, nothing asked of other hosts, hostile words inert, keys that work."""

from __future__ import annotations

import threading

import chromium
import pytest
from test_loop_site import kb, site  # noqa: F401  the same store and pages

from kb.words import prose_words
from loop.site.serve import SiteServer

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "-")
PAGES = (
    "index.html", "search.html?q=heap", "families.html", "families/deepseek-v2.html", "families/deepseek-v2.sglang.html",
    "months.html", "months/sglang/2025-01.html", "cards/sgl-project/sglang/2.html",
)  # fmt: skip
TEXTS = (
    "HiRadixCache hi-radix cache", "AllReduce RMSNorm fp8_e4m3", "GPUs kernels MoEs class bias H200 sm_90a",
    "--enable-dp-attention SGLANG_X #18856 v0.5.6", "read_file.py naïve 中文 x a.b-c_d", "KVCaches URLs S IDs",
)  # fmt: skip


@pytest.fixture(scope="module")
def running():
    with chromium.browser() as made:
        yield made


@pytest.fixture(scope="module")
def url(site):  # noqa: F811
    with SiteServer(site) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made.url
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_quiet_and_fits(running, url, page):
    for width, scheme in ((390, "dark"), (1280, "light")):
        with chromium.opened(running, width, scheme) as seen:
            dialogs = []
            seen.page.on("dialog", lambda d, met=dialogs: met.append(d.message) or d.dismiss())
            seen.page.goto(url + page, wait_until="load")
            if page.startswith("search"):
                seen.page.wait_for_selector("body[data-ready]")
            assert seen.console == []
            assert seen.foreign(url) == []
            assert dialogs == []
            assert chromium.overflow(seen.page) <= 0
            assert chromium.complaints(seen.page) == []


def test_the_search_finds_by_words_names_numbers_and_filters(running, url):
    with chromium.opened(running) as seen:
        page = seen.page
        page.goto(url + "search.html")
        page.wait_for_selector("body[data-ready]")

        def hits(text, **chosen):
            for name in ("repo", "kind", "family"):
                page.select_option(f"#{name}", chosen.get(name, ""))
            page.fill("#q", text)
            page.wait_for_function("t => document.body.dataset.answered === t", arg=text)
            return [a.rpartition("/")[2] for a in page.eval_on_selector_all("#hits a", "all => all.map(a => a.getAttribute('href'))")]  # fmt: skip

        assert hits("heap eviction")[:1] == ["2.html"]
        assert hits("#4")[:1] == ["4.html"]
        assert hits("DeepseekV2.forward")[:1] == ["3.html"]
        assert hits("hos")[:1] == ["1.html"]  # still being typed
        assert set(hits("", family="deepseek-v2")) == {"3.html", "4.html"}
        assert hits("protein folding triangle") == []
        assert seen.console == []


def test_the_page_splits_words_as_the_store_does(running, url):
    with chromium.opened(running) as seen:
        seen.page.goto(url + "search.html")
        seen.page.wait_for_selector("body[data-ready]")
        for text in TEXTS:
            assert seen.page.evaluate("text => prloreWords(text)", text) == list(prose_words(text)), text


def test_keys_are_enough(running, url):
    with chromium.opened(running) as seen:
        page = seen.page
        page.goto(url + "months.html")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "q"
        page.keyboard.type("deepseek forward")
        page.keyboard.press("Enter")
        page.wait_for_selector("#hits a")
        page.focus("#q")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.closest('li') === document.querySelector('#hits li')")
        page.keyboard.press("Enter")
        page.wait_for_url("**/cards/sgl-project/sglang/3.html")


def test_pages_work_from_a_folder_too(running, site):  # noqa: F811
    with chromium.opened(running) as seen:
        seen.page.goto((site / "index.html").as_uri())
        seen.page.fill("form.large input", "heap")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector("#hits a")
        assert seen.console == []
        assert seen.foreign("file://") == []
        assert (
            seen.page.locator("h1").first.evaluate("e => getComputedStyle(e).fontSize") != "32px"
        )  # the style came


def test_a_script_that_slipped_in_would_not_run(running, url, site):  # noqa: F811
    card = site / "cards/sgl-project/sglang/1.html"
    whole = card.read_text("utf-8")
    evil = "<script>window.ran=1</script><img src='https://evil.example/x.png' onerror='window.ran=2'><script src='https://evil.example/x.js'></script><form action='https://evil.example/'><button id=evil>x</button></form>"
    card.write_text(whole.replace("<h1>", evil + "<h1>"), "utf-8")
    try:
        with chromium.opened(running) as seen:
            left = []
            seen.page.context.route("https://evil.example/**", lambda route: left.append(route.request.url) or route.abort())  # fmt: skip
            seen.page.goto(url + "cards/sgl-project/sglang/1.html")
            seen.page.evaluate("document.getElementById('evil').click()")
            assert seen.page.evaluate("window.ran") is None
            assert seen.page.evaluate("() => { try { document.body.innerHTML = '<b>x</b>'; return 'set' } catch (e) { return e.name } }") == "TypeError"  # fmt: skip
            assert left == []
            assert len([c for c in seen.console if "Content Security Policy" in c]) >= 4
    finally:
        card.write_text(whole, "utf-8")


def test_without_a_script_every_card_can_be_read(running, url):
    with chromium.opened(running, script=False) as seen:
        seen.page.goto(url + "months.html")
        seen.page.click("main a >> nth=0")
        seen.page.click(".cards a >> nth=0")
        assert seen.page.locator("h1").count() == 1
        assert seen.console == []
