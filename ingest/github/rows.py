"""From a page to its rows: what is kept of each object that GitHub lists. A pure function of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from ingest.github.pages import Page

S = TypeVar("S", bound=msgspec.Struct)


class _Loose(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of what GitHub sends: fields that we don't know are skipped."""


class RawUser(_Loose, frozen=True, omit_defaults=True):
    """An account; GraphQL calls its type `__typename`."""

    login: str = ""
    type: str = ""
    typename: str = msgspec.field(default="", name="__typename")

    @property
    def account(self) -> str:
        """Such as `User` or `Bot`."""
        return self.type or self.typename


class _Label(_Loose, frozen=True):
    name: str = ""


class _Ref(_Loose, frozen=True):
    sha: str = ""
    ref: str = ""


class _Pull(_Loose, frozen=True):
    number: int
    node_id: str = ""
    title: str | None = None
    body: str | None = None
    user: RawUser | None = None
    author_association: str | None = None
    state: str = "open"
    draft: bool | None = None
    labels: tuple[_Label, ...] = ()
    base: _Ref | None = None
    head: _Ref | None = None
    merge_commit_sha: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    closed_at: str | None = None
    merged_at: str | None = None


class _Inline(_Loose, frozen=True):
    id: int
    pull_request_url: str
    node_id: str = ""
    pull_request_review_id: int | None = None
    diff_hunk: str | None = None
    path: str | None = None
    commit_id: str | None = None
    original_commit_id: str | None = None
    user: RawUser | None = None
    body: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    author_association: str | None = None
    start_line: int | None = None
    original_start_line: int | None = None
    start_side: str | None = None
    line: int | None = None
    original_line: int | None = None
    side: str | None = None
    subject_type: str | None = None
    in_reply_to_id: int | None = None


class _Conversation(_Loose, frozen=True):
    id: int
    html_url: str
    node_id: str = ""
    user: RawUser | None = None
    body: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    author_association: str | None = None


# what the ledger keeps ---------------------------------------------------------------------------------


class PullRow(_Loose, frozen=True, kw_only=True, omit_defaults=True):
    """A pull request of the list."""

    number: int
    node_id: str = ""
    title: str = ""
    body: str = ""
    login: str = ""
    account: str = ""
    association: str = ""
    state: str = "open"
    draft: bool = False
    labels: tuple[str, ...] = ()
    base_ref: str = ""
    base_sha: str = ""
    head_sha: str = ""
    merge_sha: str = ""
    created_at: str = ""
    updated_at: str = ""
    closed_at: str = ""
    merged_at: str = ""


class CommentRow(_Loose, frozen=True, kw_only=True, omit_defaults=True):
    """A comment on code or in the conversation; `number` is the pull request's."""

    id: int
    kind: Literal["inline", "conversation"]
    number: int
    node_id: str = ""
    login: str = ""
    account: str = ""
    association: str = ""
    body: str = ""
    created_at: str = ""
    updated_at: str = ""
    reply_to: int = 0
    review: int = 0
    whole_file: bool = False
    path: str = ""
    side: str = ""
    line: int | None = None
    start_line: int | None = None
    original_line: int | None = None
    original_start_line: int | None = None
    original_commit: str = ""
    diff_hunk: str = ""


class ReviewRow(_Loose, frozen=True, kw_only=True, omit_defaults=True):
    """A submitted review."""

    id: int
    number: int
    node_id: str = ""
    login: str = ""
    account: str = ""
    association: str = ""
    state: str = ""
    body: str = ""
    commit: str = ""
    created_at: str = ""
    updated_at: str = ""
    minimized: str = ""


class ThreadRow(_Loose, frozen=True, kw_only=True, omit_defaults=True):
    """What only GraphQL knows of a thread on code; `root` is its first comment, 0 where not asked for."""

    node_id: str
    number: int
    root: int = 0
    resolved: bool = False
    outdated: bool = False


class Followed(_Loose, frozen=True, kw_only=True):
    """A list of one pull request that goes on behind a cursor, or is whole."""

    number: int
    what: Literal["reviews", "threads", "comments"]
    cursor: str = ""


class Complete(_Loose, frozen=True, kw_only=True):
    """All ids that a list of one pull request has; what the ledger holds besides is gone."""

    number: int
    what: Literal["reviews", "threads", "comments", "inline"]
    ids: tuple[str, ...] = ()


class Counted(_Loose, frozen=True, kw_only=True):
    """How many comments and reviews a pull request has by now."""

    number: int
    inline: int
    conversation: int
    reviews: int


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one page holds. `seen` are the pull requests that were answered for, `newest` the latest update."""

    pulls: tuple[PullRow, ...] = ()
    comments: tuple[CommentRow, ...] = ()
    reviews: tuple[ReviewRow, ...] = ()
    threads: tuple[ThreadRow, ...] = ()
    more: tuple[Followed, ...] = ()
    complete: tuple[Complete, ...] = ()
    counted: tuple[Counted, ...] = ()
    gone: tuple[int, ...] = ()
    seen: tuple[int, ...] = ()
    newest: str = ""
    oldest: str = ""
    listed: int = 0


_NUMBER = re.compile(r"/(?:pulls?|issues)/(\d+)(?:[#/?]|$)")


def decode(body: bytes, form: type[S] | Any) -> Any:
    """A body as typed values; a lone surrogate in a text, which JSON allows, becomes a replacement character."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        if isinstance(exc, msgspec.ValidationError):
            raise
        mended = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.json.decode(mended, type=form)


def rows_of(page: Page) -> Rows:
    """The rows of a page of a REST list.

    Raises:
        msgspec.ValidationError: it has not the form that GitHub documents.
    """
    body = page.body.encode()
    if page.stream == "pulls":
        return _pull_rows(decode(body, list[_Pull]))
    if page.stream == "inline":
        inline = decode(body, list[_Inline])
        return _comment_rows([_inline_row(c) for c in inline], len(inline))
    if page.stream == "conversation":
        spoken = decode(body, list[_Conversation])
        # the same list has comments of plain issues, whose page is /issues/N
        kept = [_conversation_row(c) for c in spoken if "/pull/" in c.html_url]
        stamps = [c.updated_at or "" for c in spoken]
        return _comment_rows(kept, len(spoken), stamps)
    raise ValueError(f"no list called {page.stream!r}")


def _pull_rows(pulls: Iterable[_Pull]) -> Rows:
    rows = tuple(
        PullRow(
            number=p.number, node_id=p.node_id, title=p.title or "", body=p.body or "",
            login=p.user.login if p.user else "", account=p.user.account if p.user else "",
            association=p.author_association or "", state=p.state, draft=bool(p.draft),
            labels=tuple(label.name for label in p.labels), base_ref=p.base.ref if p.base else "",
            base_sha=p.base.sha if p.base else "", head_sha=p.head.sha if p.head else "",
            merge_sha=(p.merge_commit_sha or "") if p.merged_at else "",
            created_at=p.created_at or "", updated_at=p.updated_at or "",
            closed_at=p.closed_at or "", merged_at=p.merged_at or "",
        )
        for p in pulls
    )  # fmt: skip
    stamps = [r.updated_at for r in rows]
    return Rows(pulls=rows, newest=max(stamps, default=""), oldest=min(stamps, default=""), listed=len(rows))


def _inline_row(c: _Inline) -> CommentRow:
    return CommentRow(
        id=c.id, kind="inline", number=_number(c.pull_request_url), node_id=c.node_id,
        login=c.user.login if c.user else "", account=c.user.account if c.user else "",
        association=c.author_association or "", body=c.body or "", created_at=c.created_at or "",
        updated_at=c.updated_at or "", reply_to=c.in_reply_to_id or 0, review=c.pull_request_review_id or 0,
        whole_file=c.subject_type == "file", path=c.path or "", side=c.side or "", line=c.line,
        start_line=c.start_line, original_line=c.original_line, original_start_line=c.original_start_line,
        original_commit=c.original_commit_id or c.commit_id or "", diff_hunk=c.diff_hunk or "",
    )  # fmt: skip


def _conversation_row(c: _Conversation) -> CommentRow:
    return CommentRow(
        id=c.id, kind="conversation", number=_number(c.html_url), node_id=c.node_id,
        login=c.user.login if c.user else "", account=c.user.account if c.user else "",
        association=c.author_association or "", body=c.body or "", created_at=c.created_at or "",
        updated_at=c.updated_at or "",
    )  # fmt: skip


def _comment_rows(rows: list[CommentRow], listed: int, stamps: list[str] | None = None) -> Rows:
    times = stamps if stamps is not None else [r.updated_at for r in rows]
    kept = tuple(r for r in rows if r.number)
    return Rows(comments=kept, newest=max(times, default=""), oldest=min(times, default=""), listed=listed)


def _number(url: str) -> int:
    found = _NUMBER.search(url)
    return int(found[1]) if found else 0
