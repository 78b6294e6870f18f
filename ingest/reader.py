"""Pull requests of a history, in order, on all cores, in bounded memory.

One git process streams the diffs. Files are dealt to worker processes by path, so that the worker that sees
a file's next change still holds its last version. Results come back in the order of the history.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ingest.diffs import parse_hunks
from ingest.errors import DiffMismatch, WorkerLost
from ingest.facts import FileFacts, changed_text, file_facts, merge_facts, named_pulls
from ingest.git import Repository
from ingest.history import CommitIndex, WalkedCommit
from ingest.logstream import RawCommit, RawFile, stream_commits
from ingest.paths import group_of, shared_area
from ingest.records import ChangedFile, Link, PullRequest
from ingest.subjects import classify
from ingest.symbols import SymbolTracker

T = TypeVar("T")
Digest = Callable[[ChangedFile], T]

_BATCH_BYTES = 2 << 20
_BATCH_COMMITS = 64
_IN_FLIGHT = 4  # batches under way: enough that workers never wait for a write, few enough to bound memory


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the run could not read. `number` and `sha` name the pull request that paid for it."""

    number: int
    sha: str
    what: str


@dataclass(frozen=True, slots=True)
class ReadPullRequest(Generic[T]):
    """A pull request, what the caller's digest made of each of its files, and what was wrong.

    The files carry symbols but no hunks: hunks go to the digest, in the worker, and stay there.
    """

    pull: PullRequest
    digests: tuple[T, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _FileResult(Generic[T]):
    file: ChangedFile
    facts: FileFacts
    digest: T
    problem: str | None


def read_pull_requests(
    repository: Repository,
    repo: str,
    commits: Sequence[WalkedCommit],
    index: CommitIndex,
    digest: Digest[T],
    workers: int | None = None,
) -> Generator[ReadPullRequest[T], None, None]:
    """Read the diffs of numbered commits. Close the generator to end its processes early.

    Args:
        repository: where they are.
        repo: `owner/name`, the namespace of the numbers.
        commits: commits with a number, parents before children.
        index: resolves commits that messages name.
        digest: a function of a module, run in the worker on each file with its hunks.
        workers: processes; as many as cores by default.

    Raises:
        GitFailed: git died for another reason than an unreadable object.
        WorkerLost: a worker process was killed.
    """
    heads = {c.head.sha: c for c in commits}
    shards = max(1, workers or os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(1, context, _start_worker, (repository, digest)) for _ in range(shards)]
    waiting: deque[tuple[list[RawCommit], list[Future[list[_FileResult[T]]]]]] = deque()
    try:
        for batch in _batches(stream_commits(repository, [c.head.sha for c in commits])):
            waiting.append((batch, _submit(pools, batch)))
            if len(waiting) > _IN_FLIGHT:
                yield from _collect(waiting.popleft(), repo, heads, index)
        while waiting:
            yield from _collect(waiting.popleft(), repo, heads, index)
    except BrokenExecutor:
        raise WorkerLost(
            f"a worker process that read {repo} was ended from outside, most often for want of memory: run the same "
            "command again, it goes on where it stopped (--workers 1 takes the least memory)"
        ) from None
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _batches(commits: Iterator[RawCommit]) -> Iterator[list[RawCommit]]:
    batch: list[RawCommit] = []
    size = 0
    for commit in commits:
        batch.append(commit)
        size += sum(len(f.patch) for f in commit.files)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_COMMITS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _shard(path: str, shards: int) -> int:
    return zlib.crc32(path.encode()) % shards


def _submit(
    pools: Sequence[ProcessPoolExecutor], batch: Sequence[RawCommit]
) -> list[Future[list[_FileResult[T]]]]:
    dealt: list[list[tuple[RawFile, bool]]] = [[] for _ in pools]
    for commit in batch:
        for file in commit.files:
            dealt[_shard(file.entry.path, len(pools))].append((file, commit.problem is None))
    return [pool.submit(_work, files) for pool, files in zip(pools, dealt, strict=True)]


def _collect(
    waiting: tuple[list[RawCommit], list[Future[list[_FileResult[T]]]]],
    repo: str,
    heads: dict[str, WalkedCommit],
    index: CommitIndex,
) -> Iterator[ReadPullRequest[T]]:
    batch, futures = waiting
    results = [iter(future.result()) for future in futures]
    for commit in batch:
        files = [next(results[_shard(file.entry.path, len(results))]) for file in commit.files]
        yield _assemble(commit, files, repo, heads[commit.sha], index)


def _assemble(
    commit: RawCommit, results: Sequence[_FileResult[T]], repo: str, walked: WalkedCommit, index: CommitIndex
) -> ReadPullRequest[T]:
    head, subject = walked.head, walked.subject
    assert subject.number is not None
    links = index.resolve_all(repo, walked)
    named = (*named_pulls(f"{head.subject} {head.body}"), *(p for r in results for p in r.facts.pulls))
    others = dict.fromkeys(p for p in named if p.rpartition("#")[0] != repo)
    files = tuple(r.file for r in results)
    areas = {area for f in files if (area := shared_area(f.path))}
    problems = [Problem(subject.number, commit.sha, commit.problem)] if commit.problem else []
    problems += [
        Problem(subject.number, commit.sha, f"{r.file.path}: {r.problem}") for r in results if r.problem
    ]
    pull = PullRequest(
        repo=repo,
        number=subject.number,
        title=subject.title,
        sha=head.sha,
        parent=head.parents[0] if head.parents else "",
        merged_at=head.committed_at,
        kind=classify(subject.title, frozenset(f.group for f in files)),
        tickets=subject.tickets,
        links=(*links, *(Link("counterpart", p) for p in others)),
        diff_state="missing" if commit.problem else "complete",
        files=files,
        blast_radius=tuple(sorted(areas)),
        facts=merge_facts(r.facts for r in results),
        message=head.body,
    )
    return ReadPullRequest(pull, tuple(r.digest for r in results), tuple(problems))


# In a worker process: one tracker and one digest for its whole life.
_tracker: SymbolTracker | None = None
_digest: Digest[object] | None = None


def _start_worker(repository: Repository, digest: Digest[object]) -> None:
    global _tracker, _digest
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends us
    _tracker = SymbolTracker(repository)
    _digest = digest


def _work(files: Sequence[tuple[RawFile, bool]]) -> list[_FileResult[Any]]:
    return [_read_file(raw, whole) for raw, whole in files]


def _read_file(raw: RawFile, whole: bool) -> _FileResult[Any]:
    assert _tracker is not None
    assert _digest is not None
    entry = raw.entry
    group = group_of(entry.path)
    file = ChangedFile(entry, group)
    facts, problem = FileFacts(), None
    if whole:
        try:
            hunks = parse_hunks(raw.patch, entry.added, entry.removed)
        except DiffMismatch as exc:
            hunks, problem = (), str(exc)
        sections = [(h.new_start, h.section) for h in hunks]
        symbols, source = _tracker.symbols(entry, raw.patch, sections) if hunks else ((), "none")
        file = ChangedFile(entry, group, hunks, symbols, source)
        facts = file_facts(entry.path, group, changed_text(hunks, "+"), changed_text(hunks, "-"))
    return _FileResult(replace(file, hunks=()), facts, _digest(file), problem)
