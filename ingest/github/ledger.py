"""The ledger of one repository: which pages were received, how far each list was read, what is still to be asked.

SQLite. A page, its rows, the cursor and the work that it makes are one transaction, behind the append of the
page itself: whenever a run is killed, the next one goes on from the last page that counts. The rows can always
be made again from the pages, so that they are a cache of what `rows.py` reads today.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from ingest.github.pages import ArchiveError, Page, Place, Segments
from ingest.github.rows import CommentRow, Complete, PullRow, ReviewRow, Rows, ThreadRow

S = TypeVar("S", bound=msgspec.Struct)

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS page (
  seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, url TEXT NOT NULL, etag TEXT NOT NULL, fetched_at TEXT NOT NULL,
  sha256 TEXT NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  listed INTEGER NOT NULL, remaining INTEGER);
CREATE TABLE IF NOT EXISTS etag (url TEXT PRIMARY KEY, etag TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursor (stream TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS work (
  what TEXT NOT NULL, number INTEGER NOT NULL, after TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
  error TEXT NOT NULL, PRIMARY KEY (what, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirty (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS pull (
  number INTEGER PRIMARY KEY, node_id TEXT NOT NULL, updated_at TEXT NOT NULL, state TEXT NOT NULL,
  heads TEXT NOT NULL, gone INTEGER NOT NULL, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS comment (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL, updated_at TEXT NOT NULL, gone INTEGER NOT NULL,
  json BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS comment_of ON comment (number);
CREATE TABLE IF NOT EXISTS review (
  id INTEGER PRIMARY KEY, number INTEGER NOT NULL, gone INTEGER NOT NULL, json BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS review_of ON review (number);
CREATE TABLE IF NOT EXISTS thread (
  node_id TEXT PRIMARY KEY, number INTEGER NOT NULL, root INTEGER NOT NULL, resolved INTEGER NOT NULL,
  outdated INTEGER NOT NULL, gone INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS thread_of ON thread (number);
CREATE TABLE IF NOT EXISTS forgotten (hash TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_ROW_TABLES = ("pull", "comment", "review", "thread")


def author_hash(login: str) -> str:
    """How a forgotten author is remembered: enough to know the name again, not to read it."""
    return hashlib.sha256(b"prlore forgets " + login.strip().lower().encode()).hexdigest()


class Ledger:
    """An open archive of one repository. Use `open_ledger`."""

    def __init__(self, folder: Path, repo: str, database: sqlite3.Connection) -> None:
        self.folder = folder
        self.repo = repo
        self.segments = Segments(folder)
        self._db = database
        self._end = self._last_place()

    # what is known -----------------------------------------------------------------------------------

    def _last_place(self) -> Place | None:
        row = self._db.execute(
            "SELECT segment, offset, length FROM page ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return Place(*row) if row else None

    def mend(self) -> int:
        """Cut off what a killed run appended and did not enter, and files that no page is in; returns the bytes."""
        used = [row[0] for row in self._db.execute("SELECT DISTINCT segment FROM page")]
        return self.segments.cut_to(self._end) + self.segments.keep_only(used)

    def meta(self, key: str) -> str:
        """An entry, empty where there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def set_meta(self, key: str, value: str) -> None:
        """Write an entry."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def cursor(self, stream: str) -> str:
        """How far a list was read, empty where it never was."""
        row = self._db.execute("SELECT value FROM cursor WHERE stream = ?", (stream,)).fetchone()
        return str(row[0]) if row else ""

    def etag(self, url: str) -> str:
        """The mark of a page as it was last seen."""
        row = self._db.execute("SELECT etag FROM etag WHERE url = ?", (url,)).fetchone()
        return str(row[0]) if row else ""

    def count(self, table: str) -> int:
        """Rows of a table that are not gone."""
        assert table in (*_ROW_TABLES, "page", "work", "dirty")
        where = " WHERE gone = 0" if table in _ROW_TABLES else ""
        return int(self._db.execute(f"SELECT count(*) FROM {table}{where}").fetchone()[0])

    def pages(self) -> Iterator[Page]:
        """All pages in the order they were received."""
        for row in self._db.execute("SELECT segment, offset, length FROM page ORDER BY seq").fetchall():
            yield self.segments.read(Place(*row))

    def forgotten(self) -> frozenset[str]:
        """Hashes of the authors whose words are not kept."""
        return frozenset(row[0] for row in self._db.execute("SELECT hash FROM forgotten"))

    # writing -----------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, taken back on any error."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db

    def receive(
        self, page: Page, rows: Rows, *, remaining: int | None = None, cursors: Sequence[tuple[str, str]] = (),
        done: Iterable[tuple[str, int]] = (), todo: Iterable[tuple[str, int]] = (),
    ) -> None:  # fmt: skip
        """Enter a page with everything that follows from it.

        Args:
            page: as received.
            rows: what it holds.
            remaining: requests that GitHub says are left.
            cursors: lists and how far they are read now.
            done: work (what, pull request) that it answers.
            todo: work that it asks for, besides what its rows do.
        """
        place = self.segments.append(page, self._end)
        with self.transaction() as db:
            db.execute(
                "INSERT INTO page (stream, url, etag, fetched_at, sha256, segment, offset, length, listed, remaining) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (page.stream, page.url, page.etag, page.fetched_at, page.sha256, place.segment, place.offset,
                 place.length, rows.listed, remaining),
            )  # fmt: skip
            if page.etag:
                db.execute("INSERT OR REPLACE INTO etag VALUES (?, ?)", (page.url, page.etag))
            db.executemany("DELETE FROM work WHERE what = ? AND number = ?", list(done))
            self._apply(db, rows)
            for what, number in todo:
                self._ask(db, what, number)
            db.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?)", list(cursors))
        self._end = place

    def _apply(self, db: sqlite3.Connection, rows: Rows) -> None:
        for pull in rows.pulls:
            self._put_pull(db, pull)
        for comment in rows.comments:
            self._put_comment(db, comment)
        for review in rows.reviews:
            self._put_review(db, review)
        for thread in rows.threads:
            self._put_thread(db, thread)
        for number in rows.gone:
            db.execute("UPDATE pull SET gone = 1 WHERE number = ?", (number,))
            self._mark(db, number)
        for whole in rows.complete:
            self._bury(db, whole)
        for counted in rows.counted:
            have: dict[str, int] = dict(
                db.execute(
                    "SELECT kind, count(*) FROM comment WHERE number = ? AND gone = 0 GROUP BY kind",
                    (counted.number,),
                ).fetchall()
            )
            if have.get("conversation", 0) > counted.conversation:
                self._ask(db, "comment ids", counted.number)
            if counted.inline < 0 or have.get("inline", 0) > counted.inline:
                self._ask(db, "inline ids", counted.number)
            held = db.execute("SELECT count(*) FROM review WHERE number = ? AND gone = 0", (counted.number,))
            if held.fetchone()[0] != counted.reviews:
                self._ask(db, "pull", counted.number)
        names = {"reviews": "more reviews", "threads": "more threads", "comments": "comment ids"}
        for more in rows.more:
            self._ask(db, names[more.what], more.number, more.cursor)

    def _put_pull(self, db: sqlite3.Connection, pull: PullRow) -> None:
        old = db.execute(
            "SELECT updated_at, heads, json FROM pull WHERE number = ?", (pull.number,)
        ).fetchone()
        data = msgspec.json.encode(pull)
        heads = old[1].split(" ") if old and old[1] else []
        if pull.head_sha and (not heads or heads[-1] != pull.head_sha):
            heads.append(pull.head_sha)
        if old and (pull.updated_at < old[0] or old[2] == data):
            return
        db.execute(
            "INSERT OR REPLACE INTO pull VALUES (?, ?, ?, ?, ?, 0, ?)",
            (pull.number, pull.node_id, pull.updated_at, pull.state, " ".join(heads), data),
        )
        self._ask(db, "pull", pull.number)
        self._mark(db, pull.number)

    def _put_comment(self, db: sqlite3.Connection, comment: CommentRow) -> None:
        old = db.execute("SELECT updated_at, json FROM comment WHERE id = ?", (comment.id,)).fetchone()
        data = msgspec.json.encode(comment)
        if old and (comment.updated_at < old[0] or old[1] == data):
            return
        db.execute(
            "INSERT OR REPLACE INTO comment VALUES (?, ?, ?, ?, 0, ?)",
            (comment.id, comment.kind, comment.number, comment.updated_at, data),
        )
        if comment.kind == "inline":  # its thread's id and state are GraphQL's to tell
            self._ask(db, "pull", comment.number)
        self._mark(db, comment.number)

    def _put_review(self, db: sqlite3.Connection, review: ReviewRow) -> None:
        data = msgspec.json.encode(review)
        old = db.execute("SELECT json, gone FROM review WHERE id = ?", (review.id,)).fetchone()
        if old and old[0] == data and not old[1]:
            return
        db.execute("INSERT OR REPLACE INTO review VALUES (?, ?, 0, ?)", (review.id, review.number, data))
        self._mark(db, review.number)

    def _put_thread(self, db: sqlite3.Connection, thread: ThreadRow) -> None:
        new = (thread.root, int(thread.resolved), int(thread.outdated))
        old = db.execute(
            "SELECT root, resolved, outdated FROM thread WHERE node_id = ?", (thread.node_id,)
        ).fetchone()
        if old and not thread.root:
            new = (old[0], *new[1:])
        if old == new:
            return
        if not new[0]:  # never seen with its comments: ask for them
            self._ask(db, "pull", thread.number)
            return
        db.execute("INSERT OR REPLACE INTO thread VALUES (?, ?, ?, ?, ?, 0)", (thread.node_id, thread.number, *new))  # fmt: skip
        self._mark(db, thread.number)

    def _bury(self, db: sqlite3.Connection, whole: Complete) -> None:
        """Tombstones for what a complete list has no more."""
        table, key, extra = {
            "reviews": ("review", "id", ""), "threads": ("thread", "node_id", ""),
            "comments": ("comment", "id", " AND kind = 'conversation'"),
            "inline": ("comment", "id", " AND kind = 'inline'"),
        }[whole.what]  # fmt: skip
        held = db.execute(f"SELECT {key} FROM {table} WHERE number = ? AND gone = 0{extra}", (whole.number,))
        lost = [row[0] for row in held if str(row[0]) not in set(whole.ids)]
        if lost:
            db.executemany(f"UPDATE {table} SET gone = 1 WHERE {key} = ?", [(i,) for i in lost])
            self._mark(db, whole.number)

    def _ask(self, db: sqlite3.Connection, what: str, number: int, after: str = "") -> None:
        db.execute("INSERT OR REPLACE INTO work VALUES (?, ?, ?, 'todo', 0, '')", (what, number, after))

    def _mark(self, db: sqlite3.Connection, number: int) -> None:
        db.execute("INSERT OR IGNORE INTO dirty VALUES (?)", (number,))

    # work --------------------------------------------------------------------------------------------

    def work(self, what: str, limit: int) -> list[tuple[int, str, str, str]]:
        """(number, node id, cursor, why it was put off) of what is to be asked, lowest numbers first."""
        rows = self._db.execute(
            "SELECT w.number, p.node_id, w.after, w.error FROM work w JOIN pull p USING (number) "
            "WHERE w.what = ? AND w.state = 'todo' AND p.gone = 0 AND p.node_id != '' ORDER BY w.number LIMIT ?",
            (what, limit),
        )
        return [tuple(row) for row in rows.fetchall()]

    def with_inline(self, numbers: Sequence[int]) -> set[int]:
        """Those of some pull requests that have comments on code, or had threads."""
        marks = ", ".join(str(int(n)) for n in numbers) or "0"
        found = self._db.execute(
            f"SELECT DISTINCT number FROM comment WHERE kind = 'inline' AND number IN ({marks}) "
            f"UNION SELECT DISTINCT number FROM thread WHERE number IN ({marks})"
        )
        return {row[0] for row in found}

    def put_off(self, what: str, number: int, why: str) -> None:
        """Leave a piece of work for the next run."""
        with self.transaction() as db:
            db.execute(
                "UPDATE work SET state = 'failed', attempts = attempts + 1, error = ? WHERE what = ? AND number = ?",
                (why[:300], what, number),
            )

    def revive(self) -> None:
        """Take up again what failed in an earlier run."""
        with self.transaction() as db:
            db.execute("UPDATE work SET state = 'todo' WHERE state = 'failed'")

    def failed(self) -> list[tuple[str, int, str]]:
        """(what, number, why) of what was put off."""
        rows = self._db.execute("SELECT what, number, error FROM work WHERE state = 'failed' ORDER BY number")
        return [tuple(row) for row in rows.fetchall()]

    def queue_all(self, what: str) -> None:
        """Ask something of every pull request that is held."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO work SELECT ?, number, '', 'todo', 0, '' FROM pull WHERE gone = 0",
                (what,),
            )

    def open_with_threads(self) -> list[tuple[int, str]]:
        """(number, node id) of open pull requests that have threads, most recently updated first."""
        rows = self._db.execute(
            "SELECT number, node_id FROM pull WHERE gone = 0 AND state = 'open' AND node_id != '' "
            "AND number IN (SELECT number FROM thread) ORDER BY updated_at DESC, number"
        )
        return [tuple(row) for row in rows.fetchall()]

    # tables ------------------------------------------------------------------------------------------

    def dirty(self) -> list[int]:
        """Pull requests whose rows in the knowledge base are not up to date."""
        return [row[0] for row in self._db.execute("SELECT number FROM dirty ORDER BY number")]

    def clean(self, numbers: Sequence[int]) -> None:
        """Take note that rows are written."""
        with self.transaction() as db:
            db.executemany("DELETE FROM dirty WHERE number = ?", [(n,) for n in numbers])

    def rewrite(self, change: Callable[[Page], Page]) -> int:
        """Write every page anew into new files, changed as wanted, and drop the old files; returns the changed pages."""
        changed = 0
        end = Place(self._end.segment + 1, 0, 0) if self._end else None
        moved: list[tuple[int, int, int, str, str, int]] = []
        for seq, *place in self._db.execute("SELECT seq, segment, offset, length FROM page ORDER BY seq").fetchall():  # fmt: skip
            old = self.segments.read(Place(*place))
            new = change(old)
            changed += new is not old
            end = self.segments.append(new, end)
            moved.append((end.segment, end.offset, end.length, new.sha256, new.etag, seq))
        with self.transaction() as db:
            db.executemany(
                "UPDATE page SET segment = ?, offset = ?, length = ?, sha256 = ?, etag = ? WHERE seq = ?",
                moved,
            )
        self._end = self._last_place()
        self.mend()
        return changed

    def vacuum(self) -> None:
        """Give back the room of what was removed, so that its bytes are gone from the files."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def rebuild(self, pages: Iterable[tuple[Page, Rows]]) -> int:
        """Make all rows anew from the pages, in one transaction; returns the pages."""
        seen = 0
        with self.transaction() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS kept_work AS SELECT * FROM work WHERE 0")
            db.execute("DELETE FROM kept_work")
            db.execute("INSERT INTO kept_work SELECT * FROM work")
            db.execute("INSERT OR IGNORE INTO dirty SELECT number FROM pull UNION SELECT number FROM comment")
            for table in _ROW_TABLES:
                db.execute(f"DELETE FROM {table}")
            for _, rows in pages:
                self._apply(db, rows)
                seen += 1
            db.execute("DELETE FROM work")  # what is to be asked was decided when the pages came
            db.execute("INSERT INTO work SELECT * FROM kept_work")
        return seen

    def pull_rows(self, numbers: Sequence[int]) -> list[tuple[PullRow, tuple[str, ...], bool]]:
        """(row, heads, whether it is gone) of pull requests."""
        found = self._in("SELECT json, heads, gone FROM pull WHERE number IN", numbers, " ORDER BY number")
        return [
            (msgspec.json.decode(j, type=PullRow), tuple(h.split()) if h else (), bool(g))
            for j, h, g in found
        ]

    def comment_rows(self, numbers: Sequence[int]) -> list[CommentRow]:
        """Comments of pull requests, oldest first."""
        found = self._in("SELECT json FROM comment WHERE gone = 0 AND number IN", numbers, " ORDER BY id")
        return [msgspec.json.decode(j, type=CommentRow) for (j,) in found]

    def review_rows(self, numbers: Sequence[int]) -> list[ReviewRow]:
        """Reviews of pull requests, oldest first."""
        found = self._in("SELECT json FROM review WHERE gone = 0 AND number IN", numbers, " ORDER BY id")
        return [msgspec.json.decode(j, type=ReviewRow) for (j,) in found]

    def thread_rows(self, numbers: Sequence[int]) -> list[ThreadRow]:
        """What GraphQL said of the threads of pull requests."""
        found = self._in("SELECT node_id, number, root, resolved, outdated FROM thread WHERE gone = 0 AND number IN", numbers, " ORDER BY node_id")  # fmt: skip
        return [ThreadRow(node_id=i, number=n, root=r, resolved=bool(s), outdated=bool(o)) for i, n, r, s, o in found]  # fmt: skip

    def _in(self, query: str, numbers: Sequence[int], tail: str) -> list[Any]:
        marks = ", ".join(str(int(n)) for n in numbers) or "0"
        return self._db.execute(f"{query} ({marks}){tail}").fetchall()


@contextmanager
def open_ledger(root: Path, repo: str, *, create: bool = True) -> Iterator[Ledger]:
    """Open the archive of a repository; one process at a time.

    Raises:
        ArchiveError: there is none, it can't be written, or another process holds it.
    """
    folder = root / folder_name(repo)
    database: sqlite3.Connection | None = None
    lock: IO[bytes] | None = None
    try:
        if not create and not (folder / "ledger.sqlite").is_file():
            raise ArchiveError(
                f"nothing of {repo} was fetched into {root}: run `prlore ingest github {repo}`"
            )
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArchiveError(f"another prlore is fetching {repo}: wait for it to end") from None
        database = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA secure_delete = ON")
        database.executescript(_SCHEMA)
        ledger = Ledger(folder, repo, database)
        version = ledger.meta("version")
        if version not in ("", str(_VERSION)):
            raise ArchiveError(f"the archive in {folder} has version {version}, this prlore writes {_VERSION}: name another with --pages")  # fmt: skip
        ledger.set_meta("version", str(_VERSION))
        ledger.set_meta("repo", repo)
        ledger.mend()
        yield ledger
    except sqlite3.Error as exc:
        raise ArchiveError(f"can't use the ledger in {folder}: {exc}; make room, or name another with --pages") from exc  # fmt: skip
    except OSError as exc:
        raise ArchiveError(f"can't use {folder}: {exc.strerror or exc}; name another with --pages") from exc
    finally:
        if database is not None:
            database.close()
        if lock is not None:
            lock.close()


def folder_name(repo: str) -> str:
    """`owner+name`, a plain folder name."""
    return re.sub(r"[^\w.-]+", "+", repo)


def archived(root: Path) -> list[str]:
    """Repositories that have an archive, `owner/name`."""
    return sorted(p.parent.name.replace("+", "/", 1) for p in root.glob("*/ledger.sqlite"))
