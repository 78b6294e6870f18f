"""What readers of a store on object storage see: the versions of all tables as they were when a writer last ended well.

Tables are committed one by one. Readers would see a batch's chunks before its cards, and postings of yesterday; so a
writer ends by writing the versions that belong together into one row of `meta`, and readers open those. What a killed
writer left is not seen, and versions are cleaned up only after newer ones are published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

_SNAPSHOT = "snapshot"
STORE_ID = "store"  # tells a store from another one that had this address before


def pinned(meta: Mapping[str, str]) -> dict[str, int]:
    """Versions by table; empty in a store that no writer has ended yet."""
    try:
        found = json.loads(meta.get(_SNAPSHOT, "{}"))
        return {str(name): int(version) for name, version in found.items()}
    except (ValueError, AttributeError):
        return {}


def snapshot_entry(versions: Mapping[str, int]) -> dict[str, str]:
    """The entry of `meta` that publishes versions."""
    return {_SNAPSHOT: json.dumps(dict(sorted(versions.items())))}


def own_entries() -> tuple[str, ...]:
    """Keys of `meta` that belong to one place and are not copied to another."""
    return (_SNAPSHOT, STORE_ID)
