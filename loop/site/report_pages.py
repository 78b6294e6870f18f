"""Reports beside the cards: traces, comparisons of benchmarks, and folders of Markdown such as a campaign leaves.

Traces and benchmarks are the pages that `prlore trace` and `prlore bench` write, with links to the cards held here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path, PurePosixPath

from ingest.errors import PrloreError
from loop.site.card_pages import Made
from loop.site.pages import Site, render
from loop.site.places import Held, is_name, report_page, short_id, slug
from loop.site.prose import Neighbours, document_html

_BACK = ("../reports.html", "Reports")
_FRONT = ("final_report.md", "report.md", "README.md", "index.md")  # the first there is leads a folder
_PICTURES = (".svg", ".png")
_AS_THEY_ARE = (".patch", ".json", ".jsonl", ".csv", ".tsv", ".txt")
_MOST_FILES = 2000
_LARGEST = 2_000_000  # bytes of a file; what is larger is raw data, not a report


class ReportError(PrloreError):
    """What was named is no report, or can't be read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Files that reports are made from.

    Attributes:
        traces: profiler traces, a page each.
        benches: `[NAME=]FILE` of serving benchmarks, compared on one page.
        campaigns: folders of Markdown.
    """

    traces: tuple[Path, ...] = ()
    benches: tuple[str, ...] = ()
    campaigns: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.traces or self.benches or self.campaigns)


@dataclass(frozen=True, slots=True)
class ReportLink:
    """A report in the list: where, what, and a line on it."""

    kind: str
    address: str
    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that goes into the site as it is."""

    page: str
    content: bytes


@dataclass(frozen=True)
class Reports:
    """Pages, files that go along, and the list of them."""

    pages: tuple[Made, ...]
    files: tuple[Copied, ...]
    links: tuple[ReportLink, ...]


def report_pages(wanted: Wanted, site: Site, held: Held, kb: str) -> Reports:
    """All reports, and the page that lists them.

    Args:
        wanted: what they are made from.
        site: the frame.
        held: cards with a page here.
        kb: the store, which evidence for a trace's rows comes from.

    Raises:
        ReportError: a folder holds no Markdown.
        PrloreError, AnalysisError: a trace or benchmark can't be read.
    """
    pages: list[Made] = []
    files: list[Copied] = []
    links: list[ReportLink] = []
    taken: set[str] = set()
    for path in wanted.traces:
        made, link = _trace(path, held, kb, taken)
        pages.append(made)
        links.append(link)
    if wanted.benches:
        made, link = _bench(wanted.benches)
        pages.append(made)
        links.append(link)
    for folder in wanted.campaigns:
        found = _campaign(folder, site, held, taken)
        pages += found.pages
        files += found.files
        links += found.links
    if links:
        pages.append(Made("reports.html", render("reports.html", "reports.html", site, links=links)))
    return Reports(tuple(pages), tuple(files), tuple(links))


def _trace(path: Path, held: Held, kb: str, taken: set[str]) -> tuple[Made, ReportLink]:
    from analysis.remembered import report_of
    from analysis.reports.trace_html import as_html
    from analysis.reports.trace_text import Choice, chosen, facts
    from analysis.trace import Trace
    from kb.search import Searcher
    from kb.store import Store
    from loop.evidence import gather

    report = report_of(Trace.open(path), [])
    choice = Choice()
    some = chosen(report, choice)
    evidence = gather(Searcher(Store.open(kb)), some.kernels, some.fusions, report.engine)
    cards = {
        row.ref: tuple((f"{short_id(c.id)} {c.title}", held.link(c.id, "../")) for c in row.cards) for row in evidence
    }  # fmt: skip
    page = _free(report_page("traces", path.name.split(".json")[0]), taken)
    html = as_html([report], choice, cards, _BACK)
    return Made(page, html), ReportLink("trace", page, report.file, ", ".join(facts(report)[1:]))


def _bench(names: Sequence[str]) -> tuple[Made, ReportLink]:
    from analysis.bench.compare import Settings, compare
    from analysis.bench.read import read_files
    from analysis.bench.report import verdict
    from analysis.reports.bench_html import as_html

    found = read_files(names)
    comparison = compare(found.runs, Settings(), found.warnings)
    page = report_page("benches", "comparison")
    says = "; ".join(f"{t.label}: {verdict(t)}" for t in comparison.tables[:4])
    return Made(page, as_html(comparison, _BACK)), ReportLink(
        "benchmarks", page, "Benchmark comparison", says
    )


def _campaign(folder: Path, site: Site, held: Held, taken: set[str]) -> Reports:
    """A folder's Markdown as pages, its pictures and data as they are."""
    inner = folder / "run"
    top = inner if not any(folder.glob("*.md")) and (inner / _FRONT[0]).is_file() else folder
    there = dict(_files(top))
    texts = {name for name in there if name.endswith(".md")}
    if not texts:
        raise ReportError(
            f"{folder} holds no Markdown or is no folder: name the folder of a campaign's report"
        )
    name = _free(f"campaigns/{slug(folder.resolve().name)}", taken)
    targets = {n: f"{name}/{n[:-3]}.html" if n in texts else f"{name}/{n}" for n in there}
    pages = [
        Made(targets[n], _document(n, there[n].read_text("utf-8", "replace"), targets, site, held)) for n in sorted(texts)
    ]  # fmt: skip
    files = [Copied(targets[n], there[n].read_bytes()) for n in sorted(there.keys() - texts)]
    front = next((n for n in _FRONT if n in texts), min(texts))
    title, says = _head(there[front].read_text("utf-8", "replace"))
    return Reports(
        tuple(pages), tuple(files), (ReportLink("campaign", targets[front], title or folder.name, says),)
    )


def _files(top: Path) -> Iterator[tuple[str, Path]]:
    """Name below the folder -> file, for what a report may consist of; links and odd names are left out."""
    count = 0
    for path in sorted(top.rglob("*")):
        parts = path.relative_to(top).parts
        if (
            path.suffix in (".md", *_PICTURES, *_AS_THEY_ARE)
            and all(is_name(p) for p in parts)
            and path.is_file()
            and path.resolve().is_relative_to(top.resolve())
            and path.stat().st_size <= _LARGEST
        ):
            count += 1
            if count > _MOST_FILES:
                return
            yield "/".join(parts), path


def _document(name: str, text: str, targets: dict[str, str], site: Site, held: Held) -> str:
    """A Markdown file's page; its links lead to the pages of its neighbours."""
    here = PurePosixPath(name).parent
    page = targets[name]
    folder = str(PurePosixPath(page).parent)
    beside = {relpath(other, here): relpath(target, folder) for other, target in targets.items()}
    pictures = {n: t for n, t in beside.items() if n.endswith(_PICTURES)}
    body = document_html(text, page, held.by_url, Neighbours(beside, pictures))
    return render("report.html", page, site, heading=_head(text)[0] or name, body=body)


def _head(text: str) -> tuple[str, str]:
    """The first heading and the first line of prose of a Markdown text, without marks."""
    lines = [line.strip() for line in text.split("\n")[:40]]
    title = next((line.lstrip("# ") for line in lines if line.startswith("# ")), "")
    says = next((line for line in lines if line and line[0] not in "#|<!`-*["), "")
    return title[:120], says.replace("`", "").replace("*", "")[:240]


def _free(page: str, taken: set[str]) -> str:
    """A page's place, numbered when another has it already."""
    stem, dot, suffix = page.rpartition(".") if page.endswith(".html") else (page, "", "")
    name, number = page, 2
    while name in taken:
        name, number = f"{stem}-{number}{dot}{suffix}", number + 1
    taken.add(name)
    return name
