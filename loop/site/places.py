"""Where each page of the site is, and how one page links to another: always relative, so that a folder is enough."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from kb.references import engine_of

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def is_name(text: str) -> bool:
    """Whether a text can be a file's name everywhere: no separators, no `..`, nothing that a browser escapes."""
    return _NAME.fullmatch(text) is not None


def slug(text: str) -> str:
    """A text as a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "x"


def card_page(card_id: str) -> str | None:
    """The page of `owner/name#N`, None for an id that makes no file's name."""
    repo, _, number = card_id.rpartition("#")
    parts = repo.split("/")
    if len(parts) != 2 or not all(is_name(p) for p in parts) or not re.fullmatch(r"[0-9]{1,9}", number):
        return None
    return f"cards/{parts[0]}/{parts[1]}/{int(number)}.html"


def family_page(family: str) -> str:
    """The page of a family."""
    return f"families/{slug(family)}.html"


def manual_page(family: str, engine: str) -> str:
    """The page of a family's manual in an engine."""
    return f"families/{slug(family)}.{slug(engine)}.html"


def month_page(repo: str, month: str) -> str:
    """The page that lists an engine's cards of a month, `2026-03`; without a month, those whose day nobody knows."""
    return f"months/{slug(engine_of(repo))}/{month or 'undated'}.html"


def report_page(kind: str, name: str) -> str:
    """The page of a trace, a benchmark or a campaign."""
    return f"{kind}/{slug(name)}.html"


def root_of(page: str) -> str:
    """What leads from a page to the site's top: `../../` from `a/b/c.html`."""
    return "../" * page.count("/")


def short_id(card_id: str) -> str:
    """`sglang#18856` for cards of the engines, the whole id for others."""
    repo, _, number = card_id.rpartition("#")
    return f"{engine_of(repo)}#{number}"


@dataclass(frozen=True)
class Held:
    """Which cards have a page, so that links to the others go to GitHub."""

    ids: frozenset[str]

    @classmethod
    def of(cls, ids: Iterable[str]) -> Held:
        """Those of some ids that can have a page."""
        return cls(frozenset(i for i in ids if card_page(i)))

    @cached_property
    def by_url(self) -> dict[str, str]:
        """Address of a pull request on GitHub -> its page."""
        found = {}
        for card_id in self.ids:
            repo, _, number = card_id.rpartition("#")
            found[f"https://github.com/{repo}/pull/{number}"] = card_page(card_id) or ""
        return found

    def link(self, card_id: str, root: str) -> str:
        """Address of a card: its page here, else the pull request on GitHub; empty for what is neither."""
        page = card_page(card_id)
        if page is None:
            return ""
        if card_id in self.ids:
            return root + page
        repo, _, number = card_id.rpartition("#")
        return f"https://github.com/{repo}/pull/{number}"
