"""Found review threads: the JSON contract of `query --threads`, and text for people."""

from __future__ import annotations

from typing import Any

from ingest.github.records import Comment, Thread
from kb.reports.safe import one_line, plain
from kb.threads.search import ThreadAnswer, ThreadHit, excerpt

_HUNK_LINES = 4  # of the reviewed hunk, as GitHub shows them


def answer_json(answer: ThreadAnswer, elapsed_ms: float) -> dict[str, Any]:
    """The contract of `query --threads --json`."""
    return {
        "query": answer.question.text,
        "answered": answer.answered,
        "elapsed_ms": round(elapsed_ms, 1),
        "threads_held": answer.threads,
        "hits": [_hit_json(hit) for hit in answer.hits],
    }


def _hit_json(hit: ThreadHit) -> dict[str, Any]:
    thread, anchor = hit.thread, hit.thread.anchor
    return {
        "rank": hit.rank, "id": thread.id, "repo": thread.repo, "number": thread.number, "kind": thread.kind,
        "url": thread.url, "score": round(hit.score, 4), "coverage": round(hit.coverage, 4), "path": anchor.path,
        "side": anchor.side, "line": anchor.line, "original_line": anchor.original_line, "symbol": hit.symbol,
        "hunk": hit.hunk, "diff_hunk": anchor.diff_hunk, "resolved": thread.resolved, "outdated": thread.outdated,
        "addressed": hit.addressed, "addressed_by": hit.addressed_by, "trust": thread.trust,
        "said": _comment_json(hit.said), "comments": [_comment_json(c) for c in thread.comments],
    }  # fmt: skip


def _comment_json(comment: Comment) -> dict[str, Any]:
    return {
        "id": comment.id, "author": comment.author.login, "author_kind": comment.author.kind,
        "role": comment.author.role, "created_at": comment.created_at, "state": comment.state, "body": comment.body,
        "sha256": comment.sha256, "hidden_text": comment.has_hidden_text,
        "suggestions": [{"start": s.start, "end": s.end, "text": s.text} for s in comment.suggestions],
    }  # fmt: skip


def answer_text(answer: ThreadAnswer) -> str:
    """An answer for people."""
    if not answer.threads:
        return "No review threads are held: run `prlore ingest github` or `prlore ingest corpus`."
    lines: list[str] = []
    if not answer.answered:
        lines.append("No thread answers this." + (" Nearest:" if answer.hits else ""))
    for hit in answer.hits if answer.answered else answer.hits[:3]:
        lines += [*_hit_text(hit, answer.question.words), ""]
    return "\n".join(lines).rstrip()


def _hit_text(hit: ThreadHit, words: tuple[str, ...]) -> list[str]:
    thread, said = hit.thread, hit.said
    where = thread.anchor.path and f"  {thread.anchor.path}:{thread.anchor.line or thread.anchor.original_line or ''}".rstrip(":")  # fmt: skip
    lines = [
        f"{hit.rank:>2}. {thread.repo}#{thread.number}  {thread.created_at[:10]}  {thread.kind}{one_line(where) and '  ' + one_line(where)}"
    ]
    lines.append(f"    {thread.url}  [{'; '.join(_about(hit, thread))}]")
    for row in thread.anchor.diff_hunk.split("\n")[1:][-_HUNK_LINES:] if thread.anchor.diff_hunk else []:
        lines.append(f"      {plain(row)[:160]}")
    who = f"@{one_line(said.author.login)}" if said.author.login else "a deleted account"
    state = f", {said.state.replace('_', ' ')}" if said.state else ""
    lines.append(f"    {who} ({said.author.role.replace('_', ' ')}{state}): {one_line(excerpt(said, words))}")
    if len(thread.comments) > 1:
        lines.append(f"    {len(thread.comments)} comments in all")
    return lines


def _about(hit: ThreadHit, thread: Thread) -> list[str]:
    about = [f"score {hit.score:.2f}"]
    if thread.anchor.path:
        by = f" ({hit.addressed_by})" if hit.addressed_by else ""
        about.append(f"addressed: {hit.addressed}{by}")
    if hit.symbol:
        about.append(one_line(hit.symbol))
    if thread.resolved is not None:
        about.append("resolved" if thread.resolved else "not resolved")
    if thread.outdated:
        about.append("outdated")
    if thread.trust == "imported":
        about.append("imported")
    return about
