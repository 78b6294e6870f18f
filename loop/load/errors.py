"""What can go wrong with load."""

from __future__ import annotations

from ingest.errors import PrloreError


class LoadFailed(PrloreError):
    """The generator could not do its work: no tokenizer, no server, or it was killed. Says nothing about an engine."""
