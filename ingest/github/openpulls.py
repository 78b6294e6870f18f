"""Open pull requests with their files and the state of their reviews: all of them, in batches.

Paths and counts come by GraphQL, 25 pull requests a request; patches by the files API, only of those that
matter, since nothing but GitHub has the diff of what is not merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingest.errors import GitHubError
from ingest.github.authors import Bots
from ingest.github.client import PER_PAGE, Client, QueryTooLarge
from ingest.github.records import Author
from ingest.github.rows import RawUser, decode

_PAGE, _FILES, _REVIEWS = 25, 100, 30
_SMALL_PAGE = 10  # files a page where GitHub has left out counts
_MOST_FILES = 3000  # that GitHub lists of one pull request

_PULL = f"""number title url isDraft createdAt updatedAt headRefOid changedFiles additions deletions authorAssociation
  author {{ login __typename }} labels(first: 20) {{ nodes {{ name }} }}
  files(first: {_FILES}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ path additions deletions }} }}
  latestReviews(first: {_REVIEWS}) {{ nodes {{ state author {{ login __typename }} }} }}
  reviewThreads(first: 100) {{ totalCount nodes {{ isResolved }} }}"""
_OPEN = f"""query($owner: String!, $name: String!, $size: Int!, $after: String) {{ repository(owner: $owner, name: $name) {{
  pullRequests(first: $size, after: $after, states: OPEN, orderBy: {{field: UPDATED_AT, direction: DESC}}) {{
    totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ id {_PULL} }} }} }} }}"""
_MORE_FILES = """query($ids: [ID!]!, $after: String) { nodes(ids: $ids) { ... on PullRequest { number
  files(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { path additions deletions } } } } }"""
_POINTS = 1  # (1 + 25 * 4) / 100


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that an open pull request changes. `patch` is empty until it is fetched, or where GitHub has none."""

    path: str
    additions: int
    deletions: int
    status: str = ""
    patch: str = ""
    old_path: str = ""


@dataclass(frozen=True, slots=True)
class OpenPull:
    """An open pull request.

    Attributes:
        decisions: each reviewer's last word: approved, changes_requested, commented, dismissed.
        unresolved: threads that nobody resolved, of `threads`.
        files_complete: whether all changed files are listed.
    """

    repo: str
    number: int
    title: str
    author: Author
    draft: bool
    created_at: str
    updated_at: str
    head_sha: str
    additions: int
    deletions: int
    changed_files: int
    labels: tuple[str, ...] = ()
    decisions: tuple[tuple[str, str], ...] = ()
    threads: int = 0
    unresolved: int = 0
    files: tuple[OpenFile, ...] = ()
    files_complete: bool = True

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://github.com/{self.repo}/pull/{self.number}"

    @property
    def approvals(self) -> int:
        """Reviewers whose last word is yes."""
        return sum(state == "approved" for _, state in self.decisions)

    @property
    def changes_requested(self) -> int:
        """Reviewers whose last word is no."""
        return sum(state == "changes_requested" for _, state in self.decisions)


class _Name(msgspec.Struct, frozen=True):
    name: str = ""


class _Names(msgspec.Struct, frozen=True):
    nodes: tuple[_Name | None, ...] = ()


class _Info(msgspec.Struct, frozen=True):
    hasNextPage: bool = False
    endCursor: str | None = None


class _File(msgspec.Struct, frozen=True):
    path: str = ""
    additions: int = 0
    deletions: int = 0


class _Files(msgspec.Struct, frozen=True):
    pageInfo: _Info = _Info()
    nodes: tuple[_File | None, ...] = ()


class _Review(msgspec.Struct, frozen=True):
    state: str = ""
    author: RawUser | None = None


class _Reviews(msgspec.Struct, frozen=True):
    nodes: tuple[_Review | None, ...] = ()


class _Resolved(msgspec.Struct, frozen=True):
    isResolved: bool = False


class _Threads(msgspec.Struct, frozen=True):
    totalCount: int = 0
    nodes: tuple[_Resolved | None, ...] = ()


class _Node(msgspec.Struct, frozen=True):
    number: int
    id: str = ""
    title: str = ""
    isDraft: bool = False
    createdAt: str = ""
    updatedAt: str = ""
    headRefOid: str = ""
    changedFiles: int = 0
    additions: int = 0
    deletions: int = 0
    authorAssociation: str = ""
    author: RawUser | None = None
    labels: _Names | None = None
    files: _Files | None = None
    latestReviews: _Reviews | None = None
    reviewThreads: _Threads | None = None


class _Listed(msgspec.Struct, frozen=True):
    totalCount: int = 0
    pageInfo: _Info = _Info()
    nodes: tuple[_Node | None, ...] = ()


@dataclass(slots=True)
class Watched:
    """What was fetched of one repository, and what could not be."""

    repo: str
    pulls: list[OpenPull] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def open_pulls(client: Client, repo: str, bots: Bots, progress: Callable[[int, int], None]) -> Iterator[OpenPull]:  # fmt: skip
    """All open pull requests of a repository, most recently updated first.

    Raises:
        GitHubError: there is no such repository, or no usable answer.
    """
    owner, _, name = repo.partition("/")
    after: str | None = None
    size, done, seen = _PAGE, 0, set[int]()
    while True:
        variables = {"owner": owner, "name": name, "size": size, "after": after}
        try:
            answer = client.graphql(_OPEN, variables, _POINTS)
        except QueryTooLarge:
            if size == 1:
                raise GitHubError(f"GitHub can't list the open pull requests of {repo}: try again later") from None  # fmt: skip
            size = max(1, size // 2)
            continue
        repository = answer.data.get("repository")
        if repository is None:
            raise GitHubError(f"GitHub has no {repo}, or the token may not read it: check the name")
        listed = _convert(repository["pullRequests"], _Listed)
        for node in listed.nodes:
            if node is not None and node.number not in seen:  # one that moves up while we read comes twice
                seen.add(node.number)
                yield _pull(client, repo, node, bots)
        done += len(listed.nodes)
        progress(done, listed.totalCount)
        if not listed.pageInfo.hasNextPage or not listed.pageInfo.endCursor:
            return
        after = listed.pageInfo.endCursor


def _convert(data: Any, form: type[Any]) -> Any:
    return decode(msgspec.json.encode(data), form)


def _pull(client: Client, repo: str, node: _Node, bots: Bots) -> OpenPull:
    login = node.author.login if node.author else ""
    files, complete = _files(client, node)
    reviews = node.latestReviews.nodes if node.latestReviews else ()
    threads = node.reviewThreads or _Threads()
    return OpenPull(
        repo=repo, number=node.number, title=node.title, draft=node.isDraft, created_at=node.createdAt,
        author=bots.author(login, node.author.account if node.author else "", node.authorAssociation, login),
        updated_at=node.updatedAt, head_sha=node.headRefOid, additions=node.additions, deletions=node.deletions,
        changed_files=node.changedFiles, labels=tuple(n.name for n in node.labels.nodes if n) if node.labels else (),
        decisions=tuple((r.author.login if r.author else "", r.state.lower()) for r in reviews if r),
        threads=threads.totalCount, unresolved=sum(not t.isResolved for t in threads.nodes if t),
        files=files, files_complete=complete,
    )  # fmt: skip


def _files(client: Client, node: _Node) -> tuple[tuple[OpenFile, ...], bool]:
    """All files of a pull request, page by page where one is not enough."""
    page = node.files or _Files()
    found = [f for f in page.nodes if f]
    while page.pageInfo.hasNextPage and page.pageInfo.endCursor and len(found) < _MOST_FILES:
        try:
            answer = client.graphql(
                _MORE_FILES, {"ids": [node.id], "after": page.pageInfo.endCursor}, _POINTS
            )
        except QueryTooLarge:
            return _open_files(found), False
        more = next((n for n in answer.data.get("nodes") or [] if n), None)
        if more is None:
            break
        page = _convert(more["files"], _Files)
        found += [f for f in page.nodes if f]
    return _open_files(found), len(found) >= node.changedFiles


def _open_files(found: list[_File]) -> tuple[OpenFile, ...]:
    return tuple(OpenFile(f.path, f.additions, f.deletions) for f in found)


class _RestFile(msgspec.Struct, frozen=True):
    filename: str
    sha: str | None = None
    status: str = ""
    additions: int = 0
    deletions: int = 0
    changes: int = 0
    patch: str | None = None
    previous_filename: str = ""

    @property
    def left_out(self) -> bool:
        """Whether GitHub lists the file without saying what changed: unmarked, past 20,000 lines of one answer."""
        return self.changes == 0 and not self.patch and self.status in ("added", "modified", "changed", "removed") and bool(self.sha)  # fmt: skip


def patched_files(client: Client, repo: str, number: int) -> tuple[tuple[OpenFile, ...], bool]:
    """The files of a pull request with their patches, and whether each has all that GitHub can give.

    A page on which files are left out is asked for again in small pages. Where GitHub refuses the diff as too
    large (406) there are no patches.

    Raises:
        GitHubError: there is no such pull request, or no usable answer.
    """
    path = f"/repos/{repo}/pulls/{number}/files"
    try:
        rows = list(_rest_files(client, path, PER_PAGE))
        if any(f.left_out for f in rows):
            rows = list(_rest_files(client, path, _SMALL_PAGE))
    except GitHubError as exc:
        if exc.status == 406:
            return (), False
        raise
    files = tuple(
        OpenFile(f.filename, f.additions, f.deletions, f.status, f.patch or "", f.previous_filename)
        for f in rows
    )
    # an empty file has neither lines nor patch and is no gap
    return files, not any(f.left_out and f.status != "added" for f in rows) and len(rows) < _MOST_FILES


def _rest_files(client: Client, path: str, size: int) -> Iterator[_RestFile]:
    url = f"{path}?per_page={size}"
    while url:
        answer = client.get(url)
        yield from decode(answer.body, list[_RestFile])
        url = answer.next
