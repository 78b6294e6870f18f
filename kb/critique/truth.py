"""Which hunks of merged pull requests a later one had to mend: a truth that needs no model and no opinion.

A history is replayed in the order of merges. Each telling line remembers who put it in. When a fix or a revert takes such
a line out, or puts a line between two of them, within 60 days, the hunk that had brought it was in need of mending. That
is a lower bound: what was mended later, or by lines elsewhere, does not count, and a line may be taken out for no fault of
its own. A pull request of whose lines none was ever taken out again is clean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from ingest.paths import group_of
from ingest.records import Hunk
from kb.critique.findings import Concern, Record
from kb.critique.history import PastPull, days_between, telling
from kb.filters import Filter
from kb.store import Store
from kb.stored_diff import ChunkRow, hunk_lines, hunks_of_chunks

WITHIN = 60.0  # days
_DISTINCT = 12  # letters and digits
_BATCH = 400  # cards whose chunks are read at once
_CODE = ("runtime", "kernel")


class MendedHunk(Record, frozen=True, kw_only=True):
    """A hunk that had to be mended, and by whom."""

    path: str
    hunk: str
    by: tuple[str, ...]


class ReviewCase(Record, frozen=True, kw_only=True):
    """A merged pull request whose later fate is known.

    Attributes:
        id: `owner/name#N`, a card of the store.
        mended: its hunks that a fix or revert within 60 days changed.
        concerns: what the titles of those fixes are about.
        clean: none of its lines was ever taken out again.
        reverted: it was taken back as a whole, so every hunk is.
        files, hunks: how many it has, so that a user can choose what there is to rank in.
    """

    id: str
    merged_at: str
    files: int
    hunks: int
    mended: tuple[MendedHunk, ...] = ()
    concerns: tuple[Concern, ...] = ()
    clean: bool = False
    reverted: bool = False


@dataclass(slots=True)
class _Kept:
    """What is remembered of a pull request while the history goes on."""

    pull: PastPull
    hunks: int
    files: int
    code: bool
    whole: bool
    mended: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    touched: bool = False
    reverted: bool = False


Owner = tuple[str, str, str]  # pull request, path at that time, header of the hunk


def find_cases(store: Store, repo: str, until: str = "") -> list[ReviewCase]:
    """The cases of a repository, oldest first: mended ones and clean ones that had 60 days to be mended.

    Args:
        store: a store with diffs.
        repo: `owner/name`.
        until: the history's end, empty for its newest card.
    """
    owners: dict[tuple[str, str], Owner] = {}
    kept: dict[str, _Kept] = {}
    last = until
    for pull, diff in _replay(store, repo):
        if until and pull.merged_at >= until:
            break
        last = pull.merged_at
        renames = {f.path: f.old_path for f in pull.files if f.old_path}
        hunks = sum(len(h) for h in diff.values())
        code = any(group_of(p) in _CODE for p in diff)
        whole = all(f.path in diff or not (f.added or f.removed) for f in pull.files)
        kept[pull.id] = _Kept(pull, hunks, len(diff), code, whole)
        for path, parts in diff.items():
            old = renames.get(path, path)
            for hunk in parts:
                _follow(pull, old, path, hunk, owners, kept)
        for target in pull.reverted:
            if target in kept and days_between(kept[target].pull.merged_at, pull.merged_at) <= WITHIN:
                kept[target].reverted = True
    return [_case(k, kept) for k in kept.values() if _is_case(k, last)]


def _is_case(k: _Kept, last: str) -> bool:
    if not k.code or not k.whole or not k.hunks:
        return False
    return bool(k.mended) or (not k.touched and days_between(k.pull.merged_at, last) >= WITHIN)


def _case(k: _Kept, kept: dict[str, _Kept]) -> ReviewCase:
    fixes = sorted({i for by in k.mended.values() for i in by})
    concerns = dict.fromkeys(c for i in fixes for c in kept[i].pull.concerns[:1])
    return ReviewCase(
        id=k.pull.id, merged_at=k.pull.merged_at, files=k.files, hunks=k.hunks,
        mended=tuple(MendedHunk(path=p, hunk=h, by=tuple(by)) for (p, h), by in sorted(k.mended.items())),
        concerns=tuple(concerns), clean=not k.mended and not k.touched, reverted=k.reverted,
    )  # fmt: skip


def _follow(
    pull: PastPull,
    old: str,
    path: str,
    hunk: Hunk,
    owners: dict[tuple[str, str], Owner],
    kept: dict[str, _Kept],
) -> None:
    """Take one hunk into account: whose lines it takes out, and which it puts in."""
    rows = hunk_lines(hunk)
    gone = [r[1:].strip() for r in rows if r[:1] == "-"]
    put = {r[1:].strip() for r in rows if r[:1] == "+"}
    hits = [owners[old, t] for t in gone if t not in put and (old, t) in owners]
    if not any(telling(t) >= _DISTINCT for t in gone):
        hits += _between(old, rows, owners)
    for owner in hits:
        theirs = kept.get(owner[0])
        if theirs is None or owner[0] == pull.id:
            continue
        theirs.touched = True
        mends = pull.is_fix and days_between(theirs.pull.merged_at, pull.merged_at) <= WITHIN
        if mends and pull.id not in theirs.mended[owner[1], owner[2]]:
            theirs.mended[owner[1], owner[2]].append(pull.id)
        if not theirs.mended[owner[1], owner[2]]:
            del theirs.mended[owner[1], owner[2]]
    for text in gone:
        owners.pop((old, text), None)
    for text in put:
        if telling(text) >= _DISTINCT:
            owners[path, text] = (pull.id, path, hunk.header)


def _between(old: str, rows: Sequence[str], owners: dict[tuple[str, str], Owner]) -> list[Owner]:
    """Owners of the lines around what a hunk merely puts in, where the one above and the one below have the same."""
    found: list[Owner] = []
    marks = [r[:1] for r in rows]
    at = 0
    while at < len(rows):
        if marks[at] != "+":
            at += 1
            continue
        end = at
        while end < len(rows) and marks[end] == "+":
            end += 1
        above = next(
            (owners.get((old, r[1:].strip())) for r in reversed(rows[:at]) if telling(r) >= _DISTINCT), None
        )
        below = next((owners.get((old, r[1:].strip())) for r in rows[end:] if telling(r) >= _DISTINCT), None)
        if above is not None and above == below:
            found.append(above)
        at = end
    return found


def _replay(store: Store, repo: str) -> Iterator[tuple[PastPull, dict[str, tuple[Hunk, ...]]]]:
    """Every pull request with the hunks the store holds of it, in the order of merges."""
    table = store.scan("cards", ["id", "merged_at"], Filter(repos=(repo,)))
    order = table.sort_by([("merged_at", "ascending"), ("id", "ascending")])["id"].to_pylist()
    for start in range(0, len(order), _BATCH):
        ids = order[start : start + _BATCH]
        cards = {
            r["id"]: msgspec.json.decode(r["card"], type=PastPull)
            for r in store.cards_by_id(ids, ["id", "card"]).to_pylist()
        }
        chunks = store.chunks_of(ids).select(list(ChunkRow._fields))
        rows = (ChunkRow(*r) for r in zip(*(chunks[c].to_pylist() for c in ChunkRow._fields), strict=True))
        diffs: dict[str, dict[str, tuple[Hunk, ...]]] = {}
        for (card_id, path), pieces in groupby(rows, key=lambda r: (r.card_id, r.path)):
            diffs.setdefault(card_id, {})[path] = tuple(hunks_of_chunks(list(pieces)))
        for i in ids:
            yield cards[i], diffs.get(i, {})


def chosen(found: Sequence[ReviewCase], files: int, mended: int, clean: int) -> list[ReviewCase]:
    """Cases to evaluate on: mended ones in which there is something to rank, and clean ones, each spread over the time."""
    rankable = [
        c for c in found
        if c.mended and not c.reverted and c.files >= files and c.hunks > len(c.mended) and c.files > len({m.path for m in c.mended})
    ]  # fmt: skip
    picked = [*_spread(rankable, mended), *_spread([c for c in found if c.clean], clean)]
    return sorted(picked, key=lambda c: (c.merged_at, c.id))


def _spread(cases: Sequence[ReviewCase], most: int) -> list[ReviewCase]:
    """Every n-th of some cases."""
    if len(cases) <= most:
        return list(cases)
    return [cases[i * len(cases) // most] for i in range(most)]
