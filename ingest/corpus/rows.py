"""Rows of the public review corpus, schema version 2, as threads: checked, and never believed further than needed.

Addresses are rebuilt from numbers, author kinds come from our own list, ids are those that our own sync gives, so
that a thread that is synced takes the place of the imported one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import msgspec

from ingest.github.authors import Bots
from ingest.github.records import Anchor, Comment, Description, PullState, Side, Thread, ThreadKind
from ingest.github.suggestions import parse_suggestions

SCHEMA_VERSION = 2
_MOST_COMMENTS = 2000
_MOST_BODY = 400_000  # characters; GitHub's limit is 65,536
_MOST_HUNK = 2_000_000
_REPO = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_LOGIN = re.compile(r"[A-Za-z0-9-]{0,64}(?:\[bot\])?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_SHA = re.compile(r"[0-9a-f]{0,64}")
_MOST_NUMBER = 10_000_000
_MOST_ID = 1 << 62


class RowProblem(Exception):
    """Why a row can't be used."""


class _Author(msgspec.Struct, frozen=True):
    login: str | None = None
    type: str | None = None
    association: str | None = None


class _Comment(msgspec.Struct, frozen=True):
    id: int
    body: str | None = None
    node_id: str | None = None
    in_reply_to_id: int | None = None
    state: str | None = None
    commit_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    author: _Author | None = None


class _Pull(msgspec.Struct, frozen=True):
    number: int
    title: str | None = None
    state: str | None = None
    draft: bool | None = None
    created_at: str | None = None
    updated_at: str | None = None
    closed_at: str | None = None
    merged_at: str | None = None
    labels: tuple[str, ...] = ()
    author: _Author | None = None


class _Source(msgspec.Struct, frozen=True):
    repo: str


class _Row(msgspec.Struct, frozen=True):
    schema_version: int
    row_type: Literal["inline_review_thread", "pr_conversation", "review_submission"]
    source: _Source
    thread_id: int | str
    pull_request: _Pull
    comments: tuple[_Comment, ...]
    path: str | None = None
    diff_hunk: str | None = None
    commit_id: str | None = None
    original_commit_id: str | None = None
    line: int | None = None
    original_line: int | None = None
    start_line: int | None = None
    original_start_line: int | None = None
    side: str | None = None
    subject_type: str | None = None


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """A row as our own nouns: the pull request (the corpus has no body of it) and its threads."""

    description: Description
    threads: tuple[Thread, ...]


_decoder = msgspec.json.Decoder(_Row)


def parse_row(data: bytes, bots: Bots) -> CorpusRow:
    """A line of the corpus.

    Raises:
        RowProblem: it is no JSON, of another schema, or says what no such row can say.
    """
    try:
        row = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RowProblem((str(exc).splitlines() or ["no JSON"])[0][:200]) from None
    _check(row)
    pull_author = (row.pull_request.author.login if row.pull_request.author else "") or ""
    pull_id = f"{row.source.repo}#{row.pull_request.number}"
    return CorpusRow(_description(pull_id, row.pull_request, bots), _threads(pull_id, row, bots, pull_author))


def _check(row: _Row) -> None:
    pull = row.pull_request
    if row.schema_version != SCHEMA_VERSION:
        raise RowProblem(f"schema version {row.schema_version}, {SCHEMA_VERSION} is read")
    if not _REPO.fullmatch(row.source.repo):
        raise RowProblem("no repository name")
    if not 0 < pull.number < _MOST_NUMBER:
        raise RowProblem("no pull request number")
    if not row.comments or len(row.comments) > _MOST_COMMENTS:
        raise RowProblem(f"{len(row.comments)} comments")
    if row.row_type == "inline_review_thread" and not isinstance(row.thread_id, int):
        raise RowProblem("no root comment's id")
    _check_path(row)
    times = [pull.created_at, pull.updated_at, pull.closed_at, pull.merged_at]
    times += [t for c in row.comments for t in (c.created_at, c.updated_at)]
    if any(t and not _TIME.fullmatch(t) for t in times):
        raise RowProblem("a time that is none")
    if any(not 0 < c.id < _MOST_ID for c in row.comments):
        raise RowProblem("a comment id that is none")
    people = [a for a in (pull.author, *(c.author for c in row.comments)) if a]
    if any(not _LOGIN.fullmatch(a.login or "") for a in people):
        raise RowProblem("a login that no account has")
    if any(len(c.body or "") > _MOST_BODY for c in row.comments) or len(row.diff_hunk or "") > _MOST_HUNK:
        raise RowProblem("a text longer than GitHub allows")
    shas = (row.commit_id, row.original_commit_id, *(c.commit_id for c in row.comments))
    if any(not _SHA.fullmatch(s or "") for s in shas):
        raise RowProblem("a commit name that is none")
    lines = (row.line, row.original_line, row.start_line, row.original_start_line)
    if any(n is not None and not 0 <= n < 1 << 31 for n in lines):
        raise RowProblem("a line number that is none")


def _check_path(row: _Row) -> None:
    path = row.path or ""
    if row.row_type == "inline_review_thread" and not path:
        raise RowProblem("a thread on code without a path")
    if path.startswith("/") or ".." in path.split("/") or len(path) > 4096 or any(ord(c) < 32 for c in path):
        raise RowProblem("a path that leads out of the repository")


def _clean(text: str | None) -> str:
    return (text or "").replace("\0", "�").encode("utf-8", "replace").decode()


def _description(pull_id: str, pull: _Pull, bots: Bots) -> Description:
    author = pull.author or _Author()
    state: PullState = "merged" if pull.merged_at else "open" if pull.state == "open" else "closed"
    return Description(
        id=pull_id, title=_clean(pull.title)[:1000], state=state, draft=bool(pull.draft), trust="imported",
        author=bots.author(author.login or "", author.type or "", author.association or "", author.login or ""),
        labels=tuple(_clean(label)[:200] for label in pull.labels[:100]), created_at=pull.created_at or "",
        updated_at=pull.updated_at or "", closed_at=pull.closed_at or "", merged_at=pull.merged_at or "",
    )  # fmt: skip


def _threads(pull_id: str, row: _Row, bots: Bots, pull_author: str) -> tuple[Thread, ...]:
    repo, _, number = pull_id.rpartition("#")
    if row.row_type == "review_submission":  # one row for all of a pull request; each is a thread of ours
        by_id: defaultdict[int, list[_Comment]] = defaultdict(list)
        for found in row.comments:
            by_id[found.id].append(found)
        return tuple(
            Thread(
                id=f"{pull_id}/v{i}", repo=repo, number=int(number), kind="review", trust="imported",
                anchor=Anchor(reviewed_sha=said[0].commit_id or ""),
                comments=(_comment(said[0], bots, pull_author, Anchor()),),
            )
            for i, said in by_id.items()
        )  # fmt: skip
    if row.row_type == "pr_conversation":
        kind: ThreadKind = "conversation"
        anchor, name, root_missing, outdated = Anchor(), "conversation", False, None
    else:
        whole = row.subject_type == "file"
        kind = "file" if whole else "inline"
        side: Side = "" if whole else "old" if row.side == "LEFT" else "new"
        anchor = Anchor(
            path=_clean(row.path), side=side, line=None if whole else row.line, start_line=None if whole else row.start_line,
            original_line=None if whole else row.original_line, diff_hunk=_clean(row.diff_hunk),
            original_start_line=None if whole else row.original_start_line,
            reviewed_sha=row.original_commit_id or row.commit_id or "",
        )  # fmt: skip
        name, root_missing = f"r{row.thread_id}", row.thread_id not in {c.id for c in row.comments}
        outdated = row.line is None and not whole
    unique = {c.id: c for c in reversed(row.comments)}
    ordered = sorted(unique.values(), key=lambda c: (c.created_at or "", c.id))
    return (
        Thread(
            id=f"{pull_id}/{name}", repo=repo, number=int(number), kind=kind, trust="imported", anchor=anchor,
            outdated=outdated, root_missing=root_missing,
            comments=tuple(_comment(c, bots, pull_author, anchor) for c in ordered),
        ),
    )  # fmt: skip


def _comment(c: _Comment, bots: Bots, pull_author: str, anchor: Anchor) -> Comment:
    author, body = c.author or _Author(), _clean(c.body)
    return Comment(
        id=c.id, node_id=_clean(c.node_id)[:200], body=body, created_at=c.created_at or "", updated_at=c.updated_at or "",
        author=bots.author(author.login or "", author.type or "", author.association or "", pull_author),
        reply_to=c.in_reply_to_id or 0, state=(c.state or "").lower()[:40], commit=c.commit_id or "",
        suggestions=parse_suggestions(body, anchor),
    )  # fmt: skip
