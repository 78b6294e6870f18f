"""From kept pages to rows, as they are read today."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.github.ledger import Ledger
from ingest.github.pages import Page
from ingest.github.queries import graphql_rows
from ingest.github.rows import Rows, rows_of


def all_rows(ledger: Ledger) -> Iterator[tuple[Page, Rows]]:
    """Every page of a ledger with its rows."""
    for page in ledger.pages():
        yield page, graphql_rows(page) if page.stream == "graphql" else rows_of(page)
