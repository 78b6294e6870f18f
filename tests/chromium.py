"""A real headless Chromium for tests and benches: what a page asked for, said on its console, and how it reads.

Driven by playwright (PyPI) with the system's Chromium (`apt-get install chromium`); axe-core, which Lighthouse uses as
well, checks contrast, names and landmarks. Neither is among the dependencies: `pip install playwright
axe-playwright-python`. Who has none of it gets a reason.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program() -> str | None:
    """The Chromium of this machine; PRLORE_CHROMIUM names another."""
    return os.environ.get("PRLORE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Why no browser can be driven here; empty when one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return "" if program() else "no Chromium: apt-get install chromium, or set PRLORE_CHROMIUM"


@dataclass
class Watched:
    """A page with what it did."""

    page: Any
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def foreign(self, origin: str) -> list[str]:
        """Requests to anywhere but one origin; data that stands in the page is none."""
        return [r for r in self.requests if urlsplit(r).scheme != "data" and not r.startswith(origin)]


@contextmanager
def browser() -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # as root in a container there is no sandbox to be had; what it opens is our own pages
        running = driver.chromium.launch(executable_path=program(), args=["--no-sandbox", "--allow-file-access-from-files=false"])  # fmt: skip
        try:
            yield running
        finally:
            running.close()


@contextmanager
def opened(running: Any, width: int = 1280, scheme: str = "light", script: bool = True) -> Iterator[Watched]:
    """An empty page of a width and colour scheme; requests, console warnings and errors are kept."""
    context = running.new_context(
        viewport={"width": width, "height": 844 if width < 600 else 900}, color_scheme=scheme, java_script_enabled=script,
        device_scale_factor=1, has_touch=width < 600,
    )  # fmt: skip
    page = context.new_page()
    watched = Watched(page)
    page.on("request", lambda r: watched.requests.append(r.url))
    page.on("console", lambda m: watched.console.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)  # fmt: skip
    page.on("pageerror", lambda e: watched.console.append(f"thrown: {e}"))
    try:
        yield watched
    finally:
        context.close()


def has_axe() -> bool:
    """Whether axe-core is installed."""
    return importlib.util.find_spec("axe_playwright_python") is not None


def complaints(page: Any) -> list[str]:
    """What axe-core finds wrong, a line each; None is asked where it is not installed."""
    if not has_axe():
        return []
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']} ({v['impact']}): {node['target']} {node.get('failureSummary', '')[:160]}"
        for v in found
        for node in v["nodes"][:5]
    ]


def overflow(page: Any) -> int:
    """Pixels by which a page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def timings(page: Any) -> dict[str, float]:
    """Milliseconds to the first paint and to the end of loading, bytes over the wire, and elements."""
    return dict(
        page.evaluate(
            """() => {
            const entry = performance.getEntriesByType('navigation')[0];
            const paint = performance.getEntriesByName('first-contentful-paint')[0];
            const files = performance.getEntriesByType('resource');
            return {
              first_paint_ms: paint ? paint.startTime : -1, load_ms: entry.loadEventEnd,
              bytes: entry.transferSize + files.reduce((sum, f) => sum + f.transferSize, 0),
              requests: 1 + files.length, elements: document.querySelectorAll('*').length,
            }}"""
        )
    )
