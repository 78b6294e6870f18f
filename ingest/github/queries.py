"""The GraphQL queries: reviews and threads by node id, what they cost, and what their answers hold.

Cost by GitHub's rule: requests that each connection would need if it were asked for alone, over 100. A batch of
25 pull requests with 20 threads each costs 6 points, one of 50 without threads 1.
"""

from __future__ import annotations

import msgspec

from ingest.github.pages import Page
from ingest.github.rows import (
    Complete,
    Counted,
    Followed,
    RawUser,
    ReviewRow,
    Rows,
    ThreadRow,
    decode,
)

WITH_THREADS, WITHOUT_THREADS, LIGHT = 25, 50, 100  # pull requests a query
_REVIEWS, _THREADS, _MORE = 50, 20, 100

_REVIEW = "id fullDatabaseId state body authorAssociation submittedAt updatedAt isMinimized minimizedReason author { login __typename } commit { oid }"
_THREAD = "id isResolved isOutdated comments(first: 1) { nodes { fullDatabaseId } }"
_PAGE = "totalCount pageInfo { hasNextPage endCursor }"
_RATE = "rateLimit { cost remaining resetAt }"

REVIEWS = f"""query($ids: [ID!]!) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  reviews(first: {_REVIEWS}) {{ {_PAGE} nodes {{ {_REVIEW} }} }} }} }} }}"""
REVIEWS_AND_THREADS = f"""query($ids: [ID!]!) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  reviews(first: {_REVIEWS}) {{ {_PAGE} nodes {{ {_REVIEW} }} }}
  reviewThreads(first: {_THREADS}) {{ {_PAGE} nodes {{ {_THREAD} }} }} }} }} }}"""
MORE_REVIEWS = f"""query($ids: [ID!]!, $after: String) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  reviews(first: {_MORE}, after: $after) {{ {_PAGE} nodes {{ {_REVIEW} }} }} }} }} }}"""
MORE_THREADS = f"""query($ids: [ID!]!, $after: String) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  reviewThreads(first: {_MORE}, after: $after) {{ {_PAGE} nodes {{ {_THREAD} }} }} }} }} }}"""
RESOLUTION = f"""query($ids: [ID!]!) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  reviewThreads(first: {_MORE}) {{ nodes {{ id isResolved isOutdated }} }} }} }} }}"""
COUNTS = f"""query($ids: [ID!]!) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  comments {{ totalCount }} reviews {{ totalCount }}
  reviewThreads(first: {_MORE}) {{ totalCount nodes {{ comments {{ totalCount }} }} }} }} }} }}"""
COMMENT_IDS = f"""query($ids: [ID!]!, $after: String) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  comments(first: {_MORE}, after: $after) {{ {_PAGE} nodes {{ fullDatabaseId }} }} }} }} }}"""
INLINE_IDS = f"""query($ids: [ID!]!) {{ {_RATE} nodes(ids: $ids) {{ ... on PullRequest {{ id number
  reviewThreads(first: {_MORE}) {{ {_PAGE} nodes {{ id isResolved isOutdated comments(first: {_MORE}) {{ {_PAGE} nodes {{ fullDatabaseId }} }} }} }} }} }} }}"""

QUERIES: dict[str, str] = {
    "reviews": REVIEWS, "reviews and threads": REVIEWS_AND_THREADS, "more reviews": MORE_REVIEWS,
    "more threads": MORE_THREADS, "resolution": RESOLUTION, "counts": COUNTS, "comment ids": COMMENT_IDS,
    "inline ids": INLINE_IDS,
}  # fmt: skip

# connections that one pull request adds to a query, those inside of threads included
_CONNECTIONS = {
    "reviews": 1, "reviews and threads": 2 + _THREADS, "more reviews": 1, "more threads": 1 + _MORE,
    "resolution": 1, "counts": 1, "comment ids": 1, "inline ids": 1 + _MORE,
}  # fmt: skip


def points(name: str, pulls: int) -> int:
    """What a query costs of the hourly quota."""
    return max(1, round((1 + pulls * _CONNECTIONS[name]) / 100))


class _Info(msgspec.Struct, frozen=True):
    hasNextPage: bool = False
    endCursor: str | None = None


class _Id(msgspec.Struct, frozen=True):
    fullDatabaseId: str | int | None = None


class _Ids(msgspec.Struct, frozen=True):
    totalCount: int = 0
    pageInfo: _Info = _Info()
    nodes: tuple[_Id | None, ...] = ()


class _Oid(msgspec.Struct, frozen=True):
    oid: str = ""


class _Review(msgspec.Struct, frozen=True):
    id: str
    fullDatabaseId: str | int | None = None
    state: str = ""
    body: str = ""
    authorAssociation: str = ""
    submittedAt: str | None = None
    updatedAt: str | None = None
    isMinimized: bool = False
    minimizedReason: str | None = None
    author: RawUser | None = None
    commit: _Oid | None = None


class _Reviews(msgspec.Struct, frozen=True):
    totalCount: int = 0
    pageInfo: _Info = _Info()
    nodes: tuple[_Review | None, ...] = ()


class _Thread(msgspec.Struct, frozen=True):
    id: str = ""
    isResolved: bool = False
    isOutdated: bool = False
    comments: _Ids = _Ids()


class _Threads(msgspec.Struct, frozen=True):
    totalCount: int = 0
    pageInfo: _Info = _Info()
    nodes: tuple[_Thread | None, ...] = ()


class _PullNode(msgspec.Struct, frozen=True):
    number: int = 0
    comments: _Ids | None = None
    reviews: _Reviews | None = None
    reviewThreads: _Threads | None = None


class _Data(msgspec.Struct, frozen=True):
    nodes: tuple[_PullNode | None, ...]


class _Answer(msgspec.Struct, frozen=True):
    data: _Data


class Asked(msgspec.Struct, frozen=True):
    """What a GraphQL page answers: the query, the pull requests, and the cursor behind which it went on."""

    query: str
    numbers: tuple[int, ...]
    after: str = ""


def graphql_rows(page: Page) -> Rows:
    """The rows of an answer.

    Raises:
        msgspec.ValidationError: it has not the form that was asked for.
    """
    asked = msgspec.json.decode(page.params, type=Asked)
    nodes = decode(page.body.encode(), _Answer).data.nodes
    reviews: list[ReviewRow] = []
    threads: list[ThreadRow] = []
    more: list[Followed] = []
    complete: list[Complete] = []
    counted: list[Counted] = []
    gone = tuple(n for n, node in zip(asked.numbers, nodes, strict=False) if node is None)
    for node in nodes:
        if node is None or not node.number:
            continue
        number = node.number
        if asked.query == "counts":
            counted.append(_counted(node))
            continue
        if node.comments is not None:
            ids = tuple(_id(c) for c in node.comments.nodes if c)
            _whole(asked, number, "comments", node.comments.pageInfo, ids, more, complete)
        if node.reviews is not None:
            found = [_review(r, number) for r in node.reviews.nodes if r]
            reviews += found
            _whole(asked, number, "reviews", node.reviews.pageInfo, tuple(str(r.id) for r in found), more, complete)  # fmt: skip
        if node.reviewThreads is not None:
            rows = [_thread(t, number) for t in node.reviewThreads.nodes if t]
            threads += rows
            if asked.query not in ("resolution", "inline ids"):
                _whole(asked, number, "threads", node.reviewThreads.pageInfo, tuple(t.node_id for t in rows), more, complete)  # fmt: skip
            elif asked.query == "inline ids" and _all_there(node.reviewThreads):
                inline = tuple(_id(c) for t in node.reviewThreads.nodes if t for c in t.comments.nodes if c)
                complete.append(Complete(number=number, what="inline", ids=inline))
    return Rows(
        reviews=tuple(reviews), threads=tuple(threads), more=tuple(more), complete=tuple(complete),
        counted=tuple(counted), gone=gone, seen=asked.numbers,
    )  # fmt: skip


def _whole(asked: Asked, number: int, what: str, info: _Info, ids: tuple[str, ...], more: list[Followed], complete: list[Complete]) -> None:  # fmt: skip
    """A list that goes on has a cursor; one that begins and ends here is complete."""
    if info.hasNextPage and info.endCursor:
        more.append(msgspec.convert({"number": number, "what": what, "cursor": info.endCursor}, Followed))
    elif not asked.after:
        complete.append(msgspec.convert({"number": number, "what": what, "ids": ids}, Complete))


def _all_there(threads: _Threads) -> bool:
    return not threads.pageInfo.hasNextPage and not any(t.comments.pageInfo.hasNextPage for t in threads.nodes if t)  # fmt: skip


def _id(found: _Id) -> str:
    return str(found.fullDatabaseId or 0)


def _review(r: _Review, number: int) -> ReviewRow:
    return ReviewRow(
        id=int(r.fullDatabaseId or 0), number=number, node_id=r.id, login=r.author.login if r.author else "",
        account=r.author.account if r.author else "", association=r.authorAssociation, state=r.state, body=r.body,
        commit=r.commit.oid if r.commit else "", created_at=r.submittedAt or "",
        updated_at=r.updatedAt or r.submittedAt or "",
        minimized=(r.minimizedReason or "yes") if r.isMinimized else "",
    )  # fmt: skip


def _thread(t: _Thread, number: int) -> ThreadRow:
    root = next((int(_id(c)) for c in t.comments.nodes if c), 0)
    return ThreadRow(node_id=t.id, number=number, root=root, resolved=t.isResolved, outdated=t.isOutdated)


def _counted(node: _PullNode) -> Counted:
    threads = node.reviewThreads or _Threads()
    inline = sum(t.comments.totalCount for t in threads.nodes if t)
    if threads.totalCount > len(threads.nodes):
        inline = -1  # more than one page of threads: not counted here
    return Counted(
        number=node.number, inline=inline, conversation=node.comments.totalCount if node.comments else 0,
        reviews=node.reviews.totalCount if node.reviews else 0,
    )  # fmt: skip
