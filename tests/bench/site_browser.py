"""The site of a store in a real Chromium: build, weight, load, search, contrast and keys; screenshots to look at.

    python tests/bench/site_browser.py --kb KB --out DIR [--queries dev.jsonl] [--shots DIR] [--trace FILE] [--bench FILE]

Search is held against two baselines in the same run: an index read whole at once, and a scan over all titles.
`--queries` is a file of judged questions (`prlore eval retrieval`); the page's own ranking answers them.
Needs `apt-get install chromium` and `pip install playwright axe-playwright-python`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import chromium

from kb.evaluate import read_queries
from kb.references import ENGINES, repository_of
from kb.store import Store
from loop.site.build import MARK, Plan, build
from loop.site.report_pages import Wanted
from loop.site.serve import SiteServer

QUERIES = (
    "hicache eviction", "fused_moe_kernel", "--enable-dp-attention", "#18856", "radix cache host memory leak",
    "deepseek v3 fp8 gemm", "flashinfer prefill moss-vl", "cuda graph decode padding", "EAGLE draft", "speculative decoding accept length",
    "all reduce fusion rmsnorm", "HiRadixCache", "triton attention int32 overflow", "kv cache quantization", "lora adapter memory",
)  # fmt: skip
SIZES = ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark"))
_WHOLE = """async (folder) => {
  const started = performance.now();
  const index = await (await fetch(folder + 'index.js')).text();
  const count = JSON.parse(index.slice(index.indexOf(',') + 1, index.lastIndexOf(')'))).firsts.length;
  const texts = await Promise.all([...Array(count).keys()].map(n => fetch(`${folder}w${n}.js`).then(r => r.text())));
  const words = texts.map(t => JSON.parse(t.slice(t.indexOf(',') + 1, t.lastIndexOf(')')))[0].split(' '));
  return [performance.now() - started, texts.reduce((sum, t) => sum + t.length, 0), words.flat().length];
}"""
_TITLES = """async ([folder, files, question]) => {
  const started = performance.now();
  const texts = await Promise.all([...Array(files).keys()].map(n => fetch(`${folder}t${n}.js`).then(r => r.text())));
  const rows = texts.flatMap(t => JSON.parse(t.slice(t.indexOf(',') + 1, t.lastIndexOf(')'))));
  const words = question.toLowerCase().split(/\\s+/);
  const found = rows.filter(row => words.every(word => row[2].toLowerCase().includes(word)));
  return [performance.now() - started, texts.reduce((sum, t) => sum + t.length, 0), found.length];
}"""


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile by rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def built(kb: str, out: Path, wanted: Wanted, workers: int, manuals: int) -> None:
    """Make the site and say what it cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, used = time.perf_counter(), time.process_time()
    report = build(Store.open(kb), Plan(out, manuals=manuals, workers=workers, reports=wanted))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    children = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"build: {time.perf_counter() - started:.0f} s wall, {time.process_time() - used + children:.0f} s of processor, {workers} workers: {report.seconds}")  # fmt: skip
    print(f"pages: {report.cards:,} cards, {report.families:,} families, {report.manuals:,} manuals, {report.months:,} months, {report.reports} reports")  # fmt: skip
    print(f"size: {report.size / 1e6:.1f} MB in {report.files:,} files; index {report.index_size / 1e6:.1f} MB, {report.index_words:,} words")  # fmt: skip


def weights(site: Path) -> None:
    """Bytes of the pages by kind."""
    for kind in ("cards", "families", "months", "traces", "benches", "campaigns"):
        sizes = [p.stat().st_size for p in (site / kind).rglob("*.html")]
        if sizes:
            print(f"  {kind:9} {len(sizes):6,} pages, bytes: median {quantile(sizes, 0.5):,}, p95 {quantile(sizes, 0.95):,}, largest {max(sizes):,}")  # fmt: skip
    for name in (
        "index.html",
        "families.html",
        "months.html",
        "search.html",
        "assets/site.css",
        "assets/search.js",
    ):
        print(f"  {name:18} {(site / name).stat().st_size:,} bytes")


def chosen(site: Path) -> list[str]:
    """One page of each kind: the lightest kinds whole, of the others the one in the middle and the heaviest."""
    pages = ["index.html", "search.html?q=hicache+eviction", "families.html", "months.html"]
    for kind in ("cards", "families", "months"):
        by_size = sorted((site / kind).rglob("*.html"), key=lambda p: (p.stat().st_size, p))
        pages += [str(by_size[at].relative_to(site)) for at in (len(by_size) // 2, -1)]
    pages += [str(p.relative_to(site)) for kind in ("traces", "benches", "campaigns") for p in sorted((site / kind).rglob("*.html"))[:2]]  # fmt: skip
    return pages


def visit(running: Any, url: str, page: str, shots: Path | None) -> None:
    """Load a page in every size and scheme, and say what is wrong with it."""
    wrong: list[str] = []
    figures: list[dict[str, float]] = []
    for width, scheme in SIZES:
        with chromium.opened(running, width, scheme) as seen:
            seen.page.goto(url + page, wait_until="load")
            if page.startswith("search"):
                seen.page.wait_for_selector("body[data-ready]")
            figures.append(chromium.timings(seen.page))
            wrong += [f"console: {c}" for c in seen.console] + [
                f"off the page: {r}" for r in seen.foreign(url)
            ]
            wrong += [f"{overflow} px too wide at {width}" for overflow in (chromium.overflow(seen.page),) if overflow > 0]  # fmt: skip
            wrong += chromium.complaints(seen.page)
            if shots is not None:
                name = page.partition("?")[0].replace("/", "_").removesuffix(".html")
                seen.page.screenshot(path=shots / f"{name}-{width}-{scheme}.png")
    of = {key: statistics.median(f[key] for f in figures) for key in figures[0]}
    print(f"  {page[:58]:58} first paint {of['first_paint_ms']:5.0f} ms, load {of['load_ms']:5.0f} ms, {of['bytes']:9,.0f} bytes, {of['requests']:3.0f} requests, {of['elements']:6,.0f} elements; {len(wrong)} wrong")  # fmt: skip
    for line in wrong[:6]:
        print(f"      {line}")


def asked(page: Any, question: str) -> float:
    """Milliseconds until a question's first twenty hits stand on the page."""
    page.evaluate("() => { delete document.body.dataset.answered }")
    page.fill("#q", question)
    page.wait_for_function("q => document.body.dataset.answered === q", arg=question)
    return float(page.evaluate("document.body.dataset.took"))


def search(running: Any, url: str, index: str, titles: int) -> None:
    """Latency of the first question on a page and of later ones; what they load; the baselines."""
    cold, loaded = [], []
    for question in QUERIES:
        with chromium.opened(running) as seen:
            seen.page.goto(url + "search.html")
            seen.page.wait_for_selector("body[data-ready]")
            seen.requests.clear()
            cold.append(asked(seen.page, question))
            loaded.append(sum(seen.page.evaluate("performance.getEntriesByType('resource').filter(f => f.name.includes('/data/')).map(f => f.transferSize)")))  # fmt: skip
    with chromium.opened(running) as seen:
        seen.page.goto(url + "search.html")
        seen.page.wait_for_selector("body[data-ready]")
        for question in QUERIES:
            asked(seen.page, question)
        warm = [asked(seen.page, question) for _ in range(3) for question in QUERIES]
    for name, values in (("first question on a page", cold), ("files in memory", warm)):
        print(f"  {name}: median {statistics.median(values):.0f} ms, p95 {quantile(values, 0.95):.0f} ms, largest {max(values):.0f} ms")  # fmt: skip
    print(f"  loaded for a first question: median {statistics.median(loaded) / 1e3:.0f} kB, largest {max(loaded) / 1e3:.0f} kB")  # fmt: skip
    context = running.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(url + "search.html")
    took, size, words = page.evaluate(_WHOLE, index)
    print(f"  baseline, the index read whole: {took:.0f} ms, {size / 1e6:.1f} MB, {words:,} words")
    took, size, found = page.evaluate(_TITLES, [index, titles, QUERIES[0]])
    print(f"  baseline, a scan over all titles: {took:.0f} ms, {size / 1e6:.1f} MB; {found} titles hold the words of {QUERIES[0]!r}")  # fmt: skip
    context.close()


def judged(running: Any, url: str, queries: Path) -> None:
    """Recall and reciprocal rank at 10 of the page's ranking."""
    found: dict[str, list[tuple[float, float]]] = {}
    with chromium.opened(running) as seen:
        page = seen.page
        page.goto(url + "search.html")
        page.wait_for_selector("body[data-ready]")
        for query in read_queries(queries):
            relevant = {_full(ref) for ref in query.relevant}
            if not relevant:
                continue
            page.select_option("#repo", repository_of(query.filters.get("repo", "")) or "")
            asked(page, query.query)
            links = page.eval_on_selector_all(
                "#hits a", "all => all.slice(0, 10).map(a => a.getAttribute('href'))"
            )
            ids = [
                "/".join(link.split("/")[1:3]) + "#" + link.split("/")[3].removesuffix(".html")
                for link in links
            ]
            hits = [at for at, card in enumerate(ids) if card in relevant]
            found.setdefault(query.cls, []).append(
                (len(hits) / min(10, len(relevant)), 1 / (hits[0] + 1) if hits else 0.0)
            )
    for name, scores in found.items():
        print(f"  {name:11} {len(scores):3} questions: recall@10 {statistics.mean(s[0] for s in scores):.2f}, MRR@10 {statistics.mean(s[1] for s in scores):.2f}")  # fmt: skip


def _full(ref: str) -> str:
    engine, _, number = ref.partition("#")
    return f"{ENGINES.get(engine, engine)}#{number}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kb", help="build the site of this store first")
    parser.add_argument("--out", type=Path, required=True, help="the site")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--manuals", type=int, default=20)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    parser.add_argument("--trace", type=Path, action="append", default=[])
    parser.add_argument("--bench", action="append", default=[])
    given = parser.parse_args()
    if reason := chromium.missing():
        sys.exit(reason)
    if given.kb:
        built(
            given.kb, given.out, Wanted(tuple(given.trace), tuple(given.bench)), given.workers, given.manuals
        )
    weights(given.out)
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    cards = json.loads((given.out / MARK).read_text("utf-8"))["cards"]
    index = next((given.out / "data").iterdir())
    titles = len(list(index.glob("t*.js")))
    with SiteServer(given.out) as server, chromium.browser() as running:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        print(
            f"pages in Chromium, served from this machine; axe-core {'' if chromium.has_axe() else 'not '}asked:"
        )
        for page in chosen(given.out):
            visit(running, server.url, page, given.shots)
        print(f"search over {cards:,} cards:")
        search(running, server.url, f"data/{index.name}/", titles)
        if given.queries:
            judged(running, server.url, given.queries)
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
