"""`get_card`: one dossier card, whole in its parts: overview, files, symbols, and the diff as the store holds it."""

from __future__ import annotations

from collections.abc import Iterator

from kb.cards import Card
from kb.discussion import discussed
from kb.lanes import validation_lanes
from kb.mcp.evidence import lines
from kb.mcp.foreign import cut, foreign
from kb.mcp.library import Shelf
from kb.mcp.paging import cursor_at, fingerprint, page_of, start_of
from kb.mcp.shapes import CardPage, File, Lines, Part, Prose, Symbol
from kb.reports.cards import anchor_place
from kb.reports.safe import one_line
from kb.stored_diff import hunk_lines, stored_diffs

_ROWS = 100  # files or symbols a page
_DIFF = 12_000  # characters a page
_HUNK = 6_000
_NAMES = 40
_CLAIM = 700
_LATER = 12
_THREADS = 40


def get_card(shelf: Shelf, name: str, part: Part, cursor: str) -> CardPage:
    """A card, or a page of one of its lists.

    Raises:
        PrloreError: no card has the name, or the cursor is of another question.
    """
    card = shelf.card(name)
    bound = fingerprint("card", card.id, part)
    start = start_of(cursor, bound)
    if part == "files":
        files, after = page_of(card.files, start, _ROWS, bound)
        return _page(card, part, after, files=[_file(f) for f in files])
    if part == "symbols":
        symbols, after = page_of(card.symbols, start, _ROWS, bound)
        return _page(
            card, part, after,
            symbols=[Symbol(name=one_line(s.name), kind=s.kind, change=s.change, place=f"{one_line(s.path)}:{s.start}-{s.end}") for s in symbols],
        )  # fmt: skip
    if part == "diff":
        hunks = list(_hunks(shelf, card))
        shown: list[Lines] = []
        while start < len(hunks) and sum(len(h.untrusted_diff) for h in shown) < _DIFF:
            shown.append(hunks[start])
            start += 1
        return _page(card, part, cursor_at(start, bound) if start < len(hunks) else "", diff=shown)
    return _overview(shelf, discussed(shelf.store, card))


def _file(file: object) -> File:
    return File.model_validate(
        {n: getattr(file, n) for n in ("group", "status", "added", "removed")}
        | {n: one_line(getattr(file, n)) for n in ("path", "old_path")}
    )


def _hunks(shelf: Shelf, card: Card) -> Iterator[Lines]:
    for file in stored_diffs(shelf.store, [card])[card.id].files:
        for hunk in file.hunks:
            header = (
                f"@@ -{hunk.old_start},{hunk.old_lines} +{hunk.new_start},{hunk.new_lines} @@ {hunk.section}"
            )
            yield lines(file.path, header.rstrip(), "\n".join(hunk_lines(hunk)), _HUNK)


def _page(card: Card, part: Part, after: str, **lists: object) -> CardPage:
    return CardPage.model_validate(
        {
            "id": card.id,
            "url": card.url,
            "part": part,
            "untrusted_title": one_line(foreign(card.title)),
            "truncated": bool(after),
            "next_cursor": after,
            "files_total": len(card.files),
            "symbols_total": len(card.symbols),
            **lists,
        }
    )


def _overview(shelf: Shelf, card: Card) -> CardPage:
    facts, cover = card.facts, card.coverage
    names = {
        "flags_added": facts.flags_added, "flags_removed": facts.flags_removed, "env_added": facts.env_added,
        "env_removed": facts.env_removed, "blast_radius": card.blast_radius,
    }  # fmt: skip
    threads = [h.id for h in shelf.threads.heads(shelf.threads.of_pull(card.id))]
    cut_lists = len(threads) > _THREADS or any(len(v) > _NAMES for v in names.values())
    state = f"{cover.state}: {cover.lines_indexed} of {cover.lines_total} changed lines in {cover.files_total} files"
    page = _page(
        card, "overview", "",
        kind=card.kind, status=card.status, merged_at=card.merged_at, additions=card.additions,
        deletions=card.deletions, coverage=state, families=list(card.families),
        claims=[_claim(card, c.field, c.text, c.anchors) for c in card.claims]
        + [_claim(card, "review", p.text, p.anchors) for p in (card.review.points if card.review else ())],
        numbers=[one_line(f"{n.value} {n.unit} {n.workload} {n.where}") for n in card.numbers],
        checks=[one_line(lane.text) for lane in validation_lanes(card)][:_NAMES],
        later=shelf.later(card.id, _LATER),
        links=[f"{link.kind} {link.target}" for link in card.links][:_NAMES],
        reviewers=[one_line(r) for r in (card.review.reviewers if card.review else ())],
        threads=threads[:_THREADS],
        excerpts=[lines(e.path, e.hunk, e.text) for e in card.excerpts],
        **{name: [one_line(v) for v in values[:_NAMES]] for name, values in names.items()},
    )  # fmt: skip
    return page.model_copy(update={"truncated": True}) if cut_lists else page


def _claim(card: Card, field: str, text: str, anchors: tuple[int, ...]) -> Prose:
    shown, _ = cut(one_line(foreign(text)), _CLAIM)
    places = [anchor_place(card.anchors[a]) for a in anchors if a < len(card.anchors)]
    return Prose(field=field, untrusted_text=shown, anchors=places)
