"""A campaign for somebody else: views, ledger as JSON lines, and every stored file, checked as it is copied."""

from __future__ import annotations

from pathlib import Path

import msgspec

from loop.campaign.errors import CampaignError
from loop.campaign.folder import Folder
from loop.records import canonical
from loop.reports.views import render


def export(path: Path, into: Path) -> int:
    """Write it into a new folder; the number of files.

    Raises:
        CampaignError: the folder holds something.
        PrloreError: something stored is not what was stored.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CampaignError(f"{into} is not empty: name a new folder")
    folder = Folder(path.absolute())
    story = render(folder, into / "run")
    for digest in story.blobs.digests():
        copy = into / "objects" / digest[:2] / digest[2:]
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(story.blobs.get(digest))
    ledger = b"".join(canonical(row) + b"\n" for row in story.rows)
    (into / "ledger.jsonl").write_bytes(ledger)
    (into / "spec.json").write_bytes(msgspec.json.format(canonical(story.spec), indent=1) + b"\n")
    return sum(1 for found in into.rglob("*") if found.is_file())
