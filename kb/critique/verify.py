"""Nothing is believed that was not looked up: each finding is held against the diff and against the store as it is now.

Rules and models alike hand in drafts. A draft stays when its place lies in one hunk of the diff, when at least one of
its precedents is there, older than the patch, from the same place, and says word for word what is quoted, and when every
name in its backticks stands in the diff, in a precedent, or in the file. Precedents that don't hold are taken off first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ingest.github.records import Thread
from kb.critique.findings import (
    CONCERNS,
    SEVERITIES,
    Finding,
    PullPrecedent,
    Refusal,
    ThreadPrecedent,
    fingerprint_of,
    quote_sha,
)
from kb.critique.history import History, PastPull, read_pulls
from kb.critique.patch import Patch, PatchHunk
from kb.store import Store
from kb.stored_diff import ChunkRow, hunk_lines, hunks_of_chunks
from kb.threads.reader import Quote, holds, read_thread

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_CODE = re.compile(r"`([^`]*)`")
_LONGEST = 600  # characters of a failure or check
_SOURCE_LIMIT = 4 << 20


class Verifier:
    """Checks findings of one patch. What it needs of the store it reads itself, once."""

    def __init__(self, store: Store, patch: Patch, history: History) -> None:
        self._store = store
        self._patch = patch
        self._history = history
        self._pulls: dict[str, PastPull] = {}
        self._chunks: dict[str, dict[str, list[ChunkRow]]] = {}
        self._threads: dict[str, Thread | None] = {}

    def check(self, drafts: Sequence[Finding]) -> tuple[list[Finding], list[Refusal]]:
        """The drafts that hold, with the precedents that hold, and what was refused."""
        self._read(drafts)
        kept, refused = [], []
        for finding in drafts:
            try:
                kept.append(self._checked(finding))
            except _Refused as exc:
                refused.append(Refusal(rule=finding.rule, path=finding.place.path, why=str(exc)))
        return kept, refused

    def _read(self, drafts: Sequence[Finding]) -> None:
        ids = {p.id for f in drafts for p in f.pulls} | {
            p.target for f in drafts for p in f.pulls if p.target
        }
        self._pulls |= read_pulls(self._store, ids - self._pulls.keys())
        missing = sorted({p.id for f in drafts for p in f.pulls} - self._chunks.keys())
        if missing:
            table = self._store.chunks_of(missing)
            for card_id, path, text in zip(*(table[c].to_pylist() for c in ChunkRow._fields), strict=True):
                self._chunks.setdefault(card_id, {}).setdefault(path, []).append(
                    ChunkRow(card_id, path, text)
                )

    def _checked(self, finding: Finding) -> Finding:
        hunk = self._place(finding)
        if finding.severity not in SEVERITIES or finding.concern not in CONCERNS:
            raise _Refused("no such severity or concern")
        for text in (finding.failure, finding.check):
            if not text.strip() or len(text) > _LONGEST or "\n" in text:
                raise _Refused("a failure mode and a check are one line each")
        pulls = tuple(p for p in finding.pulls if self._pull_holds(finding, p))
        threads = tuple(t for t in finding.threads if self._thread_holds(t))
        if not pulls and not threads:
            raise _Refused("no precedent of it stands in the knowledge base as it is cited")
        unknown = self._unknown_names(finding, hunk, pulls, threads)
        if unknown:
            raise _Refused(f"names that stand nowhere: {', '.join(unknown[:3])}")
        mark = fingerprint_of(finding.place, finding.concern, hunk.hunk.text, finding.rule)
        return msgspec.structs.replace(finding, pulls=pulls, threads=threads, fingerprint=mark)

    # the place ---------------------------------------------------------------------------------------

    def _place(self, finding: Finding) -> PatchHunk:
        place = finding.place
        hunk = self._patch.hunk_at(place)
        if hunk is None:
            raise _Refused("the diff has no such hunk")
        skipped = "-" if place.side == "new" else "+"
        rows = [r for r in hunk.lines if r.mark != skipped]
        numbers = [r.old if place.side == "old" else r.new for r in rows]
        if not (place.start <= place.line and place.start in numbers and place.line in numbers):
            raise _Refused("its lines lie outside of the hunk")
        within = [r for r, n in zip(rows, numbers, strict=True) if place.start <= n <= place.line]
        if not any(r.mark in "+-" for r in within):
            raise _Refused("no line of its place is changed")
        return hunk

    # precedents --------------------------------------------------------------------------------------

    def _pull_holds(self, finding: Finding, cited: PullPrecedent) -> bool:
        pull = self._pulls.get(cited.id)
        if pull is None or cited.id in self._patch.own or cited.id.rpartition("#")[0] != self._patch.repo:
            return False
        if (
            pull.title != cited.title
            or pull.merged_at != cited.merged_at
            or not self._is_older(pull.merged_at)
        ):
            return False
        if cited.sha256 != quote_sha(cited.quote) or not cited.quote.strip():
            return False
        if not self._same_place(finding, cited, pull) or not self._kind_holds(finding, cited, pull):
            return False
        rows = self._chunks.get(cited.id, {}).get(cited.path, [])
        return any(
            h.header == cited.hunk and _stands_in(cited.quote, hunk_lines(h)) for h in hunks_of_chunks(rows)
        )

    def _kind_holds(self, finding: Finding, cited: PullPrecedent, pull: PastPull) -> bool:
        """Whether it fixed or reverted something; for docs, whether it named a flag that came without."""
        if finding.rule == "flag-without-docs":
            adder = self._pulls.get(cited.target)
            flags = set(adder.facts.flags_added) if adder is not None else set()
            return bool(adder) and any(f in cited.quote for f in flags) and cited.relation == "fixes"
        if cited.relation == "reverts":
            return pull.relation == "reverts" and (not cited.target or cited.target in pull.reverted)
        return cited.relation == "fixes" and pull.is_fix

    def _same_place(self, finding: Finding, cited: PullPrecedent, pull: PastPull) -> bool:
        path = finding.place.path
        if finding.rule == "flag-without-docs":
            return cited.target in self._history.touched.get(path, ())
        return cited.path in self._history.names.get(path, (path,)) and any(
            cited.path in (f.path, f.old_path) for f in pull.files
        )

    def _is_older(self, moment: str) -> bool:
        return bool(moment) and (not self._patch.as_of or moment < self._patch.as_of)

    def _thread_holds(self, cited: ThreadPrecedent) -> bool:
        thread = self._thread(cited.id)
        if thread is None or thread.pull_id in self._patch.own or thread.repo != self._patch.repo:
            return False
        if (
            not holds(thread, Quote(cited.id, cited.comment, cited.sha256, cited.quote))
            or not cited.quote.strip()
        ):
            return False
        comment = next(c for c in thread.comments if c.id == cited.comment)
        if comment.author.kind != "human" or comment.minimized or not self._is_older(comment.created_at):
            return False
        return (
            cited.url == thread.url
            and cited.created_at == comment.created_at
            and cited.path == thread.anchor.path
        )

    def _thread(self, thread_id: str) -> Thread | None:
        if thread_id not in self._threads:
            self._threads[thread_id] = read_thread(self._store, thread_id)
        return self._threads[thread_id]

    # names -------------------------------------------------------------------------------------------

    def _unknown_names(
        self,
        finding: Finding,
        hunk: PatchHunk,
        pulls: Sequence[PullPrecedent],
        threads: Sequence[ThreadPrecedent],
    ) -> list[str]:
        """Names in backticks that stand neither in the diff nor in a precedent that holds nor in the file."""
        named = [
            n
            for text in (finding.failure, finding.check)
            for code in _CODE.findall(text)
            for n in _NAME.findall(code)
        ]
        unknown = [n for n in dict.fromkeys(named) if n not in self._patch.names]
        if not unknown:
            return []
        known: set[str] = set()
        for cited in pulls:
            pull = self._pulls[cited.id]
            known |= set(
                _NAME.findall(
                    " ".join([cited.quote, *(f.path for f in pull.files), *(s.name for s in pull.symbols)])
                )
            )
        for said in threads:
            thread = self._thread(said.id)
            known |= set(_NAME.findall(" ".join(c.body for c in thread.comments))) if thread else set()
        file = self._patch.file(hunk.path)
        if file is not None and file.source is not None:
            known |= set(_NAME.findall(file.source[:_SOURCE_LIMIT].decode("utf-8", "replace")))
        return [n for n in unknown if n not in known]


class _Refused(Exception):
    """Why a draft does not stay."""


def _stands_in(quote: str, lines: Sequence[str]) -> bool:
    """Whether quoted lines stand one below the other in a hunk."""
    wanted = quote.split("\n")
    return any(list(lines[i : i + len(wanted)]) == wanted for i in range(len(lines) - len(wanted) + 1))
