"""The precedent sweep: every card and every review thread that bears on a patch, counted, with what was said and done.

Nothing is sampled. A thread bears on the patch when it hangs on a touched file (under any of its names) or a touched
definition, when it is a conversation or a submission of a pull request that changed these files, when it names a flag
or variable of the patch, or when it belongs to the model family whose own files the patch changes. Topics are the one
thing that is searched rather than looked up, and are counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.github.records import ThreadKind
from kb.critique.concerns import EVIDENCE_ASKED, NIT, concerns_of, word_pattern
from kb.critique.findings import CONCERNS, Concern, Record
from kb.critique.history import History
from kb.critique.patch import Patch
from kb.families import Families
from kb.filters import Filter, ThreadFilter
from kb.store import Store
from kb.threads.reader import Rows, ThreadIndex
from kb.words import code_words, prose_words

_GENERIC = 12  # characters: a shorter name of a definition means another thing in every file
_TOPIC_WORDS = 40
_TOPICS = 50


class Matched(Record, frozen=True, kw_only=True):
    """How many bear on the patch by one reason; one that does so by several counts for each."""

    reason: str
    threads: int = 0
    cards: int = 0


class Recurring(Record, frozen=True, kw_only=True):
    """A concern that keeps coming back here.

    Attributes:
        threads: review threads that speak of it, and how many of them the change met, or were nits.
        blocked: of them, how many belong to pull requests whose reviewers asked for changes.
        fixes: merged fixes and reverts in these files whose titles speak of it.
        pulls: the newest of those, ids.
    """

    concern: Concern
    threads: int = 0
    addressed: int = 0
    nits: int = 0
    blocked: int = 0
    fixes: int = 0
    pulls: tuple[str, ...] = ()


class Sweep(Record, frozen=True, kw_only=True):
    """What was looked at and what bears on the patch."""

    cards_scanned: int
    threads_scanned: int
    cards: int
    threads: int
    pulls: int
    fixes: int
    reverts: int
    matched: tuple[Matched, ...] = ()
    kinds: tuple[tuple[ThreadKind, int], ...] = ()
    recurring: tuple[Recurring, ...] = ()
    asked: tuple[tuple[str, int], ...] = ()
    blocked_pulls: int = 0
    addressed: tuple[tuple[str, int], ...] = ()
    topic_cards: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Swept:
    """A sweep with the threads behind it: rows of the index and their words."""

    sweep: Sweep
    index: ThreadIndex
    rows: Rows
    words: Sequence[str]


def sweep_precedents(store: Store, patch: Patch, history: History, families: Families) -> Swept:
    """Look at every card and thread of the patch's repository."""
    where = ThreadFilter(repos=(patch.repo,) if patch.repo else (), before=patch.as_of, by_people=True)
    index = ThreadIndex(store, where)
    by_reason = _threads(store, index, patch, history, families) if len(index) else {}
    mine = _own_rows(index, patch)
    by_reason = {reason: np.setdiff1d(rows, mine) for reason, rows in by_reason.items()}
    rows = np.unique(np.concatenate(list(by_reason.values()))) if by_reason else np.array([], np.int64)
    words = index.words(rows)
    named = _named_cards(store, patch)
    family = _family_cards(store, patch, families)
    path_cards = set(history.pulls)
    at_symbol = {p.id for h in patch.hunks for p in history.symbol_changes(h.path, h.symbols)}
    cards = path_cards | named | family
    counted = {
        "touched file": path_cards, "touched definition": at_symbol, "flag or variable": named, "model family": family,
    }  # fmt: skip
    reasons = dict.fromkeys((*counted, *by_reason))
    fixes = [p for p in history.pulls.values() if p.is_fix]
    sweep = Sweep(
        cards_scanned=history.scanned, threads_scanned=len(index), cards=len(cards), threads=len(rows),
        pulls=len(cards | set(index.column("card_id", rows) if len(rows) else ())),
        fixes=len(fixes), reverts=sum(p.relation == "reverts" for p in fixes),
        matched=tuple(
            Matched(reason=r, threads=len(by_reason.get(r, ())), cards=len(counted.get(r, ()))) for r in reasons
        ),
        kinds=tuple(sorted(Counter(index.column("kind", rows)).items(), key=lambda k: (-k[1], k[0]))) if len(rows) else (),
        topic_cards=_topics(store, patch, path_cards),
    )  # fmt: skip
    return Swept(_said(sweep, store, index, rows, words, history), index, rows, words)


def _own_rows(index: ThreadIndex, patch: Patch) -> Rows:
    parts = [index.of_pull(i) for i in patch.own]
    return np.concatenate(parts) if parts else np.array([], np.int64)


def _threads(
    store: Store, index: ThreadIndex, patch: Patch, history: History, families: Families
) -> dict[str, Rows]:
    """Rows of the threads that bear on the patch, by reason."""
    path = index.one_of("path", sorted(history.of_name))
    pulls = index.one_of("card_id", sorted(history.pulls))
    loose = index.one_of("kind", ["conversation", "review"])
    found = {
        "touched file": path,
        "conversation or submission of a change to them": np.intersect1d(pulls, loose),
        "touched definition": _union(
            [
                index.at_symbol(s)
                for s in sorted({s for h in patch.hunks for s in h.symbols if len(s) >= _GENERIC})
            ]
        ),
    }
    named = _names(patch)
    if named:
        condition = ThreadFilter(repos=(patch.repo,) if patch.repo else (), before=patch.as_of).sql()
        hits = store.search_threads(
            " ".join(w for n in named for w in prose_words(n)[:1]), len(index), condition, ["id", "words"]
        )
        wanted = {(prose_words(n) or [""])[0] for n in named}
        rows = [index.row(i) for i, w in zip(hits["id"].to_pylist(), hits["words"].to_pylist(), strict=True) if wanted & set(w.split(" "))]  # fmt: skip
        found["flag or variable"] = np.array(sorted(r for r in rows if r is not None), np.int64)
    own = _own_families(patch, families)
    if own:
        found["model family"] = _union([index.of_family(slug) for slug in own])
    return found


def _union(parts: Sequence[Rows]) -> Rows:
    return np.unique(np.concatenate(parts)) if parts else np.array([], np.int64)


def _names(patch: Patch) -> list[str]:
    """Flags and variables of the patch, which mean the same wherever they stand."""
    facts = patch.facts
    return list(
        dict.fromkeys((*facts.flags_added, *facts.flags_removed, *facts.env_added, *facts.env_removed))
    )[:20]


def _named_cards(store: Store, patch: Patch) -> set[str]:
    """Cards that name a flag or variable of the patch."""
    names = _names(patch)
    if not names:
        return set()
    where = Filter(repos=(patch.repo,) if patch.repo else (), symbols=tuple(names), before=patch.as_of)
    return set(store.scan("cards", ["id"], where)["id"].to_pylist()) - set(patch.own)


def _own_families(patch: Patch, families: Families) -> list[str]:
    """Families whose own files the patch changes: a file that all share concerns none of them."""
    found: Counter[str] = Counter()
    for f in patch.files:
        for slug in families.of_path(f.path):
            if f.path.lower() not in (s.lower() for s in families.entry(slug).shared):
                found[slug] += 1
    named = set(families.mentioned(patch.title))
    return sorted(s for s in found if s in named or found[s] >= 2)[:3]


def _family_cards(store: Store, patch: Patch, families: Families) -> set[str]:
    own = _own_families(patch, families)
    if not own:
        return set()
    where = Filter(repos=(patch.repo,) if patch.repo else (), families=tuple(own), before=patch.as_of)
    return set(store.scan("cards", ["id"], where)["id"].to_pylist()) - set(patch.own)


def _topics(store: Store, patch: Patch, known: set[str]) -> tuple[tuple[str, str], ...]:
    """Cards of the same topic elsewhere: searched by title words and by the names the patch introduces."""
    introduced = [s.name.split(".")[-1] for f in patch.files for s in f.symbols if s.change == "introduced"]
    words = list(dict.fromkeys([*prose_words(patch.title), *code_words(" ".join(introduced[:10]))]))[
        :_TOPIC_WORDS
    ]
    if not words:
        return ()
    where = Filter(repos=(patch.repo,) if patch.repo else (), before=patch.as_of)
    hits = store.search_cards(
        " ".join(words), {"title_words": 2.0, "introduced_words": 1.0}, _TOPICS, where, ["id", "title"]
    )
    rows = zip(hits["id"].to_pylist(), hits["title"].to_pylist(), strict=True)
    return tuple((i, t) for i, t in rows if i not in known and i not in patch.own)[:5]


def _said(
    sweep: Sweep, store: Store, index: ThreadIndex, rows: Rows, words: Sequence[str], history: History
) -> Sweep:
    """The sweep with recurring concerns, what reviewers asked to see, and what was done about it."""
    fixes: dict[Concern, list[tuple[str, str]]] = {}
    for pull in history.pulls.values():
        if pull.is_fix:
            for concern in pull.concerns[:1]:
                fixes.setdefault(concern, []).append((pull.merged_at, pull.id))
    column = pa.array(list(words), pa.string())
    counts: dict[Concern, Counter[str]] = {}
    asked: list[tuple[str, int]] = []
    addressed: Counter[str] = Counter()
    blocked: set[str] = set()
    if len(rows):
        nits = pc.match_substring_regex(column, NIT).to_pylist()
        met = index.column("addressed", rows)
        pulls = index.column("card_id", rows)
        blocked = _blocked(store, set(pulls))
        addressed.update(met)
        for text, nit, state, pull in zip(words, nits, met, pulls, strict=True):
            for concern in concerns_of(text)[:1]:
                count = counts.setdefault(concern, Counter())
                count.update(
                    {
                        "threads": 1,
                        "nits": int(nit),
                        "addressed": int(state == "yes"),
                        "blocked": int(pull in blocked),
                    }
                )
        for what, alternatives in EVIDENCE_ASKED.items():
            found = pc.sum(pc.match_substring_regex(column, word_pattern(alternatives))).as_py() or 0
            if found:
                asked.append((what, int(found)))
    recurring = [
        Recurring(
            concern=c, threads=counts.get(c, Counter())["threads"], addressed=counts.get(c, Counter())["addressed"],
            nits=counts.get(c, Counter())["nits"], blocked=counts.get(c, Counter())["blocked"], fixes=len(fixes.get(c, [])),
            pulls=tuple(i for _, i in sorted(fixes.get(c, []), reverse=True)[:3]),
        )
        for c in CONCERNS
        if c in counts or c in fixes
    ]  # fmt: skip
    recurring.sort(key=lambda r: (-(r.threads + 2 * r.fixes), CONCERNS.index(r.concern)))
    return msgspec.structs.replace(
        sweep, recurring=tuple(recurring), asked=tuple(sorted(asked, key=lambda a: (-a[1], a[0]))),
        addressed=tuple((k, addressed[k]) for k in ("yes", "no", "unknown") if addressed[k]), blocked_pulls=len(blocked),
    )  # fmt: skip


def _blocked(store: Store, pulls: set[str]) -> set[str]:
    """Of some pull requests, those whose reviewers asked for changes."""
    if not store.has("pulls") or not pulls:
        return set()
    rows = store.rows_where("pulls", "changes_requested > 0", ["id"])
    return set(rows["id"].to_pylist()) & pulls
