"""Where the files of the top-level folder data/ are, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).resolve().parent.parent / "data"


def data_file(*parts: str) -> Path:
    """The path of a file or folder in data/."""
    return _DATA.joinpath(*parts)
