"""What can go wrong with a server."""

from __future__ import annotations

from ingest.errors import PrloreError


class EngineFailed(PrloreError):
    """A server did not start, stopped answering or refused what it was asked. Says why in one line."""


class CannotProfile(EngineFailed):
    """This engine, as started, has no profiler that can be asked over HTTP."""
