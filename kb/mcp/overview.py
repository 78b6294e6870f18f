"""`list_families` and `kb_status`: what there is to ask about, and how fresh it is."""

from __future__ import annotations

from importlib.metadata import version

from kb.commands.options import parse_repo
from kb.family_views import family_counts, family_view
from kb.mcp.foreign import foreign
from kb.mcp.library import Shelf
from kb.mcp.paging import fingerprint, page_of, start_of
from kb.mcp.shapes import FamilyPage, FamilyRow, LaterPull, RepositoryRow, StatusPage
from kb.reports.safe import one_line
from kb.status import store_status

_ROWS = 60


def list_families(shelf: Shelf, name: str, repo: str, cursor: str) -> FamilyPage:
    """Families with cards, or what is held of one.

    Raises:
        PrloreError: no family has the name; the message holds the nearest.
    """
    wanted = parse_repo(repo)
    bound = fingerprint("families", name, wanted)
    start = start_of(cursor, bound)
    if not name.strip():
        held = [c for c in family_counts(shelf.store, wanted) if c.cards]
        rows, after = page_of(held, start, _ROWS, bound)
        return FamilyPage(
            families=[FamilyRow(slug=r.slug, name=r.name, cards=r.cards) for r in rows],
            truncated=bool(after),
            next_cursor=after,
        )
    view = family_view(shelf.store, name, wanted)
    counts = {c.slug: c.cards for c in family_counts(shelf.store, wanted)}
    return FamilyPage(
        families=[FamilyRow(slug=e.slug, name=e.name, cards=counts[e.slug]) for e in view.entries],
        truncated=False,
        by_engine=dict(view.by_engine),
        by_kind=dict(view.by_kind),
        hot_files={one_line(p): n for p, n in view.hot_files},
        latest=[
            LaterPull(id=i, kind="latest", merged_at=day, untrusted_title=one_line(foreign(title)))
            for i, day, title in view.latest
        ],
    )


def kb_status(shelf: Shelf) -> StatusPage:
    """Counts and freshness. The store's address stays here: it is a place on this machine."""
    found = store_status(shelf.store)
    return StatusPage(
        prlore=version("prlore"),
        cards=found.cards,
        chunks=found.chunks,
        links=found.links,
        descriptions=found.descriptions,
        threads=found.threads,
        by_status=dict(found.by_status),
        indexed=found.indexed,
        encoder=found.encoder,
        ranking=shelf.searcher.signals_of,
        repositories=[
            RepositoryRow(
                repo=r.repo, cards=r.cards, first_merged=r.first_merged, last_merged=r.last_merged, problems=r.problems
            )
            for r in found.repositories
        ],
    )  # fmt: skip
