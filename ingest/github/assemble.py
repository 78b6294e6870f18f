"""From the rows of a ledger to pull requests with their threads, in order. A pure function of the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ingest.github.authors import Bots
from ingest.github.ledger import Ledger
from ingest.github.records import Anchor, Author, Comment, Description, PullState, ReviewedPull, Side, Thread
from ingest.github.rows import CommentRow, PullRow, ReviewRow, ThreadRow
from ingest.github.suggestions import parse_suggestions


def reviewed_pulls(ledger: Ledger, numbers: Sequence[int], bots: Bots) -> Iterator[ReviewedPull]:
    """Pull requests of a ledger as a reader wants them.

    Comments whose pull request is not in the ledger give one without title or author.
    """
    pulls = {row.number: (row, heads, gone) for row, heads, gone in ledger.pull_rows(numbers)}
    comments: defaultdict[int, list[CommentRow]] = defaultdict(list)
    for comment in ledger.comment_rows(numbers):
        comments[comment.number].append(comment)
    reviews: defaultdict[int, list[ReviewRow]] = defaultdict(list)
    for review in ledger.review_rows(numbers):
        reviews[review.number].append(review)
    states: defaultdict[int, dict[int, ThreadRow]] = defaultdict(dict)
    for state in ledger.thread_rows(numbers):
        states[state.number][state.root] = state
    for number in numbers:
        row, heads, gone = pulls.get(number, (PullRow(number=number), (), False))
        pull_id = f"{ledger.repo}#{number}"
        threads = [
            *_code_threads(pull_id, comments[number], states[number], bots, row.login),
            *_conversation(pull_id, comments[number], bots, row.login),
            *_submissions(pull_id, reviews[number], bots, row.login),
        ]
        threads.sort(key=lambda t: (t.created_at, t.id))
        yield ReviewedPull(description=_description(pull_id, row, heads, gone, bots), threads=tuple(threads))


def _description(pull_id: str, row: PullRow, heads: tuple[str, ...], gone: bool, bots: Bots) -> Description:
    state: PullState = "open" if row.state == "open" else "merged" if row.merged_at else "closed"
    return Description(
        id=pull_id, title=row.title, body=row.body, state=state, draft=row.draft, labels=row.labels,
        author=bots.author(row.login, row.account, row.association, row.login), base_ref=row.base_ref,
        base_sha=row.base_sha, head_sha=row.head_sha, merge_sha=row.merge_sha, head_history=heads,
        created_at=row.created_at, updated_at=row.updated_at, closed_at=row.closed_at, merged_at=row.merged_at,
        gone=gone,
    )  # fmt: skip


def anchor_of(row: CommentRow) -> Anchor:
    """Where a comment hangs. An outdated one has no line in the newest revision; a whole file has none at all."""
    side: Side = "" if row.whole_file else "old" if row.side == "LEFT" else "new"
    return Anchor(
        path=row.path, side=side, reviewed_sha=row.original_commit, diff_hunk=row.diff_hunk,
        line=None if row.whole_file else row.line, start_line=None if row.whole_file else row.start_line,
        original_line=None if row.whole_file else row.original_line,
        original_start_line=None if row.whole_file else row.original_start_line,
    )  # fmt: skip


def _comment(row: CommentRow, bots: Bots, pull_author: str, anchor: Anchor) -> Comment:
    return Comment(
        id=row.id, node_id=row.node_id, author=bots.author(row.login, row.account, row.association, pull_author),
        body=row.body, created_at=row.created_at, updated_at=row.updated_at, reply_to=row.reply_to,
        review=row.review, suggestions=parse_suggestions(row.body, anchor),
    )  # fmt: skip


def _code_threads(
    pull_id: str, rows: Sequence[CommentRow], states: dict[int, ThreadRow], bots: Bots, pull_author: str
) -> Iterator[Thread]:
    """Threads on code. A reply names the root, or what was the root before it was deleted."""
    inline = {row.id: row for row in rows if row.kind == "inline"}
    members: defaultdict[int, list[CommentRow]] = defaultdict(list)
    for row in inline.values():
        members[_root(row, inline)].append(row)
    repo, _, number = pull_id.rpartition("#")
    for root, found in members.items():
        found.sort(key=lambda r: (r.created_at, r.id))
        first = inline.get(root, found[0])
        anchor = anchor_of(first)
        state = states.get(root) or states.get(first.id)
        outdated = state.outdated if state else (first.line is None and not first.whole_file)
        yield Thread(
            id=f"{pull_id}/r{root}", node_id=state.node_id if state else "", repo=repo, number=int(number),
            kind="file" if first.whole_file else "inline", anchor=anchor,
            resolved=state.resolved if state else None, outdated=outdated, root_missing=root not in inline,
            comments=tuple(_comment(row, bots, pull_author, anchor) for row in found),
        )  # fmt: skip


def _root(row: CommentRow, inline: dict[int, CommentRow]) -> int:
    """The first comment of a comment's thread; replies to replies are walked up, circles are cut."""
    seen = {row.id}
    while row.reply_to and row.reply_to not in seen:
        seen.add(row.reply_to)
        above = inline.get(row.reply_to)
        if above is None:
            return row.reply_to
        row = above
    return row.id


def _conversation(pull_id: str, rows: Sequence[CommentRow], bots: Bots, pull_author: str) -> Iterator[Thread]:
    """The conversation of a pull request is one thread."""
    found = sorted((r for r in rows if r.kind == "conversation"), key=lambda r: (r.created_at, r.id))
    if found:
        repo, _, number = pull_id.rpartition("#")
        yield Thread(
            id=f"{pull_id}/conversation", repo=repo, number=int(number), kind="conversation",
            comments=tuple(_comment(row, bots, pull_author, Anchor()) for row in found),
        )  # fmt: skip


def _submissions(pull_id: str, rows: Sequence[ReviewRow], bots: Bots, pull_author: str) -> Iterator[Thread]:
    """Reviews that say or decide something; one that only carries comments on code is in their threads."""
    repo, _, number = pull_id.rpartition("#")
    for row in rows:
        if not row.body.strip() and row.state in ("COMMENTED", "PENDING", ""):
            continue
        author: Author = bots.author(row.login, row.account, row.association, pull_author)
        said = Comment(
            id=row.id, node_id=row.node_id, author=author, body=row.body, created_at=row.created_at,
            updated_at=row.updated_at, state=row.state.lower(), commit=row.commit, minimized=row.minimized,
        )  # fmt: skip
        yield Thread(
            id=f"{pull_id}/v{row.id}", repo=repo, number=int(number), kind="review",
            anchor=Anchor(reviewed_sha=row.commit), comments=(said,),
        )  # fmt: skip
