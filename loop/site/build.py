"""The whole site: made beside its place, then put there at once, so that what is served is never half a site."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from ingest.errors import PrloreError
from kb.status import store_status
from kb.store import Store
from loop.site import family_pages, overview_pages
from loop.site.card_pages import CardRow
from loop.site.corpus import BATCH, Corpus, card_rows, read_corpus
from loop.site.pages import ASSETS, Site, asset
from loop.site.report_pages import Wanted, report_pages
from loop.site.search_index import build_index
from loop.site.work import Setting, Workers, Written, write

MARK = "prlore-site.json"  # in a folder that a site was made in; no other folder is replaced
Progress = Callable[[str, int, int], None]


class SiteError(PrloreError):
    """A site can't be made or served where it was asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site consists of.

    Attributes:
        out: the folder it will be.
        title: its name.
        manuals: cards that a family needs in an engine to get a manual; 0 for no manuals.
        workers: processes.
        reports: what reports are made from.
    """

    out: Path
    title: str = "prlore"
    manuals: int = 20
    workers: int = 1
    reports: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True, slots=True)
class Report:
    """What was made: pages by kind, bytes of all files, seconds by part."""

    cards: int
    families: int
    manuals: int
    months: int
    reports: int
    files: int
    size: int
    index_size: int
    index_words: int
    refused: tuple[str, ...]
    seconds: dict[str, float]


class _Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = round(self.seconds.get(part, 0.0) + now - self._last, 3)
        self._last = now


def build(store: Store, plan: Plan, progress: Progress = lambda part, done, of: None) -> Report:
    """Make the site of a store.

    Args:
        store: the knowledge base.
        plan: what is wanted.
        progress: told the part, how much of it is done, and of how much.

    Raises:
        SiteError: the folder holds something else, or can't be written.
    """
    check_place(plan.out)
    making = plan.out.parent / f".{plan.out.name}.making-{os.getpid()}"
    try:
        making.mkdir(parents=True)
        report = _fill(store, plan, making, progress)
        _put(making, plan.out)
    except OSError as exc:
        raise SiteError(f"can't write {plan.out}: {exc.strerror or exc}; name another folder") from exc
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return report


def check_place(out: Path) -> None:
    """Whether a site may be put there.

    Raises:
        SiteError: it is a file, or a folder with something other than a site in it.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise SiteError(f"{out} is no folder: name another")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise SiteError(f"{out} holds something other than a site of prlore: name an empty folder")


def _put(making: Path, out: Path) -> None:
    old = making.with_name(f"{making.name}.old")
    if out.exists():
        out.rename(old)
    making.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _fill(store: Store, plan: Plan, out: Path, progress: Progress) -> Report:
    clock = _Clock()
    progress("reading", 0, 1)
    corpus = read_corpus(store)
    status = store_status(store)
    site = Site(plan.title, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), f"prlore {version('prlore')}", bool(plan.reports))  # fmt: skip
    clock("reading")
    index = build_index(corpus.indexed, corpus.family_names)
    corpus.indexed.clear()
    index_size = _write_index(out, index.version, index.files)
    clock("index")
    for name in ASSETS:
        (out / "assets").mkdir(exist_ok=True)
        (out / "assets" / name).write_bytes(asset(name))
    setting = Setting(out, site, corpus.held, corpus.family_names, store.uri)
    with Workers(setting, plan.workers) as workers:
        cards = _write_cards(store, corpus, workers, progress)
        clock("cards")
        manuals, engines = _write_manuals(corpus, plan, workers, progress)
        clock("manuals")
    families = write(out, family_pages.family_pages(corpus, site, engines))
    families += write(out, [family_pages.family_list(corpus, site)])
    clock("families")
    months = write(out, overview_pages.months(corpus, site))
    write(out, [overview_pages.home(corpus, status, site), overview_pages.search(corpus, site, index.version)])  # fmt: skip
    clock("months")
    reports = report_pages(plan.reports, site, corpus.held, store.uri)
    told = write(out, reports.pages)
    for file in reports.files:
        (out / file.page).parent.mkdir(parents=True, exist_ok=True)
        (out / file.page).write_bytes(file.content)
    clock("reports")
    made = {"made_by": site.by, "built": site.built, "cards": cards.pages}
    (out / MARK).write_text(json.dumps(made) + "\n", "utf-8")
    sizes = [p.stat().st_size for p in out.rglob("*") if p.is_file()]
    return Report(
        cards.pages, families.pages, manuals.pages, months.pages, told.pages, len(sizes), sum(sizes), index_size, index.words,
        tuple(corpus.refused), clock.seconds,
    )  # fmt: skip


def _write_index(out: Path, folder: str, files: dict[str, str]) -> int:
    place = out / "data" / folder
    place.mkdir(parents=True)
    size = 0
    for name, text in files.items():
        size += (place / name).write_bytes(text.encode("utf-8", "replace"))
    return size


def _write_cards(store: Store, corpus: Corpus, workers: Workers, progress: Progress) -> Written:
    def batches() -> Iterator[list[CardRow]]:
        for start in range(0, len(corpus.heads), BATCH):
            yield card_rows(store, corpus, corpus.heads[start : start + BATCH])

    written = Written()
    for part in workers.cards(batches()):
        written += part
        progress("cards", written.pages, len(corpus.heads))
    return written


def _write_manuals(
    corpus: Corpus, plan: Plan, workers: Workers, progress: Progress
) -> tuple[Written, dict[str, Sequence[str]]]:
    """The manuals, and in which engines each family has one."""
    wanted = family_pages.manuals_wanted(corpus, plan.manuals) if plan.manuals else []
    written, engines = Written(), defaultdict[str, list[str]](list)
    for number, ((family, engine), part) in enumerate(zip(wanted, workers.manuals(wanted), strict=True)):
        if part.pages:
            engines[family].append(engine)
        written += part
        progress("manuals", number + 1, len(wanted))
    return written, dict(engines)
