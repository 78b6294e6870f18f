"""Templates and the frame of every page. Whatever a template prints is escaped, and cleaned of control characters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kb.reports.safe import plain
from loop.site.places import root_of

_HERE = Path(__file__).parent
ASSETS = ("site.css", "site.js", "search.js", "icon.svg")

# Scripts and styles come from the site's own files alone; a string can't become markup or a script's address but
# through the one policy that search.js has for its own data files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types prlore-data"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What every page says of the site.

    Attributes:
        title: the site's name.
        built: day and time it was made, in UTC.
        by: the prlore that made it.
        has_reports: whether there is a page of reports.
    """

    title: str
    built: str
    by: str
    has_reports: bool


def asset(name: str) -> bytes:
    """The content of a file of ours that pages load."""
    return _styles() if name == "site.css" else (_HERE / "assets" / name).read_bytes()


@cache
def asset_version(name: str) -> str:
    """Changes with the file's content, so that no browser keeps an old one."""
    return hashlib.sha256(asset(name)).hexdigest()[:8]


def _styles() -> bytes:
    return (_HERE / "assets" / "site.css").read_bytes()


def _clean(value: Any) -> Any:
    """Text that nothing of ours has made: without control characters and marks that turn the reading direction."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, finalize=_clean,
        auto_reload=False,  # one build is made by one version of the templates
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {"policy": POLICY, "version": asset_version}
    made.filters["count"] = lambda number: f"{number:,}"
    made.filters["some"] = lambda number, noun: f"{number:,} {noun}{'' if number == 1 else 's'}"
    return made


def render(template: str, page: str, site: Site, **shown: Any) -> str:
    """A page.

    Args:
        template: its file below `templates`.
        page: where the page will be, for its links.
        site: the frame.
        shown: what the template needs.
    """
    return _environment().get_template(template).render(page=page, root=root_of(page), site=site, **shown)
