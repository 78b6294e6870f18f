"""All reference pages by path, and whether a folder holds them as they are now."""

from __future__ import annotations

from pathlib import Path

from ingest.errors import PrloreError
from loop.reference.commands import commands_page
from loop.reference.configuration import configuration_page
from loop.reference.schemas import json_page, schema_files
from loop.reference.tables import tables_page

_MADE = "<!-- Made by `prlore reference --out docs/reference`; change the code, not this page. -->\n\n"


class PagesError(PrloreError):
    """The pages can't be written."""


def pages() -> dict[str, str]:
    """The pages."""
    made = {
        "cli.md": commands_page(),
        "configuration.md": configuration_page(),
        "json.md": json_page(),
        "tables.md": tables_page(),
    }
    return {n: _MADE + t for n, t in made.items()} | {f"schemas/{n}": t for n, t in schema_files().items()}


def outdated(folder: Path) -> list[str]:
    """Paths that differ from what the code says now, or are missing."""
    wrong = []
    for name, text in pages().items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            wrong.append(name)
    return wrong


def write(folder: Path) -> list[Path]:
    """Write all pages.

    Raises:
        PagesError: the place can't be written.
    """
    written = []
    try:
        for name, text in pages().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            written.append(path)
    except OSError as exc:
        raise PagesError(f"can't write {folder}: {exc.strerror or exc}") from exc
    return written
