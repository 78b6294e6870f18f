"""Where the pages that GitHub sent are kept: beside the knowledge base, or in the user data folder for one elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import platformdirs


def pages_folder(uri: str, named: str | None) -> Path:
    """The folder of archived pages for a knowledge base.

    Args:
        uri: of the knowledge base.
        named: what `--pages` says, if anything.
    """
    if named:
        return Path(named).expanduser()
    if "://" not in uri:
        return Path(uri).expanduser() / "pages"
    digest = hashlib.sha256(uri.encode()).hexdigest()[:12]
    return Path(platformdirs.user_data_dir("prlore", appauthor=False)) / "pages" / digest
