"""Pages made and written by several processes: cards in batches, manuals one by one.

A worker opens what it needs when it starts and writes files itself, so that what goes between processes is small.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kb.families import load_families
from kb.store import Store
from loop.site.card_pages import CardRow, CardWriter, Made
from loop.site.family_pages import ManualWriter
from loop.site.pages import Site
from loop.site.places import Held

_AHEAD = 3  # batches that wait for each worker


@dataclass(frozen=True)
class Setting:
    """What every worker is told.

    Attributes:
        out: the folder that the site is made in.
        site: the frame of every page.
        held: cards with a page.
        families: families with a page, slug -> name.
        uri: the store.
    """

    out: Path
    site: Site
    held: Held
    families: dict[str, str]
    uri: str


@dataclass(frozen=True, slots=True)
class Written:
    """Pages that were written, and their bytes."""

    pages: int = 0
    size: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(self.pages + other.pages, self.size + other.size)


def write(out: Path, made: Iterable[Made | None]) -> Written:
    """Write pages into a folder."""
    pages = size = 0
    for page in made:
        if page is not None:
            content = page.html.encode("utf-8", "replace")
            path = out / page.page
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            pages, size = pages + 1, size + len(content)
    return Written(pages, size)


class _Worker:
    """One process's writers, made when they are first needed."""

    setting: Setting
    cards: CardWriter | None = None
    manuals: ManualWriter | None = None


def _start(setting: Setting) -> None:
    _Worker.setting = setting
    _Worker.cards = _Worker.manuals = None


def _write_cards(rows: list[CardRow]) -> Written:
    setting = _Worker.setting
    if _Worker.cards is None:
        _Worker.cards = CardWriter(setting.site, setting.held, setting.families)
    return write(setting.out, map(_Worker.cards.page, rows))


def _write_manual(family: str, engine: str) -> Written:
    setting = _Worker.setting
    if _Worker.manuals is None:
        store = Store.open(setting.uri)
        _Worker.manuals = ManualWriter(store, setting.site, setting.held, load_families())
    return write(setting.out, [_Worker.manuals.page(family, engine)])


class Workers:
    """Processes that write pages; with one, this process does it itself."""

    def __init__(self, setting: Setting, processes: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = processes * _AHEAD
        if processes > 1:
            # spawned: LanceDB has threads, and they don't survive a fork
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, _start, (setting,))
        else:
            _start(setting)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def cards(self, batches: Iterable[list[CardRow]]) -> Iterator[Written]:
        """Write the pages of batches of cards."""
        return self._all(_write_cards, ((rows,) for rows in batches))

    def manuals(self, wanted: Iterable[tuple[str, str]]) -> Iterator[Written]:
        """Write the manuals of (family, engine), in their order."""
        return self._all(_write_manual, wanted)

    def _all(self, work: Callable[..., Written], jobs: Iterable[tuple[object, ...]]) -> Iterator[Written]:
        if self._pool is None:
            yield from (work(*job) for job in jobs)
            return
        waiting: list[Future[Written]] = []
        for job in jobs:
            waiting.append(self._pool.submit(work, *job))
            if len(waiting) >= self._waiting:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
