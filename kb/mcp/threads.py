"""`find_precedents` and `get_thread`: what reviewers said before, by place and by words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingest.errors import PrloreError
from ingest.github.records import Comment as Said
from ingest.github.records import Thread
from kb.commands.options import parse_date, parse_repo
from kb.filters import ThreadFilter
from kb.mcp import shapes
from kb.mcp.evidence import FARTHEST, QuestionError
from kb.mcp.foreign import cut, foreign, foreign_code
from kb.mcp.library import Shelf
from kb.mcp.paging import cursor_at, fingerprint, page_of, start_of
from kb.reports.safe import one_line
from kb.threads.reader import Rows
from kb.threads.search import excerpt, search_threads

_SAID = 700
_HUNK = 900
_BODY = 6_000
_COMMENTS = 20
_MOST_READ = 2_000  # threads of a place that are put in order


class ThreadUnknown(PrloreError):
    """No thread has this id."""


@dataclass(frozen=True, slots=True)
class Place:
    """The arguments of a look for precedents."""

    text: str = ""
    path: str = ""
    symbol: str = ""
    repo: str = ""
    family: str = ""
    before: str = ""


def find_precedents(shelf: Shelf, asked: Place, limit: int, cursor: str) -> shapes.PrecedentPage:
    """A page of review threads.

    With words the threads that hold most of them come first; without, those at the very symbol and file, then those in
    the folder, each newest first.

    Raises:
        PrloreError: an argument can't be used.
    """
    if not any(t.strip() for t in (asked.text, asked.path, asked.symbol)):
        raise QuestionError("nothing is asked: give a text, a path or a symbol")
    bound = fingerprint("precedents", asked, limit)
    start = start_of(cursor, bound)
    held = len(shelf.threads)
    if asked.text.strip():
        found, answered, after = _by_words(shelf, asked, start, limit, bound)
    else:
        rows = _at_place(shelf, asked)
        answered = bool(rows)
        page, after = page_of(rows[:_MOST_READ], start, limit, bound)
        read = shelf.threads.read([r for r, _ in page])
        heads = shelf.threads.heads(_rows(r for r, _ in page)) if page else iter(())
        found = [
            _precedent(t, h.symbol, h.addressed, h.addressed_by, _first(t), how)
            for t, h, (_, how) in zip(read, heads, page, strict=True)
        ]
    return shapes.PrecedentPage(
        answered=answered, threads_held=held, precedents=found, truncated=bool(after), next_cursor=after
    )


def _by_words(
    shelf: Shelf, asked: Place, start: int, limit: int, bound: str
) -> tuple[list[shapes.Precedent], bool, str]:
    where = ThreadFilter(
        repos=(parse_repo(asked.repo),) if asked.repo else (),
        families=shelf.families.resolve(asked.family) if asked.family else (),
        paths=(asked.path,) if asked.path else (),
        symbols=(asked.symbol,) if asked.symbol else (),
        before=parse_date(asked.before, "before"),
        by_people=True,
    )
    end = min(start + limit, FARTHEST)
    answer = search_threads(shelf.store, asked.text, shelf.families, where, end + 1, shelf.seen)
    found = [
        _precedent(h.thread, h.symbol, h.addressed, h.addressed_by, h.said, "words", answer.question.words, h.coverage)
        for h in answer.hits[start:end]
    ]  # fmt: skip
    more = len(answer.hits) > end and end < FARTHEST
    return found, answer.answered, cursor_at(end, bound) if more else ""


def _at_place(shelf: Shelf, asked: Place) -> list[tuple[int, str]]:
    """Rows of threads at a place with what they share, nearest first, newest first among those alike."""
    index = shelf.threads
    found: dict[int, str] = {}
    allowed = _allowed(shelf, asked)

    def take(rows: Rows, how: str) -> None:
        for row in reversed(rows.tolist()):
            if allowed is None or row in allowed:
                found.setdefault(row, how)

    if asked.symbol:
        rows = index.at_symbol(asked.symbol)
        take(_both(rows, index.at_path(asked.path)) if asked.path else rows, "same symbol")
    if asked.path:
        take(index.at_path(asked.path), "same file")
        folder = asked.path.rpartition("/")[0]
        if folder:
            take(index.under(folder), "same folder")
    return list(found.items())


def _allowed(shelf: Shelf, asked: Place) -> frozenset[int] | None:
    """Rows that the filters let pass and in which a person wrote, None for all."""
    before = parse_date(asked.before, "before")
    repo = parse_repo(asked.repo)
    slugs = set(shelf.families.resolve(asked.family)) if asked.family else set()
    return frozenset(
        row
        for row, head in enumerate(shelf.threads.heads())
        if head.humans
        and (not repo or head.repo == repo)
        and (not before or head.created_at < before)
        and (not slugs or slugs & set(head.families))
    )


def _both(a: Rows, b: Rows) -> Rows:
    return _rows(set(a.tolist()) & set(b.tolist()))


def _rows(items: Iterable[int]) -> Rows:
    import numpy as np

    return np.array(sorted(items), np.int64)


def _first(thread: Thread) -> Said | None:
    """The first comment by a person."""
    return next((c for c in thread.comments if c.author.kind == "human"), next(iter(thread.comments), None))


def _precedent(
    thread: Thread, symbol: str, addressed: str, by: str, said: Said | None, how: str,
    words: tuple[str, ...] = (), coverage: float = 0.0,
) -> shapes.Precedent:  # fmt: skip
    anchor = thread.anchor
    body = foreign(excerpt(said, words) if said and words else said.body if said else "")
    quoted, cut_body = cut(body.strip(), _SAID)
    hunk, cut_hunk = _tail(foreign_code(anchor.diff_hunk), _HUNK)
    return shapes.Precedent(
        id=thread.id,
        pull=thread.pull_id,
        url=thread.url,
        kind=thread.kind,
        created_at=thread.created_at,
        matched=how,
        comments=len(thread.comments),
        addressed=addressed,
        addressed_by=by,
        said_by=one_line(said.author.login) if said else "",
        role=said.author.role if said else "",
        sha256=said.sha256 if said else "",
        untrusted_said=quoted,
        path=one_line(anchor.path),
        line=anchor.line or anchor.original_line or 0,
        symbol=one_line(symbol),
        trust=thread.trust,
        coverage=round(coverage, 3),
        untrusted_hunk=hunk,
        truncated=cut_body or cut_hunk,
    )


def _tail(text: str, most: int) -> tuple[str, bool]:
    """The end of a hunk, where the commented line stands."""
    if len(text) <= most:
        return text, False
    end = text[-most:]
    return end[end.find("\n") + 1 :], True


def get_thread(shelf: Shelf, thread_id: str, cursor: str) -> shapes.ThreadPage:
    """A thread with a page of its comments.

    Raises:
        PrloreError: no thread has the id, or the cursor is of another question.
    """
    row = shelf.threads.row(thread_id.strip())
    if row is None:
        raise ThreadUnknown(
            f"no thread {one_line(thread_id)[:120]!r}: pass the id that find_precedents or get_card gave"
        )
    thread = shelf.threads.read([row])[0]
    head = next(iter(shelf.threads.heads(_rows([row]))))
    bound = fingerprint("thread", thread.id)
    comments, after = page_of(thread.comments, start_of(cursor, bound), _COMMENTS, bound)
    anchor = thread.anchor
    return shapes.ThreadPage(
        id=thread.id,
        pull=thread.pull_id,
        url=thread.url,
        kind=thread.kind,
        truncated=bool(after),
        next_cursor=after,
        comments=[_comment(c) for c in comments],
        path=one_line(anchor.path),
        side=anchor.side,
        line=anchor.line or 0,
        original_line=anchor.original_line or 0,
        resolved=thread.resolved,
        outdated=thread.outdated,
        addressed=head.addressed,
        addressed_by=head.addressed_by,
        trust=thread.trust,
        untrusted_hunk=foreign_code(anchor.diff_hunk),
    )


def _comment(comment: Said) -> shapes.Comment:
    body, truncated = cut(foreign(comment.body), _BODY)
    return shapes.Comment(
        author=one_line(comment.author.login),
        author_kind=comment.author.kind,
        role=comment.author.role,
        created_at=comment.created_at,
        sha256=comment.sha256,
        untrusted_body=body,
        state=comment.state,
        hidden_text=comment.has_hidden_text,
        truncated=truncated,
    )
