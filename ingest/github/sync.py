"""The sync of one repository: lists by REST, reviews and thread states by GraphQL, each page kept before the next is asked for.

First pass of the pull requests: by creation, so that pages stay put while we read. Later: by update, newest
first, until a page is older than what is known. Comments: by update, oldest first, each page beginning where
the last one ended, so that nothing slips between two pages when a comment is edited meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import msgspec

from ingest.errors import GitHubError
from ingest.github.client import PER_PAGE, Answer, Client, QueryTooLarge
from ingest.github.forget import scrub
from ingest.github.ledger import Ledger
from ingest.github.pace import RequestBudgetSpent
from ingest.github.pages import page_of
from ingest.github.queries import (
    LIGHT,
    QUERIES,
    WITH_THREADS,
    WITHOUT_THREADS,
    Asked,
    graphql_rows,
    points,
)
from ingest.github.rows import Rows, rows_of

OVERLAP = timedelta(minutes=5)  # GitHub's lists are eventually consistent
RECONCILE_EVERY = timedelta(days=7)
_LIGHT_REQUESTS = 4  # resolution of open pull requests that a run without changes asks for
_WINDOW = 1000  # pull requests sorted into batches at once
_FIRST = "created:"
Progress = Callable[[str, int, int], None]
Reached = Callable[[Rows, Answer], str]


class UnreadablePage(GitHubError):
    """An answer of another form than GitHub documents."""


@dataclass(slots=True)
class SyncReport:
    """What one sync did. `complete` is false when the request budget ended it."""

    repo: str
    complete: bool = True
    pages: int = 0
    listed: int = 0
    reconciled: bool = False
    failed: list[tuple[str, int, str]] = field(default_factory=list)


def sync(ledger: Ledger, client: Client, *, since: str = "", reconcile: bool = False, progress: Progress | None = None) -> SyncReport:  # fmt: skip
    """Bring a ledger up to date.

    Args:
        ledger: of the repository.
        client: to ask with; its pace holds the budget.
        since: on a first sync, only what changed from this time on.
        reconcile: look for deletions now, not only once a week.
        progress: called with (stream, done, of how many; 0 when unknown).

    Raises:
        GitHubError: refused, not there, or no usable answer. What was fetched is kept.
    """
    run = _Run(ledger, client, SyncReport(ledger.repo), progress or (lambda stream, done, total: None))
    lists = f"/repos/{ledger.repo}"
    stages: tuple[Callable[[], None], ...] = (
        lambda: run.pulls(since),
        lambda: run.comments("inline", f"{lists}/pulls/comments", since),
        lambda: run.comments("conversation", f"{lists}/issues/comments", since),
        run.reviews,
        lambda: run.reconcile(reconcile),
        run.resolution,
    )
    ledger.revive()
    # a run that was stopped goes on where it was, however small its budget; then it looks at the lists again
    begun = int(ledger.meta("stage") or 0)
    try:
        for stage in [*range(begun, len(stages)), *range(begun)]:
            run.report.complete = stage < begun  # all that was left is done
            ledger.set_meta("stage", str(stage))
            stages[stage]()
        if begun:  # what the lists had to tell
            run.reviews()
        run.report.complete = True
        ledger.set_meta("stage", "0")
    except RequestBudgetSpent:
        pass
    run.report.failed = ledger.failed()
    return run.report


class _Run:
    def __init__(self, ledger: Ledger, client: Client, report: SyncReport, progress: Progress) -> None:
        self.ledger, self.client, self.report, self.progress = ledger, client, report, progress
        self._forgotten = ledger.forgotten()
        self._now = ""

    # lists -------------------------------------------------------------------------------------------

    def _list(self, stream: str, url: str, cursor: Reached, *, conditional: bool = False, marked: Callable[[Answer], bool] = lambda answer: True) -> tuple[Answer, Rows]:  # fmt: skip
        """One page of a list, kept. Rows are empty where the page is what it was.

        `cursor` says how far the list is read with this page; a page's mark is kept where `marked` says so.
        """
        answer = self.client.get(url, etag=self.ledger.etag(url) if conditional else "")
        self._now = _stamp(answer.date) or self._now
        if answer.status == 304:
            return answer, Rows()
        body = scrub(answer.body, self._forgotten)
        etag = answer.etag if marked(answer) else ""
        page = page_of(stream, url, body, etag=etag, fetched_at=self._now)
        try:
            rows = rows_of(page)
        except (msgspec.ValidationError, msgspec.DecodeError) as exc:
            raise UnreadablePage(f"GitHub's list of {stream} has another form than documented ({exc}): update prlore") from exc  # fmt: skip
        reached = cursor(rows, answer)
        self.ledger.receive(page, rows, remaining=answer.remaining, cursors=[(stream, reached)] if reached else [])  # fmt: skip
        self.report.pages += 1
        self.report.listed += rows.listed
        return answer, rows

    def pulls(self, since: str) -> None:
        """All pull requests: the first pass by creation, then what was updated."""
        cursor = self.ledger.cursor("pulls") or since
        if not cursor or cursor.startswith(_FIRST):
            self._pulls_first(cursor)
            cursor = self.ledger.cursor("pulls")
        self._pulls_updated(cursor)

    def _pulls_first(self, cursor: str) -> None:
        begun, _, where = cursor.removeprefix(_FIRST).partition(" ")
        url = where or self._pulls_url("created", "asc")
        done, total = self.ledger.count("pull"), 0

        def reached(rows: Rows, answer: Answer) -> str:
            start = begun or self._now
            # once through: what changed since the beginning of the pass is read by update
            return f"{_FIRST}{start} {answer.next}" if answer.next else _earlier(start)

        while url:
            answer, rows = self._list("pulls", url, reached)
            begun = begun or self._now
            done, total = done + rows.listed, answer.last_page * PER_PAGE or total
            self.progress("pull requests", done, total)
            url = answer.next

    def _pulls_updated(self, cursor: str) -> None:
        newest, url = cursor, self._pulls_url("updated", "desc")
        whole, first = False, True

        def reached(rows: Rows, answer: Answer) -> str:
            nonlocal newest, whole
            newest = max(newest, rows.newest)
            whole = not answer.next or rows.oldest < _earlier(cursor)
            return newest if whole else ""  # the walk counts once it is whole

        while url and not whole:
            answer, _ = self._list("pulls", url, reached, conditional=first)
            if answer.status == 304:
                return
            first, url = False, answer.next
            self.progress("updated pull requests", 0, 0)

    def _pulls_url(self, by: str, direction: str) -> str:
        return _url(f"/repos/{self.ledger.repo}/pulls", {"state": "all", "sort": by, "direction": direction, "per_page": PER_PAGE})  # fmt: skip

    def comments(self, stream: str, path: str, since: str) -> None:
        """All comments of a kind, by update, each page from where the last one ended."""
        start = self.ledger.cursor(stream) or since
        number, first, done = 1, True, 0

        def reached(rows: Rows, answer: Answer) -> str:
            if answer.next:
                return max(_second_before(rows.newest), start)
            # the last page: stay where it began, so that nothing new means the same page again; a little
            # further back where its end is so fresh that something older may still turn up
            fresh = bool(rows.newest) and _time(rows.newest) + OVERLAP > _time(self._now)
            return min(start or rows.newest, _earlier(rows.newest)) if fresh else start

        while True:
            asked: dict[str, str | int] = {"sort": "updated", "direction": "asc", "per_page": PER_PAGE}
            asked |= ({"since": start} if start else {}) | ({"page": number} if number > 1 else {})
            # a page that others follow may stay the same while those change
            answer, rows = self._list(stream, _url(path, asked), reached, conditional=first, marked=_is_last)
            if answer.status == 304 or not answer.next:
                return
            follow = _second_before(rows.newest)
            start, number = (follow, 1) if follow > start else (start, number + 1)
            first, done = False, done + rows.listed
            self.progress(stream, done, 0)

    # GraphQL -----------------------------------------------------------------------------------------

    def reviews(self) -> None:
        """Reviews and threads of every pull request that changed, then the lists that one page did not hold."""
        total = self.ledger.count("work")
        while batch := self.ledger.work("pull", _WINDOW):
            threaded = self.ledger.with_inline([n for n, *_ in batch])
            with_ = [(n, i) for n, i, *_ in batch if n in threaded]
            without = [(n, i) for n, i, *_ in batch if n not in threaded]
            for name, pulls, size in (
                ("reviews and threads", with_, WITH_THREADS), ("reviews", without, WITHOUT_THREADS),
            ):  # fmt: skip
                for start in range(0, len(pulls), size):
                    self._query(name, "pull", pulls[start : start + size])
                    self.progress("reviews", total - self.ledger.count("work"), total)
        self._follow()

    def _follow(self) -> None:
        for what in ("more reviews", "more threads", "comment ids", "inline ids"):
            while batch := self.ledger.work(what, 1):
                number, node, after, _ = batch[0]
                self._query(what, what, [(number, node)], after)

    def _query(self, name: str, what: str, pulls: Sequence[tuple[int, str]], after: str = "") -> None:
        """Ask of some pull requests at once; of half of them where that was too much; one that fails waits for the next run."""
        numbers = tuple(n for n, _ in pulls)
        variables: dict[str, object] = {"ids": [node for _, node in pulls]}
        if "$after" in QUERIES[name]:
            variables["after"] = after or None
        try:
            answer = self.client.graphql(QUERIES[name], variables, points(name, len(pulls)))
            params = msgspec.json.encode(Asked(name, numbers, after)).decode()
            page = page_of("graphql", "graphql", scrub(answer.body, self._forgotten), params=params, fetched_at=self._now)  # fmt: skip
            rows = graphql_rows(page)
        except (QueryTooLarge, msgspec.ValidationError) as exc:
            if len(pulls) > 1:
                half = len(pulls) // 2
                self._query(name, what, pulls[:half], after)
                self._query(name, what, pulls[half:], after)
            else:
                self.ledger.put_off(what, numbers[0], str(exc) or "GitHub can't answer for this pull request")
            return
        self.ledger.receive(page, rows, remaining=answer.remaining, done=[(what, n) for n in numbers])
        self.report.pages += 1

    def resolution(self) -> None:
        """State of open threads: resolving one leaves no trace in any list, so a part is looked at again in each run."""
        pulls = self.ledger.open_with_threads()
        if not pulls:
            return
        turn = int(self.ledger.meta("resolution turn") or 0) % len(pulls)
        wanted = (pulls[turn:] + pulls[:turn])[: _LIGHT_REQUESTS * LIGHT]
        for start in range(0, len(wanted), LIGHT):
            self._query("resolution", "resolution", wanted[start : start + LIGHT])
        self.ledger.set_meta("resolution turn", str((turn + len(wanted)) % len(pulls)))
        if self.ledger.work("pull", 1):  # a thread that nobody had told of
            self.reviews()

    # deletions ---------------------------------------------------------------------------------------

    def reconcile(self, asked: bool) -> None:
        """Once a week, compare how many comments and reviews each pull request has; where some are missing, find out which."""
        last = self.ledger.meta("reconciled")
        if not last:  # a first sync has just seen everything
            self.ledger.set_meta("reconciled", self._now)
        pending = bool(self.ledger.work("counts", 1))
        due = bool(last) and _time(last) + RECONCILE_EVERY <= _time(self._now or last)
        if not (asked or pending or due):
            return
        if not pending:
            self.ledger.queue_all("counts")
        while batch := self.ledger.work("counts", LIGHT):
            self._query("counts", "counts", [(n, i) for n, i, *_ in batch])
        self.reviews()
        self.ledger.set_meta("reconciled", self._now or last)
        self.report.reconciled = True


def _url(path: str, parameters: Mapping[str, str | int]) -> str:
    return f"{path}?{urlencode(parameters)}"


def _is_last(answer: Answer) -> bool:
    return not answer.next


def _time(stamp: str) -> datetime:
    try:
        return (
            datetime.fromisoformat(stamp.replace("Z", "+00:00"))
            if stamp
            else datetime.min.replace(tzinfo=UTC)
        )
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _format(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _earlier(stamp: str) -> str:
    """A little before a time, since lists may be a little behind."""
    return _format(_time(stamp) - OVERLAP) if stamp and _time(stamp).year > 1 else stamp


def _second_before(stamp: str) -> str:
    return _format(_time(stamp) - timedelta(seconds=1)) if stamp and _time(stamp).year > 1 else ""


def _stamp(date: str) -> str:
    """A time of an HTTP header as ISO 8601, empty where there is none."""
    try:
        return _format(parsedate_to_datetime(date)) if date else ""
    except (ValueError, TypeError):
        return ""
