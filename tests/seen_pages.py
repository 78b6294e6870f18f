"""A page as a browser would see it: what it loads, where it leads, what could run. Read with the standard parser."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src", "object": "data", "embed": "src"}  # fmt: skip


class SeenPage(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []  # tag, name, value
        self.text: list[str] = []
        self.policy = ""
        self.inline: list[str] = []
        self._within: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._within.append(tag)
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content") or ""

    def handle_endtag(self, tag):
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data):
        if self._within[-1:] in (["script"], ["style"]):
            self.inline.append(data)
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        """All text that is shown."""
        return "".join(self.text)

    def loads(self) -> list[str]:
        """Addresses that the page fetches by itself."""
        return [value for tag, name, value in self.attributes if LOADS.get(tag) == name]

    def links(self) -> list[str]:
        """Addresses that a click opens."""
        return [value for tag, name, value in self.attributes if tag == "a" and name == "href"]

    def handlers(self) -> list[tuple[str, str, str]]:
        """Attributes that could run or style something."""
        return [a for a in self.attributes if a[1].startswith("on") or a[1] in ("style", "srcdoc", "ping", "background")]  # fmt: skip


def target(folder: Path, page: str, address: str) -> Path:
    """The file that a relative address leads to."""
    return (folder / page).parent.joinpath(unquote(urlsplit(address).path)).resolve()
