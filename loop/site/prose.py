"""Other people's Markdown as harmless HTML: comments of reviews, and the manuals that prlore writes.

markdown-it reads it with HTML switched off, nh3 keeps a short list of tags, https links and no image. Links to pull
requests that have a page here lead to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

from kb.reports.safe import plain
from loop.site.places import root_of

_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)  # what GitHub's pages hide
COMMENT = 40_000  # characters of one comment; what is longer is a log that somebody pasted
DOCUMENT = 1_000_000  # of a manual or a report


@dataclass(frozen=True)
class Neighbours:
    """Files beside a text that it may lead to and show.

    Attributes:
        links: address as the text has it -> address on the page.
        images: the same for pictures.
    """

    links: Mapping[str, str]
    images: Mapping[str, str]


@cache
def _reader(images: bool = False) -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    off = ["html_block", "html_inline"] if images else ["image", "html_block", "html_inline"]
    return made.enable(["table", "strikethrough"]).disable(off)


def prose_html(
    text: str, page: str = "", by_url: Mapping[str, str] | None = None, lower: int = 0, longest: int = COMMENT
) -> Markup:
    """Markdown as HTML.

    Args:
        text: the Markdown.
        page: the page it stands on, for links within the site.
        by_url: addresses on GitHub that have a page here.
        lower: by how many levels headings move down.
        longest: characters; what is behind them is left out.
    """
    tokens = _reader().parse(_UNSEEN.sub("", plain(text)[:longest]))
    for token in tokens:
        if lower and token.tag[:1] == "h" and token.tag[1:].isdigit():
            token.tag = f"h{min(6, int(token.tag[1:]) + lower)}"
        for child in token.children or ():
            if child.type == "link_open" and by_url:
                inner = by_url.get(str(child.attrs.get("href", "")))
                if inner:
                    child.attrs["href"] = root_of(page) + inner
    found = _reader().renderer.render(tokens, _reader().options, {})
    return Markup(_clean(found, frozenset()))  # nh3 has cleaned it


def document_html(text: str, page: str, by_url: Mapping[str, str], beside: Neighbours) -> Markup:
    """A Markdown file of a folder as HTML: as `prose_html`, with links to the folder's files and its pictures."""
    reader = _reader(True)
    tokens = reader.parse(_UNSEEN.sub("", plain(text)[:DOCUMENT]))
    for child in (c for token in tokens for c in token.children or ()):
        if child.type == "link_open":
            name, _, mark = str(child.attrs.get("href", "")).partition("#")
            to = beside.links.get(name) or (root_of(page) + by_url[name] if name in by_url else "")
            if to:
                child.attrs["href"] = f"{to}#{mark}" if mark else to
            elif name and not name.startswith("https://"):
                child.attrs.pop("href", None)  # a file that did not come along
        elif child.type == "image":
            child.attrs["src"] = beside.images.get(str(child.attrs.get("src", "")), "")
    found = reader.renderer.render(tokens, reader.options, {})
    return Markup(_clean(found, frozenset(beside.images.values())))  # nh3 has cleaned it


def _clean(found: str, images: frozenset[str]) -> str:
    """Only our tags, https and relative links, and pictures of a list."""

    def attribute(tag: str, name: str, value: str) -> str | None:
        return value if tag != "img" or name != "src" or value in images else None

    return nh3.clean(
        found, tags=_TAGS | {"img"} if images else _TAGS, attributes={"a": {"href"}, "img": {"src", "alt"}},
        url_schemes={"https"}, link_rel="nofollow noreferrer noopener", strip_comments=True,
        attribute_filter=attribute,
    )  # fmt: skip
