"""A pull request on GitHub: read as a patch, and a critique posted to it as one review.

Posting is a comment, never an approval or a request for changes. Anchors are checked against the hunks that GitHub shows
before anything is sent, since one bad anchor makes GitHub refuse the whole review. Each finding carries its fingerprint
in a hidden mark; findings whose mark stands on the pull request already are not posted again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingest.errors import DiffMismatch, GitHubError, PrloreError
from ingest.github.client import PER_PAGE, Client
from ingest.github.openpulls import patched_files
from ingest.github.rows import decode
from ingest.patches import PatchedFile, github_patch
from kb.critique.findings import Finding, Record
from kb.critique.patch import Patch, patch_of_files
from kb.critique.run import Critique
from kb.distill import utc
from kb.families import Families
from kb.reports.critique import finding_markdown
from kb.reports.safe import inline_code

_MARK = re.compile(r"<!-- prlore:([0-9a-f]{32}) -->")
_LONGEST = 60_000  # GitHub takes 65,536 characters


class PostError(PrloreError):
    """A review that can't be posted."""


class _Head(msgspec.Struct, frozen=True):
    sha: str = ""


class _Pull(msgspec.Struct, frozen=True):
    number: int
    title: str = ""
    body: str | None = None
    state: str = "open"
    merged_at: str | None = None
    head: _Head = _Head()


class _Body(msgspec.Struct, frozen=True):
    body: str | None = None


class InlineComment(Record, frozen=True, kw_only=True):
    """One comment of a review. `start_line` is None for a single line."""

    path: str
    line: int
    side: str
    body: str
    start_line: int | None = None


class ReviewToPost(Record, frozen=True, kw_only=True):
    """What would be posted.

    Attributes:
        head: the commit it is about.
        body: what stands above the comments; findings off GitHub's diff are in it.
        known: findings left out because their marks stand there already.
    """

    repo: str
    number: int
    head: str
    body: str
    comments: tuple[InlineComment, ...]
    known: int

    @property
    def is_empty(self) -> bool:
        """Whether everything stands there already."""
        return not self.comments and not self.body


@dataclass(frozen=True, slots=True)
class FetchedPull:
    """A pull request as a patch, with its files as GitHub gave them."""

    repo: str
    number: int
    head: str
    patch: Patch
    files: tuple[PatchedFile, ...]


def fetch_pull(client: Client, repo: str, number: int, families: Families, as_of: str = "") -> FetchedPull:
    """Read a pull request's title, description and diff.

    Raises:
        GitHubError: there is none, or GitHub has not its diff.
    """
    pull = decode(client.get(f"/repos/{repo}/pulls/{number}").body, _Pull)
    listed, _ = patched_files(client, repo, number)
    files: list[PatchedFile] = []
    for f in listed:
        try:
            files.append(github_patch(f.path, f.old_path, f.status, f.patch, f.additions, f.deletions))
        except DiffMismatch as exc:
            raise GitHubError(f"GitHub's diff of {repo}#{number} is damaged in {f.path}: {exc}") from exc
    if not files:
        raise GitHubError(f"GitHub has no diff of {repo}#{number}: review it with --rev and a checkout")
    card_id = f"{repo}#{number}"
    patch = patch_of_files(
        card_id, repo, pull.title, pull.body or "", files, families,
        as_of=as_of or utc(pull.merged_at or ""), own=(card_id,), head=pull.head.sha,
    )  # fmt: skip
    return FetchedPull(repo, number, pull.head.sha, patch, tuple(files))


def prepare(client: Client, pull: FetchedPull, found: Critique) -> ReviewToPost:
    """What is still to be posted of a critique.

    Raises:
        GitHubError: what stands on the pull request can't be read.
    """
    marks = set(_marks(client, pull))
    fresh = [f for f in found.findings if f.fingerprint not in marks]
    inline = [f for f in fresh if is_in_diff(pull.patch, f)]
    loose = [f for f in fresh if f not in inline]
    comments = tuple(_comment(f) for f in inline)
    return ReviewToPost(
        repo=pull.repo, number=pull.number, head=pull.head, body=_above(found, loose, len(fresh)) if fresh else "",
        comments=comments, known=len(found.findings) - len(fresh),
    )  # fmt: skip


def post(client: Client, review: ReviewToPost) -> str:
    """Post a review; the address of what was made.

    Raises:
        PostError: the pull request has moved on since it was read.
        GitHubError: GitHub refuses.
    """
    where = f"/repos/{review.repo}/pulls/{review.number}"
    now = decode(client.get(where).body, _Pull)
    if now.head.sha != review.head:
        raise PostError(
            f"{review.repo}#{review.number} was pushed to while it was reviewed: run the same command again"
        )
    answer = client.post(f"{where}/reviews", payload(review))
    address = answer.data.get("html_url") if isinstance(answer.data, dict) else ""
    return str(address or f"https://github.com/{review.repo}/pull/{review.number}")


def payload(review: ReviewToPost) -> dict[str, Any]:
    """The request. Its event is COMMENT and nothing else, whatever was found."""
    comments: list[dict[str, Any]] = []
    for c in review.comments:
        row: dict[str, Any] = {"path": c.path, "line": c.line, "side": c.side, "body": c.body}
        if c.start_line is not None:
            row |= {"start_line": c.start_line, "start_side": c.side}
        comments.append(row)
    return {"commit_id": review.head, "event": "COMMENT", "body": review.body, "comments": comments}


def is_in_diff(patch: Patch, finding: Finding) -> bool:
    """Whether both ends of a finding's place are lines of one hunk on its side, as GitHub wants it."""
    hunk = patch.hunk_at(finding.place)
    if hunk is None:
        return False
    held = {r.old if finding.place.side == "old" else r.new for r in hunk.lines}
    return finding.place.start in held and finding.place.line in held


def _comment(f: Finding) -> InlineComment:
    return InlineComment(
        path=f.place.path, line=f.place.line, side="LEFT" if f.place.side == "old" else "RIGHT",
        start_line=f.place.start if f.place.start < f.place.line else None, body=_marked(f, "\n".join(finding_markdown(f))),
    )  # fmt: skip


def _marked(f: Finding, text: str) -> str:
    return f"{text.rstrip()[:_LONGEST]}\n\n<!-- prlore:{f.fingerprint} -->"


def _above(found: Critique, loose: Sequence[Finding], fresh: int) -> str:
    s = found.sweep
    plural = "finding" if fresh == 1 else "findings"
    parts = [
        f"{fresh} {plural} from past changes of these files ({s.cards:,} pull requests and {s.threads:,} review threads bear on this one). "
        "Each cites a precedent that was looked up; nothing here approves or blocks."
    ]
    for f in loose:
        where = f"{inline_code(f.place.path)}:{f.place.line} (outside of the diff that GitHub shows)"
        parts.append(_marked(f, where + "\n\n" + "\n".join(finding_markdown(f))))
    return "\n\n".join(parts)[:_LONGEST]


def _marks(client: Client, pull: FetchedPull) -> Iterator[str]:
    """Fingerprints of the findings that stand on a pull request: in comments on code, in submissions, in the conversation."""
    root = f"/repos/{pull.repo}"
    for path in (
        f"{root}/pulls/{pull.number}/comments",
        f"{root}/pulls/{pull.number}/reviews",
        f"{root}/issues/{pull.number}/comments",
    ):
        url = f"{path}?per_page={PER_PAGE}"
        while url:
            answer = client.get(url)
            for row in decode(answer.body, list[_Body]):
                yield from _MARK.findall(row.body or "")
            url = answer.next
