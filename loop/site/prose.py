"""Other people's Markdown as harmless HTML: comments of reviews, and the manuals that prlore writes.

markdown-it reads it with HTML switched off, nh3 keeps a short list of tags, https links and no image. Links to pull
requests that have a page here lead to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
_LONGEST = 40_000  # characters of one comment; what is longer is a log that somebody pasted


@cache
def _reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    return made.enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])


def prose_html(text: str, page: str = "", by_url: Mapping[str, str] | None = None, lower: int = 0) -> Markup:
    """Markdown as HTML.

    Args:
        text: the Markdown.
        page: the page it stands on, for links within the site.
        by_url: addresses on GitHub that have a page here.
        lower: by how many levels headings move down.
    """
    tokens = _reader().parse(_UNSEEN.sub("", plain(text)[:_LONGEST]))
    for token in tokens:
        if lower and token.tag[:1] == "h" and token.tag[1:].isdigit():
            token.tag = f"h{min(6, int(token.tag[1:]) + lower)}"
        for child in token.children or ():
            if child.type == "link_open" and by_url:
                inner = by_url.get(str(child.attrs.get("href", "")))
                if inner:
                    child.attrs["href"] = root_of(page) + inner
    found = _reader().renderer.render(tokens, _reader().options, {})
    return Markup(_clean(found))  # nh3 has cleaned it


def _clean(found: str) -> str:
    return nh3.clean(
        found, tags=_TAGS, attributes={"a": {"href"}}, url_schemes={"https"}, link_rel="nofollow noreferrer noopener",
        strip_comments=True,
    )  # fmt: skip
