"""From a past pull request or thread to a precedent that can be checked: which hunk, which lines, which words, under a hash."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ingest.github.records import Comment, Thread
from ingest.records import Hunk
from ingest.symbols import section_name
from kb.critique.concerns import asks_for_something
from kb.critique.findings import PullPrecedent, ThreadPrecedent, quote_sha
from kb.critique.history import History, PastPull
from kb.critique.patch import same_definition
from kb.diff_lines import line_kinds, line_worth
from kb.stored_diff import hunk_lines
from kb.threads.reader import quote as quoted_comment
from kb.threads.text import replied
from kb.words import code_words

_QUOTED_LINES = 8
_QUOTED_CHARS = 600
_WORD = 3  # letters and digits
_SENTENCE = re.compile(r"[^\n]+")


def own_name(history: History, pull: PastPull, path: str) -> str:
    """The name that a file of the patch has in a past change, empty where that one did not change it."""
    names = history.names.get(path, (path,))
    found = [f.path for f in pull.files if f.path in names] or [
        f.old_path for f in pull.files if f.old_path in names
    ]
    return found[0] if found else ""


def best_hunk(
    hunks: Sequence[Hunk], pull: PastPull, name: str, symbol: str, texts: Collection[str]
) -> Hunk | None:
    """The hunk of a past change that bears most on a place: it holds the lines, or stands in the definition."""
    spans = [
        (s.start, s.end) for s in pull.symbols if s.path == name and same_definition(s.name, symbol) and s.end
    ]
    last = symbol.split(".")[-1]
    words = set(code_words("\n".join(texts)))

    def worth(hunk: Hunk) -> tuple[int, int, int]:
        rows = [r for r in hunk_lines(hunk) if r[:1] in ("+", "-")]
        held = sum(r[1:].strip() in texts for r in rows)
        inside = any(a <= hunk.new_start + hunk.new_lines - 1 and hunk.new_start <= b for a, b in spans)
        named = bool(last) and (section_name(hunk.section) or "").split(".")[-1] == last
        return held, 2 * inside + named, len(words & set(code_words("\n".join(r[1:] for r in rows))))

    ranked = sorted(hunks, key=lambda h: (*(-n for n in worth(h)), h.new_start))
    return ranked[0] if ranked and (not symbol or texts or any(worth(ranked[0])[:2])) else None


def pull_precedent(
    history: History, pull: PastPull, path: str, symbol: str, texts: Collection[str] = ()
) -> PullPrecedent | None:
    """A fix or revert as precedent for a place in the patch; None where its diff is not held or bears on nothing there."""
    name = own_name(history, pull, path)
    hunks = history.fix_hunks.get((pull.id, name), ())
    hunk = best_hunk(hunks, pull, name, symbol, texts)
    if hunk is None:
        return None
    quote = _quote(name, hunk, texts)
    if not quote:
        return None
    return PullPrecedent(
        id=pull.id, title=pull.title, relation=pull.relation, merged_at=pull.merged_at, path=name, hunk=hunk.header,
        quote=quote, sha256=quote_sha(quote), target=next(iter(pull.reverted), ""),
    )  # fmt: skip


def _quote(path: str, hunk: Hunk, texts: Collection[str]) -> str:
    """A few neighbouring lines of a hunk: those that were asked for, else the ones that say most."""
    rows = hunk_lines(hunk)
    kinds = line_kinds(path, rows)
    worths = [
        (10.0 if r[1:].strip() in texts else 0.0) + line_worth(r, k) if r[:1] in ("+", "-") else 0.0
        for r, k in zip(rows, kinds, strict=True)
    ]
    size = min(_QUOTED_LINES, len(rows))
    starts = range(len(rows) - size + 1)
    at = max(starts, key=lambda i: (sum(worths[i : i + size]), -i), default=0)
    chosen = rows[at : at + size]
    while chosen and not _says_something(chosen[0]):
        chosen = chosen[1:]
    while chosen and (not _says_something(chosen[-1]) or len("\n".join(chosen)) > _QUOTED_CHARS):
        chosen = chosen[:-1]
    return "\n".join(chosen)


def _says_something(row: str) -> bool:
    """Whether a line may open or close a quotation: it is changed and has a word."""
    return row[:1] in ("+", "-") and sum(c.isalnum() for c in row) >= _WORD


def thread_precedent(thread: Thread, author_login: str, addressed: str) -> ThreadPrecedent | None:
    """A thread as precedent: what a person other than the author asked for, word for word. None where nobody asked."""
    comment = asking(thread, author_login)
    if comment is None:
        return None
    text = excerpt(comment)
    if not text:
        return None
    taken = quoted_comment(thread, comment, text)
    return ThreadPrecedent(
        id=thread.id, url=thread.url, path=thread.anchor.path, comment=comment.id, quote=taken.text, sha256=taken.sha256,
        created_at=comment.created_at, addressed=addressed, trust=thread.trust,
    )  # fmt: skip


def asking(thread: Thread, author_login: str = "") -> Comment | None:
    """The first comment by a person who is not the author that wants something."""
    for comment in thread.comments:
        is_reviewer = comment.author.kind == "human" and comment.author.role != "pr_author"
        is_plain = (
            not comment.minimized and not comment.has_hidden_text and comment.author.login != author_login
        )
        if is_reviewer and is_plain and asks_for_something(replied(comment.body)):
            return comment
    return None


def excerpt(comment: Comment) -> str:
    """The sentence-like line of a comment that asks, in its own language and words; at most 280 characters."""
    lines = [
        m[0].strip()
        for m in _SENTENCE.finditer(comment.body)
        if m[0].strip() and not m[0].lstrip().startswith((">", "```"))
    ]
    asked = [line for line in lines if asks_for_something(line)] or lines
    text = asked[0][:280] if asked else ""
    return text if text in comment.body else ""
