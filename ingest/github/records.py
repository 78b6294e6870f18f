"""The nouns of a review: pull requests as GitHub describes them, threads, comments, suggestions, people.

Times are ISO 8601 in UTC as GitHub writes them. Line numbers are 1-based; None stands where GitHub has none.
All of it is persisted, so that it is msgspec and validated.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

import msgspec

AuthorKind = Literal["human", "bot", "ghost"]
Role = Literal["pr_author", "maintainer", "contributor", "bot", "ghost"]
ThreadKind = Literal["inline", "file", "conversation", "review"]
Side = Literal["new", "old", ""]
Trust = Literal["synced", "imported"]
Addressed = Literal["yes", "no", "unknown"]
PullState = Literal["open", "closed", "merged"]

FORGOTTEN = "forgotten"  # who wrote what `prlore forget` has removed


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what a store keeps of a review."""


class Author(Record, frozen=True, kw_only=True):
    """Who wrote something. A deleted account is a ghost with an empty login: nobody knows whether it was a person."""

    login: str = ""
    kind: AuthorKind = "human"
    role: Role = "contributor"


class Suggestion(Record, frozen=True, kw_only=True):
    """A fenced `suggestion` block: what the reviewer wants in place of the lines `start` to `end` of the new side."""

    start: int | None = None
    end: int | None = None
    text: str = ""


class Comment(Record, frozen=True, kw_only=True):
    """One message. `state` and `commit` are those of a review submission, empty for all others."""

    id: int
    node_id: str = ""
    author: Author = Author()
    body: str = ""
    created_at: str = ""
    updated_at: str = ""
    reply_to: int = 0
    review: int = 0
    state: str = ""
    commit: str = ""
    minimized: str = ""
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the text, so that a quotation can be checked."""
        return hashlib.sha256(self.body.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def has_hidden_text(self) -> bool:
        """Whether the text has parts that a reader of the page would not see."""
        return "<!--" in self.body or any(
            unicodedata.category(c) == "Cf" for c in self.body if not c.isascii()
        )


class Anchor(Record, frozen=True, kw_only=True):
    """Where a thread hangs in a diff.

    Attributes:
        path: the file.
        side: side of the diff that the lines count on; empty for a whole file.
        line: last line in the newest revision, None once the thread is outdated.
        start_line: first line of several, likewise.
        original_line: last line in the revision that was reviewed.
        original_start_line: first line of several, likewise.
        reviewed_sha: that revision.
        diff_hunk: the hunk as the reviewer saw it, ending at the line; the only safe record of it.
    """

    path: str = ""
    side: Side = ""
    line: int | None = None
    start_line: int | None = None
    original_line: int | None = None
    original_start_line: int | None = None
    reviewed_sha: str = ""
    diff_hunk: str = ""


class Thread(Record, frozen=True, kw_only=True):
    """Comments that belong together, in the order they were written.

    Attributes:
        id: `owner/name#N/r123` for code (root comment), `/conversation`, `/v123` (review submission).
        node_id: GitHub's id of the thread, empty where only comments are known.
        resolved: None where nobody asked GitHub, or nothing can be resolved.
        outdated: whether the lines changed since, None where unknown.
        root_missing: the first comment was deleted, or is not in what was imported.
    """

    id: str
    repo: str
    number: int
    kind: ThreadKind
    anchor: Anchor = Anchor()
    node_id: str = ""
    resolved: bool | None = None
    outdated: bool | None = None
    root_missing: bool = False
    trust: Trust = "synced"
    comments: tuple[Comment, ...] = ()

    @property
    def pull_id(self) -> str:
        """`owner/name#N`."""
        return f"{self.repo}#{self.number}"

    @property
    def created_at(self) -> str:
        """When its first comment was written."""
        return min((c.created_at for c in self.comments), default="")

    @property
    def updated_at(self) -> str:
        """When one of its comments was last written or changed."""
        return max((c.updated_at or c.created_at for c in self.comments), default="")

    @property
    def url(self) -> str:
        """Where the thread can be read, rebuilt from numbers alone."""
        page = f"https://github.com/{self.repo}/pull/{self.number}"
        first = self.comments[0].id if self.comments else 0
        marks = {"inline": "discussion_r", "file": "discussion_r", "conversation": "issuecomment-", "review": "pullrequestreview-"}  # fmt: skip
        return f"{page}#{marks[self.kind]}{first}" if first else page


class Description(Record, frozen=True, kw_only=True):
    """A pull request as its page shows it: what its author says, and where it stands.

    Attributes:
        id: `owner/name#N`.
        head_history: heads it had when it was looked at, oldest first; force pushes lose all others.
        gone: it was there once and GitHub has it no more.
    """

    id: str
    title: str = ""
    body: str = ""
    author: Author = Author()
    state: PullState = "open"
    draft: bool = False
    labels: tuple[str, ...] = ()
    base_ref: str = ""
    base_sha: str = ""
    head_sha: str = ""
    merge_sha: str = ""
    head_history: tuple[str, ...] = ()
    created_at: str = ""
    updated_at: str = ""
    closed_at: str = ""
    merged_at: str = ""
    gone: bool = False
    trust: Trust = "synced"

    @property
    def repo(self) -> str:
        """`owner/name`."""
        return self.id.rpartition("#")[0]

    @property
    def number(self) -> int:
        """The number."""
        return int(self.id.rpartition("#")[2])

    @property
    def url(self) -> str:
        """Where it can be read."""
        return f"https://github.com/{self.repo}/pull/{self.number}"


class ReviewedPull(Record, frozen=True, kw_only=True):
    """A description with everything that was said on it; threads in order of their first comment."""

    description: Description
    threads: tuple[Thread, ...] = ()
